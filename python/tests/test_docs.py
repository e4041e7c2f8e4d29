"""The snippets of doc/python.md: each runs, and prints what stands below it. A server's is asked
until it denies.
"""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

from sluicegate import ManualClock
from sluicegate._core import PolicyDoor

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "python.md"
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)

ASK = """
import asyncio
from snippet import *

def admitted_by(ask, most=60):
    admitted = 0
    while admitted < most and ask():
        admitted += 1
    return admitted

def ask_mcp():
    from fastmcp import Client

    async def ask():
        async with Client(mcp) as client:
            tools = [tool.name for tool in await client.list_tools()]
            results = []
            for _ in range(12):
                result = await client.call_tool(tools[0], {"query": "x"}, raise_on_error=False)
                results.append(not result.is_error)
            return results

    results = asyncio.run(ask())
    return admitted_by(lambda: results.pop(0))

def ask_app():
    paths = [str(getattr(route, "path", "/")) for route in getattr(app, "routes", [])] or ["/"]
    if hasattr(app, "test_client"):
        client, paths = app.test_client(), ["/"]
    else:
        from starlette.testclient import TestClient
        client = TestClient(app)
    return admitted_by(lambda: client.get(paths[-1]).status_code != 429)

print("admitted", ask_mcp() if "mcp" in globals() else ask_app())
"""
ADMITTED = {
    "RateLimitConfig(requests_per_minute=60": 10,
    'RateLimit("2/minute", "20/hour")': 2,
    "@rate_limit(requests_per_minute=2)\nasync def report": 2,
    "app = Starlette()": 10,
    '@limiter.limit("5/minute")': 5,
    "app = Flask(__name__)": 50,
    "PolicyMiddleware(POLICY)": 10,
    "burst_size=5": 5,
}
"""What stands in a server's snippet, and how many requests it admits at once."""


def _blocks() -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in BLOCK.finditer(PAGE.read_text())]


def _snippets() -> list[object]:
    return [
        pytest.param(code, printed, id=f"snippet-{number}")
        for number, (code, printed) in enumerate(_blocks(), 1)
    ]


def _run(code: str, folder: pathlib.Path) -> str:
    """What it prints; a server's, what it says when it is asked."""
    for module in re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    file = folder / "snippet.py"
    file.write_text(code.replace("/dev/shm/app.sluicegate", str(folder / "state")))
    if re.search(r"^(app|mcp)\b", code, re.MULTILINE):
        file = folder / "ask.py"
        file.write_text(ASK)
    told = subprocess.run(
        [sys.executable, str(file)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.mark.parametrize(("code", "printed"), _snippets())
def test_a_snippet_runs(code: str, printed: str | None, tmp_path: pathlib.Path) -> None:
    said = _run(code, tmp_path)
    expected = [count for text, count in ADMITTED.items() if text in code]
    if expected:
        assert said == f"admitted {expected[0]}\n"
    elif printed is not None:
        assert said == printed
    assert bool(expected) == bool(re.search(r"^(app|mcp)\b", code, re.MULTILINE))


def test_the_key_that_the_page_makes_is_one(tmp_path: pathlib.Path) -> None:
    code = next(code for code, _ in _blocks() if "sha256:" in code)
    key, line = _run(code, tmp_path).splitlines()
    (tmp_path / "keys").write_text(line)
    door = PolicyDoor(
        f"clients: {{identity: {{api_keys: {tmp_path}/keys}}}}\n"
        "rules: [{name: a, key: [api_key], limits: [1/hour]}]",
        clock=ManualClock(),
    )
    shown = [(b"x-api-key", key.encode())]
    answers = [door.ask("192.0.2.1", "GET", "/", headers) for headers in (shown, [], shown)]
    assert [answer.allowed for answer in answers] == [True, True, False]
