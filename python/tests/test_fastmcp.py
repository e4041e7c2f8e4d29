"""PolicyMiddleware, with the FastMCP that is installed and its real client."""

from __future__ import annotations

import asyncio
import hashlib
import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastmcp")

from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import Middleware, MiddlewareContext
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
from sluicegate.fastmcp import PolicyMiddleware

SEARCH = """
state: {memory: 1MiB}
rules:
  - name: search
    match: {mcp_tool: search}
    key: [user]
    limits: [2/minute]
"""


def rule(**members: str) -> str:
    """A policy of one rule, keyed by client unless said."""
    lines = {"key": "[client]", **members}
    return "state: {memory: 1MiB}\nrules:\n  - name: rule\n" + "".join(
        f"    {name}: {value}\n" for name, value in lines.items()
    )


async def test_a_denied_call_is_an_error_of_the_tool_that_tells_what_to_do(
    clock: ManualClock,
) -> None:
    async with Client(make_server(PolicyMiddleware(SEARCH, clock=clock))) as client:
        assert (await call(client, "search", n=7)).text == "found 7"
        assert (await call(client, "search")).ok
        denied = await call(client, "search")
        assert (denied.ok, denied.code) == (False, 0)
        assert denied.text == (
            "Rate limit exceeded for tool search: 2 per minute. Retry after 63 seconds."
        )
        assert (await call(client, "add", a=1, b=2)).text == "3"
        clock.advance(63)
        assert (await call(client, "search")).ok


async def test_each_kind_of_denial_has_its_words(clock: ManualClock) -> None:
    async def denied(policy: str, **arguments: Any) -> str:
        async with Client(make_server(PolicyMiddleware(policy, clock=clock))) as client:
            await call(client, "search", **arguments)
            return (await call(client, "search", **arguments)).text

    for limit, words in [
        ("1/30s", "1 per 30 seconds. Retry after 31 seconds."),
        ("1/2h", "1 per 2 hours. Retry after 7679 seconds."),
        ("1/3d", "1 per 3 days. Retry after 276479 seconds."),
        ("1/7d", "1 per week. Retry after 645119 seconds."),
        ("1/250ms", "1 per 250 milliseconds. Retry after 1 second."),
    ]:
        assert await denied(rule(limits=f"[{limit}]")) == (
            f"Rate limit exceeded for tool search: {words}"
        )
    bucket = rule(match="{mcp_tool: search}", limits="[{burst: 1, refill: 1/s}]")
    assert await denied(bucket) == (
        "Rate limit exceeded for tool search: 1 per second. Retry after 1 second."
    )
    costly = rule(limits="[5/minute]", cost="{arg: n, max: 9}")
    assert await denied(costly, n=6) == (
        "Rate limit exceeded for tool search: it costs more than 5 per minute ever allows. Ask for less."
    )
    penalty = "{violations: 1, within: 1m, ban: 5m}"
    banned = rule(match="{mcp_tool: search}", limits="[1/minute]", penalty=penalty)
    async with Client(make_server(PolicyMiddleware(banned, clock=clock))) as client:
        texts = [(await call(client, "search")).text for _ in range(3)]
    assert texts[2] == (
        "Rate limit exceeded for tool search: calls went on after many denials. "
        "Retry after 300 seconds."
    )


async def test_list_methods_have_a_budget_of_their_own(clock: ManualClock) -> None:
    middleware = PolicyMiddleware(
        rule(match='{mcp_method: "*/list"}', limits="[2/minute]"), clock=clock
    )
    async with Client(make_server(middleware)) as client:
        assert "broken tool" in (await call(client, "fail")).text
        assert (await outcome_of(client.list_tools())).ok
        assert (await outcome_of(client.list_prompts())).ok
        denied = await outcome_of(client.list_resources())
        assert denied.code == 429
        assert denied.text == (
            "Rate limit exceeded for resources/list: 2 per minute. Retry after 63 seconds."
        )
        assert denied.data == {
            "retryAfterSeconds": 63,
            "limit": 2,
            "remaining": 0,
            "window": 60,
            "policy": "rule",
        }
        assert (await call(client, "add", a=1, b=2)).ok
        assert (await outcome_of(client.read_resource("text://motto"))).ok
    counts = middleware.counts()["rule"]
    assert (counts["admitted"], counts["limited"]) == (2, 1), "the server's own listing is free"


async def test_handshakes_and_lists_count_for_no_other_rule(clock: ManualClock) -> None:
    policy = rule(limits="[2/minute]") + (
        "  - {name: mcp-setup, match: {mcp_method: '*'}, key: [client], limits: [20/minute]}\n"
    )
    async with Client(make_server(PolicyMiddleware(policy, clock=clock))) as client:
        assert (await outcome_of(client.list_tools())).ok
        calls = [await call(client, "add", a=1, b=2) for _ in range(3)]
        assert [it.ok for it in calls] == [True, True, False]
        lists = [await outcome_of(client.list_prompts()) for _ in range(20)]
        assert [it.ok for it in lists].count(False) in range(1, 6)
        assert lists[-1].data["policy"] == "mcp-setup"


@pytest.mark.skipif(MAJOR < 4, reason="middlewares see no notifications")
async def test_a_notification_too_many_is_dropped(clock: ManualClock) -> None:
    method = "notifications/roots/list_changed"
    middleware = PolicyMiddleware(
        rule(match=f"{{mcp_method: {method}}}", limits="[1/minute]"), clock=clock
    )
    seen = []

    class Watch(Middleware):
        async def on_notification(self, context: Any, call_next: Any) -> Any:
            seen.append(context.method)
            return await call_next(context)

    mcp = make_server(middleware)
    mcp.add_middleware(Watch())
    async with Client(mcp, roots=["file:///a"]) as client:
        for _ in range(2):
            await client.send_roots_list_changed()
        assert (await call(client, "add", a=1, b=2)).ok
    assert seen.count(method) == 1
    counts = middleware.counts()
    assert (counts["rule"]["admitted"], counts["rule"]["limited"]) == (1, 1)


async def test_all_arguments_may_be_a_key(clock: ManualClock) -> None:
    policy = rule(key="[mcp_tool, mcp_args]", match="{mcp_tool: add}", limits="[1/minute]")
    async with Client(make_server(PolicyMiddleware(policy, clock=clock))) as client:
        assert (await call(client, "add", a=1, b=2)).ok
        assert (await call(client, "add", a=1, b=3)).ok
        assert not (await call(client, "add", a=1, b=2)).ok


async def test_tools_are_counted(clock: ManualClock) -> None:
    middleware = PolicyMiddleware(SEARCH, clock=clock)
    async with Client(make_server(middleware)) as client:
        for _ in range(4):
            await call(client, "search")
        await call(client, "add", a=1, b=2)
        await client.list_tools()
    known = middleware.tools()
    assert list(known) == ["add", "search"]
    assert known["search"] == {
        "total_calls": 4,
        "rate_limited_calls": 2,
        "last_limited": 1_796_000_000.0,
        "rate_limit_rate": 0.5,
    }
    assert known["add"]["last_limited"] is None
    middleware.reset_tools("add")
    assert list(middleware.tools()) == ["search"]
    middleware.reset_tools()
    assert middleware.tools() == {}


async def test_other_methods_are_limited_too(clock: ManualClock) -> None:
    policy = rule(match="{mcp_method: [prompts/get, resources/read]}", limits="[1/minute]")
    async with Client(make_server(PolicyMiddleware(policy, clock=clock))) as client:
        assert (await outcome_of(client.get_prompt("greeting"))).ok
        assert (await outcome_of(client.read_resource("text://motto"))).code == 429
        assert (await outcome_of(client.get_prompt("greeting"))).code == 429


async def test_handshakes_have_a_budget_of_their_own(clock: ManualClock) -> None:
    policy = rule(match="{mcp_method: [initialize, server/discover]}", limits="[2/minute]")
    mcp = make_server(PolicyMiddleware(policy, clock=clock))
    async with Client(mcp), Client(mcp) as client:
        with pytest.raises(Exception, match="Rate limit exceeded|initialize"):
            async with Client(mcp):
                pass
        assert (await call(client, "add", a=1, b=2)).ok


@pytest.mark.skipif(MAJOR < 4, reason="before FastMCP 4 a middleware does not see a ping")
async def test_pings_are_limited(clock: ManualClock) -> None:
    policy = rule(match="{mcp_method: ping}", limits="[1/minute]")
    async with Client(make_server(PolicyMiddleware(policy, clock=clock)), mode="legacy") as client:
        assert (await outcome_of(client.ping())).ok
        assert (await outcome_of(client.ping())).code == 429


async def test_an_argument_names_what_a_call_costs(clock: ManualClock) -> None:
    middleware = PolicyMiddleware(
        rule(limits="[10/minute]", match="{mcp_tool: search}", cost="{arg: n, max: 8}"), clock=clock
    )
    async with Client(make_server(middleware)) as client:
        assert (await call(client, "search", n=6)).ok
        assert not (await call(client, "search", n=5)).ok
        assert (await call(client, "search", n=3)).ok
        assert not (await call(client, "search", n="1")).ok, "no number costs the most"
        assert (await call(client, "search")).ok, "the default is 1"
        assert not (await call(client, "search")).ok


async def test_users_are_told_apart_by_their_verified_tokens(clock: ManualClock) -> None:
    mcp = make_server(PolicyMiddleware(SEARCH, clock=clock), with_tokens=True)
    with served(mcp) as url:
        async with connected(url, "token-of-ada") as ada, connected(url, "token-of-bob") as bob:
            assert [(await call(ada, "search")).ok for _ in range(3)] == [True, True, False]
            assert [(await call(bob, "search")).ok for _ in range(3)] == [True, True, False]
        robot = [(await call_once(url, "token-of-robot")).ok for _ in range(3)]
        assert robot == [True, True, False], "a token without a subject is its client's"


async def test_a_user_has_the_limits_that_the_policy_gives_it(clock: ManualClock) -> None:
    policy = SEARCH + "    overrides: [{when: {user: bob}, limits: [3/minute]}]\n"
    with served(make_server(PolicyMiddleware(policy, clock=clock), with_tokens=True)) as url:
        async with connected(url, "token-of-bob") as bob, connected(url, "token-of-ada") as ada:
            assert [(await call(bob, "search")).ok for _ in range(4)] == [True] * 3 + [False]
            assert [(await call(ada, "search")).ok for _ in range(3)] == [True] * 2 + [False]


SPOOFED = {
    "X-User-ID": "somebody-else",
    "X-Forwarded-For": "203.0.113.77",
    "X-Real-IP": "203.0.113.77",
    "Forwarded": "for=203.0.113.77",
}


@pytest.mark.parametrize("token", ["token-of-ada", None])
async def test_nothing_that_a_client_says_makes_it_another(
    token: str | None, clock: ManualClock
) -> None:
    policy = (
        "clients: {trusted_proxies: [10.0.0.0/8], identity: {header: x-user-id}}\n"
        + SEARCH.lstrip()
    )
    mcp = make_server(PolicyMiddleware(policy, clock=clock), with_tokens=token is not None)
    with served(mcp) as url:
        for _ in range(2):
            assert (await call_once(url, token)).ok, "a session for each call"
        assert not (await call_once(url, token)).ok, "a new session is no new client"
        assert not (await call_once(url, token, SPOOFED)).ok, "nor are headers"
        assert not (await call_once(url, token, user_id="somebody-else")).ok, "nor is an argument"


async def test_without_sessions_of_the_server_it_is_the_same(clock: ManualClock) -> None:
    with served(make_server(PolicyMiddleware(SEARCH, clock=clock)), stateless_http=True) as url:
        assert [(await call_once(url)).ok for _ in range(3)] == [True, True, False]


async def test_a_trusted_proxy_says_who_the_client_is(clock: ManualClock) -> None:
    policy = "clients: {trusted_proxies: [127.0.0.1], identity: {header: x-user-id}}\n" + rule(
        limits="[1/minute]", match="{mcp_tool: search}", key="[user]"
    )
    with served(make_server(PolicyMiddleware(policy, clock=clock))) as url:
        assert (await call_once(url, headers={"X-Forwarded-For": "203.0.113.1"})).ok
        assert (await call_once(url, headers={"X-Forwarded-For": "203.0.113.2"})).ok
        assert not (await call_once(url, headers={"X-Forwarded-For": "1.1.1.1, 203.0.113.2"})).ok
        assert (await call_once(url, headers={"X-User-ID": "ada"})).ok
        assert not (await call_once(url, headers={"X-User-ID": "ada"})).ok


async def test_an_argument_names_the_user_where_that_is_trusted(clock: ManualClock) -> None:
    trusting = PolicyMiddleware(SEARCH, trust_user_id_argument=True, clock=clock)
    async with Client(make_server(trusting)) as client:
        results = [(await call(client, "search", user_id=who)).ok for who in ["ada"] * 3 + ["bob"]]
        assert results == [True, True, False, True]
    with served(make_server(trusting, with_tokens=True)) as url:
        assert not (await call_once(url, "token-of-ada", user_id="bob")).ok, "a token says more"


async def test_the_program_may_name_the_user(clock: ManualClock) -> None:
    named = ["ada", "ada", "ada", "bob", None, None, None]

    def plain(context: MiddlewareContext[Any]) -> str | None:
        return named[0]

    async def later(context: MiddlewareContext[Any]) -> str | None:
        return named[0]

    def broken(context: MiddlewareContext[Any]) -> str | None:
        raise LookupError

    async def results(get_user: Any) -> list[bool]:
        middleware = PolicyMiddleware(
            rule(key="[user]", match="{mcp_tool: search}", limits="[2/minute]"),
            get_user=get_user,
            clock=clock,
        )
        async with Client(make_server(middleware)) as client:
            seen = []
            for name in list(named):
                named[0] = name
                seen.append((await call(client, "search")).ok)
            return seen

    apart = [True, True, False, True, True, True, False]
    assert await results(plain) == apart
    named[0] = "ada"
    assert await results(later) == apart
    assert await results(broken) == [True, True] + [False] * 5, "who is not known is one client"


async def test_a_call_is_in_flight_until_it_ends(clock: ManualClock) -> None:
    middleware = PolicyMiddleware(
        rule(match="{mcp_method: tools/call}", limits="[{concurrency: 1}]"), clock=clock
    )
    mcp = make_server(middleware)
    running, may_end = asyncio.Event(), asyncio.Event()

    @mcp.tool
    async def wait() -> str:
        running.set()
        await may_end.wait()
        return "waited"

    async with Client(mcp) as client, Client(mcp) as other:
        for _ in range(2):
            assert "broken tool" in (await call(client, "fail")).text
        first = asyncio.create_task(call(client, "wait"))
        await running.wait()
        assert (await call(other, "search")).text == (
            "Rate limit exceeded for tool search: 1 at the same time. Retry after 63 seconds."
        )
        may_end.set()
        assert (await first).text == "waited"
        assert (await call(other, "search")).ok


async def test_a_call_that_is_cancelled_is_no_longer_in_flight(clock: ManualClock) -> None:
    middleware = PolicyMiddleware(rule(limits="[{concurrency: 1}]"), clock=clock)
    context = MiddlewareContext(message=None, method="tools/call")
    running = asyncio.Event()

    async def endless(context: MiddlewareContext[Any]) -> None:
        running.set()
        await asyncio.Event().wait()

    async def nothing(context: MiddlewareContext[Any]) -> str:
        return "passed"

    task = asyncio.create_task(middleware.on_request(context, endless))
    await running.wait()
    with pytest.raises(Exception, match="at the same time"):
        await middleware.on_request(context, nothing)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await middleware.on_request(context, nothing) == "passed"


async def test_middlewares_on_one_file_count_together(tmp_path: Path, clock: ManualClock) -> None:
    state = str(tmp_path / "state")
    one, other = (PolicyMiddleware(SEARCH, state=state, clock=clock) for _ in range(2))
    async with Client(make_server(one)) as first, Client(make_server(other)) as second:
        assert (await call(first, "search")).ok
        assert (await call(second, "search")).ok
        assert not (await call(first, "search")).ok
        assert not (await call(second, "search")).ok


async def test_a_new_policy_keeps_what_was_counted(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(SEARCH)
    middleware = PolicyMiddleware(file, clock=clock)
    async with Client(make_server(middleware)) as client:
        assert (await call(client, "search")).ok
        file.write_text(SEARCH.replace("2/minute", "1/minute"))
        assert middleware.publish(file) == []
        assert not (await call(client, "search")).ok
        with pytest.raises(ValueError, match=r"policy\.yaml:7:14: "):
            middleware.publish(_spoil(file))
        assert not (await call(client, "search")).ok
    assert middleware.counts()["search"]["limited"] == 2


KEYED = """
clients: {identity: {api_keys: KEYS}}
rules:
  - name: keyed
    match: {mcp_tool: search}
    key: [api_key]
    limits: [1/hour]
    overrides: [{when: {api_key: [one, two]}, limits: [3/hour]}]
"""


async def test_a_new_policy_reads_its_api_keys_anew(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "keys"
    policy = KEYED.replace("KEYS", str(file))

    def write(**keys: str) -> None:
        digests = {who: hashlib.sha256(key.encode()).hexdigest() for who, key in keys.items()}
        file.write_text("".join(f"sha256:{digest} {who}\n" for who, digest in digests.items()))

    async def admitted(url: str, key: str) -> int:
        async with connected(url, headers={"X-API-Key": key}) as client:
            return sum([(await call(client, "search")).ok for _ in range(5)])

    write(one="key-of-one")
    middleware = PolicyMiddleware(policy, clock=clock)
    with served(make_server(middleware)) as url:
        assert await admitted(url, "key-of-one") == 3
        write(two="key-of-two")
        assert middleware.publish(policy) == []
        assert await admitted(url, "key-of-two") == 3, "it was added"
        assert await admitted(url, "key-of-one") == 1, "it was taken away"
        for spoil in (file.unlink, lambda: file.write_text("sha256:00 two")):
            spoil()
            with pytest.raises(ValueError, match=str(file)):
                middleware.publish(policy)
        clock.advance(2 * 3600)
        assert await admitted(url, "key-of-two") == 3, "the old ones go on"


async def test_what_a_policy_warns_of_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    warned = "nothing is limited"
    middleware = PolicyMiddleware("rules: []\n")
    assert warned in caplog.text
    caplog.clear()
    middleware.publish(SEARCH)
    assert "is, so its address stands in" not in caplog.text, "tokens name users here"
    middleware.publish("rules: []\n")
    assert [record.name for record in caplog.records if warned in record.message] == ["sluicegate"]


def test_a_get_user_that_is_none_is_told() -> None:
    with pytest.raises(TypeError, match="get_user is 'ada'. Write a function of the context."):
        PolicyMiddleware(SEARCH, get_user="ada")  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["state", "", "./state"])
def test_a_state_that_is_no_absolute_path_is_told(state: str) -> None:
    with pytest.raises(ValueError, match=f"state is '{state}'. Write the path of a file from / on"):
        PolicyMiddleware(SEARCH, state=state)


def test_a_state_may_be_a_path(tmp_path: Path) -> None:
    PolicyMiddleware(SEARCH, state=tmp_path / "state")
    assert (tmp_path / "state").exists()


async def test_a_name_that_is_no_utf8_is_one_like_others(clock: ManualClock) -> None:
    named = ["x\udcff", "x\udcff", "x\udcff", "x\udcfe"]
    middleware = PolicyMiddleware(SEARCH, get_user=lambda context: named.pop(0), clock=clock)
    context = MiddlewareContext(message=_Search(), method="tools/call")

    async def nothing(context: MiddlewareContext[Any]) -> None:
        return None

    results = [await outcome_of_denial(middleware.on_request(context, nothing)) for _ in range(4)]
    assert results == [True, True, False, True]


class _Search:
    name = "search"
    arguments: dict[str, Any] = {}


async def outcome_of_denial(request: Any) -> bool:
    try:
        await request
    except ToolError:
        return False
    return True


def test_arguments_go_by_their_names(clock: ManualClock) -> None:
    """Whichever policy decides: it may be newer than the one that was asked for their names."""
    old = rule(limits="[100/hour]", match="{mcp_tool: search}", cost="{arg: n, max: 50}")
    new = old.replace(
        "rules:\n",
        "rules:\n  - {name: other, match: {mcp_tool: other}, key: [client], limits: [9/hour],"
        " cost: {arg: a, max: 9}}\n",
    )
    middleware = PolicyMiddleware(old, clock=clock)
    asked = {name: "50" for name in middleware._door.asked_arguments}
    middleware.publish(new)
    assert middleware._door.asked_arguments == ["a", "n"]
    left = [middleware._door.decide(tool="search", arguments=asked).remaining for _ in range(2)]
    assert left == [50, 0]


def _spoil(file: Path) -> Path:
    file.write_text(SEARCH.replace("2/minute", "2/minut"))
    return file


def test_a_bad_policy_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as told:
        PolicyMiddleware(_spoil(tmp_path / "policy.yaml"))
    assert str(told.value).startswith(f"{tmp_path}/policy.yaml:7:")
    assert "Write" in str(told.value)
    with pytest.raises(ValueError, match=r"^policy:7:\d+: "):
        PolicyMiddleware(SEARCH.replace("2/minute", "2/minut"))
    with pytest.raises(ValueError, match="missing.yaml: cannot read the policy"):
        PolicyMiddleware(tmp_path / "missing.yaml")


async def test_what_no_call_has_never_matches(clock: ManualClock) -> None:
    policy = rule(match="{path: /api/**, method: POST}", limits="[1/minute]")
    with served(make_server(PolicyMiddleware(policy, clock=clock))) as url:
        assert [(await call_once(url)).ok for _ in range(3)] == [True] * 3


async def test_a_server_inside_another_is_limited_by_both(clock: ManualClock) -> None:
    policy = rule(match="{mcp_method: tools/call}", limits="[1/minute]")
    inner = make_server(PolicyMiddleware(policy, clock=clock))
    outer: FastMCP[Any] = FastMCP("outer")
    outer.mount(inner)
    async with Client(outer) as client:
        assert (await call(client, "add", a=1, b=2)).ok
        assert "Rate limit exceeded for tool add" in (await call(client, "add", a=1, b=2)).text


@pytest.mark.skipif(MAJOR < 3, reason="before FastMCP 3 a tool has one name")
async def test_a_tool_is_limited_under_every_name(clock: ManualClock) -> None:
    from fastmcp.apps.app import FastMCPApp
    from fastmcp.server.providers.addressing import hashed_backend_name

    app = FastMCPApp("shop")

    @app.tool(model=True)
    def search() -> str:
        return "found"

    mcp: FastMCP[Any] = FastMCP("apps")
    mcp.add_provider(app)
    mcp.add_middleware(PolicyMiddleware(SEARCH, clock=clock))
    async with Client(mcp) as client:
        names = ["search", hashed_backend_name("shop", "search")] * 2
        assert [(await call(client, name)).ok for name in names] == [True, True, False, False]
        unknown = await call(client, "__0123456789ab_none")
        assert "Unknown tool" in unknown.text


async def test_the_example_does_what_it_says() -> None:
    file = Path(__file__).parents[2] / "examples/python/fastmcp_server.py"
    async with Client(runpy.run_path(str(file))["mcp"]) as client:
        assert (await call(client, "search", query="x", limit=8)).ok
        denied = await call(client, "search", query="x", limit=3)
        assert denied.text.startswith("Rate limit exceeded for tool search: 10 per minute.")
        assert (await call(client, "search", query="x", limit=2)).ok
        assert (await call(client, "report", name="x")).text == "The report about x"
