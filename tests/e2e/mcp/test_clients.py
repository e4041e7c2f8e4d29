"""Real MCP clients through the gateway to real MCP servers, in both eras, under and over the limit."""

import json
import re
import subprocess

import peers
from harness import wait_until

OPEN = "rules:\n  - {name: all, key: [client], limits: [1000000/minute]}\n"
TWO_ECHOES = """
clients: {trusted_proxies: [127.0.0.1]}
rules:
  - {name: echo, match: {mcp_tool: echo}, key: [client, mcp_tool], limits: [2/minute]}
  - {name: all, key: [client], limits: [100000/minute]}
"""
TEN_ECHOES = TWO_ECHOES.replace("2/minute", "10/hour")
NO_CALLS = """
clients: {trusted_proxies: [127.0.0.1]}
mcp: {over_limit: {tools: error}}
rules: [{name: all, key: [client], limits: [1/hour]}]
"""
SAID = r"Rate limit exceeded for tool echo.*[Rr]etry after \d+ seconds?"

ECHO = ["--call", 'echo {"message": "grüß dich"}']
COUNT = ["--call", 'count {"to": 5, "milliseconds": 20}']
SLOW = ["--call", 'count {"to": 200, "milliseconds": 50}']
WEATHER = ["--call", 'weather {"city": "Oslo"}']
FAIL = ["--call", "fail"]
ASK = ["--call", "ask"]
# One of each SDK, both eras among them.
SOME = ["typescript 2, modern", "python 1, session", "fastmcp, auto"]


def of(outcomes, step):
    return [outcome for outcome in outcomes if outcome["step"] == step]


class Clients(peers.McpEndToEnd):
    def door_to(self, server, policy=OPEN):
        door = self.gateway(policy, upstream=server.origin, threads=2)
        return f"http://127.0.0.1:{door.port}/mcp"


class UnderTheLimit(Clients):
    def test_each_client_lists_and_calls(self):
        url = self.door_to(self.server("fastmcp"))
        for name in peers.clients():
            with self.subTest(client=name):
                session = name.endswith("session")
                more = [*ASK, "--ping"] if session else []
                outcomes = peers.run_client(name, url, *ECHO, *COUNT, *WEATHER, *FAIL, *more)
                version = "2025-11-25" if session else "2026-07-28"
                self.assertEqual(of(outcomes, "connect")[0].get("version"), version)
                self.assertEqual(of(outcomes, "list")[0].get("tools"), ["ask", "count", "echo", "fail", "weather"])
                self.check_calls(*of(outcomes, "call")[:4])
                if session:
                    self.assertEqual(of(outcomes, "ping")[0]["outcome"], "ok")
                    self.assertEqual(of(outcomes, "call")[4].get("text"), "hello Ada")

    def check_calls(self, echo, count, weather, fail):
        self.assertEqual(echo.get("text"), "grüß dich")
        self.assertEqual((count.get("text"), count.get("progress")), ("counted to 5", 5))
        self.assertEqual(weather.get("structured"), {"city": "Oslo", "celsius": 12.5})
        self.assertEqual((fail["outcome"], fail.get("text")), ("tool_error", "this tool always fails"))

    def test_clients_get_on_with_a_server_of_the_session_era(self):
        url = self.door_to(self.server("everything"))
        for name in ["typescript 1, session", "typescript 2, auto", "python 1, session", "python 2, auto", "fastmcp, auto"]:
            with self.subTest(client=name):
                outcomes = peers.run_client(name, url, *ECHO)
                self.assertEqual(of(outcomes, "connect")[0].get("version"), "2025-11-25")
                self.assertIn("get-sum", of(outcomes, "list")[0].get("tools"))
                self.assertEqual(of(outcomes, "call")[0].get("text"), "Echo: grüß dich")

    def test_many_calls_at_once(self):
        url = self.door_to(self.server("fastmcp"))
        for name in SOME:
            with self.subTest(client=name):
                outcomes = peers.run_client(name, url, *ECHO, "--times", "50", "--at-once")
                self.assertEqual([told.get("text") for told in of(outcomes, "call")], ["grüß dich"] * 50)

    def test_a_client_that_gives_up_cancels_the_call(self):
        """In the modern era by closing the stream, in the session era by saying so."""
        server = self.server("fastmcp")
        url = self.door_to(server)
        names = ["typescript 2, modern", "fastmcp, auto", "typescript 2, session", "fastmcp, session"]
        for number, name in enumerate(names, start=1):
            with self.subTest(client=name):
                outcomes = peers.run_client(name, url, *SLOW, "--seconds", "1", "--no-list")
                self.assertEqual(of(outcomes, "call")[0]["outcome"], "timed_out")
                cancelled = f"{number} cancelled calls"
                wait_until(lambda: server.err.read_text().count("count=cancelled") == number, cancelled)


class OverTheLimit(Clients):
    def setUp(self):
        super().setUp()
        self.url = self.door_to(self.server("fastmcp"), TWO_ECHOES)

    def test_no_client_hangs_and_each_sees_a_readable_error(self):
        """And it can still list, call other tools, and connect again."""
        for number, name in enumerate(peers.clients(), start=1):
            with self.subTest(client=name):
                address = ["--header", f"X-Forwarded-For: 192.0.2.{number}"]
                self.check(peers.run_client(name, self.url, *ECHO, *ECHO, *ECHO, *ECHO, *WEATHER, *address))
                again = peers.run_client(name, self.url, *WEATHER, *address)
                self.assertEqual([told["outcome"] for told in again], ["ok"] * 3)

    def check(self, outcomes):
        self.assertEqual([told["step"] for told in outcomes], ["connect", "list"] + ["call"] * 5)
        expected = ["ok"] * 4 + ["tool_error"] * 2 + ["ok"]
        self.assertEqual([told["outcome"] for told in outcomes], expected)
        for told in outcomes[4:6]:
            self.assertRegex(told["text"], SAID)
            self.assertLess(told["seconds"], 2)

    def test_other_denials_are_errors_with_a_code(self):
        """And a client that is denied everything can still connect and list."""
        url = self.door_to(self.server("fastmcp"), NO_CALLS)
        for number, name in enumerate(SOME, start=1):
            with self.subTest(client=name):
                address = ["--header", f"X-Forwarded-For: 203.0.113.{number}"]
                outcomes = peers.run_client(name, url, *ECHO, *ECHO, *address)
                self.assertEqual([told["outcome"] for told in outcomes], ["ok", "ok", "ok", "protocol_error"])
                denied = outcomes[3]
                self.assertEqual(denied["code"], 429)
                self.assertRegex(denied["message"], SAID)
                numbers = {"limit": 1, "remaining": 0, "window": 3600, "policy": "all"}
                self.assertLessEqual(numbers.items(), denied["data"].items())
                self.assertGreater(denied["data"]["retryAfterSeconds"], 3000)

    def test_one_of_a_hundred_agents_in_a_loop_takes_nothing_of_the_others(self):
        url = self.door_to(self.server("fastmcp"), TEN_ECHOES)
        command = [peers.installed["two"], peers.HERE / "agents.py", url, 100, 5, 60]
        told = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=150)
        agents = [json.loads(line) for line in told.stdout.splitlines()]
        self.assertEqual(len(agents), 100, told.stderr)
        for agent in agents:
            expected = (10, 50) if agent["agent"] == 0 else (5, 0)
            self.assertEqual((agent["ok"], agent["denied"], agent["failed"]), (*expected, []), agent)


class Page(Clients):
    def test_the_page_does_what_it_says(self):
        """The first minutes of doc/mcp.md: its server, policy and client, and what it prints."""
        page = (peers.ROOT / "doc" / "mcp.md").read_text()
        python = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        policy = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1]
        printed = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
        server = peers.free_port()
        self.start(python[0].replace("port=8000", f"port={server}"))
        wait_until(lambda: peers.answers(server), "the page's server")
        door = self.gateway(policy, upstream=f"http://127.0.0.1:{server}")
        client = python[1].replace("8080", str(door.port))
        told = subprocess.run([str(peers.installed["two"]), "-c", client], capture_output=True, text=True, timeout=60)
        seconds = re.compile(r"after \d+ second")
        self.assertEqual(seconds.sub("after N second", told.stdout), seconds.sub("after N second", printed), told.stderr)

    def start(self, code):
        process = subprocess.Popen([str(peers.installed["two"]), "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.terminate)


if __name__ == "__main__":
    peers.main("e2e.mcp_clients")
