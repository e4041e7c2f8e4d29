"""RateLimitMiddleware on real Starlette and FastAPI applications."""

import asyncio
import base64
import gc
import hashlib
import hmac
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


def _scope(peer: Any = "192.0.2.1", **more: Any) -> dict[str, Any]:
    client = None if peer is None else (peer, 1234)
    return {"type": "http", "method": "GET", "path": "/", "headers": [], "client": client, **more}


START = {"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]}


async def _constant(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b""})


def ask(middleware: RateLimitMiddleware, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """Drives it as a server would."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    asyncio.run(middleware(scope, receive, send))
    return sent


def used(middleware: RateLimitMiddleware, *keys: str) -> dict[str, int]:
    assert middleware.limiter is not None
    stats = {key: middleware.limiter.get_stats(key)["requests_per_minute"] for key in keys}
    return {key: number for key, number in stats.items() if number}


def test_the_limiter_lives_as_long_as_the_middleware(clock: ManualClock) -> None:
    middleware = RateLimitMiddleware(_constant, limiter=RateLimiter(9, clock=clock))
    with pytest.raises(AttributeError):
        middleware.limiter = RateLimiter()  # type: ignore[misc]
    middleware._limiter = None
    gc.collect()
    for _ in range(3):  # What takes the place of a limiter that is gone.
        RateLimiter(memory=1 << 20)
    statuses = [ask(middleware, _scope())[0]["status"] for _ in range(10)]
    assert statuses == [200] * 9 + [429]


def _pairs(user: bytes) -> Any:
    yield (bytes(bytearray(b"x-filler")), b"y" * 40)
    yield (bytes(bytearray(b"x-user-id")), bytes(bytearray(user)))


@pytest.mark.parametrize("size", [8, 60, 600, 5000])
def test_headers_may_be_iterators(clock: ManualClock, size: int) -> None:
    """An iterator lets go of what it gave before the next one comes."""
    user = b"u" * size
    kinds = [
        lambda: _pairs(user),
        lambda: list(_pairs(user)),
        lambda: [list(pair) for pair in _pairs(user)],
        lambda: (iter(pair) for pair in _pairs(user)),
        lambda: [map(bytes, map(bytearray, pair)) for pair in [*_pairs(user), (b"x", b"z" * size)]],
    ]
    middleware = RateLimitMiddleware(
        _constant, config(requests_per_minute=60), trusted_proxies=["10.0.0.0/8"], clock=clock
    )
    for count, kind in enumerate(kinds, 1):
        ask(middleware, _scope("10.0.0.1", headers=kind()))
        assert used(middleware, "user:" + user.decode(), "10.0.0.1") == {"user:" + user.decode(): count}


def test_a_header_may_ask_the_door_itself(clock: ManualClock) -> None:
    middleware = RateLimitMiddleware(
        _constant, config(requests_per_minute=60), trusted_proxies=["10.0.0.0/8"], clock=clock
    )

    def asks() -> Any:
        yield b"x-filler"
        middleware._door.ask("10.0.0.1", "GET", "/", _pairs(b"inner"))
        yield b"y"

    ask(middleware, _scope("10.0.0.1", headers=[(b"x-user-id", b"outer"), asks()]))
    assert used(middleware, "user:outer", "user:inner") == {"user:outer": 1, "user:inner": 1}


def test_what_is_no_header_is_told(clock: ManualClock) -> None:
    middleware = RateLimitMiddleware(_constant, clock=clock)
    for headers in ([(b"a",)], [5], 5, [(b"a", 5)]):
        with pytest.raises(TypeError):
            ask(middleware, _scope(headers=headers))
    without = _scope()
    del without["headers"]
    assert ask(middleware, without)[0]["status"] == 200


def test_the_applications_message_stays_as_it_is(clock: ManualClock) -> None:
    middleware = RateLimitMiddleware(_constant, config(requests_per_minute=9), clock=clock)
    told = [dict(ask(middleware, _scope())[0]["headers"])[b"x-ratelimit-remaining"] for _ in "123"]
    assert told == [b"8", b"7", b"6"]
    assert START["headers"] == [(b"x-own", b"1")]


def test_what_a_middleware_decides_is_counted(clock: ManualClock) -> None:
    exempt = config(exempt_ips={"198.51.100.1"})
    limiter = RateLimiter(per_minute=2, clock=clock, memory=1 << 20)
    middleware = RateLimitMiddleware(_constant, exempt, limiter)
    for peer in ["192.0.2.1"] * 3 + ["198.51.100.1"] * 5:
        ask(middleware, _scope(peer))
    stats = limiter.get_stats()
    assert (stats["total_requests"], stats["total_violations"]) == (2, 1)
    for _ in range(20):
        ask(middleware, _scope())
    assert limiter.get_stats()["total_violations"] == 5, "in a ban there are none"


def test_the_real_ip_of_a_trusted_proxy_counts(clock: ManualClock) -> None:
    middleware = RateLimitMiddleware(
        _constant, config(requests_per_minute=60), trusted_proxies=["10.0.0.0/8"], clock=clock
    )
    real = (b"x-real-ip", b"203.0.113.7")
    forwarded = (b"x-forwarded-for", b"203.0.113.8")
    for headers in ([real], [real, forwarded], [real, real], [(b"x-real-ip", b"garbage")]):
        ask(middleware, _scope("10.0.0.1", headers=headers))
    ask(middleware, _scope("192.0.2.1", headers=[real]))
    keys = ("203.0.113.7", "203.0.113.8", "10.0.0.1", "192.0.2.1")
    assert used(middleware, *keys) == {
        "203.0.113.7": 1, "203.0.113.8": 1, "10.0.0.1": 2, "192.0.2.1": 1
    }  # fmt: skip


def test_peers_with_a_zone_and_without_an_address(clock: ManualClock) -> None:
    middleware = RateLimitMiddleware(_constant, config(requests_per_minute=60), clock=clock)
    for peer in ("fe80::1%eth0", "fe80::2%eth1", None, "", "testclient", 5):
        ask(middleware, _scope(peer))
    assert used(middleware, "fe80::/64", "unknown") == {"fe80::/64": 2, "unknown": 4}


def test_paths_and_users_are_any_text(clock: ManualClock) -> None:
    policy = "rules: [{name: all, key: [client], limits: [9/minute]}]"
    for middleware in (
        RateLimitMiddleware(_constant, clock=clock),
        RateLimitMiddleware(_constant, policy=policy, clock=clock),
    ):
        odd = _scope(path="/\ud800", headers=[("x-user-id", "\ud800")])
        assert ask(middleware, odd)[0]["status"] == 200


async def _accepts(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/denied":
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.accept"})


def test_a_websockets_answers_tell_what_is_left(clock: ManualClock) -> None:
    middleware = RateLimitMiddleware(_accepts, config(requests_per_minute=9), clock=clock)
    for left, path in ((b"8", "/"), (b"7", "/denied")):
        answer = ask(middleware, _scope(type="websocket", path=path))[0]
        assert dict(answer["headers"])[b"x-ratelimit-remaining"] == left


def test_who_is_exempt_is_told_nothing(clock: ManualClock) -> None:
    middleware = RateLimitMiddleware(_constant, config(exempt_ips={"192.0.2.1"}), clock=clock)
    assert ask(middleware, _scope())[0] == START


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
    for remaining, told in (("0006", "6"), ("9" * 5000, "5"), ("many", "4"), ("3", "3")):
        answer = client.get("/?x-ratelimit-remaining=" + remaining)
        assert answer.headers["x-ratelimit-remaining"].lstrip("0") == told
    assert looser.headers["x-ratelimit-limit"] == "9"


def _fields_of(response: Any, *names: str) -> dict[str, str]:
    return {name: response.headers[name] for name in names if name in response.headers}


_ALL = (
    "ratelimit-policy",
    "ratelimit-partition",
    "ratelimit",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
)
_POLICY_FIELD = {"ratelimit-policy": '"per-minute";q=2;w=60'}
_FORMS = {
    "draft11": {**_POLICY_FIELD, "ratelimit": '"per-minute";r=1;t=63'},
    "draft-next": {
        **_POLICY_FIELD,
        "ratelimit-partition": '"per-minute";sluicegate-client',
        "ratelimit": '"per-minute";a=1;w=63;c=1',
    },
    "draft03": {
        "ratelimit-limit": "2, 2;w=60",
        "ratelimit-remaining": "1",
        "ratelimit-reset": "63",
    },
    "x-ratelimit-epoch": {
        "x-ratelimit-limit": "2",
        "x-ratelimit-remaining": "1",
        "x-ratelimit-reset": "1796000063",
    },
    "x-ratelimit-delta": {
        "x-ratelimit-limit": "2",
        "x-ratelimit-remaining": "1",
        "x-ratelimit-reset": "63",
    },
    "off": {},
}


def _only_a_minute(**options: Any) -> RateLimitConfig:
    return config(requests_per_hour=None, requests_per_day=None, burst_size=None, **options)


@pytest.mark.parametrize("form", _FORMS)
def test_each_form_has_its_own_fields(clock: ManualClock, form: str) -> None:
    client = client_of(application(config=_only_a_minute(), headers=[form], clock=clock))
    by_policy = client_of(
        application(
            policy=f"headers: {form}\nrules: [{{name: a, key: [client], limits: [2/minute]}}]",
            clock=clock,
        )
    )
    for one in (client, by_policy):
        assert _fields_of(one.get("/"), *_ALL) == _FORMS[form]
        one.get("/")
        denied = one.get("/")
        assert denied.status_code == 429
        retry_after = int(denied.headers["retry-after"])
        assert retry_after >= 63, "never below the truth"
        assert one.get("/").headers["retry-after"] == str(retry_after), "the same for one client"


def test_several_forms_at_once(clock: ManualClock) -> None:
    forms = ["draft11", "draft-next", "draft03", "x-ratelimit-delta"]
    client = client_of(application(config=_only_a_minute(), headers=forms, clock=clock))
    wanted = {**_FORMS["draft-next"], **_FORMS["draft03"], **_FORMS["x-ratelimit-delta"]}
    wanted["ratelimit"] = '"per-minute";r=1;t=63;a=1;w=63;c=1'
    assert _fields_of(client.get("/"), *_ALL) == wanted


def test_forms_that_are_none_are_told() -> None:
    app = Starlette()
    with pytest.raises(ValueError, match="No form of the fields is called 'draft12'. Write draft11"):
        RateLimitMiddleware(app, headers=["draft12"])
    with pytest.raises(ValueError, match="fields of the same names.*Leave one of the two out"):
        RateLimitMiddleware(app, headers=["x-ratelimit-epoch", "x-ratelimit-delta"])
    with pytest.raises(ValueError, match="off and on at once"):
        RateLimitMiddleware(app, headers=["off", "draft03"])
    with pytest.raises(TypeError, match=r"headers is 'off'. Write a list.*\['draft11'\]"):
        RateLimitMiddleware(app, headers="off")
    with pytest.raises(ValueError, match="headers say. Write these into the policy"):
        RateLimitMiddleware(app, policy="rules: []\n", headers=["off"])


def test_the_applications_own_triples_stay_where_they_are_tighter(clock: ManualClock) -> None:
    app = application(
        config=config(requests_per_minute=9), headers=["draft03", "x-ratelimit-delta"], clock=clock
    )
    client = client_of(app)
    own = client.get("/?ratelimit-remaining=1&ratelimit-limit=2&ratelimit-reset=77").headers
    assert [own[name] for name in _ALL[3:6]] == ["2", "1", "77"]
    assert own["x-ratelimit-remaining"] == "8", "another triple"
    ours = client.get("/?ratelimit-remaining=100&ratelimit-limit=200&ratelimit-reset=77").headers
    assert ours["ratelimit-remaining"] == "7" and ours["ratelimit-limit"].startswith("9, 9;w=60")
    epoch = client.get("/?x-ratelimit-remaining=0&x-ratelimit-reset=1900000000").headers
    assert epoch["x-ratelimit-reset"] == "1900000000", "what is left decides"
    assert "x-ratelimit-limit" not in epoch


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


def _token(user: str, secret: bytes) -> str:
    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    text = part(b'{"alg":"HS256"}') + b"." + part(json.dumps({"sub": user, "exp": 10**12}).encode())
    return (text + b"." + part(hmac.new(secret, text, hashlib.sha256).digest())).decode()


def test_users_by_their_tokens(clock: ManualClock, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hmac:text:" + "s" * 32)
    file.chmod(0o600)
    policy = f"""
clients: {{identity: {{jwt: {{key: '{file}'}}}}}}
rules: [{{name: all, key: [user], limits: [1/minute]}}]
"""
    client = client_of(application(policy=policy, clock=clock))

    def status(user: str, secret: bytes = b"s" * 32) -> int:
        field = {"authorization": "Bearer " + _token(user, secret)}
        return client.get("/", headers=field).status_code

    assert [status("ada"), status("ada"), status("bob")] == [200, 429, 200]
    forged = [status("cyd", b"e" * 32), status("dan", b"e" * 32)]
    assert forged == [200, 429], "both are the address"
    file.write_text("planted")
    with pytest.raises(ValueError, match="clients.identity.jwt.key: .*: This is no file of keys"):
        RateLimitMiddleware(application(), policy=policy)


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


def test_what_a_policy_warns_of_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    RateLimitMiddleware(application(), policy="rules: [{name: a, key: [user], limits: [1/s]}]")
    assert [record.name for record in caplog.records] == ["sluicegate"]
    assert "policy:1:25: Nothing says what a request's user is" in caplog.text


@pytest.mark.parametrize("state", ["state", ""])
def test_a_state_that_is_no_absolute_path_is_told(state: str) -> None:
    for options in ({}, {"policy": POLICY}):
        with pytest.raises(ValueError, match=f"state is '{state}'. Write the path of a file from / on"):
            RateLimitMiddleware(application(), state=state, **options)


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
    with pytest.raises(ValueError, match="policy is ''. Write the path of a policy file"):
        RateLimitMiddleware(application(), policy="")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"limiter": 5}, "limiter is 5. Write a RateLimiter"),
        ({"config": 5}, "config is 5. Write a RateLimitConfig"),
        ({"trusted_proxies": "10.0.0.0/8"}, r"trusted_proxies is '10\.0\.0\.0/8'. Write a list"),
        ({"trusted_proxies": None}, "trusted_proxies is None. Write a list"),
        ({"policy": 5}, "policy is 5. Write the path of a policy file"),
        ({"policy": b"x"}, "policy is b'x'. Write"),
        ({"state": 5}, "state is 5. Write the path of a file"),
    ],
)
def test_a_wrong_type_is_told_with_the_mend(options: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        RateLimitMiddleware(application(), **options)


def test_a_policys_state_is_a_path_of_any_kind(clock: ManualClock, tmp_path: pathlib.Path) -> None:
    policy = "rules: [{name: all, key: [client], limits: [1/minute]}]"
    statuses = [
        ask(RateLimitMiddleware(_constant, policy=policy, state=state, clock=clock), _scope())[0]
        for state in (tmp_path / "state", str(tmp_path / "state"))
    ]
    assert [answer["status"] for answer in statuses] == [200, 429]


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
