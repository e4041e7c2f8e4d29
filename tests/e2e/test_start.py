"""What a newcomer types first, and what the program says when something is wrong."""

import http.client
import os
import re
import signal
import socket
import shutil
import subprocess
import unittest
from unittest import mock

import harness
from harness import PROGRAM, EndToEnd, run


class TwoCommands(EndToEnd):
    def test_without_an_upstream_a_demo_starts_and_says_so(self):
        gateway = self.gateway()
        self.assertIn("demo", gateway.banner())
        self.assertEqual(gateway.request().status, 200)
        self.assertEqual(gateway.stop(), 0)

    def test_the_three_lines_work_as_pasted(self):
        if not shutil.which("curl"):
            self.skipTest("curl is not installed")
        gateway = self.gateway()
        lines = [
            line.strip() for line in gateway.banner().splitlines() if re.match(r"\s+\S*curl|\s+for ", line)
        ]
        self.assertEqual(len(lines), 3, gateway.banner())
        said = [
            subprocess.run(
                ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False
            ).stdout
            for line in lines
        ]
        self.assertIn("200", said[0])
        self.assertIn("429", said[1])
        self.assertIn("sluicegate_rule_decisions_total", said[2])

    def test_an_upstream_given_is_protected(self):
        origin = self.origin()
        gateway = self.gateway(upstream=origin.url)
        self.assertNotIn("demo", gateway.banner())
        self.assertEqual(gateway.request(target="/a?b=c").body, b"hello\n")
        self.assertEqual([(r[0], r[1]) for r in origin.requests], [("GET", "/a?b=c")])

    def test_interrupt_stops_it_with_status_0(self):
        gateway = self.gateway()
        gateway.signal(signal.SIGINT)
        self.assertEqual(gateway.process.wait(harness.WAIT_SECONDS), 0)

    def test_admin_off_opens_no_admin_door(self):
        gateway = self.gateway(admin="off")
        self.assertIsNone(gateway.admin_port)
        self.assertEqual(gateway.request().status, 200)

    def test_a_service_manager_is_told_no_lines_to_paste(self):
        origin = self.origin()
        gateway = self.gateway(config="rules: []\n", command="run", upstream=origin.url)
        self.assertEqual(gateway.request().status, 200)
        self.assertEqual(gateway.banner(), "")

    def test_addresses_are_told_as_they_are_and_lines_to_paste_as_they_work(self):
        gateway = self.gateway(args=["--listen", "0.0.0.0:0"])
        self.assertIn(f"gateway=0.0.0.0:{gateway.port}\n", gateway.port_file.read_text())
        self.assertIn(f"curl -i http://127.0.0.1:{gateway.port}/\n", gateway.banner())
        gateway.wait_for_log(f"start: gateway on 0.0.0.0:{gateway.port},")

    def test_a_listener_beyond_loopback_is_warned_of(self):
        gateway = self.gateway(args=["--admin", "0.0.0.0:0"], admin="127.0.0.1:0")
        gateway.wait_for_log("0.0.0.0")
        self.assertRegex(gateway.log(), r"warning .*not loopback")

    def test_a_small_limit_of_open_files_is_warned_of(self):
        limited = self.file("limited.sh", f'#!/bin/sh\nulimit -n "$FILES"\nexec {PROGRAM} "$@"\n')
        limited.chmod(0o755)
        for files, policy, left in (("130", "", 1), ("300", "", 86), ("1024", "", None),
                                    ("300", "connections: {most: 50}\n", None)):
            environment = mock.patch.dict(os.environ, FILES=files)
            with environment, mock.patch.object(harness, "PROGRAM", str(limited)):
                gateway = self.gateway(policy + "rules: []\n")
            gateway.wait_for_log("start: gateway on")
            told = re.findall(r"warning start: the limit of open files leaves (\d+) .*LimitNOFILE=", gateway.log())
            self.assertEqual(told, [] if left is None else [str(left)], gateway.log())
            gateway.close()

    def test_several_listeners_have_a_line_each_in_the_port_file(self):
        config = "listen: {gateway: [127.0.0.1:0, {address: 127.0.0.2:0}]}\nrules: []\n"
        gateway = self.gateway(config=config, listen=None, upstream=self.origin().url)
        self.assertEqual(len(gateway.ports), 2)
        lines = gateway.port_file.read_text().splitlines()
        self.assertEqual([line.rsplit(":", 1)[0] for line in lines],
                         ["gateway=127.0.0.1", "gateway=127.0.0.2", "admin=127.0.0.1"])
        self.assertIn(f"http://127.0.0.1:{gateway.ports[0]}/", gateway.banner())
        self.assertEqual(gateway.request().status, 200)
        connection = http.client.HTTPConnection("127.0.0.2", gateway.ports[1], timeout=10)
        connection.request("GET", "/")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()


class Mistakes(EndToEnd):
    def fails(self, *args, status=None):
        result = run(*args)
        self.assertNotEqual(result.returncode, 0, result)
        if status is not None:
            self.assertEqual(result.returncode, status, result)
        self.assertNotIn("terminate called", result.stderr)
        return result.stderr

    def test_a_port_in_use_is_told_with_the_mend(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            error = self.fails(
                "gateway", "--listen", f"127.0.0.1:{port}", "--admin", "off", status=1
            )
            self.assertIn(str(port), error)
            self.assertIn("in use", error)
            self.assertIn("--listen", error)
            error = self.fails(
                "gateway", "--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{port}", status=1
            )
            self.assertIn(str(port), error)
            self.assertIn("--admin", error)

    def test_flags_that_make_no_sense_are_refused(self):
        for flags in (
            ["--listen", "nonsense"],
            ["--listen", "localhost:8080"],
            ["--listen", "127.0.0.1:99999"],
            ["--admin", "127.0.0.1"],
            ["--upstream", "ftp://x"],
            ["--upstream", "ftp://127.0.0.1"],
            ["--upstream", ""],
            ["--threads", "0"],
            ["--threads", "-1"],
            ["--threads", "100000"],
            ["--log-level", "loud"],
            ["--config", ""],
            ["--port-file", ""],
            ["--no-such-flag"],
            ["stray"],
        ):
            with self.subTest(flags=flags):
                error = self.fails("gateway", *flags)
                self.assertTrue(error.strip())

    def test_a_missing_configuration_is_told(self):
        error = self.fails("gateway", "--config", str(self.folder / "none.yaml"), status=1)
        self.assertIn("none.yaml", error)
        self.assertIn("No such file", error)

    def test_what_cannot_be_said_changes_no_exit_status(self):
        bad = str(self.file("bad.yaml", "rulez: []\n"))
        good = str(self.file("good.yaml", "rules: []\n"))
        for words, status in (
            (f"check {bad}", 1),
            (f"check {good}", 0),
            (f"gateway --config {bad}", 1),
            ("state nowhere", 1),
            ("mcp-stdio", 2),
            ("mcp-stdio -- /nonexistent", 127),
            ("mcp-stdio --stats -- sh -c 'exit 7'", 7),
        ):
            for stream in ("2>/dev/full", "2>&-"):
                with self.subTest(words=words, stream=stream):
                    ran = subprocess.run(
                        ["bash", "-c", f"{PROGRAM} {words} {stream} >/dev/null </dev/null"], timeout=60, check=False
                    )
                    self.assertEqual(ran.returncode, status)

    def test_standard_streams_that_are_closed_get_no_file_of_ours(self):
        state = self.folder / "state"
        config = self.file("q.yaml", f"state: {{memory: 1MiB, file: {state}}}\nrules: []\n")
        ports = self.folder / "ports"
        process = subprocess.Popen(
            ["bash", "-c", f"exec {PROGRAM} gateway --config {config} --listen 127.0.0.1:0 --admin off "
                           f"--port-file {ports} <&- >&- 2>&-"])
        try:
            harness.wait_until(ports.exists, "the program's ports")
            for number in range(3):
                self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{number}"), "/dev/null")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(harness.WAIT_SECONDS), 0)
        finally:
            process.kill()
        self.assertEqual(run("state", str(state)).returncode, 0)

    def test_a_mistyped_command_is_told_with_the_nearest(self):
        result = run("chek", "x.yaml")
        self.assertEqual(result.returncode, 2)
        self.assertIn("'chek' is no command. Write check.", result.stderr)
        self.assertIn("gateway, run", run("nothing-like-it").stderr)

    def test_a_port_file_replaces_nothing_but_a_file(self):
        real = self.file("real", "mine\n")
        link = self.folder / "link"
        link.symlink_to(real)
        for path, says in ((link, "no regular file"), (self.folder, "no regular file"),
                           (self.folder / "none" / "x", "No such file")):
            with self.subTest(path=path):
                error = self.fails("gateway", "--listen", "127.0.0.1:0", "--admin", "off",
                                   "--port-file", str(path), status=1)
                self.assertIn(says, error)
        self.assertTrue(link.is_symlink())
        self.assertEqual(real.read_text(), "mine\n")

    def test_output_that_is_lost_is_no_success(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            for args in (["describe"], ["api-key", "a"]):
                said = subprocess.run([harness.PROGRAM, *args], stdout=full, stderr=subprocess.PIPE,
                                      text=True, timeout=60, check=False)
                self.assertEqual(said.returncode, 1, said)
                self.assertIn("No space left", said.stderr)

    def test_run_needs_a_configuration(self):
        self.assertIn("--config", self.fails("run"))

    def test_every_mistake_of_a_configuration_is_told_at_once(self):
        path = self.file(
            "bad.yaml",
            "rules:\n  - name: a\n    limits: [60/minut]\n  - name: b\n    key: [cleint]\n"
            "    limits: [1/minute]\n",
        )
        error = self.fails("gateway", "--config", str(path), "--listen", "127.0.0.1:0", status=1)
        self.assertRegex(error, r"bad\.yaml:3:\d+")
        self.assertRegex(error, r"bad\.yaml:5:\d+")


class Help(unittest.TestCase):
    def test_help_teaches(self):
        for args in (["--help"], ["gateway", "--help"], ["check", "--help"], ["explain", "--help"],
                     ["state", "--help"]):
            with self.subTest(args=args):
                result = run(*args)
                self.assertEqual(result.returncode, 0)
                self.assertRegex(result.stdout, r"(?i)example")
                self.assertIn("sluicegate ", result.stdout)

    def test_version(self):
        result = run("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"^sluicegate \d+\.\d+\.\d+\n$")

    def test_no_command_shows_what_there_is(self):
        result = run()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("gateway", result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main()
