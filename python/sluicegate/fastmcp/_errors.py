"""What a denied client is told."""

from __future__ import annotations

from typing import Any, cast

from fastmcp.server.middleware.rate_limiting import RateLimitError


def limit_error(message: str, data: dict[str, Any], code: int | None = None) -> Exception:
    """FastMCP's own error, of its code unless said. Made by FastMCP, as versions make it from
    different arguments.
    """
    error = RateLimitError(message)
    changes = {"data": data} if code is None else {"data": data, "code": code}
    error.error = error.error.model_copy(update=changes)
    return cast(Exception, error)
