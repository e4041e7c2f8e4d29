"""Real traffic through the gateway: what passes, what is denied, what is streamed."""

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
import unittest

from harness import WAIT_SECONDS, EndToEnd, read_to_end, read_until, wait_until

OPEN = "rules:\n  - {name: all, key: [client], limits: [100000/minute]}\n"
THREE = "rules:\n  - {name: per-client, key: [client], limits: [3/minute]}\n"


class Passing(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()
        self.door = self.gateway(OPEN, upstream=self.upstream.url)

    def test_methods_and_bodies_pass(self):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            with self.subTest(method=method):
                body = None if method == "GET" else b"body of " + method.encode()
                told = self.door.request(method, "/echo?q=1", body=body).json()
                self.assertEqual(told["method"], method)
                self.assertEqual(told["target"], "/echo?q=1")
                self.assertEqual(told["body"].encode(), body or b"")

    def test_head_has_no_body_and_the_connection_goes_on(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=WAIT_SECONDS)
        self.addCleanup(connection.close)
        for method in ("HEAD", "GET", "HEAD", "GET"):
            connection.request(method, "/")
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            self.assertEqual(response.read(), b"" if method == "HEAD" else b"hello\n")
            self.assertEqual(response.getheader("Content-Length"), "6")

    def test_204_has_no_body_and_the_connection_goes_on(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=WAIT_SECONDS)
        self.addCleanup(connection.close)
        for target, status in (("/nocontent", 204), ("/", 200), ("/nocontent", 204)):
            connection.request("GET", target)
            response = connection.getresponse()
            response.read()
            self.assertEqual(response.status, status)

    def test_http_1_0_clients_get_an_answer_and_the_end(self):
        reply = read_to_end(self.door.raw(b"GET / HTTP/1.0\r\n\r\n"))
        self.assertTrue(reply.startswith(b"HTTP/1."), reply)
        self.assertTrue(reply.endswith(b"hello\n"), reply)

    def test_chunked_uploads_arrive_whole(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=WAIT_SECONDS)
        self.addCleanup(connection.close)
        pieces = [b"one", b"two" * 10000, b"three"]
        connection.request("POST", "/echo", body=iter(pieces), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})
        told = json.loads(connection.getresponse().read())
        self.assertEqual(told["body"].encode(), b"".join(pieces))

    def test_pipelined_requests_are_answered_in_order(self):
        connection = self.door.raw(
            b"GET /echo?1 HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /echo?3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        reply = read_to_end(connection)
        places = [reply.find(b"/echo?%d" % n) for n in (1, 2, 3)]
        self.assertNotIn(-1, places, reply)
        self.assertEqual(places, sorted(places))

    def test_expect_continue_is_answered_by_the_gateway(self):
        connection = self.door.raw(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        self.assertTrue(read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100 "))
        connection.sendall(b"body")
        reply = read_to_end(connection)
        self.assertIn(b'"body": "body"', reply)
        self.assertNotIn(b"100-continue", reply, "forwarded")

    def test_large_responses_arrive_whole(self):
        self.assertEqual(len(self.door.request(target="/big").body), 4 << 20)

    def test_hop_by_hop_fields_are_dropped_both_ways(self):
        reply = self.door.request(target="/fields")
        self.assertIsNone(reply["X-Private"])
        self.assertEqual(reply["X-Kept"], "end to end")
        told = self.door.request(
            target="/echo",
            headers={"Connection": "X-Mine", "X-Mine": "1", "Keep-Alive": "5", "TE": "trailers",
                     "Proxy-Authorization": "Basic planted", "X-Kept": "2"},
        ).json()
        names = {name.lower(): value for name, value in told["fields"]}
        for name in ("x-mine", "keep-alive", "te", "proxy-authorization"):
            self.assertNotIn(name, names)
        self.assertEqual(names["x-kept"], "2")

    def test_curl_gets_its_answer(self):
        if not shutil.which("curl"):
            self.skipTest("curl is not installed")
        said = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "-d", "a=b", "-w", "%{http_code}",
             f"http://127.0.0.1:{self.door.port}/echo"],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout
        self.assertTrue(said.endswith("200"), said)
        self.assertIn('"a=b"', said)


class Streaming(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()
        self.door = self.gateway(OPEN, upstream=self.upstream.url)

    def test_an_event_arrives_before_the_stream_ends(self):
        connection = self.door.raw(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        head = read_until(connection, b"data: first\n\n")
        self.assertFalse(self.upstream.release.is_set())
        self.assertNotIn(b"data: last", head)
        self.upstream.release.set()
        read_until(connection, b"0\r\n\r\n")

    def test_a_reader_that_goes_away_reaches_the_upstream(self):
        connection = self.door.raw(b"GET /forever HTTP/1.1\r\nHost: a\r\n\r\n")
        read_until(connection, b"tick")
        connection.close()
        self.assertEqual(self.upstream.disconnects.get(timeout=WAIT_SECONDS), "/forever")

    def test_request_chunks_arrive_as_they_are_sent(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        door = self.gateway(OPEN, upstream=f"http://127.0.0.1:{listener.getsockname()[1]}")
        client = door.raw(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          b"5\r\nfirst\r\n")
        listener.settimeout(WAIT_SECONDS)
        server, _ = listener.accept()
        self.addCleanup(server.close)
        read_until(server, b"first")  # The body is not complete yet.
        client.sendall(b"4\r\nlast\r\n0\r\n\r\n")
        read_until(server, b"last")
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertTrue(read_until(client, b"ok").startswith(b"HTTP/1.1 200"))
        client.close()


class Denying(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()

    def test_a_denial_has_the_fields_and_the_problem(self):
        door = self.gateway(
            "headers: [draft11, x-ratelimit-epoch]\n" + THREE, upstream=self.upstream.url
        )
        for left in (2, 1, 0):
            reply = door.request()
            self.assertEqual(reply.status, 200)
            self.assertEqual(reply["RateLimit-Policy"], '"per-minute";q=3;w=60')
            self.assertRegex(reply["RateLimit"], rf'^"per-minute";r={left};t=\d+$')
            self.assertEqual(reply["X-RateLimit-Limit"], "3")
            self.assertEqual(reply["X-RateLimit-Remaining"], str(left))
        reply = door.request()
        self.assertEqual(reply.status, 429)
        self.assertEqual(reply["Content-Type"], "application/problem+json")
        self.assertEqual(reply["Cache-Control"], "no-store")
        self.assertRegex(reply["RateLimit"], r'^"per-minute";r=0;t=\d+$')
        self.assertEqual(reply["X-RateLimit-Remaining"], "0")
        retry = int(reply["Retry-After"])
        self.assertTrue(1 <= retry <= 90, retry)
        reset = int(reply["X-RateLimit-Reset"])
        self.assertTrue(abs(reset - time.time()) <= 120, reset)
        problem = reply.json()
        self.assertEqual(
            problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded"
        )
        self.assertEqual(problem["status"], 429)
        self.assertEqual(problem["violated-policies"], ["per-minute"])
        self.assertEqual(len(self.upstream.requests), 3, "a denied request reached the upstream")

    def test_retry_after_is_the_truth(self):
        door = self.gateway(
            "rules:\n  - {name: short, key: [client], limits: [2/2s]}\n", upstream=self.upstream.url
        )
        self.assertEqual([door.request().status for _ in range(3)], [200, 200, 429])
        time.sleep(int(door.request()["Retry-After"]))
        self.assertEqual(door.request().status, 200)

    def test_a_connection_survives_a_denial(self):
        door = self.gateway(THREE, upstream=self.upstream.url)
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=WAIT_SECONDS)
        self.addCleanup(connection.close)
        statuses = []
        for _ in range(5):
            connection.request("GET", "/")
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        self.assertEqual(statuses, [200, 200, 200, 429, 429])
        connection.request("HEAD", "/")
        response = connection.getresponse()
        self.assertEqual((response.status, response.read()), (429, b""))

    def test_repeated_violations_earn_a_ban(self):
        door = self.gateway(
            "rules:\n  - name: strict\n    key: [client]\n    limits: [1/minute]\n"
            "    penalty: {violations: 3, within: 1m, ban: 5m}\n",
            upstream=self.upstream.url,
        )
        kinds = []
        for _ in range(8):
            reply = door.request()
            kinds.append("ok" if reply.status == 200 else reply.json()["type"].split("#")[1])
        self.assertEqual(kinds[0], "ok")
        self.assertEqual(kinds[1], "quota-exceeded")
        self.assertEqual(kinds[-1], "abnormal-usage-detected")

    def test_observe_denies_nobody_and_counts(self):
        door = self.gateway(
            "rules:\n  - {name: watch, mode: observe, key: [client], limits: [1/minute]}\n",
            upstream=self.upstream.url,
        )
        self.assertEqual([door.request().status for _ in range(3)], [200] * 3)
        self.assertEqual(
            door.metrics()['sluicegate_rule_observed_denials_total{rule="watch"}'], 2
        )

    def test_origin_fields_are_kept_and_ours_are_appended(self):
        door = self.gateway("headers: [draft11]\n" + THREE, upstream=self.upstream.url)
        values = ", ".join(door.request(target="/fields").headers.get_all("RateLimit"))
        self.assertIn('"origin";r=1;t=5', values)
        self.assertIn('"per-minute";r=2', values)

    def test_paths_are_normalised_before_rules_see_them(self):
        door = self.gateway(
            "rules:\n  - {name: api, match: {path: /api}, key: [client], limits: [1/minute]}\n",
            upstream=self.upstream.url,
        )
        self.assertEqual(door.request(target="/api").status, 200)
        for target in ("/api", "/%61pi", "//api", "/./api", "/x/../api", "/api?x=1"):
            with self.subTest(target=target):
                self.assertEqual(door.request(target=target).status, 429)


class FailingUpstream(EndToEnd):
    def test_an_upstream_that_is_down_is_a_502(self):
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        door = self.gateway(OPEN, upstream=f"http://127.0.0.1:{port}")
        reply = door.request()
        self.assertEqual(reply.status, 502)
        self.assertEqual(reply["Content-Type"], "application/problem+json")

    def test_an_upstream_that_is_silent_is_a_504(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            door = self.gateway(
                "timeouts: {upstream: 300ms}\n" + OPEN,
                upstream=f"http://127.0.0.1:{silent.getsockname()[1]}",
            )
            reply = door.request()
        self.assertEqual(reply.status, 504)
        self.assertEqual(reply["Content-Type"], "application/problem+json")

    def answer_once(self, data):
        """A gateway before an upstream that answers every connection with `data` and closes."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(0.1)
        stop = threading.Event()

        def serve():
            while not stop.is_set():
                try:
                    peer, _ = listener.accept()
                except OSError:
                    continue
                with peer:
                    peer.settimeout(WAIT_SECONDS)
                    try:
                        read_until(peer, b"\r\n\r\n")
                        peer.sendall(data)
                    except (OSError, AssertionError):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def close():
            stop.set()
            thread.join(WAIT_SECONDS)
            listener.close()

        self.addCleanup(close)
        return self.gateway(OPEN, upstream=f"http://127.0.0.1:{listener.getsockname()[1]}")

    def test_an_upstream_that_speaks_no_http_is_a_502(self):
        for nonsense in (b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"):
            with self.subTest(nonsense=nonsense):
                self.assertEqual(self.answer_once(nonsense).request().status, 502)

    def test_a_truncated_response_is_seen_to_be_truncated(self):
        door = self.answer_once(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            door.request()

    def test_a_request_without_a_host_names_the_upstream(self):
        origin = self.origin()
        door = self.gateway(OPEN, upstream=origin.url)
        reply = read_to_end(door.raw(b"GET / HTTP/1.0\r\n\r\n"))
        self.assertTrue(reply.startswith(b"HTTP/1.1 200 "), reply)
        fields = {name.lower(): value for name, value in origin.requests[0][2]}
        self.assertEqual(fields["host"], f"127.0.0.1:{origin.port}")

    def test_an_answer_without_a_date_gets_one(self):
        door = self.answer_once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertRegex(door.request()["Date"], r" GMT$")

    def test_the_gateway_goes_on(self):
        origin = self.origin()
        door = self.gateway(OPEN, upstream=origin.url)
        self.assertEqual(door.request().status, 200)
        origin.close()
        wait_until(lambda: door.request().status == 502, "a 502")


if __name__ == "__main__":
    unittest.main()
