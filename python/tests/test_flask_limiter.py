"""Flask-Limiter on the engine: real applications, unchanged but for ``storage_uri``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flask_limiter")

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits.strategies import STRATEGIES

import sluicegate

KNOWN = sorted(set(STRATEGIES) & {"fixed-window", "moving-window", "sliding-window-counter"})


@pytest.fixture(params=["memory", "file"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "sluicegate://" + (f"{tmp_path}/state" if request.param == "file" else "")


def flask_of(limiter: Limiter) -> Flask:
    """Flask-Limiter's own example, with a cost and a limit that counts failures alone."""
    app = Flask(__name__)
    limiter.init_app(app)

    @app.route("/slow")
    @limiter.limit("1 per day")
    def slow() -> str:
        return "slow"

    @app.route("/medium")
    @limiter.limit("3/minute", override_defaults=False)
    def medium() -> str:
        return "medium"

    @app.route("/search")
    @limiter.limit("10/hour", cost=4)
    def search() -> str:
        return "found"

    @app.route("/login/<word>")
    @limiter.limit("2/hour", deduct_when=lambda response: response.status_code == 403)
    def login(word: str) -> Any:
        return ("welcome", 200) if word == "sesame" else ("no", 403)

    @app.route("/ping")
    @limiter.exempt
    def ping() -> str:
        return "pong"

    return app


def codes(client: Any, path: str, times: int) -> list[int]:
    return [client.get(path).status_code for _ in range(times)]


@pytest.mark.parametrize("strategy", KNOWN)
def test_a_flask_application(strategy: str, uri: str) -> None:
    limiter = Limiter(
        get_remote_address,
        default_limits=["200 per day", "50 per hour"],
        storage_uri=uri,
        strategy=strategy,
        headers_enabled=True,
    )
    client = flask_of(limiter).test_client()
    for left in (2, 1, 0):
        response = client.get("/medium")
        assert response.status_code == 200
        assert response.headers["X-RateLimit-Limit"] == "3"
        assert response.headers["X-RateLimit-Remaining"] == str(left)
    response = client.get("/medium")
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 66
    assert 0 < int(response.headers["X-RateLimit-Reset"]) - time.time() <= 66
    assert codes(client, "/slow", 2) == [200, 429]
    assert codes(client, "/search", 3) == [200, 200, 429]
    assert codes(client, "/login/sesame", 5) == [200] * 5
    assert codes(client, "/login/friend", 3) == [403, 403, 429]
    assert codes(client, "/login/sesame", 1) == [429]
    assert codes(client, "/ping", 100) == [200] * 100


@pytest.mark.parametrize("strategy", KNOWN)
def test_reset_begins_anew(strategy: str, uri: str) -> None:
    limiter = Limiter(get_remote_address, storage_uri=uri, strategy=strategy)
    client = flask_of(limiter).test_client()
    assert codes(client, "/slow", 2) == [200, 429]
    limiter.reset()
    assert codes(client, "/slow", 2) == [200, 429]


def test_the_configuration_names_it_too(tmp_path: Path) -> None:
    limiter = Limiter(get_remote_address)
    app = Flask(__name__)
    app.config["RATELIMIT_STORAGE_URI"] = f"sluicegate://{tmp_path}/state"
    app.config["RATELIMIT_STORAGE_OPTIONS"] = {"memory": 1 << 20, "name": "site"}
    app.config["RATELIMIT_STRATEGY"] = "moving-window"
    app.config["RATELIMIT_DEFAULT"] = "2/minute"
    limiter.init_app(app)
    app.add_url_rule("/", "home", lambda: "home")
    assert codes(app.test_client(), "/", 3) == [200, 200, 429]
    assert limiter.storage.check()


WORKER = """
import sys
from flask import Flask
from flask_limiter import Limiter
import sluicegate
app = Flask(__name__)
Limiter(
    lambda: "everybody", app=app, default_limits=["100/day"],
    storage_uri=sys.argv[1], strategy=sys.argv[2],
)
@app.route("/")
def home():
    return "home"
client = app.test_client()
print(sum(client.get("/").status_code == 200 for _ in range(80)))
"""


@pytest.mark.parametrize("strategy", KNOWN)
def test_two_processes_on_one_file_count_together(strategy: str, tmp_path: Path) -> None:
    folder = Path(sluicegate.__file__).parents[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, f"sluicegate://{tmp_path}/x", strategy],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )
        for _ in range(2)
    ]
    assert sum(int(process.communicate()[0]) for process in processes) == 100
