"""State in a file: shared by processes on one port, over restarts and kills."""

import collections
import http.client
import os
import random
import threading
import time
import unittest

from harness import EndToEnd, run, wait_until

MANY = 2000
KILLS = 500
KILL_SECONDS = 35.0


class Clients:
    """Threads that ask until they are stopped, all as one client: 127.0.0.`number`."""

    def __init__(self, port, threads):
        self.port = port
        self.number = 1
        self.answers = [collections.Counter() for _ in range(threads)]  # By client and status; None: failed.
        self.longest = [0.0] * threads  # Seconds that a request took, failed ones included.
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(i,)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def ask(self, thread):
        while not self.stopping.is_set():
            number = self.number
            begun = time.monotonic()
            connection = http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=5, source_address=(f"127.0.0.{number}", 0)
            )
            try:
                connection.request("GET", "/")
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException):
                status = None
            finally:
                connection.close()
            self.answers[thread][number, status] += 1
            self.longest[thread] = max(self.longest[thread], time.monotonic() - begun)

    def count(self, number, status):
        return sum(mine[number, status] for mine in self.answers)

    def statuses(self):
        return {status for mine in self.answers for _, status in mine}

    def has_no_more(self):
        """Whether this client's quota is used up."""
        return self.count(self.number, 429) >= 20

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


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

    def refusal(self):
        """What a start that cannot use the file ends with."""
        config = self.folder / "c.yaml"
        config.write_text(
            f"state: {{file: {self.state}}}\nrules:\n  - {{name: a, key: [client], limits: [1/s]}}\n"
        )
        return run("gateway", "--config", str(config), "--listen", "127.0.0.1:0", "--upstream",
                   self.upstream.url)

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
        result = self.refusal()
        self.assertEqual(result.returncode, 1)
        self.assertIn("it is no state file of Sluicegate, or was cut short. Move it away.", result.stderr)

    def test_what_is_in_the_file_can_be_looked_at_meanwhile(self):
        door = self.door("3/day")
        door.request()
        result = run("state", str(self.state))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("a/rates", result.stdout)

    def test_explain_and_check_say_what_the_file_has_and_change_nothing(self):
        door = self.door("3/day")
        self.statuses(door, 2)
        config = str(self.folder / "asks.yaml")

        def asks(limits):
            (self.folder / "asks.yaml").write_text(
                f"state: {{memory: 1MiB, file: {self.state}}}\n"
                f"rules:\n  - {{name: a, key: [client], limits: [{limits}]}}\n"
            )

        asks("3/day")
        for _ in range(2):
            told = run("explain", "--config", config, "--client", "127.0.0.1", "GET", "/").stdout
            self.assertIn("it would now be allowed; what binds is per-day of rule a: 0 of 3 left.", told)
        self.assertIn("A start with this policy takes over what they counted by the same keys.", run("check", config).stdout)
        asks("3/day, 9/hour")
        told = run("check", config).stdout
        self.assertIn(f"{self.state}: 1 process attached.", told)
        self.assertIn("rule a: limit per-hour counts afresh", told)
        self.assertEqual(self.statuses(door, 2), [200, 429])
        (self.folder / "asks.yaml").write_text((self.folder / "asks.yaml").read_text().replace("name: a", "name: b"))
        told = run("check", config).stdout
        self.assertIn("rule b: begins with nothing, as nobody counted by that name\n", told)
        self.assertIn("rule a: what it counted is not used, as this policy has no such rule\n", told)
        asks("3/day")
        told = run("explain", "--config", config, "--client", "127.0.0.1", "GET", "/").stdout
        self.assertIn("it would now be limited", told)
        self.assertRegex(told, r"It would be allowed in \d+")
        self.state.chmod(0o666)
        self.assertIn("everybody may write it", run("check", config).stderr)
        refused = run("explain", "--config", config, "--client", "127.0.0.1", "GET", "/")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("everybody may write it", refused.stderr)

    def test_a_restart_with_another_policy_takes_over_what_it_can(self):
        door = self.door("3/day")
        self.assertEqual(self.statuses(door, 2), [200, 200])
        door.stop()
        door = self.door("9/hour, 3/day")
        self.assertIn("start: rule a: limit per-hour counts afresh", door.log())
        self.assertEqual(self.statuses(door, 2), [200, 429])

    def test_a_file_that_is_cut_short_in_use_ends_nobody(self):
        one = self.door("3/day")
        other = self.door("3/day")
        self.assertEqual(self.statuses(one, 4), [200, 200, 200, 429])
        for left in (200_000, 0):
            os.truncate(self.state, left)
            self.assertEqual(self.statuses(other, 2) + self.statuses(one, 2), [200, 200, 200, 429])
        told = "was cut short while it was in use: what was cut counts afresh"
        wait_until(lambda: told in one.log() + other.log(), "the warning of whoever made it whole")
        refused = self.refusal()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("it is no state file of Sluicegate. Name another file, or move this one away.",
                      refused.stderr)

    def test_a_start_that_fails_with_another_policy_takes_nothing_away(self):
        door = self.door("3/day")
        self.assertEqual(self.statuses(door, 2), [200, 200])
        config = self.folder / "c.yaml"
        config.write_text(
            f"state: {{memory: 1MiB, file: {self.state}}}\n"
            "rules:\n  - {name: a, key: [client], limits: [3/day, 9/hour]}\n"
        )
        result = run("gateway", "--config", str(config), "--listen", "127.0.0.1:0", "--upstream",
                     self.upstream.url, "--admin", f"127.0.0.1:{door.admin_port}")
        self.assertIn("Address already in use", result.stderr)
        self.assertEqual(self.statuses(door, 1), [200])
        wait_until(self.first_region_counts, "the next second")
        door.kill()
        self.assertEqual(self.statuses(self.door("3/day"), 1), [429])

    def first_region_counts(self):
        lines = run("state", str(self.state)).stdout.splitlines()
        rates = [line for line in lines if line.startswith("a/rates")]
        return "left behind" not in rates[0]

    def test_a_file_that_is_removed_in_use_is_told(self):
        door = self.door("3/day")
        os.unlink(self.state)
        door.wait_for_log("was moved or removed while it is in use")
        self.assertEqual(self.statuses(door, 1), [200])

    def four_doors(self):
        doors = [self.door(f"{MANY}/day")]
        listen = f"127.0.0.1:{doors[0].port}"
        return doors + [self.door(f"{MANY}/day", listen=listen) for _ in range(3)]

    def clients(self, port, threads):
        clients = Clients(port, threads)
        self.addCleanup(clients.stop)
        return clients

    def test_four_processes_on_one_port_share_one_quota(self):
        clients = self.clients(self.four_doors()[0].port, threads=6)
        wait_until(clients.has_no_more, "the quota's end", seconds=60)
        clients.stop()
        self.assertEqual(clients.statuses(), {200, 429})
        self.assertEqual(clients.count(1, 200), MANY)

    def test_processes_that_are_killed_under_load_cost_no_more_than_what_was_under_way(self):
        doors = self.four_doors()
        port = doors[0].port
        clients = self.clients(port, threads=6)
        choose = random.Random(7)
        kills = 0
        deadline = time.monotonic() + KILL_SECONDS
        while kills < KILLS and time.monotonic() < deadline:
            victim = choose.randrange(4)
            doors[victim].close()
            kills += 1
            doors[victim] = self.door(f"{MANY}/day", listen=f"127.0.0.1:{port}")
            if clients.has_no_more():
                clients.number += 1  # The next client has a quota of its own, in the same file.
        wait_until(clients.has_no_more, "the last quota's end", seconds=60)
        clients.stop()
        self.assertLessEqual(clients.statuses(), {200, 429, None})
        for number in range(1, clients.number + 1):
            with self.subTest(client=number):
                admitted = clients.count(number, 200)
                self.assertLessEqual(admitted, MANY)
                # What was charged without an answer is a request that failed.
                self.assertGreaterEqual(admitted + clients.count(number, None), MANY)
        failed = sum(clients.count(number, None) for number in range(1, clients.number + 1))
        self.assertLessEqual(failed, kills * len(clients.threads))
        self.assertGreater(kills, 30)
        admitted = sum(clients.count(number, 200) for number in range(1, clients.number + 1))
        print(
            f"{kills} of four gateways killed under load: {admitted} of {clients.number * MANY} "
            f"admitted, {failed} requests failed, the longest took {max(clients.longest) * 1000:.0f} ms"
        )


if __name__ == "__main__":
    unittest.main()
