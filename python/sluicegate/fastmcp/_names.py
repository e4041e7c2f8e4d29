"""What a tool is called."""

from __future__ import annotations

from typing import Any

from fastmcp.server.middleware import MiddlewareContext

try:
    from fastmcp.server.providers.addressing import parse_hashed_backend_name
except ImportError:  # No FastMCP with apps.

    def parse_hashed_backend_name(name: str) -> tuple[str, str] | None:
        return None


async def listed_name(context: MiddlewareContext[Any]) -> str:
    """As the server lists it, and rules name it. Apps may call a tool by a hash, too, and so may
    every client.
    """
    name = str(getattr(context.message, "name", ""))
    hashed = parse_hashed_backend_name(name)
    if hashed is None or context.fastmcp_context is None:
        return name
    server: Any = context.fastmcp_context.fastmcp
    if await server.get_tool(name) is not None:
        return name
    tool = await server.get_tool_by_hash(*hashed)
    return name if tool is None else str(tool.name)
