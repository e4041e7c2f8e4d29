"""Hostile bytes and hostile slowness against the real program."""

import re
import socket
import time
import unittest

from harness import WAIT_SECONDS, EndToEnd, read_to_end, wait_until

OPEN = "rules:\n  - {name: all, key: [client], limits: [100000/minute]}\n"
H = b"Host: a\r\n"


class Framing(EndToEnd):
    """Refused, closed, and not one byte of it reaches the upstream."""

    def setUp(self):
        super().setUp()
        self.upstream = self.origin()
        self.door = self.gateway(OPEN, upstream=self.upstream.url)

    def refused(self, data, status):
        before = len(self.upstream.requests)
        reply = read_to_end(self.door.raw(data))
        self.assertTrue(reply.startswith(b"HTTP/1.1 %d " % status), (data[:80], reply[:200]))
        answers = re.findall(rb"HTTP/1\.1 \d{3} ", reply)
        self.assertEqual(len(answers), 1, "the smuggled request was answered")
        self.assertEqual(len(self.upstream.requests), before, data[:80])

    def test_requests_that_two_servers_could_read_differently(self):
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        chunks = b"0\r\n\r\n"
        te = b"Transfer-Encoding: chunked\r\n"
        cases = {
            "length and chunked": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n" + te + b"\r\n" + chunks,
            "chunked and length": b"POST / HTTP/1.1\r\n" + H + te + b"Content-Length: 5\r\n\r\n" + chunks,
            "two lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "equal lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "list length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1, 1\r\n\r\na",
            "signed length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +1\r\n\r\na",
            "negative length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: -1\r\n\r\n",
            "hex length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0x1\r\n\r\na",
            "huge length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 99999999999999999999\r\n\r\n",
            "chunked twice": b"POST / HTTP/1.1\r\n" + H + te + te + b"\r\n" + chunks,
            "chunked, chunked": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + chunks,
            "gzip, chunked": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunks,
            "identity": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: identity\r\n\r\n",
            "xchunked": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: xchunked\r\n\r\n" + chunks,
            "vertical tab": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + chunks,
            "space before colon": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding : chunked\r\n\r\n" + chunks,
            "folding": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + chunks,
            "chunked on 1.0": b"POST / HTTP/1.0\r\n" + H + te + b"\r\n" + chunks,
            "bare LF": b"GET / HTTP/1.1\n" + b"Host: a\n\n",
            "bare LF in a field": b"GET / HTTP/1.1\r\n" + H + b"X: a\nY: b\r\n\r\n",
            "bare CR in a field": b"GET / HTTP/1.1\r\n" + H + b"X: a\rY: b\r\n\r\n",
            "NUL": b"GET / HTTP/1.1\r\n" + H + b"X: a\x00b\r\n\r\n",
            "control character": b"GET / HTTP/1.1\r\n" + H + b"X: a\x07b\r\n\r\n",
            "space in the target": b"GET /a b HTTP/1.1\r\n" + H + b"\r\n",
            "tab in the line": b"GET\t/ HTTP/1.1\r\n" + H + b"\r\n",
            "encoded slash": b"GET /a%2fb HTTP/1.1\r\n" + H + b"\r\n",
            "encoded NUL": b"GET /a%00b HTTP/1.1\r\n" + H + b"\r\n",
            "two hosts": b"GET / HTTP/1.1\r\n" + H + H + b"\r\n",
            "no host": b"GET / HTTP/1.1\r\n\r\n",
            "no colon": b"GET / HTTP/1.1\r\n" + H + b"nonsense\r\n\r\n",
            "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32 + b"\r\n\r\n",
        }
        for name, data in cases.items():
            with self.subTest(name):
                self.refused(data + smuggled, 400)

    def test_bad_chunks_never_become_a_request(self):
        head = b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n"
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        for name, chunks in {
            "not hex": b"zz\r\n",
            "signed": b"+5\r\nhello\r\n0\r\n\r\n",
            "prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
            "too long": b"fffffffffffffffff\r\n",
            "no CRLF after data": b"5\r\nhelloX0\r\n\r\n",
            "bare LF": b"5\nhello\n0\n\n",
            "space before size": b" 5\r\nhello\r\n0\r\n\r\n",
        }.items():
            with self.subTest(name):
                reply = read_to_end(self.door.raw(head + chunks + smuggled))
                self.assertLessEqual(reply.count(b"HTTP/1.1 "), 1, reply)
                self.assertNotIn(b"HTTP/1.1 200", reply)
        self.assertNotIn("/smuggled", [request[1] for request in self.upstream.requests])

    def test_long_lines_and_many_fields(self):
        self.refused(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414)
        self.refused(b"GET / HTTP/1.1\r\n" + H + b"X: " + b"a" * 40000 + b"\r\n\r\n", 431)
        many = b"".join(b"X-%d: a\r\n" % n for n in range(150))
        self.refused(b"GET / HTTP/1.1\r\n" + H + many + b"\r\n", 431)

    def test_a_head_in_single_bytes_is_the_same_request(self):
        connection = self.door.raw()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":
            connection.sendall(bytes([byte]))
        self.assertTrue(read_to_end(connection).startswith(b"HTTP/1.1 200"))

    def test_refusals_are_counted_by_reason(self):
        self.refused(b"GET / HTTP/1.1\r\nbad field: x\r\n\r\n", 400)
        self.assertTrue(
            any("reason=" in name and value >= 1 for name, value in self.door.metrics().items()),
            "no reason counted",
        )


class Slowness(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()

    def closes_within(self, connection, low, high):
        begin = time.monotonic()
        reply = read_to_end(connection)
        took = time.monotonic() - begin
        self.assertTrue(low <= took <= high, (took, reply))
        return reply

    def test_a_slow_head_is_closed_on_an_absolute_deadline(self):
        door = self.gateway("timeouts: {header: 1s, idle: 30s}\n" + OPEN, upstream=self.upstream.url)
        connection = door.raw(b"GET / HTTP/1.1\r\n")
        begin = time.monotonic()
        closed = False
        # A byte now and then must not push the deadline back.
        while time.monotonic() - begin < WAIT_SECONDS and not closed:
            try:
                connection.sendall(b"X")
                connection.settimeout(0.1)
                closed = connection.recv(4096) == b"" or closed
            except socket.timeout:
                pass
            except OSError:
                closed = True
        took = time.monotonic() - begin
        self.assertTrue(closed)
        self.assertTrue(0.5 <= took <= 8, took)

    def test_honest_clients_are_served_while_many_are_slow(self):
        door = self.gateway("timeouts: {header: 2s}\n" + OPEN, upstream=self.upstream.url)
        slow = [door.raw(b"GET / HT") for _ in range(200)]
        for _ in range(20):
            self.assertEqual(door.request().status, 200)
        for connection in slow:
            read_to_end(connection)  # Each is closed.

    def test_an_idle_connection_is_closed(self):
        door = self.gateway("timeouts: {idle: 1s}\n" + OPEN, upstream=self.upstream.url)
        connection = door.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = self.closes_within(connection, 0.3, 8)
        self.assertEqual(reply.count(b"HTTP/1.1 200"), 1)

    def test_a_stalled_body_is_closed(self):
        door = self.gateway("timeouts: {idle: 1s}\n" + OPEN, upstream=self.upstream.url)
        connection = door.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        reply = self.closes_within(connection, 0.3, 8)
        self.assertNotIn(b"HTTP/1.1 200", reply)

    def test_a_reader_that_stops_reading_is_closed(self):
        door = self.gateway("timeouts: {idle: 1s}\n" + OPEN, upstream=self.upstream.url)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", door.port))
        self.addCleanup(connection.close)
        connection.sendall(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(door.request().status, 200)
        # The stream ends when its writes fail, that is when the gateway gives the reader up.
        self.assertEqual(self.upstream.disconnects.get(timeout=WAIT_SECONDS), "/flood")

    def test_a_body_too_large_is_413(self):
        door = self.gateway("max_body: 1KiB\n" + OPEN, upstream=self.upstream.url)
        reply = read_to_end(
            door.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n" + b"a" * 2000)
        )
        self.assertTrue(reply.startswith(b"HTTP/1.1 413 "), reply[:100])
        self.assertEqual(self.upstream.requests, [])

    def test_the_admin_door_closes_slow_clients_and_serves_others(self):
        door = self.gateway(OPEN, upstream=self.upstream.url)
        slow = []
        for _ in range(100):
            connection = socket.create_connection(("127.0.0.1", door.admin_port), WAIT_SECONDS)
            self.addCleanup(connection.close)
            slow.append(connection)
        # More than it holds are turned away at once; closing some makes room.
        for connection in slow:
            connection.close()
        wait_until(lambda: self.admin_answers(door), "the admin door")

    @staticmethod
    def admin_answers(door):
        try:
            return door.admin(target="/healthz").status == 200
        except OSError:
            return False


if __name__ == "__main__":
    unittest.main()
