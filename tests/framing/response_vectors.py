"""What an upstream answers to be read in two ways, and what the client must get.

The upstream sends `raw` when it has read the request for the row's path, and closes then if `ends`. Whatever it is, the
next client's answer must be its own, and where something was wrong the connection to the upstream is not used again.
"""

import dataclasses

OK = b"HTTP/1.1 200 OK\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@dataclasses.dataclass(frozen=True)
class Response:
    name: str
    raw: bytes
    statuses: tuple  # Of the final answer: one of these.
    body: bytes | None = None  # None: whatever the gateway says.
    whole: bool = True  # False: the client must see that the answer broke off.
    reused: bool = False  # The connection to the upstream carries the next request.
    ends: bool = False  # The upstream closes behind `raw`.
    endless: bytes = b""  # What it goes on sending behind `raw` for ever.
    method: bytes = b"GET"
    lacks: tuple = ()  # Names of fields that the client must not get.
    later: bytes = b""  # What the upstream sends unasked when the client has its answer.


def good(name, raw, body=b"ok", status=200, **more):
    return Response(name, raw, (status,), body, reused=True, **more)


def bad(name, raw, **more):
    """Nothing of it can be relayed."""
    return Response(name, raw, (502,), **more)


def broken(name, raw, **more):
    """Its head is good; its body is not, or ends early."""
    return Response(name, raw, (200, 502), whole=False, **more)


def left_over(name, raw, body=b"ok", **more):
    """The answer is good, and more came behind it."""
    return Response(name, raw, (200,), body, **more)


def answer(*fields, body=b""):
    return OK + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


TE = b"Transfer-Encoding: chunked"
TWO = b"2\r\nok\r\n0\r\n\r\n"

VECTORS = [
    # Good ones, so that the others say something.
    good("length", answer(b"Content-Length: 2", body=b"ok")),
    good("chunks", answer(TE, body=TWO)),
    good("chunks, in capitals", answer(b"Transfer-Encoding: Chunked", body=TWO)),
    good("an extension", answer(TE, body=b"2;a=b\r\nok\r\n0\r\n\r\n")),
    good("no body", answer(b"Content-Length: 0"), b""),
    good("204", b"HTTP/1.1 204 No Content\r\n\r\n", b"", 204),
    good("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", b"", 304),
    good("HEAD with a length", answer(b"Content-Length: 100"), b"", method=b"HEAD"),
    good("HEAD with chunks", answer(TE), b"", method=b"HEAD"),
    good("no reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    good("trailers", answer(TE, body=b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")),
    good(
        "trailers with the names of framing",
        answer(TE, body=b"2\r\nok\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n"),
    ),
    good(
        "hop-by-hop fields",
        answer(
            b"Connection: X-Hop, Content-Length", b"X-Hop: 1", b"Keep-Alive: 5", b"Proxy-Authenticate: x",
            b"Content-Length: 2", body=b"ok",
        ),
        lacks=(b"x-hop", b"keep-alive", b"proxy-authenticate"),
    ),
    good(
        "Upgrade, which nobody asked for",
        answer(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 2", body=b"ok"), lacks=(b"upgrade",),
    ),
    good("100, then 200", b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"Content-Length: 2", body=b"ok")),
    good("103, then 200", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(b"Content-Length: 2", body=b"ok")),
    good(
        "ten interim ones, then 200",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 10 + answer(b"Content-Length: 2", body=b"ok"),
    ),
    Response("until the close", answer(body=b"ok"), (200,), b"ok", ends=True),
    Response("Connection: close", answer(b"Connection: close", b"Content-Length: 2", body=b"ok"), (200,), b"ok"),
    Response("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", (200,), b"ok"),
    # Framing in two ways.
    bad("length and chunks", answer(b"Content-Length: 2", TE, body=TWO)),
    bad("chunks and length", answer(TE, b"Content-Length: 100", body=TWO)),
    bad("two lengths", answer(b"Content-Length: 2", b"Content-Length: 4", body=b"okok")),
    bad("two equal lengths", answer(b"Content-Length: 2", b"Content-Length: 2", body=b"ok")),
    bad("a list of lengths", answer(b"Content-Length: 2, 2", body=b"ok")),
    bad("a signed length", answer(b"Content-Length: +2", body=b"ok")),
    bad("a negative length", answer(b"Content-Length: -2", body=b"ok")),
    bad("an empty length", answer(b"Content-Length:", body=b"ok")),
    bad("a hexadecimal length", answer(b"Content-Length: 0x2", body=b"ok")),
    bad("a huge length", answer(b"Content-Length: 18446744073709551618", body=b"ok")),
    bad("gzip, chunked", answer(b"Transfer-Encoding: gzip, chunked", body=TWO)),
    bad("chunked, identity", answer(b"Transfer-Encoding: chunked, identity", body=TWO)),
    bad("identity", answer(b"Transfer-Encoding: identity", body=b"ok"), ends=True),
    bad("xchunked", answer(b"Transfer-Encoding: xchunked", body=TWO), ends=True),
    bad("chunked twice", answer(TE, TE, body=TWO)),
    bad("chunked on HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + TWO),
    bad("204 with a length", b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"),
    bad("204 with chunks", b"HTTP/1.1 204 No Content\r\n" + TE + b"\r\n\r\n" + TWO),
    bad("100 with a length", b"HTTP/1.1 100 Continue\r\nContent-Length: 50\r\n\r\n" + EVIL),
    bad("100 with chunks", b"HTTP/1.1 100 Continue\r\n" + TE + b"\r\n\r\n" + TWO + EVIL),
    bad(
        "101, which nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + EVIL,
    ),
    # Heads.
    bad("a folded field", answer(b"X: y\r\n z", b"Content-Length: 2", body=b"ok")),
    bad("a folded length", answer(b"X: y\r\n Content-Length: 2", body=b"ok"), ends=True),
    bad("space before the colon", answer(b"Content-Length : 2", body=b"ok"), ends=True),
    bad("bare LF in the head", answer(b"X: y\nContent-Length: 2", body=b"ok"), ends=True),
    bad("bare LF behind the status line", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", ends=True),
    bad("bare LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", ends=True),
    bad("bare CR", answer(b"X: y\rZ: z", b"Content-Length: 2", body=b"ok")),
    bad("NUL in a value", answer(b"X: \x00", b"Content-Length: 2", body=b"ok")),
    bad("a name that is none", answer(b"X Y: z", b"Content-Length: 2", body=b"ok")),
    bad("no colon", answer(b"nonsense", b"Content-Length: 2", body=b"ok")),
    bad("an empty name", answer(b": x", b"Content-Length: 2", body=b"ok")),
    bad("101 fields", answer(*[b"X-%d: a" % n for n in range(101)], b"Content-Length: 2", body=b"ok")),
    bad("a field over 32 KiB", answer(b"X: " + b"a" * 33000, b"Content-Length: 2", body=b"ok")),
    bad("a head without end", OK + b"X: " + b"a" * 60000),
    bad("a status line over 8 KiB", b"HTTP/1.1 200 " + b"a" * 9000 + b"\r\nContent-Length: 2\r\n\r\nok"),
    bad("an empty line before", b"\r\n" + EVIL),
    bad("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    bad("HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    bad("http/1.1", b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    bad("ICY", b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    bad("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    bad("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    bad("status 600", b"HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok"),
    bad("status 099", b"HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nok"),
    bad("a signed status", b"HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nok"),
    bad("a request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    bad("HTTP/0.9", b"<html>ok</html>", ends=True),
    bad("nothing", b"", ends=True),
    bad("half a head", OK + b"Content-Len", ends=True),
    bad("an interim answer and the end", b"HTTP/1.1 100 Continue\r\n\r\n", ends=True),
    # Bodies.
    broken("less than its length", answer(b"Content-Length: 5", body=b"ok"), ends=True),
    broken("no last chunk", answer(TE, body=b"2\r\nok\r\n"), ends=True),
    broken("no end behind the last chunk", answer(TE, body=b"2\r\nok\r\n0\r\n"), ends=True),
    broken("a size that is none", answer(TE, body=b"zz\r\nok\r\n0\r\n\r\n")),
    broken("a negative size", answer(TE, body=b"-2\r\nok\r\n0\r\n\r\n")),
    broken("0x", answer(TE, body=b"0x2\r\nok\r\n0\r\n\r\n")),
    broken("a space before the size", answer(TE, body=b" 2\r\nok\r\n0\r\n\r\n")),
    broken("a huge size", answer(TE, body=b"10000000000000002\r\nok\r\n0\r\n\r\n")),
    broken("an empty size", answer(TE, body=b"\r\nok\r\n0\r\n\r\n")),
    broken("bare LF behind a size", answer(TE, body=b"2\nok\r\n0\r\n\r\n")),
    broken("bare LF in an extension", answer(TE, body=b"2;a\nb\r\nok\r\n0\r\n\r\n")),
    broken("nothing behind the data", answer(TE, body=b"2\r\nok0\r\n\r\n")),
    broken("more data than its size", answer(TE, body=b"1\r\nok\r\n0\r\n\r\n")),
    broken("a trailer that is none", answer(TE, body=b"2\r\nok\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n")),
    broken("a folded trailer", answer(TE, body=b"2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n")),
    broken("chunks that are none", answer(TE, body=b"ok"), ends=True),
    # More than was asked for.
    left_over("a second answer", answer(b"Content-Length: 2", body=b"ok") + EVIL),
    left_over("more than its length", answer(b"Content-Length: 2", body=b"okay")),
    left_over("an empty line behind", answer(b"Content-Length: 2", body=b"ok\r\n")),
    left_over("a second answer behind chunks", answer(TE, body=TWO) + EVIL),
    left_over("a second end behind chunks", answer(TE, body=TWO + b"0\r\n\r\n")),
    left_over("a body behind HEAD", answer(b"Content-Length: 2", body=b"ok"), b"", method=b"HEAD"),
    left_over("an answer behind HEAD", answer(b"Content-Length: 4") + EVIL, b"", method=b"HEAD"),
    left_over("a body behind a length of 0", answer(b"Content-Length: 0") + EVIL, b""),
    Response("a body behind 204", b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL, (204,), b""),
    Response("a body behind 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", (304,), b""),
    left_over("an answer to nobody", answer(b"Content-Length: 2", body=b"ok"), later=EVIL),
    left_over(
        "an interim answer to nobody", answer(b"Content-Length: 2", body=b"ok"), later=b"HTTP/1.1 100 Continue\r\n\r\n",
    ),
    left_over("a byte to nobody", answer(TE, body=TWO), later=b"\n"),
    # The client must get an end, whatever comes first.
    Response("interim answers without end", b"", (502, 504), endless=b"HTTP/1.1 100 Continue\r\n\r\n"),
]
