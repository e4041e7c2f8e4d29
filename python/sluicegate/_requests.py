"""What the doors of ASGI share: who sent a request, and whose rate limit fields a response has."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

Header = tuple[bytes, bytes]

DEFAULT_HEADERS = ("draft11", "x-ratelimit-epoch")
"""The forms of the fields, as a policy's ``headers`` has them by default."""

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


_TRIPLES = tuple(
    tuple(prefix + member for member in (b"limit", b"remaining", b"reset"))
    for prefix in (b"x-ratelimit-", b"ratelimit-")
)
"""Of X-RateLimit-*, and of version 03 of the draft. The second of each is what is left."""


def merge_fields(theirs: Iterable[Header], ours: Iterable[Header]) -> list[Header]:
    """The application's headers and ours, whose names are in lower case. Lists of both stay. Triples
    are no lists, so of two of one name the tighter one is sent, by what is left.
    """
    merged, added = list(theirs), list(ours)
    told = dict(added)
    for triple in _TRIPLES:
        remaining = told.get(triple[1])
        if remaining is None:
            continue
        own = [value for name, value in merged if name.lower() == triple[1]]
        if any(is_tighter(value, remaining) for value in own):
            added = [header for header in added if header[0] not in triple]
        else:
            merged = [header for header in merged if header[0].lower() not in triple]
    return merged + added


def is_tighter(remaining: bytes, other: bytes) -> bool:
    """Whether one number leaves less than another one. What is no number does not."""
    if not remaining.isdigit():  # Of bytes: ASCII alone.
        return False
    one, two = remaining.lstrip(b"0"), other.lstrip(b"0")
    return (len(one), one) < (len(two), two)
