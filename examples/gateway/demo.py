#!/usr/bin/env python3
"""A gateway in front of a small server: three requests pass, the fourth gets a 429.

    examples/gateway/demo.py [PROGRAM]         PROGRAM: build/release/sluicegate unless said

Uses the standard library only. Starts a server and the gateway on free ports of this machine and
stops both. Ends with 0 if the gateway did what the policy says.
"""

import http.client
import http.server
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
START_SECONDS = 20.0


class Hello(http.server.BaseHTTPRequestHandler):
    """The server to protect: it knows nothing of limits."""

    def do_GET(self):
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def gateway_address(process, port_file):
    """Waits until the gateway has written where it listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"the gateway ended with {process.returncode}")
        if port_file.exists():
            for line in port_file.read_text().splitlines():
                door, _, address = line.partition("=")
                if door == "gateway":
                    return address
        time.sleep(0.02)
    sys.exit(f"the gateway did not start within {START_SECONDS:.0f} s")


def ask(address):
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/")
        reply = connection.getresponse()
        reply.read()
        return reply.status, reply.getheader("RateLimit"), reply.getheader("Retry-After")
    finally:
        connection.close()


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "build/release/sluicegate"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        port_file = pathlib.Path(folder) / "ports"
        command = [program, "gateway", "--config", str(HERE / "policy.yaml"), "--admin", "off",
                   "--upstream", f"http://127.0.0.1:{server.server_address[1]}",
                   "--port-file", str(port_file), "--log-level", "error"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            address = gateway_address(process, port_file)
            replies = [ask(address) for _ in range(4)]
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    server.shutdown()
    for status, rate_limit, retry_after in replies:
        wait = f", Retry-After: {retry_after}" if retry_after else ""
        print(f"{status}  RateLimit: {rate_limit}{wait}")
    statuses = [status for status, _, _ in replies]
    if statuses != [200, 200, 200, 429] or not replies[3][2]:
        sys.exit("this is not what the policy says: three pass, then 429 with Retry-After")


if __name__ == "__main__":
    main()
