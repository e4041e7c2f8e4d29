"""RateLimitMiddleware on real Starlette and FastAPI applications."""

import asyncio
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from sluicegate import ManualClock, RateLimitConfig, RateLimiter, RateLimitMiddleware


async def _hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello", headers={"x-own": "1", **dict(request.query_params)})


async def _stream(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for i in range(3):
            yield f"data: {i}\n\n"
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())})


def application(**options: Any) -> Starlette:
    app = Starlette(
        routes=[
            Route("/", _hello, methods=["GET", "HEAD"]),
            Route("/stream", _stream),
            Route("/echo", _echo, methods=["POST"]),
            WebSocketRoute("/ws", _socket),
        ]
    )
    app.add_middleware(RateLimitMiddleware, **options)
    return app


def client_of(app: Starlette, peer: str = "192.0.2.1") -> TestClient:
    return TestClient(app, client=(peer, 1234))


def config(**options: Any) -> RateLimitConfig:
    return RateLimitConfig(**{"requests_per_minute": 2, **options})


def test_what_is_left_is_told_on_each_response(clock: ManualClock) -> None:
    client = client_of(application(config=config(), clock=clock))
    response = client.get("/")
    assert response.status_code == 200 and response.text == "hello"
    assert response.headers["x-own"] == "1"
    assert response.headers["x-ratelimit-limit"] == "2"
    assert response.headers["x-ratelimit-remaining"] == "1"
    assert int(response.headers["x-ratelimit-reset"]) >= 1_796_000_060
    assert '"per-minute";q=2;w=60' in response.headers["ratelimit-policy"]
    assert response.headers["ratelimit"] == '"per-minute";r=1;t=63'


def test_over_the_limit_is_a_problem_with_the_originals_members(clock: ManualClock) -> None:
    client = client_of(application(config=config(), clock=clock))
    client.get("/")
    client.get("/")
    denied = client.get("/")
    assert denied.status_code == 429
    assert denied.headers["content-type"] == "application/problem+json"
    assert denied.headers["cache-control"] == "no-store"
    assert denied.headers["x-ratelimit-remaining"] == "0", "it was full in the original"
    body = denied.json()
    assert body["error"] == "Rate limit exceeded"
    assert body["retry_after"] == int(denied.headers["retry-after"]) >= 60
    assert body["reset_time"] == pytest.approx(1_796_000_063, abs=1)
    assert body["type"].endswith("#quota-exceeded") and body["status"] == 429
    assert body["violated-policies"] == ["per-minute"]
    clock.advance(body["retry_after"])
    assert client.get("/").status_code == 200


def test_five_denials_are_a_cooldown(clock: ManualClock) -> None:
    client = client_of(application(config=config(), clock=clock))
    for _ in range(2 + 5):
        client.get("/")
    banned = client.get("/")
    assert banned.status_code == 429 and banned.json()["retry_after"] >= 300
    assert banned.json()["type"].endswith("#abnormal-usage-detected")


def test_a_client_cannot_choose_who_it_is(clock: ManualClock) -> None:
    client = client_of(application(config=config(), clock=clock))
    for i in range(20):
        client.get("/", headers={"X-Forwarded-For": f"203.0.113.{i}", "X-Real-IP": f"198.51.100.{i}",
                                 "X-User-ID": f"user-{i}", "Forwarded": f"for=203.0.113.{i}"})
    assert client.get("/").status_code == 429


def test_a_trusted_proxy_says_who_the_client_is(clock: ManualClock) -> None:
    app = application(config=config(), clock=clock, trusted_proxies=["10.0.0.0/8"])
    proxy = client_of(app, "10.1.1.1")
    for address in ("203.0.113.1", "203.0.113.2"):
        for status in (200, 200, 429):
            assert proxy.get("/", headers={"X-Forwarded-For": address}).status_code == status
    for status in (200, 200, 429):
        headers = {"X-Forwarded-For": "203.0.113.1", "X-User-ID": "ada"}
        assert proxy.get("/", headers=headers).status_code == status
    assert client_of(app, "203.0.113.2").get("/").status_code == 429, "the same client, direct"


def test_an_ipv6_network_is_one_client(clock: ManualClock) -> None:
    app = application(config=config(), clock=clock)
    statuses = [client_of(app, f"2001:db8::{i}").get("/").status_code for i in range(1, 4)]
    assert statuses == [200, 200, 429]


def test_who_is_exempt(clock: ManualClock) -> None:
    exempt = config(exempt_ips={"192.0.2.0/24"}, exempt_user_ids={"root"})
    app = application(config=exempt, clock=clock, trusted_proxies=["10.0.0.1"])
    for _ in range(5):
        assert client_of(app).get("/").status_code == 200
        proxy = client_of(app, "10.0.0.1")
        assert proxy.get("/", headers={"X-User-ID": "root"}).status_code == 200
    strangers = [
        client_of(app, "203.0.113.5").get("/", headers={"X-User-ID": "root"}).status_code
        for _ in range(3)
    ]
    assert strangers == [200, 200, 429]


def test_switched_off_it_does_nothing(clock: ManualClock) -> None:
    client = client_of(application(config=config(enabled=False), clock=clock))
    for _ in range(5):
        response = client.get("/")
        assert response.status_code == 200 and "ratelimit" not in response.headers


def test_a_limiter_of_ones_own_can_be_asked(clock: ManualClock) -> None:
    limiter = RateLimiter(per_minute=2, clock=clock, memory=1 << 20)
    client = client_of(application(limiter=limiter))
    for _ in range(3):
        client.get("/")
    stats = limiter.get_stats("192.0.2.1")
    assert (stats["requests_per_minute"], stats["violations"]) == (2, 1)


def test_streams_are_not_buffered(clock: ManualClock) -> None:
    """The application's second piece is made after the first one was sent."""

    async def run() -> list[str]:
        seen: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for i in range(3):
                seen.append(f"made {i}")
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                seen.append("sent")

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": None}
        await RateLimitMiddleware(app, config(), clock=clock)(scope, receive, send)
        return seen

    assert asyncio.run(run()) == ["made 0", "sent", "made 1", "sent", "made 2", "sent", "sent"]


def test_server_sent_events_and_bodies_go_through(clock: ManualClock) -> None:
    client = client_of(application(config=config(requests_per_minute=9), clock=clock))
    with client.stream("GET", "/stream") as response:
        assert response.headers["ratelimit"]
        assert "".join(response.iter_text()) == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert client.post("/echo", content=b"x" * 1_000_000).json() == {"bytes": 1_000_000}


def test_a_websockets_handshake_is_a_request(clock: ManualClock) -> None:
    client = client_of(application(config=config(), clock=clock))
    for _ in range(2):
        with client.websocket_connect("/ws") as socket:
            socket.send_text("hi")
            assert socket.receive_text() == "hi"
    with pytest.raises(Exception) as denied:
        with client.websocket_connect("/ws"):
            pass
    response = denied.value
    assert isinstance(response, WebSocketDisconnect) or getattr(response, "status_code", 0) == 429


def test_a_lifespan_goes_through(clock: ManualClock) -> None:
    with client_of(application(config=config(), clock=clock)) as client:
        assert client.get("/").status_code == 200


def test_head_has_no_body(clock: ManualClock) -> None:
    client = client_of(application(config=config(), clock=clock))
    client.get("/")
    client.get("/")
    denied = client.head("/")
    assert denied.status_code == 429 and denied.content == b""


def test_the_applications_own_fields_stay(clock: ManualClock) -> None:
    client = client_of(application(config=config(requests_per_minute=9), clock=clock))
    tighter = client.get("/?x-ratelimit-remaining=1&x-ratelimit-limit=2&ratelimit=own")
    assert tighter.headers["x-ratelimit-remaining"] == "1"
    assert tighter.headers["x-ratelimit-limit"] == "2"
    assert tighter.headers.get_list("ratelimit")[0] == "own" and '"' in tighter.headers["ratelimit"]
    looser = client.get("/?x-ratelimit-remaining=100&x-ratelimit-limit=200")
    assert looser.headers["x-ratelimit-remaining"] == "7"
    assert looser.headers["x-ratelimit-limit"] == "9"


POLICY = """
rules:
  - name: echo
    match: {path: /echo, method: POST}
    key: [client]
    limits: [1/minute]
  - name: all
    key: [client]
    limits: [3/minute, {concurrency: 2}]
"""


def test_a_policy_decides(clock: ManualClock, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    for policy in (POLICY, file, str(file)):
        client = client_of(application(policy=policy, clock=clock))
        assert client.post("/echo").status_code == 200
        denied = client.post("/echo")
        assert denied.status_code == 429
        assert denied.json()["violated-policies"] == ["echo/per-minute"]
        assert client.get("/").status_code == 200


def test_places_in_flight_come_back(clock: ManualClock) -> None:
    policy = "rules: [{name: all, key: [], limits: [{concurrency: 1}]}]"
    client = client_of(application(policy=policy, clock=clock))
    for _ in range(5):
        assert client.get("/").status_code == 200

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("boom")

    middleware = RateLimitMiddleware(broken, policy=policy, clock=clock)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("::1", 1)}

    async def nothing(*_: Any) -> Any:
        return None

    for _ in range(3):
        with pytest.raises(RuntimeError):
            asyncio.run(middleware(scope, nothing, nothing))


def test_a_bad_policy_is_told_with_line_and_column(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("rules:\n  - {name: a, key: [client], limits: [sixty/minute]}\n")
    with pytest.raises(ValueError, match=r"policy\.yaml:2:\d+: "):
        RateLimitMiddleware(application(), policy=file)
    with pytest.raises(ValueError, match="cannot read the policy"):
        RateLimitMiddleware(application(), policy=tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="trusted_proxies: 'x' is no address"):
        RateLimitMiddleware(application(), trusted_proxies=["x"])
    with pytest.raises(ValueError, match="A policy says all"):
        RateLimitMiddleware(application(), config(), policy=POLICY)


def test_fastapi(clock: ManualClock) -> None:
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()
    app.add_middleware(RateLimitMiddleware, config=config(), clock=clock)

    @app.get("/items/{item}")
    def item(item: int) -> dict[str, int]:
        return {"item": item}

    client = TestClient(app)
    assert client.get("/items/3").json() == {"item": 3}
    client.get("/items/3")
    assert json.loads(client.get("/items/3").content)["error"] == "Rate limit exceeded"


async def test_many_at_once(clock: ManualClock) -> None:
    app = application(config=config(requests_per_minute=10, burst_size=10), clock=clock)
    transport = httpx.ASGITransport(app=app, client=("192.0.2.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        responses = await asyncio.gather(*(client.get("/") for _ in range(30)))
    assert sum(response.status_code == 200 for response in responses) == 10
