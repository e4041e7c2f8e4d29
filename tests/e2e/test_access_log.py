"""The access log: a line of JSON for each request, and never what could be a secret."""

import json
import os
import pathlib
import re
import signal
import socket
import time
import unittest

from harness import WAIT_SECONDS, EndToEnd, read_to_end, read_until, run, wait_until

MEMBERS = ["time", "id", "trace", "method", "host", "path", "mcp", "tool", "tls", "ws", "verdict",
           "rule", "limit", "client", "status", "whole", "ms", "in", "out", "upstream", "reused"]
CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "search", "arguments": {"q": "planted-argument"}}}


class AccessLog(EndToEnd):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "access.log"
        self.upstream = self.origin()

    def door(self, rules="rules: []\n", log=None, **kwargs):
        kwargs.setdefault("upstream", self.upstream.url)
        return self.gateway(f"access_log: {log or self.path}\n{rules}", **kwargs)

    def lines(self, count, path=None):
        """The log once it has `count` lines: all of them parse, or this fails."""
        path = path or self.path
        wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count,
                   f"{count} lines in {path}")
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        self.assertEqual(len(lines), count)
        return lines

    def test_an_allowed_request_and_a_denied_one(self):
        door = self.door("rules: [{name: few, key: [client], limits: [{limit: 1/hour, name: one}]}]\n")
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        begun = time.time()
        reply = door.request(
            "POST", "/%61/../b?key=planted-query", body=b"abc",
            headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "Host": "api.example"})
        self.assertEqual(reply.status, 200)
        denied = door.request(target="/b")
        self.assertEqual(denied.status, 429)
        one, two = self.lines(2)
        self.assertEqual(list(one), MEMBERS)
        told = {name: one[name] for name in one if name not in ("time", "id", "client", "ms", "out")}
        self.assertEqual(told, {
            "trace": trace, "method": "POST", "host": "api.example", "path": "/b", "mcp": None,
            "tool": None, "tls": False, "ws": False, "verdict": "allowed", "rule": "few",
            "limit": "one", "status": 200, "whole": True, "in": 3, "upstream": self.upstream.url,
            "reused": False})
        self.assertRegex(one["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertLess(abs(begun - time.mktime(time.strptime(one["time"][:19], "%Y-%m-%dT%H:%M:%S"))
                            + time.timezone), 60)
        self.assertEqual(one["id"], reply["X-Request-ID"])
        self.assertEqual(two["id"], denied["X-Request-ID"])
        self.assertGreater(one["out"], len(reply.body))
        self.assertEqual((two["verdict"], two["status"], two["upstream"]), ("limited", 429, None))
        # Both logs name a client the same.
        self.assertEqual(one["client"], two["client"])
        door.wait_for_log(f"rule=few limit=one client={two['client']}")

    def test_what_the_gateway_answers_by_itself(self):
        rules = "timeouts: {header: 300ms}\nrules: []\n"
        door = self.door(rules)
        for sent, status in ((b"GET / HTTP/1.1\r\nHost: t\r\nbad field: x\r\n\r\n", 400),
                             (b"GET /slow", 408)):
            self.assertIn(b" %d " % status, read_to_end(door.raw(sent))[:16])
        for line, status in zip(self.lines(2), (400, 408)):
            self.assertEqual((line["verdict"], line["status"], line["whole"]),
                             ("refused", status, True))
            self.assertEqual([line[name] for name in ("method", "path", "host", "client")], [None] * 4)
        self.upstream.close()
        self.assertEqual(door.request(target="/gone").status, 502)
        line = self.lines(3)[2]
        self.assertEqual((line["verdict"], line["status"], line["path"], line["upstream"]),
                         ("allowed", 502, "/gone", None))

    def test_streams_and_clients_that_leave(self):
        door = self.door()
        stream = door.raw(b"GET /events HTTP/1.1\r\nHost: t\r\n\r\n")
        read_until(stream, b"first")
        self.assertEqual(self.path.read_bytes(), b"", "it is not over")
        self.upstream.release.set()
        read_until(stream, b"0\r\n\r\n")
        line = self.lines(1)[0]
        self.assertEqual((line["path"], line["status"], line["whole"]), ("/events", 200, True))
        self.upstream.release.clear()
        leaver = door.raw(b"GET /held HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertTrue(self.upstream.entered.acquire(timeout=WAIT_SECONDS))
        leaver.close()
        line = self.lines(2)[1]
        self.assertEqual((line["path"], line["status"], line["whole"], line["out"]),
                         ("/held", None, False, 0))

    def test_a_message_of_mcp_has_its_words_and_not_its_arguments(self):
        door = self.door()
        self.assertEqual(door.request("POST", "/mcp", {"Content-Type": "application/json"},
                                      json.dumps(CALL)).status, 200)
        line = self.lines(1)[0]
        self.assertEqual((line["mcp"], line["tool"], line["path"]), ("tools/call", "search", "/mcp"))
        self.assertEqual(line["in"], len(json.dumps(CALL)))
        self.assertNotIn("planted", self.path.read_text())

    def test_hostile_bytes_stay_within_their_line(self):
        door = self.door()
        target = b"/" + b"%22%7D%0A%7B%22lost%22:9%7D%FF%E2%80%A8%5C"
        answer = read_until(door.raw(b"GET " + target + b" HTTP/1.1\r\nHost: t'\r\n\r\n"), b"\r\n\r\n")
        self.assertIn(b"HTTP/1.1 ", answer)
        line = self.lines(1)[0]
        self.assertNotIn("lost", line)
        self.assertEqual(self.path.read_bytes().count(b"\n"), 1)

    def test_no_address_no_query_no_key_and_no_field_is_ever_in_it(self):
        made = run("api-key", "acme").stdout
        secret = re.search(r"sgk_[0-9a-f]{64}", made)[0]
        entry = re.search(r"sha256:([0-9a-f]{64}) acme", made)
        digest = entry[1]
        keys = self.file("keys", entry[0] + "\n", 0o600)
        door = self.door(
            "clients: {trusted_proxies: [127.0.0.0/8], identity: {header: x-user-id, api_keys: "
            f"{keys}}}}}\n"
            "rules:\n"
            "  - {name: by-key, key: [api_key], limits: [2/hour]}\n"
            "  - {name: by-field, key: ['header:x-tenant'], limits: [9/hour]}\n")
        for _ in range(4):
            door.request(target="/a?planted-query=1", headers={
                "X-API-Key": secret, "X-Forwarded-For": "203.0.113.77", "X-User-ID": "planted-user",
                "Cookie": "planted-cookie", "Authorization": "Bearer planted-token",
                "X-Tenant": "planted-tenant", "User-Agent": "planted-agent",
                "Referer": "http://planted.example/"})
        lines = self.lines(4)
        self.assertEqual([line["status"] for line in lines], [200, 200, 429, 429])
        text = self.path.read_text()
        # The upstream's address is the operator's own.
        strangers = text.replace(self.upstream.url, "").replace(lines[0]["host"], "")
        for hidden in ("planted", secret, digest, "203.0.113", "127.0.0", "query", "?"):
            self.assertNotIn(hidden, strangers)

    def test_a_websocket_is_told_at_its_end(self):
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        server.settimeout(WAIT_SECONDS)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        door = self.door(upstream=url)
        client = door.raw(
            b"GET /chat?planted HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        upstream, _ = server.accept()
        self.addCleanup(upstream.close)
        read_until(upstream, b"\r\n\r\n")
        upstream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
        head = read_until(client, b"\r\n\r\n")
        client.sendall(b"frame")
        read_until(upstream, b"frame")
        self.assertEqual(self.path.read_bytes(), b"", "it is not over")
        upstream.close()
        read_to_end(client)
        line = self.lines(1)[0]
        self.assertEqual(
            [line[name] for name in ("path", "ws", "status", "in", "out", "upstream")],
            ["/chat", True, 101, 5, len(head), url])

    def test_rotation(self):
        door = self.door()
        door.request(target="/old")
        self.lines(1)
        self.assertEqual(self.path.stat().st_mode & 0o007, 0, "others may read it")
        turned = self.path.with_suffix(".1")
        self.path.rename(turned)
        door.request(target="/still-old")
        door.signal(signal.SIGHUP)
        door.wait_for_log("reload: done")
        door.request(target="/new")
        self.assertEqual([line["path"] for line in self.lines(2, turned)], ["/old", "/still-old"])
        self.assertEqual([line["path"] for line in self.lines(1)], ["/new"])
        descriptors = pathlib.Path(f"/proc/{door.process.pid}/fd")
        wait_until(lambda: str(turned) not in [os.readlink(fd) for fd in descriptors.iterdir()],
                   "the rotated file to be closed")
        self.assertEqual(door.metrics()["sluicegate_access_log_lost_total"], 0)

    def test_the_setting_may_change_and_a_file_that_cannot_be_had_is_refused(self):
        door = self.door()
        door.request(target="/one")
        self.lines(1)
        other = self.folder / "other.log"
        door.write_config(f"access_log: {other}\nrules: []\n")
        door.signal(signal.SIGHUP)
        door.wait_for_log("reload: done")
        door.request(target="/two")
        self.assertEqual(self.lines(1, other)[0]["path"], "/two")
        door.write_config(f"access_log: {self.folder}/none/access.log\nrules: []\n")
        door.signal(signal.SIGHUP)
        door.wait_for_log("reload: refused")
        self.assertIn("access_log: ", door.log())
        self.assertIn("No such file or directory. Make its folder first.", door.log())
        door.request(target="/three")
        self.assertEqual(self.lines(2, other)[1]["path"], "/three")
        door.write_config("access_log: off\nrules: []\n")
        door.signal(signal.SIGHUP)
        wait_until(lambda: door.log().count("reload: done") == 2, "the reload")
        door.request(target="/four")
        self.assertEqual(door.stop(), 0)
        self.lines(1)
        self.lines(2, other)

    def test_a_start_is_refused_without_the_file(self):
        config = self.file("policy.yaml", f"access_log: {self.folder}\nrules: []\n")
        done = run("gateway", "--config", str(config), "--listen", "127.0.0.1:0",
                   "--upstream", self.upstream.url)
        self.assertEqual(done.returncode, 1)
        self.assertIn("access_log: ", done.stderr)
        self.assertIn("It is a folder: name a file in it.", done.stderr)

    def test_standard_output_has_nothing_else(self):
        door = self.door(log='"-"')
        door.request(target="/out")
        out = door.folder / "stdout"
        self.assertEqual(self.lines(1, out)[0]["path"], "/out")
        self.assertIn("curl", door.log(), "the banner went elsewhere")
        door.request(target="/last")
        self.assertEqual(door.stop(), 0, "a stop writes what waits")
        self.assertEqual(self.lines(2, out)[1]["path"], "/last")

    def test_a_full_disk_holds_no_request_up(self):
        door = self.door(log="/dev/full")
        self.assertEqual([door.request().status for _ in range(5)], [200] * 5)
        door.wait_for_log("access log: /dev/full takes no lines: No space left on device")
        wait_until(lambda: door.metrics()["sluicegate_access_log_lost_total"] == 5, "the count")
        self.assertEqual(door.log().count("takes no lines"), 1)


if __name__ == "__main__":
    unittest.main()
