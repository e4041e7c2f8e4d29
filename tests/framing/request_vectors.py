"""What clients send to be read in two ways, and what the gateway must make of each.

A row is a Vector: the bytes, the statuses of the final answers in order, and what the upstream must see. `MARK` in the
bytes becomes a word of the row's own, so that none of it can pass unseen. Behind what is refused a whole second request
follows, which must be neither answered nor forwarded. The rules are RFC 9112 and the list in doc/gateway.md.
"""

import dataclasses

ANY = None  # Fields that this table does not care about.


@dataclasses.dataclass(frozen=True)
class Seen:
    """A request as the upstream must see it. Of the fields those that say who the client is, Host and the framing are
    compared apart; the others must be exactly `fields`."""

    method: bytes = b"GET"
    target: bytes = b"/MARK"
    body: bytes = b""
    framing: bytes = b""  # b"length", b"chunked" or nothing.
    fields: tuple | None = ()
    host: bytes = b"a"


@dataclasses.dataclass(frozen=True)
class Vector:
    group: str
    name: str
    raw: bytes
    answers: tuple
    upstream: tuple = ()
    cut_off: bool = False  # The upstream sees a request's begin, and never its end.
    closes: bool = False
    half_close: bool = False  # The client ends its sending half behind the bytes.
    slow: bool = False  # Too long to be sent byte by byte.


SMUGGLED = b"GET /MARK-smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
VECTORS = []


def lines(start, *fields, body=b"", host=b"Host: a"):
    return b"\r\n".join([start, *([host] if host else []), *fields, b"", b""]) + body


def get(*fields, target=b"/MARK", host=b"Host: a"):
    return lines(b"GET " + target + b" HTTP/1.1", *fields, host=host)


def post(*fields, body=b""):
    return lines(b"POST /MARK HTTP/1.1", *fields, body=body)


def chunked(body, *fields):
    return post(b"Transfer-Encoding: chunked", *fields, body=body)


class Group:
    """Adds rows to VECTORS."""

    def __init__(self, name):
        self.name = name

    def add(self, name, raw, answers, **more):
        slow = len(raw) > 2000
        VECTORS.append(Vector(self.name, name, raw, answers, slow=slow, **more))

    def refused(self, name, raw, status=400):
        """The upstream sees no byte of it."""
        self.add(name, raw + SMUGGLED, (status,), closes=True)

    def forwarded(self, name, raw, *seen, closes=False):
        seen = seen or (Seen(),)
        self.add(name, raw, (200,) * len(seen), upstream=seen, closes=closes)

    def cut(self, name, body, *fields):
        """Its head was good and is forwarded; its chunks are not, so that its end never is."""
        self.add(name, chunked(body, *fields) + SMUGGLED, (400,), cut_off=True, closes=True)

    def then_refused(self, name, raw, status, *seen):
        """Good requests, and one that is refused."""
        self.add(name, raw + SMUGGLED, (200,) * len(seen) + (status,), upstream=seen, closes=True)


HELLO = Seen(b"POST", body=b"hello", framing=b"length")
CHUNKS = Seen(b"POST", body=b"hello", framing=b"chunked")
FIVE = b"5\r\nhello\r\n0\r\n\r\n"

g = Group("Content-Length and Transfer-Encoding")
g.refused("CL.TE", post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG"))
g.refused("TE.CL", post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=FIVE))
g.refused("CL.TE with length 0", post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=FIVE))
g.refused("CL and identity", post(b"Content-Length: 5", b"Transfer-Encoding: identity", body=b"hello"))
g.refused("CL and an empty coding", post(b"Content-Length: 5", b"Transfer-Encoding:", body=b"hello"))
g.refused("CL and a bad coding", post(b"Content-Length: 5", b"Transfer-Encoding: x", body=b"hello"))
g.refused("CL.TE on a GET", get(b"Content-Length: 5", b"Transfer-Encoding: chunked") + FIVE)
g.refused(
    "CL.TE on HTTP/1.0", lines(b"POST /MARK HTTP/1.0", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=FIVE),
)
g.forwarded("CL and Transfer_Encoding", post(b"Content-Length: 5", b"Transfer_Encoding: chunked", body=b"hello"), HELLO)
g.forwarded("TE and Content_Length", chunked(FIVE, b"Content_Length: 0"), CHUNKS)
INSIDE = b"GET /MARK-inside HTTP/1.1\r\nHost: a\r\n\r\n"
g.forwarded(
    "CL.0: a request in a body", post(b"Content-Length: %d" % len(INSIDE), body=INSIDE),
    Seen(b"POST", body=INSIDE, framing=b"length"),
)
g.forwarded(
    "0.CL: Content_Length on a GET", get(b"Content_Length: 43") + get(target=b"/MARK-2"), Seen(),
    Seen(target=b"/MARK-2"),
)
g.forwarded(
    "0.CL: Content.Length on a GET", get(b"Content.Length: 43") + get(target=b"/MARK-2"), Seen(fields=ANY),
    Seen(target=b"/MARK-2"),
)

g = Group("Transfer-Encoding")
for value in (
    b"chunked, identity", b"identity, chunked", b"chunked, chunked", b"gzip, chunked", b"chunked, gzip", b"gzip",
    b"identity", b"xchunked", b"chunkedx", b"chunke", b"Chunked", b"CHUNKED", b"chunKed", b'"chunked"', b"'chunked'",
    b"chunked;q=1", b"chunked;a=b", b"chunked,", b",chunked", b"chunked chunked", b"", b",", b"chu\tnked",
    b"\xa0chunked", b"chunked\x85", b"\x0bchunked", b"\x0cchunked", b"chunked\x0b", b"chunked\x00", b"\x00chunked",
    b"\x08chunked", b"c\xc5\xbfhunked",
):
    g.refused(repr(value)[1:], post(b"Transfer-Encoding: " + value, body=FIVE))
g.refused("twice", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=FIVE))
g.refused("chunked, then identity", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=FIVE))
g.refused("identity, then chunked", post(b"Transfer-Encoding: identity", b"transfer-encoding: chunked", body=FIVE))
g.refused("space before the colon", post(b"Transfer-Encoding : chunked", body=FIVE))
g.refused("tab before the colon", post(b"Transfer-Encoding\t: chunked", body=FIVE))
g.refused("vertical tab before the colon", post(b"Transfer-Encoding\x0b: chunked", body=FIVE))
g.refused("space before the name", post(b" Transfer-Encoding: chunked", body=FIVE))
g.refused("NUL before the name", post(b"\x00Transfer-Encoding: chunked", body=FIVE))
g.refused("folded", post(b"Transfer-Encoding:\r\n chunked", body=FIVE))
g.refused("folded by a tab", post(b"Transfer-Encoding: chunked\r\n\t", body=FIVE))
g.refused("behind a bare LF", post(b"X: y\nTransfer-Encoding: chunked", body=FIVE))
g.refused("behind a bare CR", post(b"X: y\rTransfer-Encoding: chunked", body=FIVE))
g.refused("colon twice", post(b"Transfer-Encoding:: chunked", body=FIVE))
g.refused("on HTTP/1.0", lines(b"POST /MARK HTTP/1.0", b"Transfer-Encoding: chunked", body=FIVE))
g.refused(
    "on HTTP/1.0 that is kept",
    lines(b"POST /MARK HTTP/1.0", b"Connection: keep-alive", b"Transfer-Encoding: chunked", body=FIVE),
)
g.forwarded("plain", chunked(FIVE), CHUNKS)
g.forwarded("no space", post(b"Transfer-Encoding:chunked", body=FIVE), CHUNKS)
g.forwarded("two spaces", post(b"Transfer-Encoding:  chunked", body=FIVE), CHUNKS)
g.forwarded("tab", post(b"Transfer-Encoding:\tchunked \t", body=FIVE), CHUNKS)
g.forwarded("the name in capitals", post(b"TRANSFER-ENCODING: chunked", body=FIVE), CHUNKS)
g.forwarded("a GET with chunks", get(b"Transfer-Encoding: chunked") + FIVE, Seen(body=b"hello", framing=b"chunked"))

g = Group("Content-Length")
for value in (
    b"5, 5", b"5,6", b"5,", b",5", b"+5", b"-5", b"-0", b"+0", b"5 5", b"5 ,", b"0x5", b"0X5", b"0b1", b"5h", b"5.0",
    b"5e0", b"5_0", b'"5"', b"5;", b"", b"9223372036854775808", b"18446744073709551616", b"18446744073709551621",
    b"4294967301" * 3, b"\xd9\xa5", b"\xef\xbc\x95", b"\x0b5", b"5\x0b", b"5\x0c", b"5\x00", b"\x005", b"5\x85",
    b"\xa05", b"five",
):
    g.refused(repr(value)[1:], post(b"Content-Length: " + value, body=b"hello"))
g.refused("twice, equal", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"))
g.refused("twice, unequal", post(b"Content-Length: 5", b"content-length: 0", body=b"hello"))
g.refused("twice, with one between", post(b"Content-Length: 0", b"X: y", b"Content-Length: 5", body=b"hello"))
g.refused("twice, one empty", post(b"Content-Length:", b"Content-Length: 5", body=b"hello"))
g.refused("space before the colon", post(b"Content-Length : 5", body=b"hello"))
g.refused("space before the name", post(b" Content-Length: 5", body=b"hello"))
g.refused("NUL in the name", post(b"Content-Length\x00: 5", body=b"hello"))
g.refused("0.CL: space before the colon on a GET", get(b"Content-Length : 43"))
g.refused("0.CL: folded on a GET", get(b"X: y\r\n Content-Length: 43"))
g.refused("folded", post(b"Content-Length: 5\r\n 0", body=b"hello"))
g.forwarded("plain", post(b"Content-Length: 5", body=b"hello"), HELLO)
g.forwarded("blanks around it", post(b"Content-Length: \t5 \t", body=b"hello"), HELLO)
g.forwarded("leading zeros", post(b"Content-Length: 0005", body=b"hello"), HELLO)
g.forwarded("on a GET", get(b"Content-Length: 5") + b"hello", Seen(body=b"hello", framing=b"length"))
g.forwarded(
    "on a DELETE", lines(b"DELETE /MARK HTTP/1.1", b"Content-Length: 5", body=b"hello"),
    Seen(b"DELETE", body=b"hello", framing=b"length"),
)
g.forwarded(
    "on a HEAD", lines(b"HEAD /MARK HTTP/1.1", b"Content-Length: 5", body=b"hello"),
    Seen(b"HEAD", body=b"hello", framing=b"length"),
)
g.forwarded("0 on a GET", get(b"Content-Length: 0"), Seen(framing=b"length"))
g.forwarded("000 on a POST", post(b"Content-Length: 000"), Seen(b"POST", framing=b"length"))
g.forwarded("none on a POST", post(), Seen(b"POST"))
g.forwarded("on HTTP/1.0", lines(b"POST /MARK HTTP/1.0", b"Content-Length: 5", body=b"hello"), HELLO, closes=True)
g.add(
    "a body that ends early", post(b"Content-Length: 50", body=b"hello"), (), cut_off=True, closes=True,
    half_close=True,
)
g.then_refused(
    "a body that goes on", post(b"Content-Length: 1", body=b"a/llo"), 400, Seen(b"POST", body=b"a", framing=b"length"),
)

g = Group("line ends and folding")
g.refused("bare LF behind the request line", b"GET /MARK HTTP/1.1\nHost: a\r\n\r\n")
g.refused("bare LF behind a field", b"GET /MARK HTTP/1.1\r\nHost: a\nX: y\r\n\r\n")
g.refused("bare LF behind the last field", b"GET /MARK HTTP/1.1\r\nHost: a\n\r\n")
g.refused("bare LF as the empty line", b"GET /MARK HTTP/1.1\r\nHost: a\r\n\n")
g.refused("bare LF everywhere", b"GET /MARK HTTP/1.1\nHost: a\n\n")
g.refused("bare LF in the target", b"GET /MARK\n HTTP/1.1\r\nHost: a\r\n\r\n")
g.refused("bare LF in the method", b"G\nET /MARK HTTP/1.1\r\nHost: a\r\n\r\n")
g.refused("bare LF in a name", get(b"X\nY: z"))
g.refused("bare LF before the request", b"\n" + get())
g.refused("CRLF and LF before the request", b"\r\n\n" + get())
g.refused("bare CR behind the request line", b"GET /MARK HTTP/1.1\rHost: a\r\n\r\n")
g.refused("bare CR before the CRLF", b"GET /MARK HTTP/1.1\r\r\nHost: a\r\n\r\n")
g.refused("bare CR before a field's CRLF", get(b"X: y\r"))
g.refused("bare CR in a value", get(b"X: y\rZ: z"))
g.refused("bare CR in a name", get(b"X\rY: z"))
g.refused("bare CR in the target", b"GET /MA\rRK HTTP/1.1\r\nHost: a\r\n\r\n")
g.refused("bare CR in the method", b"GE\rT /MARK HTTP/1.1\r\nHost: a\r\n\r\n")
g.refused("bare CR as the empty line", b"GET /MARK HTTP/1.1\r\nHost: a\r\n\r\r\n")
g.refused("bare CR everywhere", b"GET /MARK HTTP/1.1\rHost: a\r\rX\r\n\r\n")
g.refused("LF CR", b"GET /MARK HTTP/1.1\n\rHost: a\n\r\n\r")
g.refused("a folded field", get(b"X: y", b" z"))
g.refused("a folded field, by a tab", get(b"X: y", b"\tz"))
g.refused("a folded Host", get(host=b"Host:\r\n a"))
g.refused("a blank line that is none", get(b"X: y", b" "))
g.refused("the first line folded", b"GET /MARK HTTP/1.1\r\n Host: a\r\n\r\n")
g.refused("a folded request line", b"GET /MARK\r\n HTTP/1.1\r\nHost: a\r\n\r\n")

g = Group("field names and values")
for name in (
    b"X ", b"X\t", b"X Y", b"", b" ", b"X\x00", b"X\x01", b"X\x7f", b"X\x80", b"X(", b'X"', b"X/Y", b"X[", b"X{", b"X@",
    b"X,Y", b"X;Y", b"X=Y", b"X\\", b"X<",
):
    g.refused("the name " + repr(name)[1:], get(name + b": y"))
for value in (
    b"\x00", b"y\x00z", b"\x01", b"y\x07", b"\x08y", b"\x0b", b"\x0c", b"\x1b[2J", b"\x1f", b"\x7f", b"y\x00\r\nZ: z",
):
    g.refused("the value " + repr(value)[1:], get(b"X: " + value))
g.refused("no colon", get(b"nonsense"))
g.refused("a second request line", get(b"GET /MARK-smuggled HTTP/1.1", b"Host: a"))
g.forwarded("bytes above ASCII", get(b"X: \xc3\xa9\xff\x80"), Seen(fields=(b"X: \xc3\xa9\xff\x80",)))
g.forwarded("an empty value", get(b"X:", b"Y: \t "), Seen(fields=(b"X: ", b"Y: ")))
g.forwarded("colons in the value", get(b"X: : y:z"), Seen(fields=(b"X: : y:z",)))
g.forwarded("every character of a name", get(b"!#$%&'*+-.^_`|~09azAZ: y"), Seen(fields=(b"!#$%&'*+-.^_`|~09azAZ: y",)))
g.forwarded("an escaped CRLF in a value", get(b"X: y%0d%0aZ: z"), Seen(fields=(b"X: y%0d%0aZ: z",)))

g = Group("chunks")
g.forwarded("two chunks", chunked(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), CHUNKS)
g.forwarded("none but the last", chunked(b"0\r\n\r\n"), Seen(b"POST", framing=b"chunked"))
g.forwarded("several zeros for the last", chunked(b"5\r\nhello\r\n000\r\n\r\n"), CHUNKS)
g.forwarded("leading zeros", chunked(b"0000000000000005\r\nhello\r\n0\r\n\r\n"), CHUNKS)
g.forwarded(
    "either case", chunked(b"a\r\n0123456789\r\nB\r\n01234567890\r\n0\r\n\r\n"),
    Seen(b"POST", body=b"012345678901234567890", framing=b"chunked"),
)
g.forwarded("an extension", chunked(b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), CHUNKS)
g.forwarded("a quoted extension", chunked(b'5;a="b; c"\r\nhello\r\n0\r\n\r\n'), CHUNKS)
g.forwarded("an extension that looks like a chunk", chunked(b"5;0\r\nhello\r\n0;5\r\n\r\n"), CHUNKS)
g.forwarded(
    "a chunk that looks like the last", chunked(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
    Seen(b"POST", body=b"0\r\n\r\n", framing=b"chunked"),
)
g.forwarded("256 bytes of an extension", chunked(b"5;" + b"a" * 255 + b"\r\nhello\r\n0\r\n\r\n"), CHUNKS)
g.cut("a longer extension", b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n")
g.cut("16 KiB of extensions", (b"1;" + b"a" * 250 + b"\r\nx\r\n") * 80 + b"0\r\n\r\n")
g.cut("bare LF in an extension", b"5;a\nhello\r\n0\r\n\r\n")
g.cut("bare LF in a quoted extension", b'5;a="\n"\r\nhello\r\n0\r\n\r\n')
g.cut("bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n")
g.cut("bare CR before the CRLF", b"5\r\r\nhello\r\n0\r\n\r\n")
g.cut("NUL in an extension", b"5;a\x00\r\nhello\r\n0\r\n\r\n")
g.cut("CRLF in a quoted extension", b'5;a="\r\n0\r\n\r\n"\r\nhello\r\n0\r\n\r\n')
for size in (
    b"-5", b"+5", b"0x5", b"5_0", b"5 ", b" 5", b"\t5", b"5\t", b"5 ;a", b"", b";a", b"g", b"5g", b"5.", b"5,5", b'"5"',
    b"8000000000000000", b"ffffffffffffffff", b"10000000000000005", b"00000000000000005", b"\x005", b"5\x00", b"5\x0b",
    b"\xb5", b"-1", b"0x0", b"-0", b" 0",
):
    g.cut("the size " + repr(size)[1:], size + b"\r\nhello\r\n0\r\n\r\n")
g.cut("bare LF behind the size", b"5\nhello\r\n0\r\n\r\n")
g.cut("bare LF everywhere", b"5\nhello\n0\n\n")
g.cut("bare LF behind the data", b"5\r\nhello\n0\r\n\r\n")
g.cut("bare CR behind the data", b"5\r\nhello\r0\r\n\r\n")
g.cut("nothing behind the data", b"5\r\nhello0\r\n\r\n")
g.cut("more data than its size", b"3\r\nhello\r\n0\r\n\r\n")
g.cut("less data than its size", b"7\r\nhello\r\n0\r\n\r\n")
g.cut("bare LF behind the last size", b"5\r\nhello\r\n0\n\r\n")
g.cut("bare LF at the end", b"5\r\nhello\r\n0\r\n\n")
g.add("no last chunk", chunked(b"5\r\nhello\r\n"), (), cut_off=True, closes=True, half_close=True)
g.add("no end behind the last chunk", chunked(b"5\r\nhello\r\n0\r\n"), (), cut_off=True, closes=True, half_close=True)
g.add(
    "no end behind a trailer", chunked(b"5\r\nhello\r\n0\r\nX: y\r\n"), (), cut_off=True, closes=True, half_close=True,
)

g = Group("trailers")
g.forwarded("dropped", chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"Trailer: X-Sum"), CHUNKS)
g.forwarded("Content-Length", chunked(b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"), CHUNKS)
g.forwarded("Transfer-Encoding", chunked(b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"), CHUNKS)
g.forwarded("Host and X-Real-IP", chunked(b"5\r\nhello\r\n0\r\nHost: b\r\nX-Real-IP: 192.0.2.1\r\n\r\n"), CHUNKS)
g.cut("bare LF", b"5\r\nhello\r\n0\r\nX: y\n\r\n")
g.cut("bare CR", b"5\r\nhello\r\n0\r\nX: y\rZ: z\r\n\r\n")
g.cut("folded", b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n")
g.cut("no colon", b"5\r\nhello\r\n0\r\nGET /MARK-smuggled HTTP/1.1\r\n\r\n")
g.cut("no name", b"5\r\nhello\r\n0\r\n: y\r\n\r\n")
g.cut("space before the colon", b"5\r\nhello\r\n0\r\nX : y\r\n\r\n")
g.cut("NUL", b"5\r\nhello\r\n0\r\nX: \x00\r\n\r\n")
g.cut("over 8 KiB", b"5\r\nhello\r\n0\r\nX: " + b"a" * 9000 + b"\r\n\r\n")

g = Group("Expect")
g.forwarded("with a body", post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), HELLO)
g.forwarded("in other case", post(b"expect: 100-Continue", b"Content-Length: 5", body=b"hello"), HELLO)
g.forwarded("with chunks", chunked(FIVE, b"Expect: 100-continue"), CHUNKS)
g.forwarded("without a body", get(b"Expect: 100-continue"), Seen())
g.forwarded(
    "on HTTP/1.0", lines(b"POST /MARK HTTP/1.0", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), HELLO,
    closes=True,
)
g.refused("unknown", post(b"Expect: x", b"Content-Length: 5", body=b"hello"), 417)
g.refused("empty", post(b"Expect:", b"Content-Length: 5", body=b"hello"), 417)
g.refused("a list", post(b"Expect: 100-continue, x", b"Content-Length: 5", body=b"hello"), 417)
g.refused("twice", post(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), 417)
g.refused("with an obscured space", post(b"Expect: y 100-continue", b"Content-Length: 5", body=b"hello"), 417)
g.refused("behind a control character", post(b"Expect: \x0b100-continue", b"Content-Length: 5", body=b"hello"))

g = Group("Upgrade")
SETTINGS = b"HTTP2-Settings: AAMAAABkAAQAAP__"
g.forwarded("h2c", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", SETTINGS), Seen())
g.forwarded("h2c, settings not named", get(b"Connection: Upgrade", b"Upgrade: h2c", SETTINGS), Seen())
g.forwarded("h2c, not named", get(b"Upgrade: h2c", SETTINGS), Seen())
g.forwarded("h2c in capitals", get(b"CONNECTION: UPGRADE", b"UPGRADE: H2C"), Seen())
g.forwarded("h2c on two lines", get(b"Connection: keep-alive", b"Connection: Upgrade", b"Upgrade: h2c"), Seen())
g.forwarded(
    "h2c with a body", post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5", body=b"hello"), HELLO,
)
g.forwarded("h2c in a list", get(b"Connection: Upgrade", b"Upgrade: websocket, h2c"), Seen(fields=ANY))
g.forwarded(
    "h2c on a second line", get(b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c"), Seen(fields=ANY),
)
g.forwarded("TLS", get(b"Connection: Upgrade", b"Upgrade: TLS/1.0"), Seen())
g.forwarded("HTTP/2.0", get(b"Connection: Upgrade", b"Upgrade: HTTP/2.0"), Seen())
g.forwarded("settings alone", get(SETTINGS), Seen())

g = Group("forms of the target")
g.forwarded("absolute", get(target=b"http://a/MARK"), Seen())
g.forwarded("absolute, in capitals", get(target=b"HTTP://A/MARK"), Seen(host=b"A"))
g.forwarded("absolute, its port spelled out", get(target=b"http://a:80/MARK"), Seen(host=b"a:80"))
g.forwarded("absolute, https", get(target=b"https://a/MARK", host=b"Host: a:443"), Seen())
g.forwarded("absolute without a path", get(target=b"http://a?MARK"), Seen(target=b"/?MARK"))
g.forwarded("OPTIONS *", lines(b"OPTIONS * HTTP/1.1", b"X: MARK"), Seen(b"OPTIONS", b"*", fields=(b"X: MARK",)))
g.forwarded(
    "OPTIONS, absolute without a path", lines(b"OPTIONS http://a HTTP/1.1", b"X: MARK"),
    Seen(b"OPTIONS", b"*", fields=(b"X: MARK",)),
)
g.forwarded("OPTIONS, absolute with a path", lines(b"OPTIONS http://a/MARK HTTP/1.1"), Seen(b"OPTIONS"))
g.forwarded("a host in an origin form", get(target=b"//evil/MARK"), Seen(target=b"/evil/MARK"))
g.refused("absolute, another Host", get(target=b"http://b/MARK"))
g.refused("absolute, another port", get(target=b"http://a:81/MARK"))
g.refused("absolute, no Host", get(target=b"http://a/MARK", host=b""))
g.refused("absolute, two Hosts", get(b"Host: a", target=b"http://a/MARK"))
g.refused("userinfo", get(target=b"http://user:word@a/MARK"))
g.refused("userinfo that looks like the host", get(target=b"http://a@evil/MARK"))
g.refused("another scheme", get(target=b"ftp://a/MARK"))
g.refused("no host", get(target=b"http:///MARK"))
g.refused("one slash", get(target=b"http:/a/MARK"))
g.refused("a backslash in the host", get(target=b"http://a\\evil/MARK"))
g.refused("relative", get(target=b"MARK"))
g.refused("a query alone", get(target=b"?MARK"))
g.refused("GET *", get(b"X: MARK", target=b"*"))
g.refused("*/path", lines(b"OPTIONS */MARK HTTP/1.1"))
g.refused("an authority", get(target=b"a:80"))
g.refused("CONNECT", lines(b"CONNECT a:443 HTTP/1.1", b"X: MARK"), 501)
g.refused("CONNECT of a path", lines(b"CONNECT /MARK HTTP/1.1"), 501)
g.refused("connect", lines(b"connect a:443 HTTP/1.1", b"X: MARK"))

g = Group("Host")
for value in (
    b"", b"a, a", b"a,b", b"a b", b"a\tb", b"u@a", b"a/b", b"a\\b", b"a?b", b"a#b", b"a%00", b"a%2eb", b"a:", b"a:b",
    b"a:-1", b"a:999999", b"a:80:80", b":80", b"[::1", b"::1", b"[zz]", b"[::1]x", b"a\x00", b"\x0ba", b"\xc3\xa9",
    b'"a"', b"<a>", b"http://a",
):
    g.refused(repr(value)[1:], get(host=b"Host: " + value))
g.refused("none", get(host=b""))
g.refused("twice, equal", get(b"Host: a"))
g.refused("twice, unequal", get(b"host: b"))
g.refused("twice on HTTP/1.0", lines(b"GET /MARK HTTP/1.0", b"Host: b"))
g.refused("space before the colon", get(host=b"Host : a"))
g.refused("behind a fold", get(b"X: y\r\n Host: b", host=b""))
g.forwarded("an IPv6 address", get(host=b"Host: [::1]:8080"), Seen(host=b"[::1]:8080"))
g.forwarded("blanks around it", get(host=b"Host: \t a \t"), Seen())
g.forwarded("X-Forwarded-Host", get(b"X-Forwarded-Host: b", b"X_Forwarded_Host: c"), Seen())
g.forwarded("none on HTTP/1.0", lines(b"GET /MARK HTTP/1.0", host=b""), Seen(host=b"UPSTREAM"), closes=True)

g = Group("the path")
for path in (
    b"%2f", b"%2F", b"x%2fy", b"%5c", b"%5C", b"\\", b"%00", b"x%00y", b"%", b"%2", b"%zz", b"%u002f", b"..;/x",
    b"x/..;a/y", b".;/x", b"%2e%2e;/x", b"..%3b/x", b"#x", b"\x7f",
):
    g.refused(repr(path)[1:], get(target=b"/MARK/" + path))
for path, seen in (
    (b"/x/../MARK", b"/MARK"), (b"/./MARK", b"/MARK"), (b"//MARK", b"/MARK"), (b"///x//../MARK", b"/MARK"),
    (b"/%2e%2e/MARK", b"/MARK"), (b"/../../MARK", b"/MARK"), (b"/.%2E/MARK/.", b"/MARK/"), (b"/%61/MARK", b"/a/MARK"),
    (b"/MARK%0d%0aX:%20y", b"/MARK%0D%0AX:%20y"), (b"/MARK%252f", b"/MARK%252f"), (b"/MARK\xe9\xff", b"/MARK%E9%FF"),
    (b"/MARK%23", b"/MARK%23"), (b"/MARK?x=/../y&z=%2f//", b"/MARK?x=/../y&z=%2f//"), (b"/MARK?x?y", b"/MARK?x?y"),
    (b"/MARK?", b"/MARK?"), (b"/MARK?%0d%0a", b"/MARK?%0d%0a"),
):
    g.forwarded(repr(path)[1:], get(target=path), Seen(target=seen))

g = Group("the request line")
for start, status in (
    (b"GET /MARK", 400), (b"GET /MARK ", 400), (b"GET", 400), (b"GET  /MARK HTTP/1.1", 400),
    (b"GET /MARK  HTTP/1.1", 400), (b"GET /MARK HTTP/1.1 ", 400), (b"GET /MARK HTTP/1.1\t", 400),
    (b" GET /MARK HTTP/1.1", 400), (b"GET\t/MARK HTTP/1.1", 400), (b"GET /MARK\tHTTP/1.1", 400),
    (b"GET /MARK x HTTP/1.1", 400), (b"GET /MARK\x0bHTTP/1.1", 400), (b"GET /MA\tRK HTTP/1.1", 400),
    (b"GET /MA\x00RK HTTP/1.1", 400), (b"GET /MA\x01RK HTTP/1.1", 400), (b"GET /MARK HTTP/1.1\x00", 400),
    (b"GET\x00 /MARK HTTP/1.1", 400), (b"\x00GET /MARK HTTP/1.1", 400), (b"G\x01ET /MARK HTTP/1.1", 400),
    (b"G@T /MARK HTTP/1.1", 400), (b"(GET) /MARK HTTP/1.1", 400), (b"GET: /MARK HTTP/1.1", 400),
    (b'"GET" /MARK HTTP/1.1', 400), (b"G\xc3\x89T /MARK HTTP/1.1", 400), (b" /MARK HTTP/1.1", 400),
    (b"/MARK HTTP/1.1", 400), (b"HTTP/1.1 200 OK", 400), (b"get /MARK HTTP/1.1", 501), (b"Post /MARK HTTP/1.1", 501),
    (b"A" * 33 + b" /MARK HTTP/1.1", 501), (b"GET /MARK HTTP/1.2", 505), (b"GET /MARK HTTP/2.0", 505),
    (b"GET /MARK HTTP/0.9", 505), (b"GET /MARK HTTP/3.0", 505), (b"GET /MARK HTTP/2", 400),
    (b"GET /MARK http/1.1", 400), (b"GET /MARK Http/1.1", 400), (b"GET /MARK HTTP/1.10", 400),
    (b"GET /MARK HTTP/01.1", 400), (b"GET /MARK HTTP/1.1x", 400), (b"GET /MARK HTTP/1,1", 400),
    (b"GET /MARK HTTP/1", 400), (b"GET /MARK HTTP/", 400), (b"GET /MARK HTTPS/1.1", 400), (b"GET /MARK HTTP 1.1", 400),
    (b"GET /MARK RTSP/1.0", 400), (b"GET /MARK HTTP/+1.1", 400), (b"GET /MARK HTTP/1.-1", 400),
    (b"GET /MARK HTTP/\xef\xbc\x91.1", 400),
):
    g.refused(repr(start)[1:], lines(start), status)
g.refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505)
g.refused("the hello of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32)
g.refused("a PROXY line", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get())
g.forwarded("a method that nobody knows", lines(b"FROB-IT /MARK HTTP/1.1"), Seen(b"FROB-IT"))

g = Group("bounds")
g.refused("a line over 8 KiB", get(target=b"/MARK/" + b"a" * 9000), 414)
g.refused("a line without end", b"GET /MARK/" + b"a" * 20000, 414)
g.refused("a field over 32 KiB", get(b"X: " + b"a" * 33000), 431)
g.refused("101 fields", get(*[b"X-%d: a" % n for n in range(100)]), 431)
g.refused("40 KiB of fields", get(*[b"X-%d: " % n + b"a" * 1000 for n in range(40)]), 431)
g.refused("17 names in Connection", get(b"Connection: " + b", ".join([b"a"] * 17)))
g.forwarded("a line of 8 KiB", get(target=b"/MARK/" + b"a" * (8192 - 19)), Seen(target=b"/MARK/" + b"a" * (8192 - 19)))
g.forwarded(
    "100 fields", get(*[b"X-%d: a" % n for n in range(99)]), Seen(fields=tuple(b"X-%d: a" % n for n in range(99))),
)
g.forwarded("30 KiB in one field", get(b"X: " + b"a" * 30000), Seen(fields=(b"X: " + b"a" * 30000,)))

g = Group("one connection, several requests")
TWO = Seen(target=b"/MARK-2")
g.forwarded("two", get() + get(target=b"/MARK-2"), Seen(), TWO)
g.forwarded("an empty line before", b"\r\n" + get(), Seen())
g.forwarded(
    "empty lines between", post(b"Content-Length: 5", body=b"hello") + b"\r\n\r\n" + get(target=b"/MARK-2"), HELLO, TWO,
)
g.forwarded("chunks, then another", chunked(FIVE) + get(target=b"/MARK-2"), CHUNKS, TWO)
g.then_refused(
    "good, then bad", get() + post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=FIVE), 400, Seen(),
)
g.then_refused("good, good, then bad", get() + get(target=b"/MARK-2") + get(b"X : y"), 400, Seen(), TWO)
g.then_refused("good, garbage", get() + b"\x00\x01\x02\r\n\r\n", 400, Seen())
g.then_refused("good, a word", get() + b"x\r\n", 400, Seen())
g.then_refused("good, a line that is no request", get() + b"Host: a\r\n\r\n", 400, Seen())
g.then_refused("good, bare LF between", get() + b"\n", 400, Seen())
g.then_refused("chunks, a second end", chunked(FIVE) + b"0\r\n\r\n", 400, CHUNKS)
g.then_refused("a GET and bytes that would be its body", get() + b"hello=1&x=y\r\n", 400, Seen())
g.add("nothing behind Connection: close", get(b"Connection: close") + SMUGGLED, (200,), upstream=(Seen(),), closes=True)
g.add(
    "nothing behind close in a list", get(b"Connection: keep-alive, CLOSE") + SMUGGLED, (200,), upstream=(Seen(),),
    closes=True,
)
g.add("nothing behind HTTP/1.0", lines(b"GET /MARK HTTP/1.0") + SMUGGLED, (200,), upstream=(Seen(),), closes=True)
g.add(
    "nothing behind a body and close", post(b"Connection: close", b"Content-Length: 5", body=b"hello") + SMUGGLED,
    (200,), upstream=(HELLO,), closes=True,
)
g.forwarded(
    "HTTP/1.0 that is kept", lines(b"GET /MARK HTTP/1.0", b"Connection: keep-alive") + get(target=b"/MARK-2"), Seen(),
    TWO,
)
g.forwarded("Keep-Alive without Connection", get(b"Keep-Alive: timeout=5") + get(target=b"/MARK-2"), Seen(), TWO)

g = Group("what Connection names")
g.forwarded("Content-Length", post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"), HELLO)
g.forwarded("Transfer-Encoding", chunked(FIVE, b"Connection: Transfer-Encoding"), CHUNKS)
g.forwarded("Host", get(b"Connection: Host"), Seen())
g.forwarded("the fields that say who asks", get(b"Connection: X-Forwarded-For, X-Real-IP, X-Forwarded-Proto"), Seen())
g.forwarded(
    "cookies and authorization", get(b"Connection: Cookie, Authorization", b"Cookie: a=b", b"Authorization: c"),
    Seen(fields=(b"Cookie: a=b", b"Authorization: c")),
)
g.forwarded("a field of its own", get(b"Connection: X-Hop", b"X-Hop: 1", b"X-End: 2"), Seen(fields=(b"X-End: 2",)))
g.forwarded("itself", get(b"Connection: Connection"), Seen())
g.forwarded(
    "hop-by-hop fields that are not named",
    get(b"Keep-Alive: 5", b"Proxy-Connection: close", b"TE: trailers", b"Trailer: X", b"Proxy-Authorization: x"),
    Seen(),
)
g.forwarded("empty elements", get(b"Connection: ,, ,"), Seen())
g.refused("no token", get(b"Connection: a b"))
g.refused("a quoted close", get(b'Connection: "close"'))
g.refused("a control character", get(b"Connection: clo\x00se"))

g = Group("names in other clothes")
for name in (
    b"X_Forwarded_For", b"X_Real_IP", b"X-Real_IP", b"x_real-ip", b"X_Forwarded_Proto", b"X-Forwarded_For",
    b"Content_Length", b"Transfer_Encoding", b"X_User_ID",
):
    g.forwarded(name.decode(), get(name + b": 1"), Seen())
for name in (
    b"X-Forwarded-For", b"X-Real-IP", b"Forwarded", b"X-User-ID", b"X-Forwarded-Port", b"X-Forwarded-Anything",
):
    g.forwarded(name.decode() + " of a stranger", get(name + b": 192.0.2.1"), Seen())
