"""State in a file: shared by processes on one port, over restarts and kills."""

import http.client
import random
import threading
import time
import unittest

from harness import EndToEnd, run

MANY = 2000


class State(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()
        self.state = self.folder / "state"

    def door(self, limit, more="", listen="127.0.0.1:0"):
        config = (
            f"state: {{memory: 1MiB, file: {self.state}}}\n"
            f"rules:\n  - {{name: a, key: [client], limits: [{limit}]{more}}}\n"
        )
        return self.gateway(config, upstream=self.upstream.url, listen=listen)

    def statuses(self, door, times):
        return [door.request().status for _ in range(times)]

    def test_a_restart_keeps_counts(self):
        for end in ("stop", "kill"):
            with self.subTest(end=end):
                self.state.unlink(missing_ok=True)
                door = self.door("3/day")
                self.assertEqual(self.statuses(door, 2), [200, 200])
                getattr(door, end)()
                self.assertEqual(self.statuses(self.door("3/day"), 2), [200, 429])

    def test_a_restart_keeps_bans(self):
        penalty = ", penalty: {violations: 2, within: 1m, ban: 1h}"
        door = self.door("1/second", penalty)
        self.statuses(door, 8)
        reply = door.request()
        self.assertEqual(reply.status, 429)
        self.assertIn("abnormal-usage-detected", reply.json()["type"])
        door.kill()
        reply = self.door("1/second", penalty).request()
        self.assertIn("abnormal-usage-detected", reply.json()["type"])

    def test_a_file_that_cannot_be_used_is_refused_with_the_mend(self):
        self.state.write_text("a letter to a friend")
        config = self.folder / "c.yaml"
        config.write_text(
            f"state: {{file: {self.state}}}\nrules:\n  - {{name: a, key: [client], limits: [1/s]}}\n"
        )
        result = run("gateway", "--config", str(config), "--listen", "127.0.0.1:0", "--upstream",
                     self.upstream.url)
        self.assertEqual(result.returncode, 1)
        self.assertIn("it is no state file of Sluicegate, or was cut short. Move it away.", result.stderr)

    def test_what_is_in_the_file_can_be_looked_at_meanwhile(self):
        door = self.door("3/day")
        door.request()
        result = run("state", str(self.state))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("a/rates", result.stdout)

    def clients(self, port, stop, threads):
        """Asks until `stop` is set; a list of a dictionary a thread: answers by status."""
        counts = [{200: 0, 429: 0, None: 0} for _ in range(threads)]

        def ask(mine):
            while not stop.is_set():
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                    connection.request("GET", "/")
                    mine[connection.getresponse().status] += 1
                except (OSError, http.client.HTTPException):
                    mine[None] += 1
                finally:
                    connection.close()

        running = [threading.Thread(target=ask, args=(mine,)) for mine in counts]
        for thread in running:
            thread.start()
        return counts, running

    def test_four_processes_on_one_port_share_one_quota(self):
        first = self.door(f"{MANY}/day")
        listen = f"127.0.0.1:{first.port}"
        for _ in range(3):
            self.door(f"{MANY}/day", listen=listen)
        stop = threading.Event()
        counts, running = self.clients(first.port, stop, threads=6)
        deadline = time.monotonic() + 60
        while sum(mine[429] for mine in counts) < 100 and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        for thread in running:
            thread.join()
        self.assertEqual(sum(mine[None] for mine in counts), 0)
        self.assertEqual(sum(mine[200] for mine in counts), MANY)

    def test_processes_that_are_killed_under_load_cost_no_more_than_what_was_under_way(self):
        threads = 6
        doors = [self.door(f"{MANY}/day")]
        port = doors[0].port
        listen = f"127.0.0.1:{port}"
        doors += [self.door(f"{MANY}/day", listen=listen) for _ in range(3)]
        stop = threading.Event()
        counts, running = self.clients(port, stop, threads)
        choose = random.Random(7)
        kills = 0
        deadline = time.monotonic() + 60
        while sum(mine[429] for mine in counts) < 100 and time.monotonic() < deadline:
            victim = choose.randrange(4)
            doors[victim].kill()
            kills += 1
            doors[victim] = self.door(f"{MANY}/day", listen=listen)
        stop.set()
        for thread in running:
            thread.join()
        admitted = sum(mine[200] for mine in counts)
        self.assertLessEqual(admitted, MANY)
        self.assertGreaterEqual(admitted, MANY - kills * threads)
        self.assertGreater(kills, 3)
        print(f"{kills} of four gateways killed under load: {admitted} of {MANY} admitted")


if __name__ == "__main__":
    unittest.main()
