"""sluicegate.fastmcp.rate_limit_tool, with the FastMCP that is installed and its real client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

pytest.importorskip("fastmcp")

from fastmcp import Client, Context, FastMCP
from fastmcp.dependencies import Depends
from fastmcp.exceptions import ToolError
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from fastmcp_servers import TOKENS, call, call_once, connected, served
from pydantic import Field

from sluicegate import (
    _names,
    get_all_rate_limit_stats,
    get_tool_rate_limit_stats,
    reset_tool_stats,
)
from sluicegate.fastmcp import rate_limit_tool


@pytest.fixture(autouse=True)
def fresh_statistics() -> Iterator[None]:
    reset_tool_stats()
    yield
    reset_tool_stats()


def a_connection() -> str:
    return "connection"


def two_a_minute(**more: Any) -> Any:
    return rate_limit_tool(2, None, None, **more)


def make_server(with_tokens: bool = False, **more: Any) -> FastMCP[Any]:
    """Each tool may be called twice a minute."""
    mcp: FastMCP[Any] = FastMCP("x", auth=StaticTokenVerifier(TOKENS) if with_tokens else None)

    @mcp.tool
    @two_a_minute(**more)
    async def search(
        query: Annotated[str, Field(description="What to find")], limit: int = 5
    ) -> str:
        """Finds things."""
        return f"{limit} of {query}"

    @mcp.tool
    @two_a_minute(**more)
    def add(a: int, b: int = 1, user_id: str = "") -> int:
        return a + b

    @mcp.tool
    @two_a_minute(**more)
    async def report(ctx: Context, name: str, connection: str = Depends(a_connection)) -> list[str]:
        await ctx.debug("reporting")
        return [type(ctx).__name__, name, connection]

    return mcp


async def test_a_denied_call_is_an_error_that_the_model_sees() -> None:
    async with Client(make_server()) as client:
        for tool, arguments in [("search", {"query": "x"}), ("add", {"a": 1})]:
            assert [(await call(client, tool, **arguments)).ok for _ in range(2)] == [True] * 2
            denied = await call(client, tool, **arguments)
            assert not denied.ok
            assert denied.text.startswith(
                f"Rate limit exceeded for tool {tool}: 2 per minute. Retry after 6"
            )
            with pytest.raises(ToolError, match="2 per minute"):
                await client.call_tool(tool, arguments)


async def test_the_tool_stays_what_it_was() -> None:
    async with Client(make_server()) as client:
        tools = {tool.name: tool for tool in await client.list_tools()}
        search = tools["search"].model_dump(by_alias=True)
        assert search["description"] == "Finds things."
        properties = search["inputSchema"]["properties"]
        assert properties["query"]["description"] == "What to find"
        assert properties["limit"]["default"] == 5
        assert search["inputSchema"]["required"] == ["query"]
        assert search["outputSchema"]["properties"]["result"]["type"] == "string"
        report = tools["report"].model_dump(by_alias=True)
        assert list(report["inputSchema"]["properties"]) == ["name"], "the others are injected"
        result = await client.call_tool("report", {"name": "n"})
        assert result.data == ["Context", "n", "connection"]
        assert (await client.call_tool("add", {"a": 2, "b": 3})).data == 5


async def test_users_are_told_apart_by_their_verified_tokens() -> None:
    with served(make_server(with_tokens=True)) as url:
        async with connected(url, "token-of-ada") as ada, connected(url, "token-of-bob") as bob:
            assert [(await call(ada, "add", a=1)).ok for _ in range(3)] == [True, True, False]
            assert (await call(bob, "add", a=1)).ok
        assert not (await call_once(url, "token-of-ada", tool="add", a=1)).ok, "in a new session"
        another = {"tool": "add", "a": 1, "user_id": "another"}
        assert not (await call_once(url, "token-of-ada", {"X-User-ID": "another"}, **another)).ok


async def test_an_argument_names_the_user_only_where_that_is_trusted() -> None:
    users = ["ada", "ada", "bob", "bob"]
    async with Client(make_server()) as client:
        results = [(await call(client, "add", a=1, user_id=user)).ok for user in users]
        assert results == [True, True, False, False]
    async with Client(make_server(trust_user_id_argument=True)) as client:
        results = [(await call(client, "add", a=1, user_id=user)).ok for user in users]
        assert results == [True] * 4
        assert not (await call(client, "add", a=1, user_id="ada")).ok
        assert (await call(client, "add", a=1)).ok, "who names nobody is another"


async def test_who_is_not_known_locks_nobody_out() -> None:
    mcp: FastMCP[Any] = FastMCP("x")

    @mcp.tool
    @rate_limit_tool("2/s")
    def add(user_id: str = "") -> str:
        return "added"

    @mcp.tool
    @rate_limit_tool("2/s", trust_user_id_argument=True)
    def named(user_id: str = "") -> str:
        return "named"

    async with Client(mcp) as client:
        for tool, user in [("add", ""), ("named", ""), ("named", "ada")]:
            for _ in range(12):
                denied = await call(client, tool, user_id=user)
            assert denied.text.startswith(f"Rate limit exceeded for tool {tool}: ")
            assert ("many denials" in denied.text) is (user == "ada"), denied.text


async def test_the_program_may_name_the_key() -> None:
    def key_func(arguments: dict[str, Any]) -> str:
        return str(arguments["a"])

    async with Client(make_server(key_func=key_func)) as client:
        assert [(await call(client, "add", a=a)).ok for a in (1, 1, 2, 1)] == [True] * 3 + [False]
        results = [(await call(client, "search", query=query)).ok for query in "xyz"]
        assert results == [True, True, False], "where key_func fails all share one key"


async def test_a_denied_call_may_be_a_result() -> None:
    mcp: FastMCP[Any] = FastMCP("x")

    @mcp.tool
    @rate_limit_tool(1, None, None, on_limit="dict")
    async def look() -> dict[str, Any]:
        return {"seen": True}

    async with Client(mcp) as client:
        assert (await client.call_tool("look", {})).data == {"seen": True}
        denied = (await client.call_tool("look", {})).data
    assert denied["error_type"] == "rate_limit_exceeded"
    assert denied["tool_name"] == "look"
    assert 0 < denied["retry_after"] <= 64


async def test_statistics_count_and_a_reset_breaks_nothing() -> None:
    async with Client(make_server()) as client:
        assert get_tool_rate_limit_stats("add")["total_calls"] == 0
        for _ in range(4):
            await call(client, "add", a=1)
        stats = get_tool_rate_limit_stats("add")
        assert (stats["total_calls"], stats["rate_limited_calls"]) == (4, 2)
        assert stats["rate_limit_rate"] == 0.5
        assert stats["last_limited"] > 0
        reset_tool_stats("add")
        assert not (await call(client, "add", a=1)).ok, "no quota comes back"
        assert get_all_rate_limit_stats()["tools"]["add"]["total_calls"] == 1


async def test_one_tool_in_several_processes_counts_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = str(tmp_path / "state")
    one = make_server(state=state)
    monkeypatch.setattr(_names, "_made", {})  # As in another process.
    other = make_server(state=state)
    async with Client(one) as first, Client(other) as second:
        assert (await call(first, "add", a=1)).ok
        assert (await call(second, "add", a=1)).ok
        assert not (await call(first, "add", a=1)).ok
        assert (await call(second, "search", query="x")).ok, "another tool has its own"


def test_it_stands_below_mcp_tool() -> None:
    mcp: FastMCP[Any] = FastMCP("x")

    def look() -> int:
        return 1

    with pytest.raises(TypeError, match=r"Write it below @mcp\.tool"):
        rate_limit_tool()(mcp.tool(look))


def test_a_wrong_on_limit_is_told() -> None:
    with pytest.raises(ValueError, match=r"on_limit is 'ignore'\. Write 'dict' or 'raise'\."):
        rate_limit_tool(on_limit="ignore")  # type: ignore[arg-type]
