"""Several servers behind the gateway: one is killed under load, rests, and comes back."""

import contextlib
import subprocess
import sys
import time
import unittest

from harness import WAIT_SECONDS, EndToEnd, wait_until
from load_clients import Clients

# Counts its requests in a file, a byte each, so that they outlive it.
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        seen.write(b"."); seen.flush()
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")  # All at once, or nothing.
seen = open(sys.argv[2], "ab")
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class Server:
    """A server in a process of its own, which can be killed and started again on its port."""

    def __init__(self, seen):
        self.seen = seen
        self.port = 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.port), str(self.seen)], stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.wait(WAIT_SECONDS)
        self.process.stdout.close()

    @property
    def requests(self):
        return self.seen.stat().st_size


class Upstreams(EndToEnd):
    def setUp(self):
        super().setUp()
        self.servers = [Server(self.folder / f"seen{n}") for n in range(2)]
        for server in self.servers:
            self.addCleanup(self.kill, server)

    @staticmethod
    def kill(server):
        with contextlib.suppress(ValueError):
            server.kill()

    def wait_for_requests(self, server, count=20):
        enough = server.requests + count
        wait_until(lambda: server.requests >= enough, f"{count} requests at {server.port}")

    def test_one_that_is_killed_rests_and_comes_back(self):
        urls = ", ".join(f"'http://127.0.0.1:{server.port}'" for server in self.servers)
        door = self.gateway(
            f"upstream: {{url: [{urls}], rest: 1s}}\n"
            "rules:\n  - {name: a, key: [client], limits: [100000000/minute]}\n"
        )
        clients = Clients(door.port, short=2, kept=4)
        self.addCleanup(clients.stop)
        victim, other = self.servers
        for _ in range(2):
            for server in self.servers:
                self.wait_for_requests(server)
            victim.kill()
            begin = time.monotonic()
            rested = door.log().count(f"127.0.0.1:{victim.port} rests")
            self.wait_for_requests(other, 100)
            wait_until(lambda: door.log().count(f"127.0.0.1:{victim.port} rests") > rested, "its rest")
            # It is tried again each second, not with each request.
            wait_until(lambda: time.monotonic() - begin > 2.5, "some seconds")
            victim.start()
            self.wait_for_requests(victim)
        clients.stop()
        self.assertEqual(clients.failures, [])
        # What the server had when it was killed is sent once more, to the other one.
        self.assertEqual(set(clients.statuses), {200})
        self.assertLess(door.log().count("rests"), 12)


if __name__ == "__main__":
    unittest.main()
