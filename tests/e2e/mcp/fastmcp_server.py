"""A FastMCP server, both eras on /mcp: the upstream of test_clients.py.

Tools: echo; count, which reports progress and says on stderr when it ends or is cancelled; weather,
which has an output schema; fail; ask, which asks the client back (the session era's elicitation).
"""

import asyncio
import sys

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from pydantic import BaseModel
from serve import serve

server = FastMCP("sluicegate-test")


@server.tool(output_schema=None)
def echo(message: str) -> str:
    """Says it again."""
    return message


@server.tool(output_schema=None)
async def count(to: int, milliseconds: int, context: Context) -> str:
    """Counts slowly, with progress."""
    try:
        for number in range(to):
            await context.report_progress(number, to, f"at {number}")
            await asyncio.sleep(milliseconds / 1000)
    except asyncio.CancelledError:
        print("count=cancelled", file=sys.stderr, flush=True)
        raise
    print("count=ended", file=sys.stderr, flush=True)
    return f"counted to {to}"


class Weather(BaseModel):
    city: str
    celsius: float


@server.tool
def weather(city: str) -> Weather:
    """Has an output schema, so a client checks what it gets."""
    return Weather(city=city, celsius=12.5)


@server.tool(output_schema=None)
def fail() -> str:
    """Always fails."""
    raise ToolError("this tool always fails")


class Name(BaseModel):
    name: str


@server.tool(output_schema=None)
async def ask(context: Context) -> str:
    """Asks the client for a name."""
    answer = await context.elicit("What is your name?", Name)
    return f"hello {answer.data.name}" if answer.action == "accept" else answer.action


serve(server.http_app(path="/mcp"))
