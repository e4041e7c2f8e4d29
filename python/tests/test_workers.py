"""One quota over all workers of real servers, also when one of them is killed under load."""

import contextlib
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("gunicorn")

QUOTA = 400
CLIENTS = 8
UVICORN = ["uvicorn", "worker_app:app", "--workers", "4", "--log-level", "error", "--port"]
GUNICORN = ["gunicorn", "worker_app:app", "--workers", "4", "--worker-class",
            "uvicorn_worker.UvicornWorker", "--log-level", "error", "--bind"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(command: list[str], state: pathlib.Path) -> Iterator[int]:
    port = _free_port()
    where = f"127.0.0.1:{port}" if command[0] == "gunicorn" else str(port)
    at = command.index("--bind" if command[0] == "gunicorn" else "--port") + 1
    environment = {**os.environ, "STATE": str(state), "QUOTA": str(QUOTA)}
    process = subprocess.Popen(
        [sys.executable, "-m", *command[:at], where, *command[at:]],
        cwd=pathlib.Path(__file__).parent,
        env=environment,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Load:
    """Requests of several clients at once, each over connections of its own, until they are through."""

    def __init__(self, port: int, requests: int) -> None:
        self.admitted = 0
        self.lost = 0
        self.pids: set[int] = set()
        self._port = port
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(requests // CLIENTS,)) for _ in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _ask(self, requests: int) -> None:
        for _ in range(requests):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                body = response.read()
                with self._lock:
                    if response.status == 200:
                        self.admitted += 1
                        self.pids.add(int(body))
                    else:
                        assert response.status == 429
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.lost += 1
            finally:
                connection.close()


SERVERS = [
    pytest.param(UVICORN, id="uvicorn"),
    pytest.param(GUNICORN, id="gunicorn"),
    pytest.param([*GUNICORN[:-1], "--preload", "--bind"], id="gunicorn-preload"),
]


@pytest.mark.parametrize("command", SERVERS)
def test_workers_share_one_quota(command: list[str], tmp_path: pathlib.Path) -> None:
    with serving(command, tmp_path / "state") as port:
        load = Load(port, 2 * QUOTA)
        load.join()
        assert load.lost == 0
        assert load.admitted == QUOTA
        assert len(load.pids) > 1, "one worker alone served"


@pytest.mark.parametrize("command", SERVERS)
def test_a_worker_that_is_killed_costs_what_it_had_under_way(
    command: list[str], tmp_path: pathlib.Path
) -> None:
    with serving(command, tmp_path / "state") as port:
        load = Load(port, 3 * QUOTA)
        while load.admitted < QUOTA // 4 or not load.pids:
            time.sleep(0.002)
        os.kill(next(iter(load.pids)), signal.SIGKILL)
        load.join()
        assert QUOTA - load.lost <= load.admitted <= QUOTA
        assert load.lost <= 2 * CLIENTS, "the others went on"
