"""Real MCP peers for the end-to-end tests: what is installed, the servers, the clients, the conformance suite.

    test_clients.py BUILD_FOLDER, test_conformance.py BUILD_FOLDER

What is installed lies in the build folder and is kept. Exit status 77: it cannot be got here; a line
says so. Versions are pinned, so that a change of a peer is a change of this file.
"""

import hashlib
import json
import os
import pathlib
import platform
import shutil
import socket
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE.parent), str(ROOT / "tools")]

from harness import WAIT_SECONDS, EndToEnd, wait_until  # noqa: E402
from test_python import SKIPPED, Missing, environment, main_python, pythons  # noqa: E402

ONE = ["mcp==1.30.0"]
TWO = ["fastmcp==4.2.3", "mcp==2.3.0"]
NPM = [
    "@modelcontextprotocol/sdk@1.32.2",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
]
NODE = "22.23.3"  # The conformance suite needs 22, which is more than Debian has.
INSTALL_SECONDS = 300
CLIENT_SECONDS = 120  # More than any client's own time-outs together.
SUITE_SECONDS = 180

installed = {}  # Filled by install(): paths of "one", "two" (Pythons), "npm" (folder), "node".


def node_22():
    """The system's, or None."""
    node = shutil.which("node")
    told = node and subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    return node if told and int(told[1:].split(".")[0]) >= 22 else None


def node_package():
    """The package that holds the program; `node` itself only downloads it when it is installed."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"node-{sys.platform}-{machine}"


def npm_folder(build, wanted):
    """A folder with what is wanted; the same as last time if that was the same."""
    if not shutil.which("npm"):
        raise Missing("there is no npm")
    place = build / "mcp" / hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:10]
    if not (place / "whole").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / "package.json").write_text('{"private": true}\n')
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1"]
        try:
            subprocess.run([*command, *wanted], cwd=place, check=True, timeout=INSTALL_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise Missing(f"npm cannot install {' '.join(wanted)}") from error
        (place / "whole").touch()
    return place


def install(build):
    node = node_22()
    wanted = NPM if node else [*NPM, f"{node_package()}@{NODE}"]
    npm = npm_folder(build, wanted)
    found = pythons()
    main = main_python(found)
    folder = build / "python"
    installed.update(
        npm=npm,
        node=node or npm / "node_modules" / node_package() / "bin" / "node",
        one=environment(folder, found[main], main, ONE),
        two=environment(folder, found[main], main, TWO),
    )


def main(name):
    """Of a test file: installs, then runs its tests."""
    build = pathlib.Path(sys.argv.pop(1)).resolve()
    os.environ.setdefault("SLUICEGATE", str(build / "sluicegate"))
    try:
        install(build)
    except Missing as missing:
        print(f"skipped: {name}: {missing}")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)


def package(name):
    return installed["npm"] / "node_modules" / "@modelcontextprotocol" / name


def servers():
    return {
        "fastmcp": [installed["two"], HERE / "fastmcp_server.py"],
        "conformance": [installed["two"], HERE / "conformance_server.py"],
        "everything": [installed["node"], "--import", HERE / "preload.mjs",
                       package("server-everything") / "dist" / "index.js", "streamableHttp"],
    }


def free_port():
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def answers(port):
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A process that says on which loopback port it listens. Its endpoint is /mcp."""

    def __init__(self, name, folder):
        self.out, self.err = (pathlib.Path(folder) / f"{name}.{kind}" for kind in ("out", "err"))
        command = [str(part) for part in servers()[name]]
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            self.port = wait_until(self.told_port, f"the port of {name}", 60)
        except AssertionError:
            self.close()
            raise
        self.origin = f"http://127.0.0.1:{self.port}"

    def told_port(self):
        if self.process.poll() is not None:
            raise AssertionError(f"exited with {self.process.returncode}:\n{self.err.read_text()}")
        ports = [line for line in self.out.read_text().splitlines() if line.startswith("port=")]
        return int(ports[0].removeprefix("port=")) if ports else None

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(WAIT_SECONDS)


# Each client in each era: its command, and what --era it is given.
def clients():
    script = [installed["node"], HERE / "client.mjs", "--sdk"]
    one = [installed["one"], HERE / "mcp_client.py"]
    two = [installed["two"], HERE / "mcp_client.py"]
    fastmcp = [installed["two"], HERE / "fastmcp_client.py"]
    return {
        "typescript 1, session": ([*script, "1"], "legacy"),
        "typescript 2, session": ([*script, "2"], "legacy"),
        "typescript 2, modern": ([*script, "2"], "modern"),
        "typescript 2, auto": ([*script, "2"], "auto"),
        "python 1, session": (one, "legacy"),
        "python 2, session": (two, "legacy"),
        "python 2, auto": (two, "auto"),
        "fastmcp, session": (fastmcp, "legacy"),
        "fastmcp, auto": (fastmcp, "auto"),
    }


def run_client(name, url, *arguments):
    """Runs a client to its end and returns its outcomes, as client_lines.py describes them."""
    command, era = clients()[name]
    command = [str(part) for part in [*command, url, "--era", era, *arguments]]
    told = subprocess.run(command, cwd=installed["npm"], capture_output=True, text=True, timeout=CLIENT_SECONDS)
    outcomes = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    if told.returncode != 0 or not outcomes:
        raise AssertionError(f"{name} exited with {told.returncode}:\n{told.stdout}\n{told.stderr}")
    return outcomes


def required(revision):
    """The server scenarios that a revision requires; what else its list runs is not scored."""
    lines = (package("conformance") / "requirements" / f"{revision}.yaml").read_text().splitlines()
    names = lines[lines.index("server:") + 1 :]
    return [name.removeprefix("  - ") for name in names[: names.index("")]]


def run_suite(url, revision, results):
    """Runs what a revision requires of a server. Returns {scenario: {check: [status]}}, in order."""
    program = package("conformance") / "dist" / "index.js"
    command = [installed["node"], program, "server", "--url", url, "--requirements", revision, "-o", results]
    told = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=SUITE_SECONDS)
    found = {}
    for folder in sorted(pathlib.Path(results).iterdir(), key=lambda folder: folder.stat().st_mtime_ns):
        scenario = folder.name.removeprefix("server-").rsplit("-", 6)[0]
        checks = found.setdefault(scenario, {})
        for check in json.loads((folder / "checks.json").read_text()):
            checks.setdefault(check["id"], []).append(check["status"])
    if not found:
        raise AssertionError(f"the suite said nothing of {revision}:\n{told.stdout}\n{told.stderr}")
    return found


class McpEndToEnd(EndToEnd):
    """A test with real servers and clients."""

    def server(self, name):
        server = Server(name, self.folder)
        self.addCleanup(server.close)
        return server
