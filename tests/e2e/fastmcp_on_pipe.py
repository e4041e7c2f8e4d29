"""A FastMCP server on a pipe, and FastMCP's client of one, for test_mcp_stdio_fastmcp.py.

    fastmcp_on_pipe.py server
    fastmcp_on_pipe.py client COMMAND ARGS...     prints a JSON line an outcome
"""

import asyncio
import json
import sys

from fastmcp import Client, FastMCP
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError

server = FastMCP("on a pipe")


@server.tool
def echo(message: str) -> str:
    """Says it again."""
    return message


@server.tool
async def slow(seconds: float) -> str:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return "slow"


def tell(**outcome):
    print(json.dumps(outcome), flush=True)


async def call(client, tool, **given):
    try:
        result = await asyncio.wait_for(client.call_tool(tool, given), 20)
        tell(ok=result.content[0].text)
    except ToolError as error:
        tell(tool_error=str(error))


async def main(command, *words):
    async with Client(StdioTransport(command=command, args=list(words))) as client:
        tell(tools=sorted(tool.name for tool in await client.list_tools()))
        for number in range(4):
            await call(client, "echo", message=f"grüß dich {number}")
        await asyncio.gather(*(call(client, "slow", seconds=0.5) for _ in range(3)))
        await call(client, "slow", seconds=0)


if sys.argv[1] == "server":
    server.run(transport="stdio", show_banner=False)
else:
    asyncio.run(main(*sys.argv[2:]))
