"""Large bodies go through at flat memory, up and down, with and without a length.

1 GiB each; SLUICEGATE_VOLUME_MIB in the environment chooses, in MiB.
"""

import http.client
import http.server
import os
import re
import threading
import unittest
import zlib

from harness import WAIT_SECONDS, EndToEnd

MIB = 1 << 20
VOLUME = int(os.environ.get("SLUICEGATE_VOLUME_MIB", "1024"))
BLOCK = os.urandom(MIB)
GROWTH = 8 * MIB  # That a transfer may cost at most.
RULES = "rules:\n  - {name: a, key: [client], limits: [1000/minute]}\n"


def checksum(pieces):
    value = size = 0
    for piece in pieces:
        value = zlib.crc32(piece, value)
        size += len(piece)
    return f"{size} {value}"


class VolumeOrigin:
    """Takes a body in, or gives one out; the checksum of what it took is its answer."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 0

            def log_message(self, *args):
                pass

            def pieces(self):
                if "Content-Length" in self.headers:
                    left = int(self.headers["Content-Length"])
                    while left:
                        piece = self.rfile.read(min(left, MIB // 4))
                        if not piece:
                            return
                        left -= len(piece)
                        yield piece
                    return
                while size := int(self.rfile.readline(), 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

            def do_PUT(self):
                told = checksum(self.pieces()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def do_GET(self):
                count = int(self.path.rsplit("/", 1)[1])
                self.send_response(200)
                chunked = self.path.startswith("/chunked")
                self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", count * MIB)))
                self.end_headers()
                for _ in range(count):
                    self.wfile.write(b"100000\r\n" + BLOCK + b"\r\n" if chunked else BLOCK)
                if chunked:
                    self.wfile.write(b"0\r\n\r\n")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(WAIT_SECONDS)


class Volume(EndToEnd):
    def setUp(self):
        super().setUp()
        origin = VolumeOrigin()
        self.addCleanup(origin.close)
        self.door = self.gateway(RULES, upstream=origin.url)

    def memory(self, name):
        with open(f"/proc/{self.door.process.pid}/status") as status:
            return int(re.search(rf"{name}:\s+(\d+) kB", status.read())[1]) * 1024

    def flat(self, transfer):
        """Warms up with a little, then sees that much more costs no more memory at any moment."""
        transfer(4)
        with open(f"/proc/{self.door.process.pid}/clear_refs", "w") as peak:
            peak.write("5")  # The peak counts from now on.
        before = self.memory("VmRSS")
        transfer(VOLUME)
        self.assertLess(self.memory("VmHWM") - before, GROWTH)

    def download(self, kind):
        def transfer(count):
            connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=WAIT_SECONDS)
            self.addCleanup(connection.close)
            connection.request("GET", f"/{kind}/{count}")
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200)
            self.assertEqual(checksum(iter(lambda: answer.read(MIB), b"")), checksum([BLOCK] * count))

        self.flat(transfer)

    def upload(self, chunked):
        def transfer(count):
            connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=WAIT_SECONDS)
            self.addCleanup(connection.close)
            fields = {} if chunked else {"Content-Length": str(count * MIB)}
            body = (BLOCK for _ in range(count))
            connection.request("PUT", "/", body=body, headers=fields, encode_chunked=chunked)
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.read().decode()), (200, checksum([BLOCK] * count)))

        self.flat(transfer)

    def test_down_with_a_length(self):
        self.download("length")

    def test_down_in_chunks(self):
        self.download("chunked")

    def test_up_with_a_length(self):
        self.upload(chunked=False)

    def test_up_in_chunks(self):
        self.upload(chunked=True)


if __name__ == "__main__":
    unittest.main()
