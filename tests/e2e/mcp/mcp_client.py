"""The Python SDK's client, 1.x (ClientSession) or 2.x (Client), whichever is installed. See client_lines.py."""

import contextlib
import importlib.metadata

import anyio
import client_lines
from client_lines import NAME, Progress, tell, tell_result

ONE = importlib.metadata.version("mcp").startswith("1.")


class First:
    """mcp 1.x, which knows the session era only."""

    def __init__(self, session, began):
        self.session, self.began = session, began

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, options):
        import httpx
        from mcp import ClientSession, types
        from mcp.client.streamable_http import streamable_http_client

        async def answer(context, params):
            return types.ElicitResult(action="accept", content={"name": NAME})

        async with httpx.AsyncClient(headers=options.headers, timeout=60) as http:
            async with streamable_http_client(options.url, http_client=http) as streams:
                async with ClientSession(streams[0], streams[1], elicitation_callback=answer) as session:
                    yield cls(session, await session.initialize())

    def version(self):
        return self.began.protocolVersion

    async def ping(self, step, started):
        await self.session.send_ping()
        tell(step, "ok", started)

    async def list_tools(self, step, started):
        listed = await self.session.list_tools()
        tell(step, "ok", started, tools=sorted(tool.name for tool in listed.tools))

    async def call(self, step, started, tool, given):
        progress = Progress()
        result = await self.session.call_tool(tool, given, progress_callback=progress)
        tell_result(step, started, result, result.isError, result.structuredContent, progress)


class Second:
    """mcp 2.x, both eras."""

    def __init__(self, client):
        self.client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, options):
        import httpx2
        import mcp_types as types
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        async def answer(context, params):
            return types.ElicitResult(action="accept", content={"name": NAME})

        mode = client_lines.MODERN if options.era == "modern" else options.era
        async with httpx2.AsyncClient(headers=options.headers, timeout=60) as http:
            transport = streamable_http_client(options.url, http_client=http)
            async with Client(transport, mode=mode, cache=None, elicitation_callback=answer) as client:
                yield cls(client)

    def version(self):
        return self.client.session.protocol_version

    async def ping(self, step, started):
        await self.client.send_ping()
        tell(step, "ok", started)

    async def list_tools(self, step, started):
        listed = await self.client.list_tools()
        tell(step, "ok", started, tools=sorted(tool.name for tool in listed.tools))

    async def call(self, step, started, tool, given):
        progress = Progress()
        result = await self.client.call_tool(tool, given, progress_callback=progress)
        tell_result(step, started, result, result.is_error, result.structured_content, progress)


async def main():
    if ONE:
        from mcp.shared.exceptions import McpError as ProtocolError
    else:
        from mcp.shared.exceptions import MCPError as ProtocolError
    options = client_lines.arguments()
    kind = First if ONE else Second
    await client_lines.Steps(options, ProtocolError).connected(kind.connect(options))


anyio.run(main)
