"""Real MCP clients through the gateway to real MCP servers, in both eras, under and over the limit."""

import peers
from harness import wait_until

OPEN = "rules:\n  - {name: all, key: [client], limits: [1000000/minute]}\n"
TWO_ECHOES = """
clients: {trusted_proxies: [127.0.0.1]}
rules:
  - {name: echo, match: {mcp_tool: echo}, key: [client, mcp_tool], limits: [2/minute]}
  - {name: all, key: [client], limits: [100000/minute]}
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


if __name__ == "__main__":
    peers.main("e2e.mcp_clients")
