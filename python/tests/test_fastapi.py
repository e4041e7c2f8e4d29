"""The dependency of FastAPI, and the example."""

import http.client
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi import Depends, FastAPI, Request
from starlette.testclient import TestClient

from sluicegate import Limit, ManualClock
from sluicegate.fastapi import RateLimit

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


def test_a_bad_quota_is_told() -> None:
    with pytest.raises(ValueError, match="Write"):
        RateLimit("ten a minute")


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
