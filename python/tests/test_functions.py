"""The decorators, the global limiter, and the statistics of tools."""

import asyncio
import contextlib
import functools
import inspect
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import sluicegate
from sluicegate import RateLimitError, rate_limit, rate_limit_tool
from sluicegate._names import name_apart


def test_a_plain_function_and_an_async_one() -> None:
    @rate_limit(requests_per_minute=2)
    def plain(number: int) -> int:
        """Doubles."""
        return 2 * number

    @rate_limit(requests_per_minute=2)
    async def later(number: int) -> int:
        return 3 * number

    assert plain(1) == 2 and plain(2) == 4
    with pytest.raises(RateLimitError, match="Rate limit exceeded for plain") as denied:
        plain(3)
    assert denied.value.retry_after is not None and 60 <= denied.value.retry_after <= 65
    assert plain.__doc__ == "Doubles." and str(inspect.signature(plain)) == "(number: int) -> int"
    assert inspect.iscoroutinefunction(later)
    assert [asyncio.run(later(i)) for i in (1, 2)] == [3, 6]
    with pytest.raises(RateLimitError):
        asyncio.run(later(3))


class _Request:
    """As Starlette's: a scope and headers."""

    def __init__(self, peer: str | None, **headers: str) -> None:
        self.scope = {"type": "http", "client": (peer, 1) if peer else None}
        self.headers = headers


@pytest.mark.parametrize("by_keyword", [False, True])
def test_the_key_is_the_requests_client(by_keyword: bool) -> None:
    @rate_limit(requests_per_minute=1)
    def view(request: Any) -> str:
        return "seen"

    def ask(peer: str | None, **headers: str) -> str:
        request = _Request(peer, **headers)
        return view(request=request) if by_keyword else view(request)

    assert ask("192.0.2.1") == "seen" and ask("192.0.2.2") == "seen"
    with pytest.raises(RateLimitError):
        ask("192.0.2.1", **{"X-User-ID": "somebody else"})
    assert ask(None) == "seen"


def test_a_key_of_ones_own() -> None:
    @rate_limit(requests_per_minute=1, key_func=lambda request: request.headers["key"])
    def view(request: Any) -> str:
        return "seen"

    assert view(_Request("192.0.2.1", key="a")) and view(request=_Request("192.0.2.1", key="b"))
    with pytest.raises(RateLimitError):
        view(_Request("192.0.2.9", key="a"))


def test_without_a_request_there_is_one_key() -> None:
    @rate_limit(requests_per_minute=1)
    def job(name: str) -> str:
        return name

    assert job("a") == "a"
    with pytest.raises(RateLimitError):
        job("b")


def test_each_function_counts_apart_and_days_can_be_limited() -> None:
    @rate_limit(requests_per_minute=1)
    def one() -> int:
        return 1

    @rate_limit(60, 1000, 10, None, 1)
    def two() -> int:
        return 2

    assert one() == 1 and two() == 2
    with pytest.raises(RateLimitError) as denied:
        two()
    assert denied.value.retry_after is not None and denied.value.retry_after > 80_000


def test_quotas_may_be_written_as_text() -> None:
    @rate_limit("2/minute; 3/5min")
    def job() -> int:
        return 1

    assert job() == 1 and job() == 1
    with pytest.raises(RateLimitError):
        job()

    @rate_limit_tool("1/hour")
    def tool() -> int:
        return 1

    assert tool() == 1 and isinstance(tool(), dict)
    limiter = sluicegate.RateLimiter("2/minute; 3/5min", memory=1 << 20)
    assert [limit.quota for limit in limiter.limits] == [2, 3]
    limiter.check("ada")
    assert limiter.get_stats("ada")["requests_per_minute"] == 1
    with pytest.raises(ValueError, match="Write"):
        rate_limit("often")(lambda: None)


def test_fastapi_finds_the_request_and_the_signature() -> None:
    fastapi = pytest.importorskip("fastapi")
    testclient = pytest.importorskip("starlette.testclient")
    app = fastapi.FastAPI()

    @app.exception_handler(RateLimitError)
    async def denied(request: Any, error: RateLimitError) -> Any:
        return fastapi.responses.JSONResponse({"wait": error.retry_after}, 429)

    async def view(request: Any, item: int) -> dict[str, int]:
        return {"item": item}

    view.__annotations__["request"] = fastapi.Request
    app.get("/items/{item}")(rate_limit(requests_per_minute=1)(view))
    client = testclient.TestClient(app)
    assert client.get("/items/5").json() == {"item": 5}
    assert client.get("/items/5").status_code == 429


def test_a_denied_tool_says_so_in_a_dict() -> None:
    sluicegate.reset_tool_stats()

    @rate_limit_tool(requests_per_minute=1)
    async def search(query: str, user_id: str | None = None) -> dict[str, Any]:
        return {"found": query}

    assert asyncio.run(search("a", user_id="ada")) == {"found": "a"}
    denied = asyncio.run(search("b", user_id="ada"))
    assert denied["error"] == "Rate limit exceeded"
    assert denied["error_type"] == "rate_limit_exceeded" and denied["tool_name"] == "search"
    assert denied["retry_after"] >= 60 and denied["reset_time"] > 1_700_000_000
    assert set(denied) == {"error", "error_type", "tool_name", "retry_after", "reset_time"}
    assert asyncio.run(search("b", "bob")) == {"found": "b"}, "by position, too"
    assert asyncio.run(search(query="b")) == {"found": "b"}, "nobody said who"


def test_a_tools_keys_have_an_order() -> None:
    @rate_limit_tool(requests_per_minute=1, key_func=lambda kwargs: kwargs["team"])
    def tool(team: str, user_id: str = "") -> str:
        return team

    assert tool(team="red") == "red" and tool(team="blue") == "blue"
    assert isinstance(tool(team="red"), dict)
    assert tool(team="red", user_id="ada") == "red", "the user comes first"


def test_a_key_function_that_fails_opens_nothing(caplog: pytest.LogCaptureFixture) -> None:
    @rate_limit_tool(requests_per_minute=1, key_func=lambda kwargs: kwargs["none"])
    def tool() -> int:
        return 1

    assert tool() == 1 and isinstance(tool(), dict)
    assert "key_func failed" in caplog.text


def test_a_tool_may_raise_instead() -> None:
    @rate_limit_tool(requests_per_minute=1, on_limit="raise")
    def tool() -> int:
        return 1

    tool()
    with pytest.raises(Exception, match=r"for tool tool: 1 per minute\. Retry after 6\d seconds\."):
        tool()
    with pytest.raises(ValueError, match="Write 'dict' or 'raise'"):
        rate_limit_tool(on_limit="maybe")  # type: ignore[arg-type]


def test_the_key_of_all_has_no_cooldown() -> None:
    @rate_limit("2/minute")
    def shared() -> int:
        return 1

    @rate_limit("2/minute", key_func=lambda kwargs: kwargs["who"])
    def own(who: str) -> int:
        return 1

    def last_wait(call: Callable[[], int]) -> int:
        waits = [0]
        for _ in range(12):
            try:
                call()
            except RateLimitError as error:
                waits.append(error.retry_after or 0)
        return waits[-1]

    assert last_wait(shared) < 70
    assert last_wait(lambda: own(who="ada")) > 200


def test_statistics_and_their_reset() -> None:
    sluicegate.reset_tool_stats()

    @rate_limit_tool(requests_per_minute=2)
    def counted() -> str:
        return "done"

    assert sluicegate.get_tool_rate_limit_stats("counted")["total_calls"] == 0
    for _ in range(4):
        counted()
    stats = sluicegate.get_tool_rate_limit_stats("counted")
    assert (stats["total_calls"], stats["rate_limited_calls"]) == (4, 2)
    assert stats["rate_limit_rate"] == 0.5
    assert stats["last_limited"] == pytest.approx(__import__("time").time(), abs=60)
    all_of_them = sluicegate.get_all_rate_limit_stats()
    assert all_of_them["tools"]["counted"]["total_calls"] == 4
    assert all_of_them["rate_limit_rate"] == all_of_them["total_rate_limited"] / 4
    for reset in (None, "counted"):
        sluicegate.reset_tool_stats(reset)
        assert sluicegate.get_tool_rate_limit_stats("counted")["total_calls"] == 0
        assert isinstance(counted(), dict), "a reset gives no quota back, and breaks no tool"
    sluicegate.reset_tool_stats("nobody's")
    assert "error" in sluicegate.get_tool_rate_limit_stats("nobody's")


def test_the_global_limiter_is_one() -> None:
    first = sluicegate.get_global_limiter(sluicegate.RateLimitConfig(requests_per_minute=7))
    assert sluicegate.get_global_limiter() is first
    assert sluicegate.get_global_limiter(sluicegate.RateLimitConfig()).per_minute == 7


_JOB = """
import sys
from sluicegate import RateLimitError, rate_limit
def make(text):
    @rate_limit(requests_per_minute=1, state=sys.argv[1])
    def job(): return text
    return job
jobs = [make("one"), make("two")]
for job in jobs:
    try: print(job())
    except RateLimitError: print("denied")
"""


def test_a_decorated_functions_quota_is_shared_by_a_file(tmp_path: pathlib.Path) -> None:
    """With the same one of other processes: of two by one name, the first with the first."""

    def run() -> list[str]:
        command = [sys.executable, "-c", _JOB, str(tmp_path / "state")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.check_output(command, env=environment, text=True).split()

    assert run() == ["one", "two"], "each is a rule of its own"
    assert run() == ["denied", "denied"]


def _admitted(function: Any, calls: int = 3) -> int:
    admitted = 0
    for _ in range(calls):
        try:
            admitted += not isinstance(function(), dict)
        except RateLimitError:
            pass
    return admitted


@pytest.mark.parametrize("decorator", [rate_limit, rate_limit_tool])
def test_in_a_file_each_decorator_is_a_rule_of_its_own(
    decorator: Any, tmp_path: pathlib.Path
) -> None:
    state = tmp_path / "state"  # A path of any kind.

    def make(**options: Any) -> Any:
        @decorator("2/minute", state=state, **options)
        def job() -> int:
            return 1

        return job

    assert [_admitted(make()), _admitted(make())] == [2, 2]
    assert [_admitted(make(name="mine")), _admitted(make(name="mine"))] == [2, 0], "by their name"
    tight = decorator("1/minute", state=state)(make())
    assert _admitted(tight) == 1, "one above the other"
    lambdas = [decorator("2/minute", state=state)(lambda: number) for number in (1, 2)]
    assert [_admitted(one) for one in lambdas] == [2, 2]


def test_names_that_count_apart(tmp_path: pathlib.Path) -> None:
    state = tmp_path / "state"
    names = [name_apart("job", state), name_apart("job", str(state)), name_apart("other", state)]
    assert names == ["job", "job #2", "other"]
    link = tmp_path / "link"
    link.symlink_to(state)
    assert name_apart("job", link) == "job #3", "the same file"
    assert [name_apart("job", None), name_apart("job", None)] == ["job", "job"], "no file, no name"


@pytest.mark.parametrize("fails", [True, False])
def test_a_key_function_that_names_nobody_leaves_the_address(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def team(request: Any) -> str | None:
        return str(request.headers["x-team"]) if fails else None

    @rate_limit(requests_per_minute=1, key_func=team)
    def view(request: Any) -> str:
        return "seen"

    assert view(_Request("192.0.2.1")) and view(_Request("192.0.2.2"))
    with pytest.raises(RateLimitError):
        view(_Request("192.0.2.1"))
    assert ("key_func failed; the call counts for the client's address" in caplog.text) == fails


def test_a_coroutine_is_no_key() -> None:
    """Each would be another key, and nothing would be limited."""

    async def later(request: Any) -> str:
        return "ada"

    with pytest.raises(TypeError, match="key_func is async. Write a plain function"):
        rate_limit(key_func=later)  # type: ignore[arg-type]

    @rate_limit(requests_per_minute=1, key_func=lambda request: later(request))  # type: ignore
    def view(request: Any) -> str:
        return "seen"

    assert view(_Request("192.0.2.1"))
    with pytest.raises(RateLimitError):
        view(_Request("192.0.2.1"))


def test_an_endpoint_is_no_request() -> None:
    """Starlette's HTTPEndpoint has a scope, too, and comes first as self."""
    endpoints = pytest.importorskip("starlette.endpoints")
    requests = pytest.importorskip("starlette.requests")
    scope = {"type": "http", "client": ("192.0.2.1", 1), "headers": [(b"x-team", b"red")]}

    class Endpoint(endpoints.HTTPEndpoint):  # type: ignore
        @rate_limit(requests_per_minute=1, key_func=lambda request: request.headers["x-team"])
        async def get(self, request: Any) -> str:
            return "got"

    endpoint = Endpoint(scope, None, None)
    assert asyncio.run(endpoint.get(requests.Request(scope))) == "got"
    blue = {**scope, "headers": [(b"x-team", b"blue")]}
    assert asyncio.run(endpoint.get(requests.Request(blue))) == "got"
    with pytest.raises(RateLimitError):
        asyncio.run(endpoint.get(requests.Request(scope)))


class _Later:
    async def __call__(self, number: int) -> int:
        return number


def _double(number: int, user_id: str = "") -> int:
    return 2 * number


@pytest.mark.parametrize("decorator", [rate_limit, rate_limit_tool])
def test_what_can_be_called_can_be_limited(decorator: Any, tmp_path: pathlib.Path) -> None:
    state = tmp_path / "state"
    partial = decorator("1/minute", state=state)(functools.partial(_double, 4))
    assert partial() == 8 and partial.__name__ == "_double"
    with contextlib.suppress(RateLimitError):
        assert partial()["tool_name"] == "_double"
    later = decorator("1/minute", state=state)(_Later())
    assert inspect.iscoroutinefunction(later) and asyncio.run(later(3)) == 3
    assert later.__name__ == "_Later"
    assert decorator("1/minute")(functools.partial(later))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: rate_limit(lambda: 1), r"Write @rate_limit\(\) or @rate_limit\(60\)"),
        (lambda: rate_limit_tool(print), r"Write @rate_limit_tool\(\) or"),
        (lambda: rate_limit(60)(5), "rate_limit got 5. Write it above a function"),
        (lambda: rate_limit()(classmethod(print)), "Write it below @classmethod"),
        (lambda: rate_limit_tool()(staticmethod(print)), "Write it below @staticmethod"),
        (lambda: rate_limit(key_func=5), "key_func is 5. Write a function"),
        (lambda: rate_limit(1.5)(print), "requests_per_minute is 1.5. Write a whole number"),
        (lambda: rate_limit(state=5)(print), "state is 5. Write the path of a file"),
        (lambda: sluicegate.get_global_limiter(5), "config is 5. Write a RateLimitConfig"),
    ],
)
def test_what_is_of_the_wrong_type_is_told(make: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        make()


def test_a_wrong_number_is_told_by_its_name() -> None:
    for argument in ("requests_per_minute", "requests_per_hour", "requests_per_day", "burst_size"):
        for number in (0, -1):
            with pytest.raises(ValueError, match=f"{argument} is {number}. Write a whole number"):
                rate_limit(**{argument: number})(print)  # type: ignore[arg-type]


def test_a_tool_that_is_an_async_generator_is_refused() -> None:
    """It could not return the dict of a denial."""

    async def pieces() -> Any:
        yield 1

    with pytest.raises(TypeError, match="pieces is an async generator"):
        rate_limit_tool()(pieces)


def test_keys_of_tools_are_any_text() -> None:
    """JSON may bring halves of characters."""

    @rate_limit_tool(requests_per_minute=1)
    def tool(user_id: str) -> int:
        return 1

    assert [tool("\ud800"), tool("\udfff")] == [1, 1] and isinstance(tool("\ud800"), dict)
