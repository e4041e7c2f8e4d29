"""Calls of several rounds under PolicyMiddleware, with FastMCP 4 and its real client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("fastmcp")
mcp_types = pytest.importorskip("mcp_types", reason="before FastMCP 4 no call has several rounds")

from fastmcp import Client, Context, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp_servers import call, make_server, served

from sluicegate import ManualClock
from sluicegate.fastmcp import PolicyMiddleware


def rule(limits: str) -> str:
    return (
        "rules: [{name: rule, match: {mcp_tool: order}, key: [client], limits: " + limits + "}]\n"
    )


async def test_a_call_of_several_rounds_costs_once(clock: ManualClock) -> None:
    policy = rule("[2/minute]")
    mcp = make_server(PolicyMiddleware(policy, clock=clock))
    rounds = []

    @mcp.tool
    async def order(ctx: Context, rounds_wanted: int) -> Any:
        rounds.append(1)
        if int(ctx.request_state or 0) == rounds_wanted:
            return "ordered"
        question = mcp_types.ElicitRequestFormParams(
            message="Sure?", requested_schema={"type": "object", "properties": {}}
        )
        return mcp_types.InputRequiredResult(
            input_requests={"sure": mcp_types.ElicitRequest(params=question)},
            request_state=str(int(ctx.request_state or 0) + 1),
        )

    async def agree(*asked: Any) -> dict[str, Any]:
        return {}

    async with Client(mcp, elicitation_handler=agree) as client:
        assert (await call(client, "order", rounds_wanted=3)).text == "ordered"
        endless = await call(client, "order", rounds_wanted=99)
        assert "Rate limit exceeded for tool order" in endless.text
    assert len(rounds) == (1 + 3) + (1 + 4), "of the endless one four rounds are free"


def make_asking_server(middleware: PolicyMiddleware, running: list[int]) -> FastMCP[Any]:
    """Its tool asks its client once, and takes a moment then."""
    mcp: FastMCP[Any] = FastMCP("asks")
    mcp.add_middleware(middleware)

    @mcp.tool
    async def order(ctx: Context, n: int = 0) -> Any:
        if ctx.request_state is None:
            question = mcp_types.ElicitRequestFormParams(
                message="Sure?", requested_schema={"type": "object", "properties": {}}
            )
            return mcp_types.InputRequiredResult(
                input_requests={"sure": mcp_types.ElicitRequest(params=question)},
                request_state="asked",
            )
        running.append(running[-1] + 1)
        await asyncio.sleep(0.2)
        running.append(running[-1] - 1)
        return "ordered"

    return mcp


async def test_later_rounds_take_places_and_no_units(clock: ManualClock) -> None:
    policy = rule("[3/hour, {concurrency: 1}]")
    middleware = PolicyMiddleware(policy, clock=clock)
    running, asked, may_go_on = [0], [0], asyncio.Event()

    async def agree(*question: Any) -> dict[str, Any]:
        asked[0] += 1
        await may_go_on.wait()
        return {}

    mcp = make_asking_server(middleware, running)
    async with Client(mcp, elicitation_handler=agree) as client:
        calls = []
        for n in range(3):  # Each has its first round before the next one comes.
            calls.append(asyncio.create_task(call(client, "order", n=n)))
            while asked[0] <= n:
                await asyncio.sleep(0.01)
        may_go_on.set()
        told = [outcome.text for outcome in await asyncio.gather(*calls)]
    assert max(running) == 1
    assert sorted(text == "ordered" for text in told) == [False, False, True]
    assert sum("1 at the same time" in text for text in told) == 2


async def test_rounds_are_those_of_the_client_behind_a_proxy(clock: ManualClock) -> None:
    policy = "clients: {trusted_proxies: [127.0.0.0/8]}\n" + rule("[1/hour]")
    asked, may_go_on = asyncio.Event(), asyncio.Event()

    async def wait(*question: Any) -> dict[str, Any]:
        asked.set()
        await may_go_on.wait()
        return {}

    with served(make_asking_server(PolicyMiddleware(policy, clock=clock), [0])) as url:

        def client_at(address: str) -> Client[Any]:
            transport = StreamableHttpTransport(url, headers={"X-Forwarded-For": address})
            return Client(transport, elicitation_handler=wait)

        async with client_at("203.0.113.1") as one, client_at("203.0.113.2") as other:
            first = asyncio.create_task(call(one, "order", n=7))
            await asyncio.wait_for(asked.wait(), 10)
            session: Any = other.session
            denied = []
            for n in (1, 7, 7, 7, 7):
                answer = {} if n == 1 else {"input_responses": {"sure": {"action": "accept"}}}
                result = await session.call_tool(
                    name="order", arguments={"n": n}, allow_input_required=True, **answer
                )
                denied.append(getattr(result, "is_error", False))
            assert denied == [False] + [True] * 4, "its own unit, and no round of another's"
            may_go_on.set()
            assert (await first).text == "ordered"
