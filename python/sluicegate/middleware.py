"""The ASGI middleware: for Starlette, FastAPI and every other ASGI application."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

from sluicegate._arguments import StatePath, texts_of
from sluicegate._core import Answer, Door, Limiter, LimiterDoor, ManualClock, PolicyDoor
from sluicegate._limiter import RateLimitConfig, RateLimiter
from sluicegate._requests import DEFAULT_HEADERS, merge_fields, peer_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_BEGINNINGS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
_log = logging.getLogger("sluicegate")


def read_policy(policy: str | os.PathLike[str]) -> tuple[str, str]:
    """A policy's text, and how it is called in errors. A ``str`` with a line break or a brace is the
    text itself, else the path of the file.
    """
    mend = "Write the path of a policy file, or its text."
    if not isinstance(policy, (str, os.PathLike)):
        raise TypeError(f"policy is {policy!r}. {mend}")
    if policy == "":
        raise ValueError(f"policy is ''. {mend}")
    if isinstance(policy, str) and ("\n" in policy or "{" in policy):
        return policy, "policy"
    path = os.fspath(policy)
    try:
        return Path(path).read_text(encoding="utf-8"), path
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot read the policy: {error}. Check the path.") from error


def log_warnings(door: PolicyDoor, name: str) -> None:
    for warning in door.warnings(name):
        _log.warning("%s", warning)


class RateLimitMiddleware:
    """Answers requests that are over their limit with 429, and tells the others that it limits what
    is left.

    By ``config``, on each client's address. Of ``trusted_proxies`` (addresses and networks)
    ``X-User-ID`` names the client, else ``X-Forwarded-For`` its address, else ``X-Real-IP``; nobody
    else can say who the client is. By a ``limiter`` of one's own instead of a new one; or by a
    ``policy``, a file or its text, which says all of this by itself. ``headers``: the forms of the
    fields, as a policy has them ("draft11", "x-ratelimit-delta", ...; "off": none). ``state``: the
    file in which all processes count together.

    Nothing is buffered: streams, server-sent events and lifespans go through as they are. The
    handshake of a WebSocket is a request like others. Raises ValueError or TypeError, with what to
    write instead, where an argument is none.
    """

    def __init__(
        self,
        app: App,
        config: RateLimitConfig | None = None,
        limiter: RateLimiter | None = None,
        *,
        policy: str | os.PathLike[str] | None = None,
        trusted_proxies: Iterable[str] = (),
        headers: Iterable[str] | None = None,
        state: StatePath | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        if config is not None and not isinstance(config, RateLimitConfig):
            raise TypeError(f"config is {config!r}. Write a RateLimitConfig.")
        if limiter is not None and not isinstance(limiter, Limiter):
            raise TypeError(f"limiter is {limiter!r}. Write a RateLimiter.")
        proxies = texts_of(trusted_proxies, "trusted_proxies", "10.0.0.0/8")
        forms = DEFAULT_HEADERS if headers is None else texts_of(headers, "headers", "draft11")
        self.app = app
        self.config = config or RateLimitConfig()
        self._limiter: RateLimiter | None = None
        self._door: Door
        if policy is not None:
            if config is not None or limiter is not None or proxies or headers is not None:
                raise ValueError(
                    "A policy says all that config, limiter, trusted_proxies and headers say. Write "
                    "these into the policy, or leave it out."
                )
            text, name = read_policy(policy)
            self._door = door = PolicyDoor(text, file=name, state=state, clock=clock)
            log_warnings(door, name)
            return
        if limiter is not None and state is not None:
            raise ValueError("A limiter has its own state. Write RateLimiter(state=...).")
        self._limiter = limiter or RateLimiter(
            per_minute=self.config.requests_per_minute,
            per_hour=self.config.requests_per_hour,
            per_day=self.config.requests_per_day,
            burst_size=self.config.burst_size,
            state=state,
            name="middleware",
            clock=clock,
        )
        self._door = LimiterDoor(
            self._limiter,
            trusted_proxies=proxies,
            exempt_ips=sorted(self.config.exempt_ips),
            exempt_users=sorted(self.config.exempt_user_ids),
            headers=forms,
        )

    @property
    def limiter(self) -> RateLimiter | None:
        """Who is asked; None: a policy."""
        return self._limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not self.config.enabled:
            await self.app(scope, receive, send)
            return
        answer = self._door.ask(
            peer_of(scope), scope.get("method", "GET"), scope["path"], scope.get("headers", ())
        )
        if not answer.allowed:
            await _deny(answer, scope, send)
            return
        ours = answer.headers

        async def send_with_ours(message: Message) -> None:
            if ours and message["type"] in _BEGINNINGS:
                # The message is the application's, which may send it again.
                message = {**message, "headers": merge_fields(message.get("headers", ()), ours)}
            await send(message)

        try:
            await self.app(scope, receive, send_with_ours)
        finally:
            self._door.end(answer)


async def _deny(answer: Answer, scope: Scope, send: Send) -> None:
    body = answer.body
    headers = [*answer.headers, (b"content-length", str(len(body)).encode())]
    kind = "http.response"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1013})  # The server answers 403.
            return
        kind = "websocket.http.response"
    await send({"type": f"{kind}.start", "status": answer.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else body})
