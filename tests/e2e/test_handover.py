"""SIGUSR2: a new process takes the listening sockets over, under load, and no client notices."""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import unittest
import unittest.mock

import harness
from harness import PROGRAM, WAIT_SECONDS, EndToEnd, read_to_end, read_until, wait_until
from load_clients import Clients

OPEN = "connections: {per_client: off, new_per_second: off}\n"  # All clients here are one address.


def policy(limit="100000000/minute", more=""):
    return f"{OPEN}{more}rules:\n  - {{name: a, key: [client], limits: [{limit}]}}\n"


def is_alive(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    return False


class Handover(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()
        self.pids = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for pid in self.pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def clients(self, door, **kwargs):
        clients = Clients(door.port, **kwargs)
        self.addCleanup(clients.stop)
        return clients

    def hand_over(self, door, pid=None):
        """Sends the signal to `pid`, or the first process, and returns the new one's."""
        outcomes = r"handover: process (\d+) serves|handover: failed"
        before = len(re.findall(outcomes, door.log()))
        os.kill(pid or door.process.pid, signal.SIGUSR2)
        told = wait_until(
            lambda: re.findall(outcomes, door.log())[before:],
            f"a process that serves:\n{door.log()}",
        )
        self.assertTrue(told[0], door.log())
        self.pids.append(int(told[0]))
        return self.pids[-1]

    def assert_old_one_ends(self, door):
        self.assertEqual(door.process.wait(WAIT_SECONDS), 0, door.log())

    def assert_nothing_lost(self, door, clients):
        clients.stop()
        self.assertEqual(clients.failures, [], door.log())
        self.assertEqual(set(clients.statuses), {200})
        self.assertEqual(len(self.upstream.requests), len(clients.statuses))

    def test_under_load_nobody_is_refused_or_cut(self):
        door = self.gateway(policy(), upstream=self.upstream.url, threads=2)
        clients = self.clients(door)
        clients.wait_for_more()
        new = self.hand_over(door)
        clients.wait_for_more(300)
        self.assert_old_one_ends(door)
        clients.wait_for_more()
        self.assert_nothing_lost(door, clients)
        self.assertNotIn("were cut", door.log())
        self.assertTrue(is_alive(new))

    def test_two_in_a_row(self):
        door = self.gateway(policy(), upstream=self.upstream.url, threads=3)
        clients = self.clients(door)
        first = self.hand_over(door)
        clients.wait_for_more()
        second = self.hand_over(door, first)
        clients.wait_for_more(200)
        self.assert_old_one_ends(door)
        wait_until(lambda: not is_alive(first), "the second process to end")
        clients.wait_for_more()
        self.assert_nothing_lost(door, clients)
        self.assertTrue(is_alive(second))

    def test_fewer_and_more_loops_leave_no_socket_alone(self):
        for before, after in ((4, 1), (1, 4)):
            with self.subTest(before=before, after=after):
                self.upstream.requests.clear()
                # The program is started anew under the name that it has, which is the script's; and
                # with the flag that the script gave.
                program = self.file(
                    "wrapped",
                    f'#!/bin/bash\nif [ -z "$SLUICEGATE_LISTENERS" ]; then set -- "$@" --threads {before}\n'
                    f'else set -- "${{@:1:$#-1}}" {after}; fi\n'
                    f'exec -a "$0" {os.path.abspath(PROGRAM)} "$@"\n',
                    mode=0o755,
                )
                door = self.gateway_by(program, policy())
                clients = self.clients(door)
                clients.wait_for_more()
                self.hand_over(door)
                clients.wait_for_more(200)
                self.assert_old_one_ends(door)
                clients.wait_for_more()
                self.assert_nothing_lost(door, clients)

    def gateway_by(self, program, config, **kwargs):
        """A gateway whose program is `program`."""
        with unittest.mock.patch.object(harness, "PROGRAM", str(program)):
            return self.gateway(config, upstream=self.upstream.url, threads=None, **kwargs)

    def test_what_waits_in_the_queue_is_served_by_the_new_process(self):
        door = self.gateway(policy(), upstream=self.upstream.url)
        door.signal(signal.SIGUSR2)
        waiting = [socket.create_connection(("127.0.0.1", door.port), WAIT_SECONDS) for _ in range(100)]
        told = wait_until(lambda: re.search(r"process (\d+) serves", door.log()), "the new process")
        self.pids.append(int(told[1]))
        for connection in waiting:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        for connection in waiting:
            self.assertIn(b"200 OK", connection.recv(65536))
            connection.close()

    def test_a_request_in_flight_is_finished_by_the_old_process(self):
        door = self.gateway(policy(), upstream=self.upstream.url)
        connection = door.raw(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(self.upstream.entered.acquire(timeout=WAIT_SECONDS))
        self.hand_over(door)
        self.assertEqual(door.request().status, 200)
        self.assertIsNone(door.process.poll())
        self.upstream.release.set()
        answer = read_to_end(connection)
        self.assertIn(b"held\n", answer)
        self.assertIn(b"Connection: close", answer)
        self.assert_old_one_ends(door)

    def test_connections_that_idle_are_let_go(self):
        door = self.gateway(policy(), upstream=self.upstream.url)
        idle = door.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        read_until(idle, b"hello\n")
        self.hand_over(door)
        self.assert_old_one_ends(door)
        self.assertEqual(idle.recv(1), b"")

    def test_the_port_file_and_the_admin_door_are_the_new_process_s(self):
        door = self.gateway(policy(), upstream=self.upstream.url)
        ports = door.port_file.read_text()
        door.port_file.unlink()
        started = door.metrics()["process_start_time_seconds"]
        self.hand_over(door)
        self.assertEqual(door.port_file.read_text(), ports)
        wait_until(lambda: door.metrics()["process_start_time_seconds"] > started, "its metrics")
        self.assertEqual(door.admin(target="/readyz").status, 200)
        self.assert_old_one_ends(door)
        self.assertEqual(door.admin(target="/readyz").status, 200)

    def test_the_new_process_keeps_nothing_else_of_the_old_one(self):
        door = self.gateway(policy(), upstream=self.upstream.url)
        new = self.hand_over(door)
        self.assert_old_one_ends(door)
        with open(f"/proc/{new}/environ", "rb") as variables:
            self.assertIn(b"SLUICEGATE_LISTENERS=", variables.read())  # As it was given.
        before = door.metrics()["process_open_fds"]
        again = self.hand_over(door, new)
        wait_until(lambda: not is_alive(new), "the second process to end")
        self.assertNotEqual(again, new)
        self.assertEqual(door.metrics()["process_open_fds"], before)

    def quota(self, more):
        door = self.gateway(policy("400/hour", more), upstream=self.upstream.url, threads=2)
        clients = self.clients(door)
        clients.wait_for_more(100)
        self.hand_over(door)
        wait_until(lambda: 429 in clients.statuses or clients.failures, "the end of the quota")
        clients.wait_for_more(100)
        clients.stop()
        self.assertEqual(clients.failures, [], door.log())
        self.assertEqual(set(clients.statuses), {200, 429})
        self.assertEqual(clients.statuses.count(200), len(self.upstream.requests))
        return clients.statuses.count(200)

    def test_with_a_state_file_no_counter_is_lost(self):
        self.assertEqual(self.quota(f"state: {{file: {self.folder}/state, memory: 4MiB}}\n"), 400)

    def test_without_a_state_file_counters_start_afresh(self):
        self.assertGreater(self.quota(""), 400)

    def assert_goes_on(self, door, clients, reason):
        door.wait_for_log("handover: failed: this process goes on")
        self.assertRegex(door.log(), "error handover: .*" + reason)
        clients.wait_for_more()
        self.assert_nothing_lost(door, clients)
        self.assertIsNone(door.process.poll())
        self.assertEqual(door.admin(target="/readyz").status, 200)

    def test_a_bad_policy_leaves_the_old_process_serving(self):
        door = self.gateway(policy(), upstream=self.upstream.url, threads=2)
        clients = self.clients(door)
        door.write_config("rules:\n  - {name: a, limits: [1/minut]}\n")
        door.signal(signal.SIGUSR2)
        self.assert_goes_on(door, clients, r"sluicegate\.yaml:2:\d+")
        # And a good one takes over later.
        door.write_config(policy())
        self.hand_over(door)
        self.assert_old_one_ends(door)

    def test_a_program_that_crashes_or_is_gone_leaves_the_old_process_serving(self):
        program = self.folder / "replaced"
        program.symlink_to(os.path.abspath(PROGRAM))
        for script, reason in (
            ("kill -SEGV $$", "signal 11"),
            ("exit 7", "status 7"),
            (None, "cannot be run|status"),
        ):
            with self.subTest(script=script):
                self.upstream.requests.clear()
                program.unlink(missing_ok=True)
                program.symlink_to(os.path.abspath(PROGRAM))
                door = self.gateway_by(program, policy())
                clients = self.clients(door)
                program.unlink()
                if script is None:
                    program.mkdir()
                else:
                    program.write_text(f"#!/bin/sh\n{script}\n")
                    program.chmod(0o755)
                door.signal(signal.SIGUSR2)
                self.assert_goes_on(door, clients, reason)
                door.stop()
                program.rmdir() if script is None else program.unlink()

    def test_a_reload_while_the_new_process_starts_reaches_it(self):
        memory = "state: {memory: 512MiB}\n"  # It takes a while to start.
        door = self.gateway(memory + policy("3/minute"), upstream=self.upstream.url)
        door.signal(signal.SIGUSR2)
        door.wait_for_log("the program starts anew")
        time.sleep(0.05)  # It has read the policy.
        door.write_config(memory + policy("5/minute"))
        door.signal(signal.SIGHUP)
        door.wait_for_log(" serves")
        self.pids.append(int(re.search(r"process (\d+) serves", door.log()).group(1)))
        wait_until(lambda: ";q=5;" in str(door.request()["RateLimit-Policy"]), "the new policy")
        self.assert_old_one_ends(door)
        self.assertIn(";q=5;", str(door.request()["RateLimit-Policy"]))

    def test_a_program_that_was_replaced_is_taken(self):
        program = self.folder / "sluicegate"
        program.symlink_to(os.path.abspath(PROGRAM))
        door = self.gateway_by(program, policy())
        other = self.folder / "other"
        other.write_text(f'#!/bin/sh\ntouch {self.folder}/seen\nexec {os.path.abspath(PROGRAM)} "$@"\n')
        other.chmod(0o755)
        other.rename(program)
        self.hand_over(door)
        self.assertTrue((self.folder / "seen").exists())
        self.assert_old_one_ends(door)

    def test_a_stop_while_the_new_process_starts_ends_both(self):
        program = self.folder / "sluicegate"
        program.symlink_to(os.path.abspath(PROGRAM))
        door = self.gateway_by(program, policy())
        program.unlink()
        program.write_text("#!/bin/sh\nexec sleep 100\n")
        program.chmod(0o755)
        door.signal(signal.SIGUSR2)
        door.wait_for_log("starts anew as process")
        new = int(re.search(r"anew as process (\d+)", door.log())[1])
        door.signal(signal.SIGUSR2)
        door.wait_for_log("is starting already")
        self.assertEqual(door.stop(), 0)
        wait_until(lambda: not is_alive(new), "the new process to end")

    def test_a_listener_that_the_policy_does_not_want_any_more_is_closed(self):
        listen = "listen: {gateway: ['127.0.0.1:0', '127.0.0.2:0']}\n"
        door = self.gateway(policy(more=listen), upstream=self.upstream.url, listen=None)
        first, second = door.ports
        listen = "listen: {gateway: ['127.0.0.3:0', '127.0.0.1:0']}\n"
        door.write_config(policy(more=listen))
        self.hand_over(door)
        self.assert_old_one_ends(door)
        addresses = re.findall(r"gateway=(\S+):(\d+)", door.port_file.read_text())
        self.assertEqual([address for address, _ in addresses], ["127.0.0.3", "127.0.0.1"])
        self.assertEqual(int(addresses[1][1]), first)
        self.assertEqual(door.request().status, 200)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", second), WAIT_SECONDS)

    def test_a_variable_that_means_nothing_is_harmless(self):
        for text in ("", "nonsense", "gateway 127.0.0.1:0 3;ready 4", "gateway 127.0.0.1:0 900;ready 901"):
            with self.subTest(text=text), unittest.mock.patch.dict(os.environ, SLUICEGATE_LISTENERS=text):
                door = self.gateway(policy(), upstream=self.upstream.url)
                self.assertEqual(door.request().status, 200)
                self.assertEqual(door.stop(), 0)

    def test_with_tls_nobody_is_cut(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-subj", "/CN=a", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"],
            check=True, capture_output=True,
        )
        listen = (
            "listen:\n  gateway:\n    - {address: '127.0.0.1:0', tls: "
            f"{{certificate: {self.folder}/cert.pem, key: {self.folder}/key.pem}}}}\n"
        )
        door = self.gateway(policy(more=listen), upstream=self.upstream.url, listen=None, threads=2)
        context = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        clients = self.clients(door, context=context)
        clients.wait_for_more()
        self.hand_over(door)
        clients.wait_for_more(200)
        self.assert_old_one_ends(door)
        clients.wait_for_more()
        self.assert_nothing_lost(door, clients)

    def test_a_service_manager_learns_who_serves(self):
        said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(said.close)
        said.bind(str(self.folder / "notify"))
        said.settimeout(WAIT_SECONDS)
        with unittest.mock.patch.dict(os.environ, NOTIFY_SOCKET=str(self.folder / "notify")):
            door = self.gateway(policy(), upstream=self.upstream.url)
        self.assertEqual(said.recv(100), b"READY=1")
        new = self.hand_over(door)
        self.assertEqual(said.recv(100), f"MAINPID={new}".encode())
        self.assert_old_one_ends(door)
        os.kill(new, signal.SIGTERM)
        self.assertEqual(said.recv(100), b"STOPPING=1")


if __name__ == "__main__":
    unittest.main()
