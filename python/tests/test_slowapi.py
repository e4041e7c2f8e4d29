"""slowapi on the engine: real applications, unchanged but for ``storage_uri``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("slowapi")
pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from limits.strategies import STRATEGIES
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from slowapi.util import get_remote_address
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

import sluicegate

KNOWN = sorted(set(STRATEGIES) & {"fixed-window", "moving-window", "sliding-window-counter"})


def fastapi_of(limiter: Limiter) -> FastAPI:
    """slowapi's own example, with a cost and a shared limit."""
    app = FastAPI()
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)

    @app.get("/home")
    @limiter.limit("3/minute")
    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse("home")

    @app.get("/search")
    @limiter.limit("10/hour", cost=4)
    def search(request: Request) -> PlainTextResponse:
        return PlainTextResponse("found")

    @app.get("/free")
    async def free(request: Request) -> PlainTextResponse:
        return PlainTextResponse("free")

    return app


@pytest.fixture(params=["memory", "file"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "sluicegate://" + (f"{tmp_path}/state" if request.param == "file" else "")


@pytest.mark.parametrize("strategy", KNOWN)
def test_a_fastapi_application(strategy: str, uri: str) -> None:
    limiter = Limiter(
        key_func=get_remote_address, storage_uri=uri, strategy=strategy, headers_enabled=True
    )
    client = TestClient(fastapi_of(limiter))
    for left in (2, 1, 0):
        response = client.get("/home")
        assert response.status_code == 200
        assert response.headers["X-RateLimit-Limit"] == "3"
        assert response.headers["X-RateLimit-Remaining"] == str(left)
    response = client.get("/home")
    assert response.status_code == 429
    assert response.json() == {"error": "Rate limit exceeded: 3 per 1 minute"}
    assert 0 < int(response.headers["Retry-After"]) <= 66
    assert 0 < float(response.headers["X-RateLimit-Reset"]) - time.time() <= 66
    assert [client.get("/search").status_code for _ in range(3)] == [200, 200, 429]
    assert all(client.get("/free").status_code == 200 for _ in range(20))


@pytest.mark.parametrize("strategy", KNOWN)
def test_reset_begins_anew(strategy: str, uri: str) -> None:
    limiter = Limiter(key_func=get_remote_address, storage_uri=uri, strategy=strategy)
    client = TestClient(fastapi_of(limiter))
    assert [client.get("/home").status_code for _ in range(4)] == [200, 200, 200, 429]
    limiter.reset()
    assert [client.get("/home").status_code for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize("middleware", [SlowAPIMiddleware, SlowAPIASGIMiddleware])
@pytest.mark.parametrize("strategy", KNOWN)
def test_a_starlette_application_under_the_middleware(strategy: str, middleware: type) -> None:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("page")

    app = Starlette(routes=[Route("/a", page), Route("/b", page)])
    app.state.limiter = Limiter(
        key_func=lambda request: request.headers.get("x-user", "nobody"),
        default_limits=["5/minute"],
        application_limits=["8/minute"],
        strategy=strategy,
        storage_uri="sluicegate://",
        storage_options={"memory": 1 << 20},
    )
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
    app.add_middleware(middleware)
    client = TestClient(app)
    codes = [client.get("/a").status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]
    assert client.get("/b").status_code == 200, "a limit for each path, and one for all"
    assert [client.get("/b").status_code for _ in range(3)][-1] == 429
    assert client.get("/a", headers={"x-user": "ada"}).status_code == 200


WORKER = """
import sys
from fastapi import FastAPI, Request
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from starlette.testclient import TestClient
import sluicegate
limiter = Limiter(lambda: "everybody", storage_uri=sys.argv[1], strategy=sys.argv[2])
app = FastAPI()
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
@app.get("/")
@limiter.limit("100/day")
async def home(request: Request):
    return "home"
client = TestClient(app)
print(sum(client.get("/").status_code == 200 for _ in range(80)))
"""


@pytest.mark.parametrize("strategy", KNOWN)
def test_two_processes_on_one_file_count_together(strategy: str, tmp_path: Path) -> None:
    folder = Path(sluicegate.__file__).parents[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WORKER, f"sluicegate://{tmp_path}/x", strategy],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )
        for _ in range(2)
    ]
    assert sum(int(process.communicate()[0]) for process in processes) == 100
