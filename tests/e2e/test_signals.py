"""SIGHUP, SIGTERM and SIGINT, as an operator and a service manager use them."""

import signal
import subprocess
import threading
import time
import unittest

from harness import PROGRAM, WAIT_SECONDS, EndToEnd, read_to_end, read_until, wait_until
from load_clients import Clients


def rules(*limits, more=""):
    return more + "rules:\n" + "".join(
        f"  - {{name: {name}, key: [client], limits: [{limit}]}}\n" for name, limit in limits
    )


class Reload(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()

    def reload(self, door, text, says):
        door.write_config(text)
        door.signal(signal.SIGHUP)
        door.wait_for_log(says)

    def test_a_good_file_takes_effect_and_keeps_what_was_counted(self):
        door = self.gateway(rules(("a", "3/minute")), upstream=self.upstream.url)
        self.assertEqual([door.request().status for _ in range(2)], [200, 200])
        self.reload(door, rules(("a", "5/minute")), "reload: done")
        self.assertEqual([door.request().status for _ in range(4)], [200, 200, 200, 429])
        metrics = door.metrics()
        self.assertEqual(metrics['sluicegate_config_reloads_total{result="success"}'], 1)
        self.assertEqual(metrics["sluicegate_config_last_reload_successful"], 1)

    def test_a_rule_that_counts_afresh_is_named(self):
        door = self.gateway(rules(("a", "3/minute")), upstream=self.upstream.url)
        self.reload(door, rules(("a", "3/hour")), "reload: done")
        self.assertRegex(door.log(), r"reload: .*'?a'?.*afresh")

    def test_a_bad_file_changes_nothing_and_tells_every_mistake(self):
        door = self.gateway(rules(("a", "2/minute")), upstream=self.upstream.url)
        self.assertEqual(door.request().status, 200)
        bad = "rules:\n  - {name: a, limits: [1/minut]}\n  - {name: b, key: [cleint], limits: [1/s]}\n"
        self.reload(door, bad, "reload: refused")
        self.assertRegex(door.log(), r"sluicegate\.yaml:2:\d+")
        self.assertRegex(door.log(), r"sluicegate\.yaml:3:\d+")
        self.assertEqual([door.request().status for _ in range(2)], [200, 429])
        metrics = door.metrics()
        self.assertEqual(metrics['sluicegate_config_reloads_total{result="failure"}'], 1)
        self.assertEqual(metrics["sluicegate_config_last_reload_successful"], 0)
        self.assertEqual(door.stop(), 0, "a bad reload must not show in the exit status")

    def test_a_file_that_is_gone_changes_nothing(self):
        door = self.gateway(rules(("a", "2/minute")), upstream=self.upstream.url)
        door.config.unlink()
        door.signal(signal.SIGHUP)
        door.wait_for_log("reload: refused")
        self.assertEqual(door.request().status, 200)

    def test_without_a_file_a_hangup_is_told_and_harmless(self):
        door = self.gateway(upstream=self.upstream.url)
        door.signal(signal.SIGHUP)
        door.wait_for_log("reload:")
        self.assertEqual(door.request().status, 200)

    def test_what_needs_a_restart_is_said(self):
        door = self.gateway(
            rules(("a", "2/minute"), more="listen: {gateway: '127.0.0.1:0'}\n"),
            upstream=self.upstream.url,
        )
        # The flag overrides the file, so the listener in the file is not what counts.
        self.reload(
            door, rules(("a", "4/minute"), more="listen: {gateway: '127.0.0.1:9'}\n"), "reload: done"
        )
        self.assertEqual(door.request().status, 200)

    def test_the_upstream_flag_wins_over_a_reload(self):
        other = self.origin()
        door = self.gateway(rules(("a", "100/minute")), upstream=self.upstream.url)
        self.reload(
            door, rules(("a", "90/minute"), more=f"upstream: {{url: '{other.url}'}}\n"),
            "reload: done",
        )
        door.request()
        self.assertEqual((len(self.upstream.requests), len(other.requests)), (1, 0))

    def test_the_upstream_of_the_file_changes_with_a_reload(self):
        other = self.origin()

        def text(origin):
            return rules(("a", "100/minute"), more=f"upstream: {{url: '{origin.url}'}}\n")

        door = self.gateway(text(self.upstream))
        self.assertEqual(door.request().status, 200)
        self.reload(door, text(other), "reload: done")
        self.assertEqual(door.request().status, 200)
        self.assertEqual((len(self.upstream.requests), len(other.requests)), (1, 1))

    def test_reloads_under_load_lose_no_request(self):
        door = self.gateway(rules(("a", "100000/minute")), upstream=self.upstream.url)
        stop = threading.Event()
        statuses = []

        def load():
            while not stop.is_set():
                statuses.append(door.request().status)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in range(10):
            before = door.log().count("reload: done")
            door.write_config(rules(("a", f"{100000 + n}/minute"), (f"b{n}", "90000/minute")))
            door.signal(signal.SIGHUP)
            wait_until(lambda: door.log().count("reload: done") > before, "a reload")
        stop.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        self.assertEqual(set(statuses), {200})

    def test_reloads_without_a_pause_lose_no_counter(self):
        quota = 1500
        texts = [
            rules(("a", f"{quota}/hour"), *((f"b{n}", "90000000/minute") for n in range(count)),
                  more="connections: {per_client: off, new_per_second: off}\n")
            for count in (0, 3)
        ]
        door = self.gateway(texts[0], upstream=self.upstream.url, threads=2)
        clients = Clients(door.port)
        self.addCleanup(clients.stop)
        for n in range(40):  # 2 s
            # All at once, since a reload may read it at any moment.
            (door.folder / "next").write_text(texts[n % 2])
            (door.folder / "next").rename(door.config)
            door.signal(signal.SIGHUP)
            clients.stopped.wait(0.05)
        wait_until(lambda: 429 in clients.statuses or clients.failures, "the end of the quota")
        clients.wait_for_more()
        clients.stop()
        self.assertEqual(clients.failures, [])
        self.assertEqual(set(clients.statuses), {200, 429})
        self.assertEqual(clients.statuses.count(200), quota)
        self.assertEqual(len(self.upstream.requests), quota)
        self.assertNotIn("reload: refused", door.log())
        self.assertGreater(door.log().count("reload: done"), 10)


class Stop(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()

    def held(self, door):
        connection = door.raw(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(self.upstream.entered.acquire(timeout=WAIT_SECONDS))
        return connection

    def test_a_request_in_flight_finishes(self):
        door = self.gateway(rules(("a", "9/minute")), upstream=self.upstream.url)
        connection = self.held(door)
        door.signal(signal.SIGTERM)
        door.wait_for_log("stop:")
        self.assertEqual(door.admin(target="/readyz").status, 503)
        self.assertEqual(door.admin(target="/healthz").status, 200)
        self.assertEqual(door.metrics()["sluicegate_draining"], 1)
        self.assertIsNone(door.process.poll())
        self.upstream.release.set()
        self.assertIn(b"held\n", read_until(connection, b"held\n"))
        self.assertEqual(door.process.wait(WAIT_SECONDS), 0)

    def test_new_connections_are_turned_away_while_draining(self):
        door = self.gateway(rules(("a", "9/minute")), upstream=self.upstream.url)
        self.held(door)
        door.signal(signal.SIGTERM)
        door.wait_for_log("stop:")

        def refused():
            try:
                door.request()
                return False
            except OSError:
                return True

        wait_until(refused, "a refusal")
        self.upstream.release.set()
        self.assertEqual(door.process.wait(WAIT_SECONDS), 0)

    def test_the_deadline_cuts_what_does_not_finish(self):
        door = self.gateway(
            rules(("a", "9/minute"), more="timeouts: {drain: 1s}\n"), upstream=self.upstream.url
        )
        connection = self.held(door)
        begin = time.monotonic()
        self.assertEqual(door.stop(), 0)
        took = time.monotonic() - begin
        self.assertTrue(0.5 <= took <= 10, took)
        self.assertNotIn(b"held", read_to_end(connection))

    def test_a_second_signal_cuts_at_once(self):
        door = self.gateway(rules(("a", "9/minute")), upstream=self.upstream.url)
        self.held(door)
        door.signal(signal.SIGTERM)
        door.wait_for_log("stop:")
        door.signal(signal.SIGTERM)
        begin = time.monotonic()
        door.process.wait(WAIT_SECONDS)
        self.assertLess(time.monotonic() - begin, 10)

    def test_a_hangup_while_it_starts_is_heard_when_it_serves(self):
        config = self.folder / "policy.yaml"
        config.write_text("state: {memory: 1GiB}\n" + rules(("a", "9/minute")))  # It takes a while.
        ports = self.folder / "ports"
        with open(self.folder / "log", "w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                [PROGRAM, "gateway", "--config", str(config), "--listen", "127.0.0.1:0", "--admin", "off",
                 "--port-file", str(ports)],
                stdout=subprocess.DEVNULL, stderr=log,
            )
        self.addCleanup(process.kill)
        wait_until(lambda: self.holds_hangups(process.pid) or ports.exists(), "a process that starts")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload: done" in (self.folder / "log").read_text(), "the reload")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(WAIT_SECONDS), 0)

    @staticmethod
    def holds_hangups(pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            blocked = next(line for line in status if line.startswith("SigBlk:"))
        return int(blocked.split()[1], 16) & 1 << (signal.SIGHUP - 1)

    def test_idle_connections_do_not_hold_it_up(self):
        door = self.gateway(rules(("a", "9/minute")), upstream=self.upstream.url)
        idle = door.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        read_until(idle, b"hello\n")
        silent = door.raw()
        begin = time.monotonic()
        self.assertEqual(door.stop(), 0)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertEqual(read_to_end(idle), b"")
        silent.close()


if __name__ == "__main__":
    unittest.main()
