"""Requests at the same time: how many pass, and that each gives its place back, whatever its end."""

import collections
import signal
import socket
import threading
import unittest

from harness import WAIT_SECONDS, EndToEnd, read_until, wait_until

TEN = "rules:\n  - {name: work, key: [client], limits: [{concurrency: 10, lease: 5min}]}\n"
IN_FLIGHT = 'sluicegate_table_keys_in_flight{rule="work"}'


class InFlight(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()

    def ask_at_once(self, door, count, target):
        """Sends `count` requests from as many threads, and returns these and their replies."""
        replies = []

        def ask():
            replies.append(door.request(target=target))

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        return threads, replies

    def all_pass(self, door):
        """Ten at once pass, so all places are free."""
        self.upstream.release.clear()
        threads, replies = self.ask_at_once(door, 10, "/held")
        for _ in range(10):
            self.assertTrue(self.upstream.entered.acquire(timeout=WAIT_SECONDS))
        self.upstream.release.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        self.assertEqual([reply.status for reply in replies], [200] * 10)

    def test_of_fifty_at_once_ten_pass(self):
        door = self.gateway(TEN, upstream=self.upstream.url, threads=2)
        for _ in range(3):
            self.upstream.release.clear()
            threads, replies = self.ask_at_once(door, 50, "/held")
            for _ in range(10):
                self.assertTrue(self.upstream.entered.acquire(timeout=WAIT_SECONDS))
            wait_until(lambda: len(replies) == 40, "the forty that are denied")
            self.assertFalse(self.upstream.entered.acquire(timeout=0.2), "an eleventh passed")
            self.assertEqual(door.metrics()[IN_FLIGHT], 1)
            for reply in replies:
                self.assertEqual(reply.status, 429)
                self.assertRegex(reply.json()["detail"], "^Too many requests at the same time. ")
                self.assertEqual(
                    reply["RateLimit-Policy"], '"concurrency";q=10;qu="concurrent-requests"'
                )
            self.upstream.release.set()
            for thread in threads:
                thread.join(WAIT_SECONDS)
            statuses = collections.Counter(reply.status for reply in replies)
            self.assertEqual(statuses, {429: 40, 200: 10})
            self.assertEqual(door.metrics()[IN_FLIGHT], 0, "all are over")
        self.all_pass(door)
        self.assertEqual(door.stop(), 0)

    def test_a_client_that_asks_one_after_the_other_is_never_too_many(self):
        one = "rules:\n  - {name: work, key: [client], limits: [{concurrency: 1}]}\n"
        door = self.gateway(one, upstream=self.upstream.url, threads=2)
        # Each on a connection of its own, so on either loop.
        self.assertEqual({door.request().status for _ in range(200)}, {200})

    def test_answers_arrive_whole(self):
        door = self.gateway(TEN, upstream=self.upstream.url)
        self.assertEqual(len(door.request(target="/big").body), 4 << 20)
        self.assertEqual(door.request().body, b"hello\n")
        self.assertEqual(door.request("HEAD").body, b"")
        self.assertEqual(door.request(target="/nocontent").status, 204)
        self.assertEqual(door.request("POST", "/echo", body=b"x" * 300000).json()["body"], "x" * 300000)

    def test_clients_that_leave_give_their_places_back(self):
        door = self.gateway(TEN, upstream=self.upstream.url)
        for target in ("/held", "/events", "/forever"):
            with self.subTest(target=target):
                self.upstream.release.clear()
                asked = f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
                connections = [door.raw(asked) for _ in range(10)]
                for connection in connections:
                    if target == "/held":
                        self.assertTrue(self.upstream.entered.acquire(timeout=WAIT_SECONDS))
                    else:
                        read_until(connection, b"\r\n\r\n")
                self.assertEqual(door.request().status, 429)
                for connection in connections:
                    connection.close()
                wait_until(lambda: door.metrics()[IN_FLIGHT] == 0, "all places to be free")
                self.all_pass(door)

    def test_an_upstream_that_is_silent_gives_them_back(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            door = self.gateway(
                "timeouts: {upstream: 300ms}\n" + TEN,
                upstream=f"http://127.0.0.1:{silent.getsockname()[1]}",
            )
            for _ in range(2):
                threads, replies = self.ask_at_once(door, 10, "/")
                for thread in threads:
                    thread.join(WAIT_SECONDS)
                self.assertEqual([reply.status for reply in replies], [504] * 10)
                self.assertEqual(door.metrics()[IN_FLIGHT], 0)

    def test_a_reload_keeps_them(self):
        door = self.gateway(TEN, upstream=self.upstream.url)
        threads, replies = self.ask_at_once(door, 10, "/held")
        for _ in range(10):
            self.assertTrue(self.upstream.entered.acquire(timeout=WAIT_SECONDS))
        # Another table, as it has more memory now.
        door.write_config("state: {memory: 128MiB}\n" + TEN)
        door.signal(signal.SIGHUP)
        door.wait_for_log("reload: done")
        self.assertEqual(door.request().status, 429)
        self.upstream.release.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        self.assertEqual([reply.status for reply in replies], [200] * 10)
        self.all_pass(door)

    def test_a_lease_ends_by_itself(self):
        short = "rules:\n  - {name: work, key: [client], limits: [{concurrency: 1, lease: 1s}]}\n"
        door = self.gateway(short, upstream=self.upstream.url)
        threads, replies = self.ask_at_once(door, 1, "/held")
        self.assertTrue(self.upstream.entered.acquire(timeout=WAIT_SECONDS))
        denied = door.request()
        self.assertEqual(denied.status, 429)
        self.assertRegex(denied["Retry-After"], "^[1-4]$")
        wait_until(lambda: door.request().status == 200, "the lease's end")
        self.upstream.release.set()
        threads[0].join(WAIT_SECONDS)
        self.assertEqual(replies[0].status, 200)
        self.assertEqual(door.request().status, 200)


if __name__ == "__main__":
    unittest.main()
