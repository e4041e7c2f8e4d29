"""The middlewares that take the place of FastMCP's own, with the FastMCP that is installed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastmcp")

from fastmcp import Client
from fastmcp.server.middleware import MiddlewareContext, rate_limiting
from fastmcp_servers import (
    MAJOR,
    call,
    call_once,
    connected,
    make_server,
    outcome_of,
    served,
)

from sluicegate import ManualClock
from sluicegate.fastmcp import (
    RateLimitError,
    RateLimitingMiddleware,
    SlidingWindowRateLimitingMiddleware,
    verified_client,
)

NAMES = ["RateLimitingMiddleware", "SlidingWindowRateLimitingMiddleware"]
OURS = [RateLimitingMiddleware, SlidingWindowRateLimitingMiddleware]


async def passed(middleware: Any, client_id: str = "") -> bool:
    """Whether a request passes; ``client_id`` is in place of its message."""

    async def call_next(context: MiddlewareContext[Any]) -> None:
        return None

    try:
        await middleware.on_request(
            MiddlewareContext(message=client_id, method="tools/call"), call_next
        )
    except rate_limiting.RateLimitError:
        return False
    return True


async def count(middleware: Any, tries: int, client_id: str = "") -> int:
    return sum([await passed(middleware, client_id) for _ in range(tries)])


def by_message(context: MiddlewareContext[Any]) -> str:
    return str(context.message)


@pytest.mark.parametrize("name, ours", list(zip(NAMES, OURS)))
def test_names_arguments_and_defaults_are_fastmcps(name: str, ours: Any) -> None:
    theirs = inspect.signature(getattr(rate_limiting, name)).parameters
    mine = inspect.signature(ours).parameters
    shared = list(mine.values())[: len(theirs)]
    assert [one.name for one in shared] == list(theirs)
    assert [one.default for one in shared] == [one.default for one in theirs.values()]
    rest = list(mine.values())[len(theirs) :]
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in rest)
    assert RateLimitError is rate_limiting.RateLimitError


async def test_a_bucket_holds_twice_the_rate_and_refills(clock: ManualClock) -> None:
    middleware = RateLimitingMiddleware(clock=clock)
    assert middleware.burst_capacity == 20
    assert await count(middleware, 25) == 20
    clock.advance(0.35)
    assert await count(middleware, 25) == 3
    assert RateLimitingMiddleware(0.1).burst_capacity == 1, "not none at all"
    assert RateLimitingMiddleware(10, burst_capacity=5).burst_capacity == 5


async def test_a_window_admits_its_quota(clock: ManualClock) -> None:
    middleware = SlidingWindowRateLimitingMiddleware(3, clock=clock)
    assert middleware.window_seconds == 60
    assert await count(middleware, 5) == 3
    clock.advance(59)
    assert await count(middleware, 5) == 0
    clock.advance(5)
    assert await count(middleware, 5) == 3


@pytest.mark.parametrize(
    "rate, just_before, interval",
    [(3.0, 0.333333333, 0.333333334), (0.1, 9.999999999, 10.0), (2.5, 0.399999999, 0.4)],
)
async def test_rates_are_exact_and_never_faster(
    rate: float, just_before: float, interval: float
) -> None:
    for wait, expected in [(just_before, False), (interval, True)]:
        clock = ManualClock()
        middleware = RateLimitingMiddleware(rate, burst_capacity=1, clock=clock)
        assert await passed(middleware)
        clock.advance(wait)
        assert await passed(middleware) is expected


async def test_clients_see_fastmcps_error(clock: ManualClock) -> None:
    listing = RateLimitingMiddleware(1, burst_capacity=2, clock=clock)
    async with Client(make_server(listing)) as client:
        assert (await outcome_of(client.list_prompts())).ok, "the handshake was the other one"
        denied = await outcome_of(client.list_prompts())
        assert denied.code == -32000
        assert denied.text == "Rate limit exceeded for client: global. Retry after 1 second."
        assert denied.data == {"retryAfterSeconds": 1}
        called = await call(client, "search")
        assert not called.ok
        assert called.text.startswith("Rate limit exceeded for client: global")
        assert called.code == (-32000 if MAJOR >= 4 else 0), "as FastMCP's own has it"


async def test_messages_are_fastmcps(clock: ManualClock) -> None:
    async def told(middleware: Any) -> str:
        async with Client(make_server(middleware)) as client:
            return (await outcome_of(client.list_prompts())).text

    one = RateLimitingMiddleware(1, burst_capacity=1, global_limit=True, clock=clock)
    assert await told(one) == "Global rate limit exceeded. Retry after 1 second."
    window = SlidingWindowRateLimitingMiddleware(1, 2, clock=clock)
    assert (await told(window)).startswith(
        "Rate limit exceeded: 1 requests per 2 minutes for client: global. Retry after 1"
    )


async def test_get_client_id_tells_clients_apart(clock: ManualClock) -> None:
    async def later(context: MiddlewareContext[Any]) -> str:
        return str(context.message)

    for get_client_id in (by_message, later):
        middleware: Any = RateLimitingMiddleware(1, 2, get_client_id, clock=clock)
        assert await count(middleware, 3, "ada") == 2
        assert await count(middleware, 3, "bob") == 2
        middleware = SlidingWindowRateLimitingMiddleware(2, 1, get_client_id, clock=clock)
        assert await count(middleware, 3, "ada") == 2
        assert await count(middleware, 3, "bob") == 2
    together = RateLimitingMiddleware(1, 2, by_message, True, clock=clock)
    assert await count(together, 2, "ada") == 2
    assert await count(together, 2, "bob") == 0


@pytest.mark.parametrize("ours", OURS)
async def test_a_subclass_may_say_who_a_client_is(ours: Any, clock: ManualClock) -> None:
    class Plain(ours):  # type: ignore[misc]
        def _get_client_identifier(self, context: MiddlewareContext[Any]) -> str:
            return str(context.message)

    class Later(ours):  # type: ignore[misc]
        async def _get_client_identifier(self, context: MiddlewareContext[Any]) -> str:
            theirs = super()._get_client_identifier(context)
            return str(await theirs if inspect.isawaitable(theirs) else theirs)

    for middleware in (Plain(2, 2, clock=clock), Later(2, 2, by_message, clock=clock)):
        assert await count(middleware, 3, "ada") == 2
        assert await count(middleware, 3, "bob") == 2
    theirs = getattr(rate_limiting, ours.__name__)._get_client_identifier
    is_later = inspect.iscoroutinefunction(theirs)
    got = ours(2, 2)._get_client_identifier(MiddlewareContext(message=""))
    assert inspect.isawaitable(got) is is_later, "as FastMCP's is"
    assert (await got if is_later else got) == "global"


def test_global_limit_keeps_what_it_was_given() -> None:
    together = RateLimitingMiddleware(1, 2, by_message, True)
    assert (together.get_client_id, together.global_limit) == (by_message, True)


async def test_a_client_that_is_no_utf8_is_one_like_others(clock: ManualClock) -> None:
    middleware = RateLimitingMiddleware(1, 2, by_message, clock=clock)
    assert await count(middleware, 3, "\udcff") == 2
    assert await count(middleware, 3, "\udcfe") == 2


async def test_memory_is_bounded_and_an_offender_is_not_forgotten(clock: ManualClock) -> None:
    middleware = SlidingWindowRateLimitingMiddleware(2, 60, by_message, memory=1 << 17, clock=clock)
    assert await count(middleware, 3, "offender") == 2
    for i in range(10_000):
        await passed(middleware, f"stranger {i}")
    assert not await passed(middleware, "offender")


@pytest.mark.parametrize("ours", [RateLimitingMiddleware, SlidingWindowRateLimitingMiddleware])
async def test_middlewares_on_one_file_count_together(
    ours: Any, tmp_path: Path, clock: ManualClock
) -> None:
    state = str(tmp_path / "state")
    one, other = (ours(3, 3, state=state, clock=clock) for _ in range(2))
    assert await count(one, 2) == 2
    assert await count(other, 2) == 1
    assert await count(one, 1) == 0
    apart = ours(3, 3, state=state, name="another", clock=clock)
    assert await count(apart, 4) == 3


async def test_no_client_chooses_who_it_is(clock: ManualClock) -> None:
    def make() -> Any:
        return SlidingWindowRateLimitingMiddleware(2, 1, tools_of, clock=clock)

    def tools_of(context: MiddlewareContext[Any]) -> str:
        """Handshakes have keys of their own, so that the test counts calls."""
        return verified_client(context) if context.method == "tools/call" else str(id(context))

    spoofed = {"X-Forwarded-For": "203.0.113.9", "X-User-ID": "eve", "Mcp-Client": "eve"}
    with served(make_server(make())) as url:
        assert (await call_once(url)).ok
        assert (await call_once(url, headers=spoofed)).ok
        assert not (await call_once(url, headers=spoofed)).ok
        assert not (await call_once(url, user_id="eve")).ok
    with served(make_server(make(), with_tokens=True)) as url:
        async with connected(url, "token-of-ada") as ada, connected(url, "token-of-bob") as bob:
            assert [(await call(ada, "search")).ok for _ in range(3)] == [True, True, False]
            assert [(await call(bob, "search")).ok for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"max_requests_per_second": 0}, "max_requests_per_second is 0. Write a number above 0."),
        ({"max_requests_per_second": float("nan")}, "Write a number above 0."),
        ({"max_requests_per_second": 2e6}, "Write at most 1000000."),
        ({"burst_capacity": -1}, "burst_capacity is -1. Write a whole number above 0, like 1."),
        ({"burst_capacity": 2.5}, "Write a whole number above 0, like 2."),
        (
            {"max_requests_per_second": 1e-9, "burst_capacity": 10},
            "burst_capacity is 10, which takes more than 146 years to come back at 1e-09 a second. "
            "Write a smaller burst_capacity, or more max_requests_per_second.",
        ),
        ({"max_requests_per_second": 1e-300}, "burst_capacity is 1, which takes more than 146"),
        ({"burst_capacity": 10**30}, "Write a smaller burst_capacity"),
        ({"burst_capacity": True}, "burst_capacity is True. Write a whole number above 0"),
        ({"max_requests_per_second": True}, "is True. Write a number above 0."),
        ({"memory": 1}, "The memory of 1 bytes has no room for one bucket of keys. Write at least"),
        ({"memory": -1}, "memory is -1. Write a whole number above 0, like 1."),
        ({"state": "/dev/shm/none", "name": "a/b"}, "a name without slashes"),
        ({"state": "relative"}, "state is 'relative'. Write the path of a file from / on"),
        ({"state": ""}, "state is ''. Write the path of a file from / on"),
    ],
)
def test_a_bucket_that_cannot_be_is_told(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as error:
        RateLimitingMiddleware(**arguments)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "max_requests, minutes, told",
    [
        (0, 1, "max_requests is 0. Write a whole number above 0, like 1."),
        (1.5, 1, "Write a whole number above 0, like 1."),
        (5, 0, "window_minutes is 0. Write a number above 0."),
        (10**10, 1, "max_requests is 10000000000. Write at most 4294967295."),
        (5, 1e9, "window_minutes is 1000000000.0. Write less than 146 years."),
    ],
)
def test_a_window_that_cannot_be_is_told(max_requests: Any, minutes: Any, told: str) -> None:
    with pytest.raises(ValueError) as error:
        SlidingWindowRateLimitingMiddleware(max_requests, minutes)
    assert told in str(error.value)
