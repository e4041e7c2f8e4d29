"""Who calls: what FastMCP has verified, and never what a client says."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastmcp.server.dependencies import get_access_token, get_http_request
from fastmcp.server.middleware import MiddlewareContext

from sluicegate._core import LimiterDoor

_log = logging.getLogger("sluicegate")


class Peer(NamedTuple):
    """Who sent the request of HTTP, and its headers. In memory and over stdio both are empty."""

    address: str
    headers: Sequence[tuple[bytes, bytes]]


def peer() -> Peer:
    try:
        scope = get_http_request().scope
    except RuntimeError:
        return Peer("", ())
    client = scope.get("client")
    return Peer(client[0] if client else "", scope["headers"])


def token_user() -> str:
    """Whom the verified access token names; "": there is none.

    That is its subject, else its client id. A client id names an application, which many users may
    share, and where applications register themselves anybody gets a fresh one.
    """
    try:
        token = get_access_token()
    except TypeError:
        _log.warning("FastMCP cannot read the access token; it names nobody", exc_info=True)
        return ""
    return "" if token is None else _user_of(token)


def _user_of(token: Any) -> str:
    claims = token.claims or {}
    subject = getattr(token, "subject", None) or claims.get("sub")
    if subject is None:
        return str(token.client_id)
    if getattr(token, "original_client_id", None) is None:
        return str(subject)
    # MultiAuth: each source of tokens may know another user by that name.
    issuer = claims.get("iss")
    return str(token.client_id) if issuer is None else f"{issuer} {subject}"


def verified_client(context: MiddlewareContext[Any]) -> str:
    """A ``get_client_id`` that no client can choose: the verified user, else the address."""
    user = token_user()
    return f"user:{user}" if user else LimiterDoor.key_of(peer().address or "unknown")


def is_from_client(context: MiddlewareContext[Any]) -> bool:
    """False: the MCP SDK of FastMCP 2 and 3 lists the tools, at a call of one it does not know."""
    if context.method != "tools/list":
        return True
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "_get_cached_tool_definition":
            return False
    return True
