"""Every vector of tests/framing against the real program, before an upstream that records every byte.

What is refused must not reach the upstream with a single byte; what is forwarded must be there exactly as the table
says. That nothing came is no matter of waiting: behind each vector a request of another client goes through, and the
upstream answers it only when it has read all that the gateway wrote before (one thread writes, one thread reads).
"""

import dataclasses
import pathlib
import re
import socket
import sys
import unittest

from harness import WAIT_SECONDS, EndToEnd, wait_until
from raw_upstream import RawUpstream

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "framing"))
import request_vectors
import response_vectors

CONFIG = "request_id: off\ntimeouts: {upstream: 2s}\nrules:\n  - {name: all, key: [client], limits: [1000000/minute]}\n"
# Fields that the gateway writes itself, with what it must write for these clients.
OWN = {b"x-forwarded-for": b"127.0.0.1", b"x-real-ip": b"127.0.0.1", b"x-forwarded-proto": b"http"}
VIA = (b"1.0 sluicegate", b"1.1 sluicegate")
FRAMING = (b"host", b"content-length", b"transfer-encoding")


class Answer:
    """A final answer, as a client reads it."""

    def __init__(self, status, fields, body, whole):
        self.status, self.fields, self.body, self.whole = status, fields, body, whole


def read_chunks(data):
    """(body, its length in `data`, whether it is whole)"""
    body, at = b"", 0
    while size := re.compile(rb"([0-9A-Fa-f]+)(;[^\r\n]*)?\r\n").match(data, at):
        length, at = int(size[1], 16), size.end()
        if length == 0:
            end = re.compile(rb"([^\r\n: ]+:[^\r\n]*\r\n)*\r\n").match(data, at)
            return body, end.end() if end else len(data), bool(end)
        body += data[at : at + length]
        if data[at + length : at + length + 2] != b"\r\n":
            break
        at += length + 2
    return body, len(data), False


def parse(data, to_head, ended):
    """(answer, what follows it), or None while its head is not whole. Interim answers are passed over."""
    while True:
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            return None
        lines = head.split(b"\r\n")
        start = re.fullmatch(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*", lines[0])
        assert start, data[:200]
        status = int(start[1])
        if status >= 200 or status == 101:
            break
        data = rest
    pairs = [line.split(b": ", 1) for line in lines[1:]]
    fields = {name.lower(): value for name, value in pairs}
    assert sum(name.lower() in FRAMING for name, _ in pairs) <= 1, head
    if to_head or status in (204, 304):
        return Answer(status, fields, b"", True), rest
    if b"transfer-encoding" in fields:
        body, size, whole = read_chunks(rest)
        return Answer(status, fields, body, whole), rest[size:]
    if b"content-length" in fields:
        size = int(fields[b"content-length"])
        return Answer(status, fields, rest[:size], len(rest) >= size), rest[size:]
    return Answer(status, fields, rest, ended), b""


class Client:
    """A connection to the gateway, and what was read from it."""

    def __init__(self, gateway):
        self.socket = gateway.raw()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.ended = False

    def send(self, pieces):
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It was refused before the end; the answer tells.

    def read(self):
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
        self.data += piece
        self.ended = self.ended or not piece

    def answer(self, to_head=False):
        """The next final answer, whole or broken off by the connection's end; None: it ended before."""
        while True:
            parsed = parse(self.data, to_head, self.ended)
            if parsed and (parsed[0].whole or self.ended):
                self.data = parsed[1]
                return parsed[0]
            if self.ended:
                return None
            self.read()

    def read_to_end(self):
        while not self.ended:
            self.read()


class Framing(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = RawUpstream()
        self.addCleanup(self.upstream.close)
        self.door = self.gateway(CONFIG, upstream=self.upstream.url)

    def get(self, client, target):
        client.send([b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"])
        return client.answer()


class Requests(Framing):
    def setUp(self):
        super().setUp()
        self.other = Client(self.door)
        state = self.upstream.state()
        self.assertEqual(self.get(self.other, b"/fence").status, 200)
        _, came = self.upstream.since(state)
        (self.fence_bytes,) = came.values()

    def fence(self):
        """All that the gateway has written to the upstream is in its record."""
        answer = self.get(self.other, b"/fence")
        self.assertEqual((answer.status, answer.body), (200, b"seen /fence"))

    def check_message(self, message, seen):
        names = [name.lower() for name, _ in message.fields]
        for name in (b"connection", b"expect", b"keep-alive", b"te", b"trailer", b"http2-settings"):
            self.assertNotIn(name, names)
        self.assertNotIn(b"h2c", (message.value(b"upgrade") or b"").lower())
        for name, value in OWN.items():
            self.assertEqual(message.value(name), value, name)
        self.assertIn(message.value(b"x-forwarded-host"), (None, seen.host))  # None: it named no host.
        written_anew = (*OWN, b"x-forwarded-host")
        rest = tuple(
            name + b": " + value
            for name, value in message.fields
            if name.lower() not in (*written_anew, *FRAMING) and value not in VIA
        )
        if seen.fields is not request_vectors.ANY:
            self.assertEqual(rest, seen.fields)
        got = (message.method, message.target, message.value(b"host"), message.framing, message.body)
        self.assertEqual(got, (seen.method, seen.target, seen.host, seen.framing, seen.body))

    def check_upstream(self, state, wanted, cut_off, mark):
        messages, came = self.upstream.since(state)
        got = [message for message, _ in messages if message.target != b"/fence"]
        self.assertEqual([m.target for m in got], [seen.target for seen in wanted])
        for message, seen in zip(got, wanted):
            self.check_message(message, seen)
        unfinished = [connection for connection in came if connection.rest]
        self.assertEqual([c.fault for c in came if c.fault], [])
        if not cut_off:
            self.assertEqual([c.rest for c in unfinished], [])
            if not wanted:  # Not a byte but those of the other client.
                self.assertEqual(b"".join(came.values()), self.fence_bytes)
            return
        self.assertEqual(len(unfinished), 1)
        self.assertTrue(unfinished[0].rest.startswith(b"POST /" + mark + b" "), unfinished[0].rest)
        self.assertNotIn(b"smuggled", unfinished[0].rest)
        wait_until(lambda: unfinished[0].closed, "the end of a request that was cut off")

    def send(self, vector, raw, cut):
        client = Client(self.door)
        client.send(cut(raw))
        if vector.half_close:
            client.socket.shutdown(socket.SHUT_WR)
        return client

    def read_answers(self, client, wanted, heads):
        answers = [client.answer(at < len(heads) and heads[at]) for at in range(len(wanted))]
        self.assertEqual(tuple(a and a.status for a in answers), wanted)
        self.assertTrue(all(answer.whole for answer in answers))
        return answers

    def run_vector(self, vector, mark, cut, follow_at_once=False):
        """One vector, and behind it, where the connection stays open, a good request."""
        told = {b"MARK": mark, b"UPSTREAM": b"127.0.0.1:%d" % self.upstream.port}

        def fill(value):
            for word, text in told.items():
                value = value.replace(word, text)
            return value

        wanted = [
            dataclasses.replace(
                seen,
                target=fill(seen.target),
                body=fill(seen.body),
                fields=seen.fields and tuple(map(fill, seen.fields)),
                host=fill(seen.host),
            )
            for seen in vector.upstream
        ]
        raw, answers = fill(vector.raw), vector.answers
        heads = [seen.method == b"HEAD" for seen in wanted]
        last = request_vectors.Seen(target=b"/" + mark + b"-last")
        follow = b"GET " + last.target + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        state = self.upstream.state()
        client = self.send(vector, raw + follow if follow_at_once else raw, cut)
        got = self.read_answers(client, answers, heads)
        if vector.closes:
            client.read_to_end()
            self.assertEqual(client.data, b"")
            if got:
                self.assertEqual(got[-1].fields.get(b"connection"), b"close")
        else:
            if not follow_at_once:
                client.send([follow])
            (answer,) = self.read_answers(client, (200,), ())
            self.assertEqual(answer.body, b"seen " + last.target)
            wanted.append(last)
        client.socket.close()
        self.fence()
        self.check_upstream(state, wanted, vector.cut_off, mark)

    def run_all(self, letter, cut, choose=lambda vector: True, **more):
        vectors = [vector for vector in request_vectors.VECTORS if choose(vector)]
        self.assertGreater(len(vectors), 80)
        for number, vector in enumerate(vectors):
            with self.subTest(vector.group, name=vector.name):
                self.run_vector(vector, b"%b%03d" % (letter, number), cut, **more)

    def test_whole(self):
        self.run_all(b"w", lambda raw: [raw])

    def test_with_the_next_request_behind_them(self):
        self.run_all(b"n", lambda raw: [raw], lambda vector: not vector.closes, follow_at_once=True)

    def test_line_by_line(self):
        self.run_all(b"l", lambda raw: re.split(rb"(?<=\n)", raw))

    def test_byte_by_byte(self):
        self.run_all(b"b", lambda raw: [raw[i : i + 1] for i in range(len(raw))], lambda vector: not vector.slow)

    def test_the_table_is_large_and_its_names_tell_apart(self):
        names = [(vector.group, vector.name) for vector in request_vectors.VECTORS]
        self.assertEqual(len(set(names)), len(names))
        self.assertGreaterEqual(len(names), 80)


class Responses(Framing):
    def connection_of(self, target):
        return next(c for message, c in reversed(self.upstream.messages) if message.target == target)

    def run_vector(self, vector, target):
        self.upstream.script[target] = (vector.raw, vector.ends, vector.endless)
        client = Client(self.door)
        client.send([vector.method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"])
        answer = client.answer(vector.method == b"HEAD")
        self.assertIsNotNone(answer)
        self.assertIn(answer.status, vector.statuses)
        if answer.status < 500:
            self.assertEqual(answer.whole, vector.whole)
        if vector.body is not None:
            self.assertEqual(answer.body, vector.body)
        for name in vector.lacks:
            self.assertNotIn(name, answer.fields)
        self.assertNotIn(b"evil", answer.body + client.data)
        upstream = self.connection_of(target)
        if vector.later:
            self.upstream.send_unasked(upstream, vector.later)
        # What came too much is neither this client's next answer nor another one's.
        clients = [Client(self.door)]
        if not client.ended and answer.fields.get(b"connection") != b"close":
            clients.insert(0, client)
        for number, other in enumerate(clients):
            after = target + b"-after-%d" % number
            next_answer = self.get(other, after)
            self.assertEqual((next_answer.status, next_answer.body), (200, b"seen " + after))
            self.assertEqual(self.connection_of(after) is upstream, vector.reused)
        if not vector.reused:
            wait_until(lambda: upstream.closed, "the end of a spoiled connection", WAIT_SECONDS)

    def test_all(self):
        self.assertGreaterEqual(len(response_vectors.VECTORS), 80)
        for number, vector in enumerate(response_vectors.VECTORS):
            with self.subTest(vector.name):
                self.run_vector(vector, b"/r%04d" % number)


if __name__ == "__main__":
    unittest.main()
