"""WebSockets through the gateway, with a real client and a real server (PyPI: websockets)."""

import pathlib
import subprocess
import sys
import unittest

from harness import PROGRAM, WAIT_SECONDS, EndToEnd, wait_until
from test_tls import listening, make_certificate

HERE = pathlib.Path(__file__).resolve().parent
PEER = str(HERE / "websocket_peer.py")
RULES = "rules:\n  - {name: a, key: [client], limits: [3/minute]}\n"
DONE = ["echo", "1048576 bytes", "fragments sent", "fragments received", "ping", "pong", "many at once",
        "closed by the client", "closed by the server"]


class WebSockets(EndToEnd):
    @classmethod
    def setUpClass(cls):
        sys.path.append(str(HERE.parents[1] / "tools"))
        from test_python import Missing, environment

        folder = pathlib.Path(PROGRAM).resolve().parent / "python"
        version = "%d.%d" % sys.version_info[:2]
        try:
            cls.python = str(environment(folder, sys.executable, version, ["websockets==17.4"]))
        except (Missing, subprocess.CalledProcessError) as missing:
            raise unittest.SkipTest(f"websockets: {missing}") from missing

    def setUp(self):
        super().setUp()
        server = subprocess.Popen(
            [self.python, "-B", PEER, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(self.end, server)
        self.upstream = f"http://127.0.0.1:{int(server.stdout.readline())}"

    @staticmethod
    def end(server):
        server.stdin.close()
        try:
            server.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()

    def ask(self, url, ca=""):
        return subprocess.run(
            [self.python, "-B", PEER, "client", url, str(ca)],
            capture_output=True, text=True, timeout=4 * WAIT_SECONDS, check=False,
        )

    def assert_all_done(self, door, told):
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        for line in DONE:
            self.assertEqual(told.stdout.splitlines().count(line), 2, line)
        # The tunnels end with their WebSockets.
        wait_until(lambda: door.metrics()["sluicegate_gateway_open_connections"] == 0, "the connections' end")

    def test_all_that_a_websocket_can(self):
        door = self.gateway(RULES.replace("3/", "100/"), upstream=self.upstream)
        self.assert_all_done(door, self.ask(f"ws://127.0.0.1:{door.port}/"))

    def test_through_tls(self):
        certificate, key = make_certificate(self.folder, "a")
        config = listening(certificate, key) + RULES.replace("3/", "100/")
        door = self.gateway(config, upstream=self.upstream, listen=None)
        self.assert_all_done(door, self.ask(f"wss://127.0.0.1:{door.port}/", certificate))

    def test_opening_one_is_a_request_like_others(self):
        door = self.gateway(RULES.replace("3/", "1/"), upstream=self.upstream)
        told = self.ask(f"ws://127.0.0.1:{door.port}/")
        self.assertNotEqual(told.returncode, 0)  # The second connection is one too many.
        self.assertIn("closed by the client", told.stdout)
        self.assertIn("429", told.stderr)


if __name__ == "__main__":
    unittest.main()
