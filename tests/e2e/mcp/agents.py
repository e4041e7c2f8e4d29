"""A hundred agents at once: FastMCP clients in one process, each from an address of its own.

    agents.py URL AGENTS CALLS LOOP_CALLS

Each calls echo CALLS times, the first one LOOP_CALLS times. Prints one JSON line an agent: {"agent", "ok",
"denied", "failed"}.
"""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError

SECONDS = 60


async def run(url, agent, calls):
    told = {"agent": agent, "ok": 0, "denied": 0, "failed": []}
    headers = {"X-Forwarded-For": f"198.51.100.{agent}"}
    try:
        async with asyncio.timeout(SECONDS), Client(StreamableHttpTransport(url, headers=headers)) as client:
            for _ in range(calls):
                try:
                    await client.call_tool("echo", {"message": str(agent)})
                    told["ok"] += 1
                except ToolError as error:
                    if "Rate limit exceeded" not in str(error):
                        raise
                    told["denied"] += 1
    except Exception as error:  # Whatever it is, it is what the agent saw.
        told["failed"].append(repr(error))
    print(json.dumps(told), flush=True)


async def main():
    url, agents, calls, loop_calls = sys.argv[1], *(int(number) for number in sys.argv[2:])
    await asyncio.gather(*(run(url, agent, loop_calls if agent == 0 else calls) for agent in range(agents)))


asyncio.run(main())
