"""What the doors of ASGI share: who sent a request, and whose X-RateLimit fields a response has."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

NO_ADDRESS = "unknown"
"""The key of all peers without an address: those of a Unix socket, for example."""


def is_request(value: Any) -> bool:
    """Of Starlette. An HTTPEndpoint has a scope, too, but no headers."""
    scope = getattr(value, "scope", None)
    is_scope = isinstance(scope, dict) and scope.get("type") in ("http", "websocket")
    return is_scope and hasattr(value, "headers")


def peer_of(scope: MutableMapping[str, Any]) -> str:
    """The address; "": it has none."""
    client = scope.get("client")
    host = client[0] if client else ""
    return host if isinstance(host, str) else ""


def is_tighter(remaining: str, other: str) -> bool:
    """Whether one X-RateLimit-Remaining leaves less than another one. What is no number does not."""
    if not (remaining.isascii() and remaining.isdigit()):
        return False
    ours, theirs = remaining.lstrip("0"), other.lstrip("0")
    return (len(ours), ours) < (len(theirs), theirs)
