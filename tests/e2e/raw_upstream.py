"""An upstream that records every byte of every connection, and reads requests by a reader of its own."""

import re
import selectors
import socket
import threading

# What the gateway may write, and no more: a strict reader finds what a lenient one would guess at.
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\x00-\x20\x7f]+) HTTP/1\.1")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\x00-\x08\x0a-\x1f\x7f]*)")
CHUNK = re.compile(rb"([0-9a-f]{1,16})\r\n")


class Misframed(Exception):
    """Bytes that no gateway may send."""


class Message:
    """One request, as its bytes say."""

    def __init__(self, method, target, fields, body, framing):
        self.method, self.target, self.fields, self.body, self.framing = method, target, fields, body, framing

    def value(self, name):
        values = [value for field, value in self.fields if field.lower() == name]
        return values[0] if len(values) == 1 else None


def split_head(data):
    """(method, target, fields, length of the head), or None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *rest = data[:end].split(b"\r\n")
    line = REQUEST_LINE.fullmatch(first)
    fields = [FIELD.fullmatch(text) for text in rest]
    if not line or not all(fields):
        raise Misframed(data[:end])
    return line[1], line[2], [(field[1], field[2]) for field in fields], end + 4


def read_chunks(data):
    """(body, length), or None while it is not whole."""
    body, at = b"", 0
    while chunk := CHUNK.match(data, at):
        size, begin = int(chunk[1], 16), chunk.end()
        if len(data) < begin + size + 2:
            return None
        if data[begin + size : begin + size + 2] != b"\r\n":
            raise Misframed(data)
        body, at = body + data[begin : begin + size], begin + size + 2
        if size == 0:
            return body, at
    if at < len(data) and not re.fullmatch(rb"[0-9a-f]{1,16}\r?", data[at:]):
        raise Misframed(data)
    return None


def read_message(data):
    """(message, its length), or None while it is not whole."""
    head = split_head(data)
    if head is None:
        return None
    method, target, fields, size = head
    names = [name.lower() for name, _ in fields]
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    if names.count(b"host") != 1 or len(lengths) + len(codings) > 1:
        raise Misframed(data[:size])
    if codings:
        if codings != [b"chunked"]:
            raise Misframed(data[:size])
        chunks = read_chunks(data[size:])
        return chunks and (Message(method, target, fields, chunks[0], b"chunked"), size + chunks[1])
    length = int(lengths[0]) if lengths else 0
    if len(data) < size + length:
        return None
    body = data[size : size + length]
    return Message(method, target, fields, body, b"length" if lengths else b""), size + length


class Connection:
    def __init__(self, sock):
        self.socket = sock
        self.raw = b""  # Every byte that came.
        self.rest = b""  # Of it, what belongs to no whole request yet.
        self.out = b""
        self.endless = b""
        self.ends = False  # To be closed when `out` is sent.
        self.closed = False
        self.fault = None


class RawUpstream:
    """Answers each request with its target, or as `script` says: {target: (bytes, ends, endless)}.

    One thread does all: it reads whatever has come on every connection before it answers on any, so when a request is
    answered all that the gateway had written before is in the record.
    """

    def __init__(self):
        self.script = {}
        self.lock = threading.Lock()  # Guards what follows.
        self.connections = []
        self.messages = []  # (message, connection), in the order in which they were whole.
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.wake_read, self.wake_write = socket.socketpair()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.wake_read, selectors.EVENT_READ)
        self.stopped = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.stopped = True
        self.wake_write.send(b"x")
        self.thread.join()
        for connection in self.connections:
            connection.socket.close()
        for sock in (self.listener, self.wake_read, self.wake_write):
            sock.close()
        self.selector.close()

    def run(self):
        while not self.stopped:
            ready = self.selector.select()
            with self.lock:
                for key, mask in ready:
                    if key.fileobj is self.listener:
                        self.accept()
                    elif key.data and mask & selectors.EVENT_READ:
                        self.read(key.data)
                for connection in self.connections:
                    if not connection.closed:
                        self.take_requests(connection)
                        self.write(connection)

    def accept(self):
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock)
        self.connections.append(connection)
        self.selector.register(sock, selectors.EVENT_READ, connection)

    def read(self, connection):
        try:
            while piece := connection.socket.recv(65536):
                connection.raw += piece
                connection.rest += piece
            self.drop(connection)
        except BlockingIOError:
            pass
        except OSError:
            self.drop(connection)

    def drop(self, connection):
        if not connection.closed:
            connection.closed = True
            self.selector.unregister(connection.socket)
            connection.socket.close()

    def take_requests(self, connection):
        try:
            while not connection.fault and (read := read_message(connection.rest)):
                message, size = read
                connection.rest = connection.rest[size:]
                self.messages.append((message, connection))
                self.answer(message, connection)
        except Misframed as fault:
            connection.fault = fault

    def answer(self, message, connection):
        body = b"" if message.method == b"HEAD" else b"seen " + message.target
        size = len(b"seen " + message.target)
        plain = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, body)
        raw, ends, endless = self.script.get(message.target, (plain, False, b""))
        connection.out += raw
        connection.endless = endless
        connection.ends = ends

    def write(self, connection):
        try:
            connection.out = connection.out or connection.endless
            while connection.out:
                connection.out = connection.out[connection.socket.send(connection.out) :]
            if connection.ends:
                self.drop(connection)
                return
        except BlockingIOError:
            pass
        except OSError:
            self.drop(connection)
            return
        more = connection.out or connection.endless
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if more else 0)
        self.selector.modify(connection.socket, events, connection)

    def send_unasked(self, connection, data):
        """Returns when the bytes are on their way."""
        with self.lock:
            connection.socket.sendall(data)

    def state(self):
        """(messages so far, bytes so far on each connection)"""
        with self.lock:
            return len(self.messages), [len(connection.raw) for connection in self.connections]

    def since(self, state):
        """What came since: [(message, connection)], {connection: its bytes}"""
        messages, sizes = state
        with self.lock:
            came = {}
            for at, connection in enumerate(self.connections):
                raw = connection.raw[sizes[at] if at < len(sizes) else 0 :]
                if raw:
                    came[connection] = raw
            return self.messages[messages:], came
