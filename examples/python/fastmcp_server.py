#!/usr/bin/env python3
"""A FastMCP server whose tools have limits for each user.

    pip install sluicegate fastmcp
    python examples/python/fastmcp_server.py

It listens at http://127.0.0.1:8000/mcp. Who sends no verified token counts by address.
"""

from fastmcp import FastMCP

from sluicegate.fastmcp import PolicyMiddleware

POLICY = """
state: {memory: 16MiB}
rules:
  - name: search                        # 10 results a minute
    match: {mcp_tool: search}
    key: [user, mcp_tool]
    limits: [10/minute]
    cost: {arg: limit, max: 10}
  - name: report                        # slow: one at a time for each user, two for everybody
    match: {mcp_tool: report}
    key: [user]
    limits: [{concurrency: 1}]
  - name: all-reports
    match: {mcp_tool: report}
    key: []
    limits: [{concurrency: 2}]
  - name: handshakes                    # a client that is limited elsewhere can still connect
    match: {mcp_method: [initialize, server/discover, ping, "*/list"]}
    key: [client]
    limits: [120/minute]
"""

mcp = FastMCP("limited")
mcp.add_middleware(PolicyMiddleware(POLICY))


@mcp.tool
def search(query: str, limit: int = 1) -> list[str]:
    """Finds as many as `limit` things."""
    return [f"{query} {i}" for i in range(limit)]


@mcp.tool
async def report(name: str) -> str:
    """Writes a long report."""
    return f"The report about {name}"


if __name__ == "__main__":
    mcp.run(transport="http", host="127.0.0.1", port=8000)
