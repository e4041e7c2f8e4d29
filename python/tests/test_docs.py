"""The snippets of doc/python.md: each runs, and prints what stands below it."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "python.md"
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


def _snippets() -> list[object]:
    snippets = []
    for number, match in enumerate(BLOCK.finditer(PAGE.read_text()), 1):
        snippets.append(pytest.param(match[1], match[2], id=f"snippet-{number}"))
    return snippets


@pytest.mark.parametrize(("code", "printed"), _snippets())
def test_a_snippet_runs(code: str, printed: str | None, tmp_path: pathlib.Path) -> None:
    for module in re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    file = tmp_path / "snippet.py"
    file.write_text(code.replace("/dev/shm/app.sluicegate", str(tmp_path / "state")))
    # Servers would serve for ever: these are imported.
    serves = "__main__" in code
    command = ["-c", "import snippet"] if serves else [str(file)]
    told = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    if printed is not None and not printed.startswith("HTTP/"):
        assert told.stdout == printed
