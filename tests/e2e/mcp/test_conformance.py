"""The MCP conformance suite, direct and through the gateway: what passes direct passes through it."""

import peers

OPEN = "rules:\n  - {name: all, key: [client], limits: [1000000/minute]}\n"
PASSED = {"SUCCESS", "INFO", "SKIPPED", "WARNING"}


def verdict(checks):
    """Of one scenario: "passed of checks", and whether all passed."""
    if checks is None:
        return "missing", False
    statuses = [status for several in checks.values() for status in several]
    passed = sum(status in PASSED for status in statuses)
    return f"{passed} of {len(statuses)}", passed == len(statuses)


class Conformance(peers.McpEndToEnd):
    def compare(self, name, revision):
        server = self.server(name)
        door = self.gateway(OPEN, upstream=server.origin, threads=2)
        direct = peers.run_suite(server.origin + "/mcp", revision, self.folder / "direct")
        through = peers.run_suite(f"http://127.0.0.1:{door.port}/mcp", revision, self.folder / "through")
        print(f"\n{name}, {revision}: {'checks that pass':<41} {'direct':>9} {'gateway':>9}")
        for scenario in dict.fromkeys([*direct, *through]):
            same = direct.get(scenario) == through.get(scenario)
            told = [verdict(results.get(scenario))[0] for results in (direct, through)]
            print(f"  {scenario:<60} {told[0]:>9} {told[1]:>9}{'' if same else '  differs'}", flush=True)
        self.assertEqual(direct, through)
        return through

    def passes(self, revision):
        """All that the revision requires; equal failures would compare little."""
        through = self.compare("conformance", revision)
        required = peers.required(revision)
        self.assertGreater(len(required), 25)
        self.assertEqual([name for name in required if not verdict(through.get(name))[1]], [])

    def test_the_session_era(self):
        self.passes("2025-11-25")

    def test_the_modern_era(self):
        self.passes("2026-07-28")

    def test_server_everything_in_the_session_era(self):
        self.compare("everything", "2025-11-25")


if __name__ == "__main__":
    peers.main("e2e.mcp_conformance")
