"""For FastAPI: a limit as a dependency of one route, or of many, and an answer to RateLimitError."""

# Annotations stay what they are: FastAPI reads those of the dependency.

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import HTTPException, Request, Response, WebSocketException
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse

from sluicegate._arguments import StatePath, texts_of
from sluicegate._core import Decision, Limit, Limiter, LimiterDoor, ManualClock
from sluicegate._limiter import quotas_of, whole_seconds
from sluicegate._names import name_apart
from sluicegate._requests import Header, merge_fields, peer_of

_TOO_MANY_REQUESTS = 429
_TRY_AGAIN_LATER = 1013
_EPOCH = ("x-ratelimit-epoch",)

_log = logging.getLogger("sluicegate")


class RateLimit:
    """``Depends(RateLimit("10/minute"))``: each client may call the routes that depend on it so often.

    Limits are quotas, also several in one text ("2/minute; 20/hour"), or Limits. Routes that share
    one object share its quota. The handshake of a WebSocket is a call like others.

    ``key``: who is limited, by the request (or the WebSocket), plain or async; where it fails or
    says None, and without it, that is the client's address. ``trusted_proxies`` are the
    middleware's: addresses and networks that may say who the client is. ``state``: the file in
    which all processes count together. There it counts under "dependency", the second object under
    "dependency #2", or under ``name``, with all that have the same.

    Denials are HTTPException 429 with Retry-After, and X-RateLimit-*, which the responses that
    FastAPI makes of what a route returns get as well: of several dependencies those with the least
    left. A Response of the route's own, an error and an accepted WebSocket have none. ``headers``:
    other forms of these fields, as the middleware's.
    """

    def __init__(
        self,
        *limits: Limit | str,
        key: Callable[[Any], str | None | Awaitable[str | None]] | None = None,
        trusted_proxies: Iterable[str] = (),
        headers: Iterable[str] = _EPOCH,
        memory: int = 4 << 20,
        state: StatePath | None = None,
        name: str | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        read: list[Limit] = []
        for limit in limits:
            read.extend(quotas_of(limit) if isinstance(limit, str) else [limit])
        if key is not None and not callable(key):
            raise TypeError(f"key is {key!r}. Write a function that returns the key.")
        self.limiter = Limiter(
            read,
            memory=memory,
            state=state,
            name=name_apart("dependency", state) if name is None else name,
            clock=clock,
        )
        self._door = LimiterDoor(
            self.limiter,
            texts_of(trusted_proxies, "trusted_proxies", "10.0.0.0/8"),
            headers=texts_of(headers, "headers", "draft11"),
        )
        self._key = key

    async def __call__(self, connection: HTTPConnection, response: Response) -> None:
        decision = self.limiter.check(await self._key_of(connection))
        fields = self._door.fields_of(decision)
        if not decision.allowed:
            raise _denial_of(connection, decision, fields)
        raw = response.headers.raw
        raw[:] = merge_fields(raw, fields)

    async def _key_of(self, connection: HTTPConnection) -> str:
        """A function of the program's that fails must not open the limit."""
        if self._key is not None:
            try:
                named = self._key(connection)
                key = await named if inspect.isawaitable(named) else named
                if key is not None:
                    return str(key)
            except Exception:
                _log.warning("key failed; the call counts for the client's address", exc_info=True)
        scope = connection.scope
        return self._door.key_for(peer_of(scope), scope.get("headers", ()))


def _denial_of(
    connection: HTTPConnection, decision: Decision, fields: list[Header]
) -> Exception:
    text = f"Rate limit exceeded: {decision.limit}"
    extensions = connection.scope.get("extensions") or {}
    if connection.scope["type"] == "websocket" and "websocket.http.response" not in extensions:
        return WebSocketException(_TRY_AGAIN_LATER, text)  # The server answers 403.
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
    return HTTPException(_TOO_MANY_REQUESTS, text, headers)


def _retry_after(seconds: float | None) -> dict[str, str]:
    whole = whole_seconds(seconds)
    return {} if whole is None else {"Retry-After": str(whole)}


async def rate_limit_error_handler(request: Request, error: Exception) -> JSONResponse:
    """Answers a RateLimitError with 429, as the middleware does:
    ``app.add_exception_handler(RateLimitError, rate_limit_error_handler)``.
    """
    retry_after: int | None = getattr(error, "retry_after", None)
    problem = {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": _TOO_MANY_REQUESTS,
        "detail": str(error),
        "error": "Rate limit exceeded",
        "retry_after": retry_after,
    }
    headers = {"Cache-Control": "no-store", **_retry_after(retry_after)}
    return JSONResponse(problem, _TOO_MANY_REQUESTS, headers, "application/problem+json")
