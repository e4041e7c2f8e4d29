"""The middlewares that take the place of FastMCP's own."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext, rate_limiting

from sluicegate._core import Limit, Limiter, ManualClock
from sluicegate._limiter import whole_seconds
from sluicegate.fastmcp._caller import is_from_client
from sluicegate.fastmcp._errors import limit_error

GetClientId = Callable[[MiddlewareContext[Any]], str | Awaitable[str]]

_MEMORY = 4 << 20
"""Bytes of the clients: some 200,000 token buckets or 60,000 sliding windows."""

_MOST_PER_SECOND = 1_000_000
_MOST_NS = 1 << 62
"""146 years, the longest that the engine counts."""
_MOST_IN_WINDOW = 4_294_967_295
_SECOND_NS = 1_000_000_000


# Subclasses call it as it is in the FastMCP that is installed: before 3 it is plain.
_IDENTIFIES_LATER = inspect.iscoroutinefunction(
    rate_limiting.RateLimitingMiddleware._get_client_identifier
)


async def _later(client_id: Any) -> Any:
    return await client_id if inspect.isawaitable(client_id) else client_id


class _LimitingMiddleware(Middleware):
    """One limit for each client, or for all together. Thread-safe."""

    global_limit = False

    def __init__(self, limit: Limit, get_client_id: GetClientId | None, **how: Any) -> None:
        self.get_client_id = get_client_id
        _whole("memory", how["memory"])
        self._limiter = Limiter([limit], **how)

    async def on_request(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Any:
        if is_from_client(context):
            await self._admit(context)
        return await call_next(context)

    async def _admit(self, context: MiddlewareContext[Any]) -> None:
        client_id = "global"
        if not self.global_limit:
            client_id = str(await _later(self._get_client_identifier(context)))
        decision = self._limiter.check(client_id)
        if not decision.allowed:
            message = f"{self._message(client_id)}. {decision.retry_text}"
            data = {"retryAfterSeconds": whole_seconds(decision.retry_after)}
            raise limit_error(message, data)

    def _get_client_identifier(self, context: MiddlewareContext[Any]) -> Any:
        """FastMCP's, for subclasses that have one of their own, plain or async."""
        client_id = "global" if self.get_client_id is None else self.get_client_id(context)
        return _later(client_id) if _IDENTIFIES_LATER else client_id

    def _message(self, client_id: str) -> str:
        return f"Rate limit exceeded for client: {client_id}"


class RateLimitingMiddleware(_LimitingMiddleware):
    """FastMCP's middleware of this name: a token bucket for each client.

    A bucket holds ``burst_capacity`` requests, by default twice ``max_requests_per_second`` and at
    least 1, and refills at that rate: at most ``burst_capacity + rate * t`` requests in any time t.
    The rate is the decimal number that Python prints; from it comes the time between two requests,
    rounded up to a whole nanosecond. ``get_client_id`` names the client, plain or async; without
    it, or with ``global_limit``, all share one bucket. ``verified_client`` is one that believes no
    client.

    ``state``: the file in which all processes count together that name it, by ``name``. ``memory``:
    bytes of all clients, taken at once. Raises ValueError, with what to write instead, where an
    argument is none.
    """

    def __init__(
        self,
        max_requests_per_second: float = 10.0,
        burst_capacity: int | None = None,
        get_client_id: GetClientId | None = None,
        global_limit: bool = False,
        *,
        state: str | os.PathLike[str] | None = None,
        memory: int = _MEMORY,
        name: str = "rate-limiting",
        clock: ManualClock | None = None,
    ) -> None:
        interval_ns = _interval_ns(max_requests_per_second)
        default_capacity = max(1, int(max_requests_per_second * 2))
        self.max_requests_per_second = max_requests_per_second
        self.burst_capacity = _whole("burst_capacity", burst_capacity or default_capacity)
        self.global_limit = global_limit
        if self.burst_capacity * interval_ns > _MOST_NS:
            raise ValueError(
                f"burst_capacity is {self.burst_capacity}, which takes more than 146 years to come "
                f"back at {max_requests_per_second!r} a second. Write a smaller burst_capacity, or "
                "more max_requests_per_second."
            )
        limit = Limit.burst(self.burst_capacity, f"1/{interval_ns}ns")
        super().__init__(limit, get_client_id, state=state, memory=memory, name=name, clock=clock)

    def _message(self, client_id: str) -> str:
        return "Global rate limit exceeded" if self.global_limit else super()._message(client_id)


class SlidingWindowRateLimitingMiddleware(_LimitingMiddleware):
    """FastMCP's middleware of this name: at most ``max_requests`` in *any* ``window_minutes``.

    The other arguments are as RateLimitingMiddleware's. Memory does not grow with ``max_requests``:
    time is counted in 15 slices, and a request counts up to one slice longer than its window.
    """

    def __init__(
        self,
        max_requests: int,
        window_minutes: float = 1,
        get_client_id: GetClientId | None = None,
        *,
        state: str | os.PathLike[str] | None = None,
        memory: int = _MEMORY,
        name: str = "sliding-window-rate-limiting",
        clock: ManualClock | None = None,
    ) -> None:
        window_ns = math.ceil(_exact("window_minutes", window_minutes) * 60 * _SECOND_NS)
        if window_ns > _MOST_NS:
            raise ValueError(f"window_minutes is {window_minutes!r}. Write less than 146 years.")
        self.max_requests = _whole("max_requests", max_requests)
        if self.max_requests > _MOST_IN_WINDOW:
            raise ValueError(f"max_requests is {max_requests!r}. Write at most {_MOST_IN_WINDOW}.")
        self.window_seconds = window_minutes * 60
        limit = Limit.parse(f"{self.max_requests}/{window_ns}ns")
        super().__init__(limit, get_client_id, state=state, memory=memory, name=name, clock=clock)

    def _message(self, client_id: str) -> str:
        minutes = f"{self.window_seconds / 60:g}"
        return (
            f"Rate limit exceeded: {self.max_requests} requests per {minutes} minutes "
            f"for client: {client_id}"
        )


def _exact(name: str, number: float) -> Fraction:
    """As Python prints it: 0.1 is a tenth."""
    if isinstance(number, bool) or not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} is {number!r}. Write a number above 0.")
    return Fraction(str(number))


def _interval_ns(rate: float) -> int:
    exact = _exact("max_requests_per_second", rate)
    if exact > _MOST_PER_SECOND:
        raise ValueError(f"max_requests_per_second is {rate!r}. Write at most {_MOST_PER_SECOND}.")
    return math.ceil(_SECOND_NS / exact)


def _whole(name: str, number: float) -> int:
    if isinstance(number, bool) or not math.isfinite(number) or number < 1 or number % 1:
        wanted = max(1, int(number)) if math.isfinite(number) else 1
        raise ValueError(f"{name} is {number!r}. Write a whole number above 0, like {wanted}.")
    return int(number)
