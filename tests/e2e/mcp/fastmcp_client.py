"""FastMCP's client. See client_lines.py."""

import contextlib

import anyio
import client_lines
from client_lines import NAME, Progress, tell, tell_result
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from mcp.shared.exceptions import MCPError


async def answer(message, response_type, params, context):
    return {"name": NAME}


class FastMCP:
    def __init__(self, client):
        self.client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, options):
        mode = client_lines.MODERN if options.era == "modern" else options.era
        transport = StreamableHttpTransport(options.url, headers=options.headers)
        async with Client(transport, mode=mode, elicitation_handler=answer) as client:
            yield cls(client)

    def version(self):
        return self.client.session.protocol_version

    async def ping(self, step, started):
        await self.client.ping()
        tell(step, "ok", started)

    async def list_tools(self, step, started):
        tools = await self.client.list_tools()
        tell(step, "ok", started, tools=sorted(tool.name for tool in tools))

    async def call(self, step, started, tool, given):
        progress = Progress()
        try:
            result = await self.client.call_tool(tool, given, progress_handler=progress)
        except ToolError as error:
            tell(step, "tool_error", started, text=str(error))
            return
        tell_result(step, started, result, result.is_error, result.structured_content, progress)


async def main():
    options = client_lines.arguments()
    await client_lines.Steps(options, MCPError).connected(FastMCP.connect(options))


anyio.run(main)
