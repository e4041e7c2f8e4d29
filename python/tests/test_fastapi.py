"""The dependency of FastAPI, and the example."""

import http.client
import os
import pathlib
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi import Depends, FastAPI, Request, Response, WebSocket
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sluicegate import Limit, ManualClock, RateLimitError, rate_limit
from sluicegate.fastapi import RateLimit, rate_limit_error_handler

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "python" / "fastapi_app.py"


def test_a_dependency_limits_each_client(clock: ManualClock) -> None:
    app = FastAPI()
    limit = RateLimit("2/minute", Limit.burst(2, "1/s"), clock=clock)

    @app.get("/one", dependencies=[Depends(limit)])
    def one() -> str:
        return "one"

    @app.get("/two", dependencies=[Depends(limit)])
    async def two() -> str:
        return "two"

    client = TestClient(app, client=("192.0.2.1", 1))
    first = client.get("/one")
    assert first.status_code == 200 and first.headers["x-ratelimit-remaining"] == "1"
    assert client.get("/two").status_code == 200
    denied = client.get("/one", headers={"X-Forwarded-For": "203.0.113.1"})
    assert denied.status_code == 429 and int(denied.headers["retry-after"]) >= 60
    assert denied.headers["x-ratelimit-remaining"] == "0"
    assert "per-minute" in denied.json()["detail"]
    assert TestClient(app, client=("192.0.2.2", 1)).get("/one").status_code == 200
    clock.advance(65)
    assert client.get("/one").status_code == 200


def test_a_dependency_has_a_key_of_its_own(clock: ManualClock) -> None:
    app = FastAPI()

    def team(request: Request) -> str:
        return str(request.path_params["team"])

    @app.get("/{team}", dependencies=[Depends(RateLimit("1/minute", key=team, clock=clock))])
    def view(team: str) -> str:
        return team

    client = TestClient(app)
    statuses = [client.get(f"/{name}").status_code for name in ("red", "blue", "red")]
    assert statuses == [200, 200, 429]


def _view_of(*limits: RateLimit) -> FastAPI:
    app = FastAPI()

    @app.get("/", dependencies=[Depends(limit) for limit in limits])
    def view() -> str:
        return "seen"

    @app.get("/own", dependencies=[Depends(limit) for limit in limits])
    def own() -> Response:
        return Response("own")

    return app


def test_a_bad_quota_is_told() -> None:
    with pytest.raises(ValueError, match="Write"):
        RateLimit("ten a minute")
    with pytest.raises(ValueError, match="There are no limits"):
        RateLimit()
    with pytest.raises(TypeError, match=r"limits\[0\] is 2\. Write a quota, like '10/minute'"):
        RateLimit(2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="trusted_proxies is '10.0.0.0/8'. Write a list"):
        RateLimit("1/s", trusted_proxies="10.0.0.0/8")
    with pytest.raises(TypeError, match="key is 5. Write a function"):
        RateLimit("1/s", key=5)  # type: ignore[arg-type]


def test_several_quotas_may_be_one_text(clock: ManualClock) -> None:
    limit = RateLimit("2/minute; 5/hour", clock=clock)
    assert [(one.quota, one.window) for one in limit.limiter.limits] == [(2, 60.0), (5, 3600.0)]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_dependencies_the_tighter_one_is_told(clock: ManualClock, order: int) -> None:
    limits = [RateLimit("2/minute", clock=clock), RateLimit("100/hour", clock=clock)][::order]
    answer = TestClient(_view_of(*limits)).get("/")
    assert answer.headers["x-ratelimit-limit"] == "2"
    assert answer.headers["x-ratelimit-remaining"] == "1"


def test_a_dependency_has_the_forms_that_it_is_given(clock: ManualClock) -> None:
    forms = ["draft11", "draft03", "x-ratelimit-delta"]
    limits = [
        RateLimit("2/minute", headers=forms, clock=clock),
        RateLimit("100/hour", headers=forms, clock=clock),
    ]
    client = TestClient(_view_of(*limits))
    answer = client.get("/").headers
    assert answer["ratelimit"] == '"per-minute";r=1;t=63, "per-hour";r=99;t=3839'
    assert answer["ratelimit-limit"] == "2, 2;w=60"
    assert answer["ratelimit-remaining"] == answer["x-ratelimit-remaining"] == "1"
    assert answer["x-ratelimit-reset"] == "63"
    client.get("/")
    denied = client.get("/")
    assert denied.headers["ratelimit"] == '"per-minute";r=0;t=63'
    assert int(denied.headers["retry-after"]) >= 63
    with pytest.raises(ValueError, match="No form of the fields"):
        RateLimit("2/minute", headers=["draft12"])


def test_which_responses_tell_what_is_left(clock: ManualClock) -> None:
    client = TestClient(_view_of(RateLimit("2/minute", clock=clock)))
    assert client.get("/").headers["x-ratelimit-remaining"] == "1"
    assert "x-ratelimit-remaining" not in client.get("/own").headers
    denied = client.get("/own")
    assert denied.status_code == 429 and denied.headers["x-ratelimit-remaining"] == "0"


@pytest.mark.parametrize("kind", ["none", "fails", "async none"])
def test_a_key_that_names_nobody_leaves_the_address(
    clock: ManualClock, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def none(connection: Any) -> None:
        return None

    async def later(connection: Any) -> None:
        return None

    def fails(connection: Any) -> str:
        return str(connection.headers["x-team"])

    key: Any = {"none": none, "fails": fails, "async none": later}[kind]
    app = _view_of(RateLimit("1/minute", key=key, clock=clock))
    ada, bob = (TestClient(app, client=(f"192.0.2.{i}", 1)) for i in (1, 2))
    statuses = [client.get("/").status_code for client in (ada, bob, ada)]
    assert statuses == [200, 200, 429]
    assert ("key failed" in caplog.text) == (kind == "fails")


def test_a_key_may_be_async(clock: ManualClock) -> None:
    async def team(connection: Any) -> str:
        return str(connection.headers["x-team"])

    client = TestClient(_view_of(RateLimit("1/minute", key=team, clock=clock)))
    teams = ("red", "blue", "red")
    statuses = [client.get("/", headers={"x-team": team}).status_code for team in teams]
    assert statuses == [200, 200, 429]


def test_trusted_proxies_are_the_middlewares(clock: ManualClock) -> None:
    app = _view_of(RateLimit("1/minute", trusted_proxies=["10.0.0.0/8"], clock=clock))
    proxy = TestClient(app, client=("10.0.0.1", 1))
    for headers in (
        {"X-Forwarded-For": "203.0.113.1"},
        {"X-Real-IP": "203.0.113.2"},
        {"X-Forwarded-For": "203.0.113.1", "X-User-ID": "ada"},
    ):
        statuses = [proxy.get("/", headers=headers).status_code for _ in range(2)]
        assert statuses == [200, 429], headers
    stranger = TestClient(app, client=("192.0.2.1", 1))
    claims = [stranger.get("/", headers={"X-Forwarded-For": f"203.0.113.{i}"}) for i in (8, 9)]
    assert [answer.status_code for answer in claims] == [200, 429]


def _with_websocket(limit: RateLimit) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws", dependencies=[Depends(limit)])
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hi")
        await socket.close()

    return app


def test_a_websocket_is_limited(clock: ManualClock) -> None:
    client = TestClient(_with_websocket(RateLimit("1/minute", clock=clock)))
    with client.websocket_connect("/ws") as socket:
        assert socket.receive_text() == "hi"
    with pytest.raises(Exception) as denied, client.websocket_connect("/ws"):
        pass
    answer = denied.value
    assert isinstance(answer, WebSocketDisconnect) or getattr(answer, "status_code", 0) == 429


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_a_denied_websocket_is_told_as_its_server_can(
    clock: ManualClock, extensions: dict[str, Any]
) -> None:
    app = _with_websocket(RateLimit("1/minute", clock=clock))
    scope = {
        "type": "websocket", "path": "/ws", "raw_path": b"/ws", "query_string": b"", "headers": [],
        "client": ("192.0.2.1", 1), "subprotocols": [], "extensions": extensions,
    }  # fmt: skip
    first: list[Any] = []
    for _ in range(2):
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        await app(dict(scope), receive, send)
        first.append(sent[0])
    assert first[0]["type"] == "websocket.accept"
    if extensions:
        assert first[1]["type"] == "websocket.http.response.start" and first[1]["status"] == 429
        assert dict(first[1]["headers"])[b"retry-after"]
    else:
        assert (first[1]["type"], first[1]["code"]) == ("websocket.close", 1013)


def test_in_a_file_each_object_counts_apart(tmp_path: pathlib.Path) -> None:
    state = tmp_path / "state"
    one, two = RateLimit("2/minute", state=state), RateLimit("2/minute", state=state)
    assert [bool(limit.limiter.check("ada")) for limit in (one, one, one, two)] == [1, 1, 0, 1]
    mine, same = (RateLimit("1/minute", state=state, name="mine") for _ in range(2))
    assert mine.limiter.check("ada") and not same.limiter.check("ada")


def test_a_rate_limit_error_is_answered() -> None:
    app = FastAPI()
    app.add_exception_handler(RateLimitError, rate_limit_error_handler)

    @app.get("/")
    @rate_limit(requests_per_minute=1)
    async def view(request: Request) -> str:
        return "seen"

    @app.get("/never")
    def never() -> None:
        raise RateLimitError("it costs too much")

    client = TestClient(app)
    assert client.get("/").status_code == 200
    denied = client.get("/")
    assert denied.status_code == 429
    assert denied.headers["content-type"] == "application/problem+json"
    assert denied.headers["cache-control"] == "no-store"
    problem = denied.json()
    assert problem["error"] == "Rate limit exceeded" and problem["status"] == 429
    assert problem["retry_after"] == int(denied.headers["retry-after"]) >= 60
    assert problem["type"].endswith("#quota-exceeded") and "view" in problem["detail"]
    assert "retry-after" not in client.get("/never").headers


def test_the_example_runs() -> None:
    pytest.importorskip("uvicorn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, EXAMPLE], env={**os.environ, "PORT": str(port)})
    try:
        statuses: list[int] = []
        for _ in range(200):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("GET", "/slow")
                statuses.append(connection.getresponse().status)
            except ConnectionRefusedError:
                time.sleep(0.05)
            finally:
                connection.close()
            if len(statuses) == 3:
                break
        assert statuses == [200, 200, 429]
    finally:
        process.terminate()
        process.wait(10)
