"""slowhttptest against the gateway: 4,000 slow connections of each kind, while others are served.

Each attack must be over soon after its deadline, every request of an honest client meanwhile must
succeed, and what a slow connection costs in memory is told. The caps of connections a client are off
here, as all of them come from one address; a test of its own shows what they leave of an attack.
"""

import contextlib
import os
import pathlib
import resource
import select
import shutil
import socket
import subprocess
import threading
import time
import unittest

from harness import EndToEnd, wait_until

CONNECTIONS = int(os.environ.get("SLUICEGATE_SLOW_CONNECTIONS", "4000"))
RULES = "rules:\n  - {name: all, key: [client], limits: [100000000/minute]}\n"
OPEN = "connections: {per_client: off, new_per_second: off}\ntimeouts: {idle: 30s}\n" + RULES
LARGE = b"x" * 300_000  # More than the system takes for a client that does not read.
VAST = b"x" * 20_000_000  # Likewise with ordinary buffers.


UNPACKED = pathlib.Path(__file__).parents[2] / "build/tools/usr/sbin/nginx"
NGINX = shutil.which("nginx") or (str(UNPACKED) if UNPACKED.exists() else None)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def resident_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


class Reader(threading.Thread):
    """Asks for much and reads it at its pace, from a network with ordinary packets, until it has it or is cut off."""

    def __init__(self, port, bytes_per_second, buffer=None):
        super().__init__(daemon=True)
        self.port, self.rate, self.buffer = port, bytes_per_second, buffer
        self.got = self.lasted = 0
        self.start()

    def run(self):
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
        if self.buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        client.connect(("127.0.0.1", self.port))
        client.sendall(b"GET /vast HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        begun = time.monotonic()
        cut_off = select.poll()
        cut_off.register(client, select.POLLERR)
        with client, contextlib.suppress(OSError):
            head = b""
            while self.rate and b"\r\n\r\n" not in head:
                head += client.recv(1)
            while self.got < len(VAST) and not cut_off.poll(0):
                if self.rate:
                    # Half a second's worth; the rest is fast, or it would take minutes.
                    fast = time.monotonic() - begun > 30
                    self.got += len(client.recv(65536 if fast else self.rate // 2))
                time.sleep(0.01 if self.rate and time.monotonic() - begun > 30 else 0.5)
        self.lasted = time.monotonic() - begun


class Honest(threading.Thread):
    """A client that asks again and again, each time on a connection of its own."""

    def __init__(self, door):
        super().__init__(daemon=True)
        self.door = door
        self.ended = threading.Event()
        self.answers = []
        self.start()

    def run(self):
        while not self.ended.is_set():
            try:
                self.answers.append(self.door.request(target="/fast").status)
            except OSError as error:
                self.answers.append(repr(error))
            self.ended.wait(0.05)

    def stop(self):
        self.ended.set()
        self.join()
        return self.answers


@unittest.skipUnless(shutil.which("slowhttptest") and NGINX, "slowhttptest or nginx is missing: tools/install_packages.sh test")
class SlowClients(EndToEnd):
    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 3 * CONNECTIONS:
            self.skipTest(f"only {hard} files may be open here, and {3 * CONNECTIONS} are needed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.upstream = self.start_nginx()

    def start_nginx(self):
        """A server that takes any number of connections, and reads a request's body before it answers."""
        place = self.folder / "nginx"
        place.mkdir()
        (place / "large").write_bytes(LARGE)
        (place / "vast").write_bytes(VAST)
        os.chmod(self.folder, 0o755)
        port, inner = free_port(), free_port()
        (place / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; worker_rlimit_nofile {4 * CONNECTIONS}; pid {place}/pid;\n"
            f"error_log /dev/null crit; events {{ worker_connections {3 * CONNECTIONS}; }}\n"
            f"http {{ access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p;\n"
            f"fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n"
            f"server {{ listen 127.0.0.1:{inner}; location / {{ return 200 'hello'; }} }}\n"
            f"server {{ listen 127.0.0.1:{port} backlog=4096; location /large {{ root {place}; }} location /vast {{ root {place}; }}\n"
            f"location / {{ proxy_pass http://127.0.0.1:{inner}; }} }} }}\n"
        )
        process = subprocess.Popen([NGINX, "-p", place, "-c", place / "nginx.conf"], stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, "nginx")
        return f"http://127.0.0.1:{port}"

    def attack(self, kind, door, *options, path="/", deadline):
        """Until all are closed; gives the bytes of memory that each took, at most."""
        url = f"http://127.0.0.1:{door.port}{path}"
        command = ["slowhttptest", "-c", str(CONNECTIONS), "-r", "4000", "-l", str(3 * deadline), *options, "-u", url]
        before = resident_bytes(door.process.pid)
        honest = Honest(door)
        with open(self.folder / "attack.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        most = opened_at = 0
        while True:
            metrics = door.metrics()
            most = max(most, resident_bytes(door.process.pid))
            opened = metrics["sluicegate_gateway_connections_total"] - len(honest.answers)
            if not opened_at and opened >= CONNECTIONS:
                opened_at = time.monotonic()
            left = metrics["sluicegate_gateway_open_connections"]
            if opened_at and left <= 2:  # The honest client's.
                break
            self.assertLess(time.monotonic() - (opened_at or time.monotonic()), 3 * deadline, f"{left} are left")
            time.sleep(0.1)
        took = time.monotonic() - opened_at
        answers = honest.stop()
        self.assertEqual(set(answers), {200}, f"of {len(answers)} honest requests")
        memory = (most - before) / CONNECTIONS
        print(
            f"\n{kind}: {CONNECTIONS} connections, all closed {took:.1f} s after the last was opened (deadline {deadline} s), "
            f"at most {memory:,.0f} bytes of memory each; {len(answers)} honest requests meanwhile"
        )
        # Two seconds are promised, on a machine that has nothing else to do.
        self.assertLessEqual(took, deadline + 5)
        return memory

    def test_slow_heads(self):
        door = self.gateway(OPEN, upstream=self.upstream)
        self.assertLessEqual(self.attack("slow heads (-H)", door, "-H", "-i", "3", deadline=10), 4096)

    def test_slow_bodies(self):
        door = self.gateway(OPEN, upstream=self.upstream)
        self.attack("slow bodies (-B)", door, "-B", "-i", "3", "-s", "100000", deadline=10)

    def test_ranges(self):
        door = self.gateway(OPEN, upstream=self.upstream)
        self.attack("ranges (-R)", door, "-R", "-t", "HEAD", "-i", "3", deadline=10)

    def test_slow_readers(self):
        door = self.gateway(OPEN, upstream=self.upstream)
        self.attack(
            "slow readers (-X)", door, "-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", path="/large", deadline=20
        )

    # Ordinary buffers take much at once, before the client has read a byte.
    def test_what_the_systems_buffers_take_is_not_read(self):
        door = self.gateway(OPEN, upstream=self.upstream)
        silent = Reader(door.port, bytes_per_second=0)
        slow = Reader(door.port, bytes_per_second=5000, buffer=16384)
        silent.join(40)
        self.assertFalse(silent.is_alive(), "it is still served")
        self.assertGreater(silent.lasted, 19)
        self.assertLess(silent.lasted, 27)
        slow.join(60)
        self.assertEqual(slow.got, len(VAST), "a slow but steady reader gets everything")

    def test_the_caps_leave_little_of_an_attack(self):
        door = self.gateway(
            "connections: {per_client: 64}\nclients: {trusted_proxies: [127.0.0.2]}\n" + RULES, upstream=self.upstream
        )
        before = resident_bytes(door.process.pid)
        report = self.folder / "report"
        subprocess.run(
            ["slowhttptest", "-H", "-c", "1000", "-r", "1000", "-l", "5", "-g", "-o", str(report),
             "-u", f"http://127.0.0.1:{door.port}/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )
        metrics = door.metrics()
        self.assertLessEqual(metrics["sluicegate_gateway_open_connections"], 64)
        self.assertGreater(metrics['sluicegate_gateway_refusals_total{reason="connections"}'], 500)
        self.assertLess(resident_bytes(door.process.pid) - before, 2 << 20)


if __name__ == "__main__":
    unittest.main()
