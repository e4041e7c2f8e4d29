"""What the end-to-end tests share: the program under test, origin servers, raw sockets.

Only the standard library. Every process is stopped by its pid, every wait is bounded, every port is
chosen by the system. The program's path comes from the environment variable SLUICEGATE.
"""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

PROGRAM = os.environ.get("SLUICEGATE", "build/release/sluicegate")
WAIT_SECONDS = 20.0  # For anything that should happen soon; generous for a busy machine.


def wait_until(condition, what, seconds=WAIT_SECONDS):
    """Polls `condition` until it is true, and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.01)


class Origin:
    """An HTTP/1.1 server that answers by path and remembers what it was asked."""

    def __init__(self):
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_any(self):
                origin.serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # A client that goes away is what some tests are about.

            def process_request(self, request, client_address):
                origin.connections.append(request)
                super().process_request(request, client_address)

        self.requests = []  # (method, target, [(field, value)], body)
        self.disconnects = queue.Queue()  # Paths whose reader went away.
        self.release = threading.Event()  # What /held waits for.
        self.connections = []  # Every socket that was accepted.
        self.entered = threading.Semaphore(0)  # Released as /held is entered.
        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        """Goes away like a server that is stopped: kept connections are closed as well."""
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(WAIT_SECONDS)
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def read_body(handler):
        if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(handler.rfile.readline().split(b";")[0], 16)
                data = handler.rfile.read(size)
                handler.rfile.readline()
                if size == 0:
                    return body
                body += data
        return handler.rfile.read(int(handler.headers.get("Content-Length", "0")))

    def serve(self, handler):
        body = self.read_body(handler)
        self.requests.append((handler.command, handler.path, list(handler.headers.items()), body))
        name = handler.path.split("?")[0].strip("/").replace("/", "_") or "root"
        getattr(self, "page_" + name, self.page_default)(handler, body)

    def reply(self, handler, status, body, fields=()):
        handler.send_response(status)
        for field, value in fields:
            handler.send_header(field, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def page_default(self, handler, body):
        self.reply(handler, 200, b"hello\n", [("Content-Type", "text/plain")])

    def page_echo(self, handler, body):
        told = {
            "method": handler.command,
            "target": handler.path,
            "fields": list(handler.headers.items()),
            "body": body.decode("latin-1"),
        }
        self.reply(handler, 200, json.dumps(told).encode(), [("Content-Type", "application/json")])

    def page_nocontent(self, handler, body):
        handler.send_response(204)
        handler.end_headers()

    def page_fields(self, handler, body):
        self.reply(
            handler,
            200,
            b"x",
            [
                ("Connection", "X-Private"),
                ("X-Private", "hop"),
                ("X-Kept", "end to end"),
                ("RateLimit", '"origin";r=1;t=5'),
            ],
        )

    def page_events(self, handler, body):
        """Server-sent events: one at once, the next only when the test lets it."""
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()

        def chunk(data):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            handler.wfile.flush()

        chunk(b"data: first\n\n")
        if self.release.wait(WAIT_SECONDS):
            chunk(b"data: last\n\n")
            handler.wfile.write(b"0\r\n\r\n")

    def page_forever(self, handler, body):
        """Streams until its reader goes away."""
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.close_connection = True
        deadline = time.monotonic() + WAIT_SECONDS
        try:
            while time.monotonic() < deadline:
                handler.wfile.write(b"5\r\ntick\n\r\n")
                handler.wfile.flush()
                time.sleep(0.02)
        except OSError:
            self.disconnects.put(handler.path)

    def page_flood(self, handler, body):
        """Streams as fast as its reader reads, until it goes away."""
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.close_connection = True
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            while True:
                handler.wfile.write(piece)
        except OSError:
            self.disconnects.put(handler.path)

    def page_held(self, handler, body):
        """Answers when the test lets it."""
        self.entered.release()
        self.release.wait(WAIT_SECONDS)
        self.reply(handler, 200, b"held\n")

    def page_big(self, handler, body):
        self.reply(handler, 200, b"0123456789abcdef" * 262144)  # 4 MiB


class Reply:
    """A response, read whole."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def __getitem__(self, field):
        return self.headers.get(field)


class Gateway:
    """The program, started and stopped. `config` is YAML text; without, the default policy."""

    def __init__(
        self,
        folder,
        config=None,
        upstream=None,
        args=(),
        admin="127.0.0.1:0",
        threads=1,
        listen="127.0.0.1:0",
        command="gateway",
    ):
        self.folder = pathlib.Path(folder)
        self.port_file = self.folder / "ports"
        self.config = self.folder / "sluicegate.yaml"
        command = [PROGRAM, command, "--admin", admin]
        command += [] if listen is None else ["--listen", listen]  # None: as the file says.
        command += ["--port-file", str(self.port_file)]
        command += [] if threads is None else ["--threads", str(threads)]
        if config is not None:
            self.write_config(config)
            command += ["--config", str(self.config)]
        if upstream is not None:
            command += ["--upstream", upstream]
        self.connections = []  # What raw() opened.
        self.out = open(self.folder / "stdout", "w+b")
        self.err = open(self.folder / "stderr", "w+b")
        self.process = subprocess.Popen(
            command + list(args), stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err
        )
        try:
            wait_until(self.started, "the program's ports")
        except AssertionError:
            self.kill()
            raise AssertionError(f"the program did not start:\n{self.log()}") from None

    def started(self):
        if self.process.poll() is not None:
            raise AssertionError(f"exited with {self.process.returncode}:\n{self.log()}")
        if not self.port_file.exists():
            return False
        lines = [line.split("=", 1) for line in self.port_file.read_text().splitlines()]
        ports = [(door, int(address.rsplit(":", 1)[1])) for door, address in lines]
        self.ports = [port for door, port in ports if door == "gateway"]
        self.port = self.ports[0]
        self.admin_port = dict(ports).get("admin")
        return True

    def write_config(self, text):
        # All clients of a test are one, on loopback; tests of the caps say what they want.
        if "connections:" not in text:
            text = text.rstrip("\n") + "\nconnections: {per_client: off, new_per_second: off}\n"
        self.config.write_text(text)

    def log(self):
        return (self.folder / "stderr").read_text(errors="replace")

    def banner(self):
        return (self.folder / "stdout").read_text(errors="replace")

    def wait_for_log(self, text):
        wait_until(lambda: text in self.log(), f"{text!r} in the log:\n{self.log()}")

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=WAIT_SECONDS):
        """Stops it politely and returns its exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {seconds} s:\n{self.log()}") from None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_SECONDS)

    def close(self):
        self.kill()
        for connection in self.connections:
            connection.close()
        self.out.close()
        self.err.close()

    @staticmethod
    def ask(port, method, target, headers, body):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def request(self, method="GET", target="/", headers=None, body=None):
        return self.ask(self.port, method, target, headers, body)

    def admin(self, method="GET", target="/healthz", headers=None, body=None):
        return self.ask(self.admin_port, method, target, headers, body)

    def metrics(self):
        """{"name{labels}": value}"""
        page = self.admin(target="/metrics").body.decode()
        numbers = {}
        for line in page.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                numbers[name] = float(value)
        return numbers

    def raw(self, data=b""):
        """A bare connection to the gateway that has sent `data`."""
        connection = socket.create_connection(("127.0.0.1", self.port), WAIT_SECONDS)
        self.connections.append(connection)
        if data:
            connection.sendall(data)
        return connection


def read_to_end(connection, seconds=WAIT_SECONDS):
    """What a peer sends until it closes."""
    connection.settimeout(seconds)
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while True:
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
    return data


def read_until(connection, marker, seconds=WAIT_SECONDS):
    """What a peer sends up to and with `marker`."""
    connection.settimeout(seconds)
    data = b""
    while marker not in data:
        piece = connection.recv(65536)
        if not piece:
            raise AssertionError(f"closed before {marker!r}: {data!r}")
        data += piece
    return data


def run(*args, stdin=None, timeout=WAIT_SECONDS):
    """Runs the program to its end."""
    return subprocess.run(
        [PROGRAM, *args], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )


class EndToEnd(unittest.TestCase):
    """A test with a folder of its own, an origin, and gateways that are stopped at the end."""

    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.folders = 0

    def origin(self):
        origin = Origin()
        self.addCleanup(origin.close)
        return origin

    def gateway(self, config=None, **kwargs):
        self.folders += 1
        folder = self.folder / f"gateway{self.folders}"
        folder.mkdir()
        gateway = Gateway(folder, config, **kwargs)
        self.addCleanup(gateway.close)
        return gateway

    def file(self, name, text, mode=0o644):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path
