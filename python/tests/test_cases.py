"""The table of cases of all doors (tests/cases), through the middleware in simulated time."""

from __future__ import annotations

import asyncio
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluicegate import ManualClock, RateLimitMiddleware

FOLDER = Path(__file__).parents[2] / "tests" / "cases"
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
ENGINE_START = 14 * 86_400.0  # As the other runners begin: at an edge of every window's slices.
UNIX_START = 1_767_225_600
TYPES = {"limited": "#quota-exceeded", "banned": "#abnormal-usage-detected"}

CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in sorted(FOLDER.glob("*.yaml"))
    for case in yaml.safe_load(file.read_text())["cases"]
]


def seconds_of(text: str) -> float:
    """Of "1m30s", and of "-1s"."""
    total = sum(float(n) * UNITS[unit] for n, unit in re.findall(r"([\d.]+)(ms|[smhdw])", text))
    return -total if text.startswith("-") else total


def whole(text: str) -> int:
    return math.ceil(seconds_of(text))


def policy_of(policy: dict[str, Any]) -> str:
    """The runner is the trusted proxy that names clients and users."""
    clients = policy.get("clients") or {}
    proxies = [*clients.get("trusted_proxies", ()), "127.0.0.1"]
    return json.dumps({**policy, "clients": {**clients, "trusted_proxies": proxies}})


class Reply:
    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.fields = {name.decode(): value.decode() for name, value in headers}
        self.body = body.decode()

    def number(self, name: str) -> int | None:
        text = self.fields.get(name)
        return None if text is None else int(text)

    def left(self) -> tuple[str, int | None, int | None] | None:
        """What RateLimit says: the limit's name (without its rule's and a ceiling's), r and t."""
        field = self.fields.get("ratelimit")
        if field is None:
            return None
        name = re.sub(r"/\d+$", "", field[1 : field.index('"', 1)])
        numbers = dict(re.findall(r";([rt])=(\d+)", field))
        r, t = (int(numbers[key]) if key in numbers else None for key in "rt")
        return name.partition("/")[2] or name, r, t


class Runner:
    def __init__(self, case: dict[str, Any]) -> None:
        self.clock = ManualClock()
        self.start = case.get("start", UNIX_START)
        self.at = self.wall_step = 0.0
        self.set_time({})
        self.in_flight: list[tuple[asyncio.Event, asyncio.Task[Reply]]] = []
        self.middleware = RateLimitMiddleware(self.app, policy=policy_of(case["policy"]), clock=self.clock)

    @staticmethod
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        if "end" in scope:
            await scope["end"].wait()

    def set_time(self, step: dict[str, Any]) -> None:
        if "at" in step:
            self.at = seconds_of(step["at"])
        self.wall_step += seconds_of(step.get("wall_step", "0s"))
        self.now = self.start + self.at + self.wall_step
        self.clock.set(ENGINE_START + self.at, self.now)

    async def ask(self, step: dict[str, Any]) -> Reply:
        named = {"host": step.get("host", "example.test"), "x-forwarded-for": step.get("client", "203.0.113.7")}
        if "user" in step:
            named["x-user-id"] = step["user"]
        named |= {name.lower(): str(value) for name, value in step.get("headers", {}).items()}
        scope: dict[str, Any] = {
            "type": "http",
            "method": step.get("method", "GET"),
            "path": step.get("path", "/").partition("?")[0],
            "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
        got: list[dict[str, Any]] = []
        answered, end = asyncio.Event(), asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            got.append(message)
            if message["type"] == "http.response.body":
                answered.set()

        async def receive() -> dict[str, Any]:
            raise AssertionError("nobody reads")

        if step.get("in_flight"):
            scope["end"] = end
            task = asyncio.ensure_future(self.middleware(scope, receive, send))
            await answered.wait()
            if got[0]["status"] == 200:
                self.in_flight.append((end, task))
        else:
            await self.middleware(scope, receive, send)
        return Reply(got[0]["status"], got[0]["headers"], got[1]["body"])

    def call(self, step: dict[str, Any]) -> None:
        """A message of MCP, which the middleware of a server of tools gets already read."""
        arguments = json.loads(step.get("mcp_args", "{}"))
        answer = self.middleware._door.decide(  # type: ignore[attr-defined]
            client=step.get("client", "203.0.113.7"),
            user=step.get("user", ""),
            method=step["mcp_method"],
            tool=step.get("mcp_tool", "") if step["mcp_method"] == "tools/call" else "",
            arguments={name: json.dumps(value) for name, value in arguments.items()},
        )
        told = (step, answer.verdict, answer.rule, answer.numbers)
        assert answer.verdict == step["want"], told
        assert answer.rule == step.get("rule", answer.rule), told
        assert answer.remaining == step.get("remaining", answer.remaining), told
        if "retry_after" in step:
            assert json.loads(answer.numbers)["retryAfterSeconds"] == whole(step["retry_after"]), told

    async def run(self, step: dict[str, Any]) -> None:
        self.set_time(step)
        if "reload" in step:
            self.middleware._door.publish(policy_of(step["reload"]))  # type: ignore[attr-defined]
            return
        for _ in range(step.get("times", 1)):
            if step.get("give_back"):
                end, task = self.in_flight.pop()
                end.set()
                await task
            elif "mcp_method" in step:
                self.call(step)
            else:
                self.compare(await self.ask(step), step)

    def compare(self, reply: Reply, step: dict[str, Any]) -> None:
        passes = step["want"] in ("allowed", "exempt")
        told = (step, reply.fields, reply.body)
        assert reply.status == (200 if passes else 429), told
        left = reply.left()
        if step["want"] == "exempt":
            assert left is None, told
            return
        if not passes:
            self.compare_denial(reply, step)
        if step["want"] == "banned":
            return  # No limit binds.
        if "limit" in step:
            assert left is not None and left[0] == step["limit"], told
        if left is None:
            return
        _, remaining, hold = left
        assert remaining == step.get("remaining", remaining), told
        if "hold" in step and step.get("limit") != "concurrency":  # Requests in flight tell none.
            assert hold == whole(step["hold"]), told
        if passes and hold is None:
            assert "x-ratelimit-limit" not in reply.fields, told
            return
        assert reply.number("x-ratelimit-remaining") == remaining, told
        assert reply.number("x-ratelimit-limit") == step.get("quota", reply.number("x-ratelimit-limit")), told
        if "reset_after" in step:
            assert reply.number("x-ratelimit-reset") == math.ceil(self.now + seconds_of(step["reset_after"])), told

    def compare_denial(self, reply: Reply, step: dict[str, Any]) -> None:
        told = (step, reply.fields, reply.body)
        assert TYPES[step["want"]] in reply.body, told
        assert reply.fields["cache-control"] == "no-store"
        assert reply.fields["content-type"] == "application/problem+json"
        if "shared" in step:
            assert ("network shares this limit" in reply.body) == (step["shared"] > 0), told
        if "retry_after" not in step:
            return
        retry = reply.number("retry-after")
        if step["retry_after"] == "never":
            assert retry is None, told
            return
        truth = whole(step["retry_after"])  # Never below it; jitter is a tenth, from 2 to 60 s.
        assert retry is not None and truth <= retry <= truth + max(2, min(truth // 10 + 1, 60)), told


@pytest.mark.parametrize("case", CASES)
def test_the_middleware_decides_as_every_door(case: dict[str, Any]) -> None:
    steps = case["steps"]
    if any("cost" in step for step in steps):
        pytest.skip("HTTP cannot say what a request costs")
    returned = sum(step.get("times", 1) for step in steps if step.get("give_back"))
    if returned and not any(step.get("in_flight") for step in steps):
        pytest.skip("HTTP cannot give back what is over")

    async def run() -> None:
        runner = Runner(case)
        for step in steps:
            await runner.run(step)
        for _, task in runner.in_flight:
            task.cancel()
        await asyncio.gather(*(task for _, task in runner.in_flight), return_exceptions=True)

    asyncio.run(run())


def test_the_table_is_there() -> None:
    assert len(CASES) > 80
