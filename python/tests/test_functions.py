"""The decorators, the global limiter, and the statistics of tools."""

import asyncio
import inspect
import pathlib
from typing import Any

import pytest

import sluicegate
from sluicegate import RateLimitError, rate_limit, rate_limit_tool


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
    with pytest.raises(Exception, match=r"Rate limit exceeded for tool\. Wait 6\d seconds, then"):
        tool()
    with pytest.raises(ValueError, match="Write 'dict' or 'raise'"):
        rate_limit_tool(on_limit="maybe")  # type: ignore[arg-type]


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


def test_a_decorated_functions_quota_is_shared_by_a_file(tmp_path: pathlib.Path) -> None:
    def make() -> Any:
        @rate_limit(requests_per_minute=1, state=str(tmp_path / "state"))
        def job() -> int:
            return 1

        return job

    assert make()() == 1
    with pytest.raises(RateLimitError):
        make()()
