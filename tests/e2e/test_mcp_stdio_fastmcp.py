"""mcp-stdio between real parts: FastMCP's client and FastMCP's server."""

import json
import pathlib
import subprocess
import sys
import unittest

import test_mcp_stdio
from harness import PROGRAM

HERE = pathlib.Path(__file__).resolve().parent
POLICY = """\
rules:
  - {name: echoes, match: {mcp_tool: echo}, key: [client], limits: [2/minute]}
  - {name: slow, match: {mcp_tool: slow}, key: [client], limits: [{concurrency: 2}]}
"""
# A call within another message, for servers that end lines at a carriage return.
HIDDEN = (
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":\r{"jsonrpc":"2.0","id":2,"method":"tools/call",'
    b'"params":{"name":"echo","arguments":{"message":"hidden"}}}\r}}\n'
)
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


@unittest.skipUnless((HERE / "mcp" / "peers.py").exists(), "mcp/peers.py, which installs FastMCP, is not there")
class FastMcp(test_mcp_stdio.McpStdio):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sys.path.append(str(HERE / "mcp"))
        import peers

        try:
            found = peers.pythons()
            main = peers.main_python(found)
            folder = pathlib.Path(PROGRAM).resolve().parent / "python"
            cls.python = str(peers.environment(folder, found[main], main, peers.TWO))
        except peers.Missing as missing:
            raise unittest.SkipTest(f"FastMCP: {missing}") from missing

    def test_its_client_is_limited_and_goes_on(self):
        program = str(HERE / "fastmcp_on_pipe.py")
        server = self.command(POLICY, [self.python, "-B", program, "server"])
        told = subprocess.run(
            [self.python, "-B", program, "client", *server], capture_output=True, text=True, timeout=90, check=False
        )
        self.assertEqual(told.returncode, 0, told)
        outcomes = [json.loads(line) for line in told.stdout.splitlines()]
        self.assertEqual(outcomes[:3], [{"tools": ["echo", "slow"]}, {"ok": "grüß dich 0"}, {"ok": "grüß dich 1"}])
        for outcome in outcomes[3:5]:
            self.assertRegex(outcome["tool_error"], r"^Rate limit exceeded for tool echo: 2 per minute\. Retry after \d+")
        self.assertRegex(outcomes[5]["tool_error"], "for tool slow: 2 at the same time")
        self.assertEqual(outcomes[6:], [{"ok": "slow"}] * 3)

    def test_no_call_hides_within_a_line(self):
        server = [self.python, "-B", str(HERE / "fastmcp_on_pipe.py"), "server"]
        answers = []
        for command in (server, self.command(POLICY, server)):
            peer = self.started(test_mcp_stdio.Peer(command))
            peer.ask(test_mcp_stdio.request(0, "initialize", HELLO))
            peer.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n' + HIDDEN)
            peer.send(test_mcp_stdio.request(3, "ping"))
            answers.append({answer["id"] for answer in peer.wait_for(3)})
        self.assertEqual(answers, [{0, 2, 3}, {0, None, 3}])


if __name__ == "__main__":
    unittest.main()
