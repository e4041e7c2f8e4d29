"""mcp-stdio: a server of MCP on a pipe, with the program in front of it and without."""

import contextlib
import hashlib
import json
import os
import pathlib
import pty
import random
import select
import signal
import subprocess
import sys
import threading
import unittest

from harness import PROGRAM, WAIT_SECONDS, EndToEnd, run, wait_until

HERE = pathlib.Path(__file__).resolve().parent
SERVER = [sys.executable, "-B", str(HERE / "pipe_server.py")]
MIB = 1 << 20

OPEN = "rules:\n  - {name: all, key: [client], limits: [1000000000/minute]}\n"
TWO_ECHOES = "rules:\n  - {name: echoes, match: {mcp_tool: echo}, key: [client], limits: [2/minute]}\n"
ONE_HOLD = "rules:\n  - {name: holds, match: {mcp_tool: hold}, key: [client], limits: [{concurrency: 1}]}\n"
# Copies its input to its output, in pieces of other sizes, and then says so on standard error.
COPY = """
import os, random, sys
while data := os.read(0, random.randrange(1, 5000)):
    while data:
        size = random.randrange(1, 3000)
        data = data[os.write(1, data[:size]):]
sys.stderr.write("copied\\n")
sys.exit(5)
"""


def request(number, method, params=None):
    message = {"jsonrpc": "2.0", "id": number, "method": method}
    return json.dumps(message | ({"params": params} if params is not None else {})).encode() + b"\n"


def call(number, tool, **arguments):
    return request(number, "tools/call", {"name": tool, "arguments": arguments})


class Peer:
    """A client of a command at the other end of pipes. Its lines are read by a thread."""

    def __init__(self, command, **more):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, **more
        )
        self.out = b""
        self.lines = []  # Of it, those that are whole.
        self.err = b""
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self.read, self.read_err)]
        for thread in self.threads:
            thread.start()

    def read(self):
        begin = 0  # Of the first line that is not whole.
        while data := self.process.stdout.read(MIB):
            self.out += data
            end = self.out.rfind(b"\n") + 1
            if end > begin:
                self.lines += self.out[begin:end].splitlines(keepends=True)
                begin = end

    def read_err(self):
        while data := self.process.stderr.read(65536):
            self.err += data

    def send(self, data):
        left = memoryview(data)
        while left:
            left = left[self.process.stdin.write(left):]

    def wait_for(self, count):
        """The first lines, once there are so many."""
        wait_until(lambda: len(self.lines) >= count, f"{count} lines; so far {self.lines[:9]}, {self.err}")
        return [json.loads(line) for line in self.lines[:count]]

    def ask(self, data):
        """The line that comes next."""
        count = len(self.lines)
        self.send(data)
        return self.wait_for(count + 1)[count]

    def finish(self):
        """Closes its input and returns how it ended; all output is read."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        return self.end()

    def end(self):
        status = self.process.wait(WAIT_SECONDS)
        for thread in self.threads:
            thread.join(WAIT_SECONDS)
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WAIT_SECONDS)
        for thread in self.threads:
            thread.join(WAIT_SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()


class McpStdio(EndToEnd):
    def command(self, policy=None, server=SERVER, flags=()):
        words = [PROGRAM, "mcp-stdio", *flags]
        if policy is not None:
            words += ["--config", str(self.file("sluicegate.yaml", policy))]
        return [*words, "--", *server]

    def peer(self, policy=None, server=SERVER, flags=(), **more):
        return self.started(Peer(self.command(policy, server, flags), **more))

    def started(self, peer):
        self.addCleanup(peer.close)
        return peer

    def pair(self, **more):
        """One with the program in front of it, and one without."""
        return self.peer(OPEN, **more), self.started(Peer(SERVER))


class Transparent(McpStdio):
    def test_random_lines_in_random_pieces_are_as_without(self):
        seed = int(os.environ.get("SLUICEGATE_SEED", random.randrange(1 << 32)))
        server = [sys.executable, "-c", COPY]
        for number in range(8):
            with self.subTest(seed=seed, number=number):
                dice = random.Random(seed + number)
                text = self.random_lines(dice)
                outcomes = []
                for command in (server, self.command(OPEN, server)):
                    outcomes.append(self.send_in_pieces(dice, command, text))
                self.assertEqual(outcomes[0], (text, b"copied\n", 5))
                self.assertEqual(outcomes[1], outcomes[0])

    def random_lines(self, dice):
        lines = []
        for number in range(dice.randrange(1, 300)):
            kind = dice.randrange(6)
            end = dice.choice([b"\n", b"\n", b"\r\n"])
            if kind == 0:
                lines.append(dice.choice([b"", b" ", b"\t "]) + end)
            else:
                size = dice.choice([1, 10, 100, 5000, 70000])
                words = {"text": "é\u2028\n\"" * dice.randrange(size), "n": [number, None, 1.5e300]}
                text = json.dumps(words, ensure_ascii=dice.random() < 0.5, indent=None).encode()
                lines.append(b'{"jsonrpc": "2.0", "id": "%d",\t"method": "m", "params": %s}' % (number, text) + end)
        whole = b"".join(lines)
        return whole.rstrip(b"\r\n") if dice.random() < 0.5 else whole

    def send_in_pieces(self, dice, command, text):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )

        def send():
            left = memoryview(text)
            while left:
                left = left[process.stdin.write(left[: dice.choice([1, 7, 4096, 100000])]):]
            process.stdin.close()

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        out, err = process.stdout.read(), process.stderr.read()
        sender.join(WAIT_SECONDS)
        process.stdout.close()
        process.stderr.close()
        return out, err, process.wait(WAIT_SECONDS)

    def test_byte_by_byte(self):
        peer = self.peer(OPEN)
        line = call(1, "echo", text="grüß dich")
        for at in range(len(line)):
            self.assertEqual(peer.lines, [])
            peer.send(line[at : at + 1])
        told = peer.wait_for(1)[0]
        self.assertEqual(told["result"], {"bytes": len(line), "digest": hashlib.sha256(line).hexdigest()})
        self.assertEqual(peer.finish(), 0)

    def test_big_messages_both_ways(self):
        peer = self.peer(OPEN)
        line = call(1, "echo", text="x" * (10 * MIB))
        self.assertEqual(peer.ask(line)["result"]["digest"], hashlib.sha256(line).hexdigest())
        self.assertEqual(len(peer.ask(call(2, "big", bytes=10 * MIB))["result"]["text"]), 10 * MIB)
        self.assertEqual(peer.finish(), 0)

    def test_a_last_line_without_an_end(self):
        peer = self.peer(OPEN)
        line = call(1, "echo").rstrip(b"\n")
        peer.send(line)
        self.assertEqual(peer.finish(), 0)
        self.assertEqual(json.loads(peer.lines[0])["result"]["bytes"], len(line))
        self.assertIn(b"notifications/end", peer.lines[1])

    def test_exit_status_and_standard_error(self):
        for peer in self.pair():
            peer.ask(request(1, "stderr", {"text": "one\ntwo"}))
            peer.send(request(2, "exit", {"status": 42}))
            self.assertEqual(peer.end(), 42)
            self.assertEqual(peer.err, b"one\ntwo")

    def test_it_dies_of_what_its_server_dies_of(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT):
            for peer in self.pair():
                peer.send(request(1, "kill", {"signal": int(number)}))
                self.assertEqual(peer.end(), -number)

    def test_signals_reach_the_server(self):
        peer = self.peer(OPEN)
        peer.ask(request(1, "signals"))
        names = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"]
        for count, name in enumerate(names, start=2):
            peer.process.send_signal(getattr(signal, name))
            self.assertEqual(peer.wait_for(count)[-1]["params"]["name"], name)
        self.assertEqual(peer.finish(), 0)

    def test_a_signal_that_nobody_handles_ends_both(self):
        for peer in self.pair():
            peer.ask(request(1, "echo"))
            peer.process.send_signal(signal.SIGTERM)
            self.assertEqual(peer.end(), -signal.SIGTERM)

    def test_a_key_of_the_terminal_reaches_the_server_once(self):
        """It goes to the whole process group, and so is not to be passed on."""
        code = (
            "import signal, time; got = []; signal.signal(signal.SIGINT, lambda *_: got.append(1));"
            "print('ready', flush=True)\nwhile not got: time.sleep(0.05)\ntime.sleep(0.3); print('got', len(got))"
        )
        command = self.command(OPEN, [sys.executable, "-c", code])
        child, terminal = pty.fork()
        if child == 0:
            os.execv(command[0], command)
        try:
            self.assertIn(b"ready", os.read(terminal, 100))
            os.write(terminal, b"\x03")
            told = b""
            with contextlib.suppress(OSError):  # A terminal's end.
                while data := os.read(terminal, 100):
                    told += data
            self.assertIn(b"got 1\r\n", told)
        finally:
            os.close(terminal)
            self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_whoever_is_killed_takes_the_server_along(self):
        peer = self.peer(OPEN, [sys.executable, "-c", "import os,time; print(os.getpid(), flush=True); time.sleep(60)"])
        wait_until(lambda: peer.lines, "the server's pid")
        server = int(peer.lines[0])
        peer.process.kill()

        def gone():
            with contextlib.suppress(FileNotFoundError):
                return "State:\tZ" in pathlib.Path(f"/proc/{server}/status").read_text()
            return True

        wait_until(gone, "the server's end")

    def test_a_server_that_goes_on_after_the_clients_end(self):
        peer = self.peer(OPEN, ["sh", "-c", "cat > /dev/null; echo one; sleep 0.2; echo two; exit 3"])
        self.assertEqual(peer.finish(), 3)
        self.assertEqual(peer.lines, [b"one\n", b"two\n"])

    def test_a_client_that_reads_no_more(self):
        """The server's writing fails, as it does without."""
        for command in (["yes"], self.command(OPEN, ["yes"])):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            process.stdout.read(10000)
            process.stdout.close()
            self.assertEqual(process.wait(WAIT_SECONDS), -signal.SIGPIPE)
            process.stdin.close()

    def test_a_server_that_reads_no_more(self):
        peer = self.peer(OPEN, ["sh", "-c", "exec < /dev/null; echo a; exec sleep 60"])
        wait_until(lambda: peer.lines, "the server's line")

        def fails():
            try:
                peer.send(b"\n")
                return False
            except BrokenPipeError:
                return True

        wait_until(fails, "a broken pipe")

    def test_words_of_the_command_stay_as_they_are(self):
        words = ["--config", "--", "-h", "", "a b", "--stats"]
        peer = self.peer(OPEN, [sys.executable, "-c", "import sys; print(sys.argv[1:])", *words])
        self.assertEqual(peer.finish(), 0)
        self.assertEqual(peer.lines, [f"{words}\n".encode()])

    def test_closed_streams_are_no_trap(self):
        told = subprocess.run(
            ["sh", "-c", '"$@" <&-', "sh", *self.command(OPEN, ["sh", "-c", "cat; echo done"])],
            capture_output=True, timeout=WAIT_SECONDS, check=False,
        )
        self.assertEqual((told.returncode, told.stdout), (0, b"done\n"), told)


class Backpressure(McpStdio):
    def fill(self, stream):
        """Writes until the other side takes no more for a while. The bytes written."""
        os.set_blocking(stream.fileno(), False)
        line = request(1, "m", {"text": "x" * 1000})
        written = 0
        while select.select([], [stream], [], 1.0)[1]:
            with contextlib.suppress(BlockingIOError):
                written += os.write(stream.fileno(), line * 60)  # It may end within a line.
            self.assertLess(written, 4 * MIB, "nobody holds the client up")
        return written

    def unread(self, server):
        process = subprocess.Popen(self.command(OPEN, server), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    def test_a_server_that_does_not_read_holds_the_client_up(self):
        process = self.unread(["sleep", "60"])
        self.assertGreater(self.fill(process.stdin), 1000)

    def test_a_client_that_does_not_read_is_held_up_and_loses_nothing(self):
        process = self.unread(["cat"])
        written = self.fill(process.stdin)
        process.stdin.close()
        self.assertEqual(len(process.stdout.read()), written)
        self.assertEqual(process.wait(WAIT_SECONDS), 0)

    def test_so_is_one_whose_lines_are_all_denied(self):
        policy = "rules:\n  - {name: none, match: {mcp_method: m}, key: [client], limits: [1/minute]}\n"
        process = subprocess.Popen(
            self.command(policy, ["cat"], ["--log-level", "off"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        written = self.fill(process.stdin)
        process.stdin.close()
        self.assertEqual(process.stdout.read().count(b"\n"), -(-written // len(request(1, "m", {"text": "x" * 1000}))))


class Limits(McpStdio):
    def test_calls_over_the_limit_are_answered_here(self):
        peer = self.peer(TWO_ECHOES)
        told = [peer.ask(call(number, "echo")) for number in range(4)]
        self.assertEqual([answer["id"] for answer in told], [0, 1, 2, 3])
        self.assertEqual(["digest" in answer["result"] for answer in told], [True, True, False, False])
        self.assertTrue(told[2]["result"]["isError"])
        self.assertRegex(
            told[2]["result"]["content"][0]["text"],
            r"Rate limit exceeded for tool echo: 2 per minute\. Retry after \d+ seconds?\.",
        )
        self.assertIn("digest", peer.ask(call(4, "stderr", text=""))["result"])
        self.assertEqual(peer.finish(), 0)
        self.assertRegex(peer.err.decode(), r"denied: verdict=limited rule=echoes limit=\S+ client=[0-9a-f]{8}")

    def test_without_a_file_the_built_in_policy_holds(self):
        peer = self.peer()
        told = [peer.ask(call(number, "echo")) for number in range(11)]
        self.assertEqual([answer["result"].get("isError", False) for answer in told], [False] * 10 + [True])
        self.assertIn("result", peer.ask(request(1, "tools/list")))

    def test_what_is_no_message_does_not_reach_the_server(self):
        peer = self.peer(OPEN)
        for line in (b"hello\n", b'{"jsonrpc":"2.0","id":1}\n', b'{"jsonrpc":"2.0","id":1,"id":1,"method":"exit"}\n'):
            self.assertIn("error", peer.ask(line))
        self.assertEqual(peer.ask(call(2, "echo"))["id"], 2)

    def test_a_line_that_is_too_long_is_skipped_alone(self):
        peer = self.peer(OPEN)
        peer.send(call(1, "echo") + b" " * (65 * MIB))
        peer.send(call(2, "exit", status=9) + call(3, "echo"))
        told = peer.wait_for(3)
        self.assertEqual([answer["id"] for answer in told if "result" in answer], [1, 3])
        error = next(answer for answer in told if "error" in answer)
        self.assertEqual(error["id"], None)
        self.assertIn("64 MiB", error["error"]["message"])

    def test_answers_stand_between_the_servers_lines(self):
        peer = self.peer(TWO_ECHOES)
        peer.ask(call(1, "echo"))
        peer.ask(call(2, "echo"))
        peer.send(request(3, "half"))
        wait_until(lambda: not peer.out.endswith(b"\n"), "half a line")
        peer.send(call(4, "echo") + request(5, "echo"))
        self.assertEqual([answer["id"] for answer in peer.wait_for(5)], [1, 2, 3, 4, 5])

    def test_answers_and_big_lines_of_the_server(self):
        peer = self.peer(TWO_ECHOES)
        lines = [call(1, "echo"), call(2, "echo")]
        for number in range(3, 33):
            lines.append(call(number, "big", bytes=300_000) if number % 3 == 0 else call(number, "echo"))
        peer.send(b"".join(lines))
        self.assertEqual(sorted(answer["id"] for answer in peer.wait_for(32)), list(range(1, 33)))

    def test_requests_at_the_same_time(self):
        peer = self.peer(ONE_HOLD)
        peer.send(call(1, "hold"))
        self.assertIn("1 at the same time", peer.ask(call(2, "hold"))["result"]["content"][0]["text"])
        peer.send(request(3, "release"))
        self.assertEqual([answer["id"] for answer in peer.wait_for(3)[1:]], [1, 3])
        peer.send(call(4, "hold"))
        self.assertTrue(peer.ask(call(5, "hold"))["result"]["isError"])
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4}}
        peer.send(json.dumps(cancel).encode() + b"\n" + call(6, "hold"))
        peer.send(request(7, "release"))
        self.assertEqual(sorted(answer["id"] for answer in peer.wait_for(7)[4:]), [4, 6, 7])

    def test_servers_with_one_state_file_count_together(self):
        policy = f"state: {{file: '{self.folder}/state', memory: 4MiB}}\n" + TWO_ECHOES
        one, two = self.peer(policy), self.peer(policy)
        self.assertIn("digest", one.ask(call(1, "echo"))["result"])
        self.assertIn("digest", two.ask(call(1, "echo"))["result"])
        for peer in (one, two):
            self.assertTrue(peer.ask(call(2, "echo"))["result"]["isError"])
        self.assertEqual((one.finish(), two.finish()), (0, 0))

    def test_places_in_a_state_file_are_given_back_at_the_end(self):
        policy = f"state: {{file: '{self.folder}/state', memory: 4MiB}}\n" + ONE_HOLD
        one, two = self.peer(policy), self.peer(policy)
        one.send(call(1, "hold"))
        one.ask(request(2, "echo"))
        self.assertTrue(two.ask(call(1, "hold"))["result"]["isError"])
        self.assertEqual(one.finish(), 0)
        two.send(call(2, "hold"))
        two.send(request(3, "release"))
        self.assertEqual([answer["id"] for answer in two.wait_for(3)[1:]], [2, 3])

    def test_statistics_at_the_end(self):
        peer = self.peer(TWO_ECHOES, flags=["--stats", "--log-level", "off"])
        for number in range(3):
            peer.ask(call(number, "echo"))
        peer.ask(call(4, "stderr", text=""))
        self.assertEqual(peer.finish(), 0)
        self.assertEqual([line.split() for line in peer.err.decode().splitlines()],
                         [["calls", "limited", "tool"], ["3", "1", '"echo"'], ["1", "0", '"stderr"']])


class Refused(McpStdio):
    def test_no_command_behind_dashes(self):
        for words in ([], ["--"], ["--stats"], ["uvx", "some-server"], ["npx", "-y", "some-server"]):
            told = run("mcp-stdio", *words)
            self.assertEqual(told.returncode, 2, told)
            self.assertIn("sluicegate mcp-stdio -- uvx some-server", told.stderr)

    def test_what_is_no_option(self):
        told = run("mcp-stdio", "--confg", "a.yaml", "--", "true")
        self.assertEqual(told.returncode, 2, told)
        self.assertIn("'--confg' is no option", told.stderr)

    def test_a_command_that_cannot_be_run(self):
        told = run("mcp-stdio", "--", "no-such-program-here", "-x")
        self.assertEqual(told.returncode, 127, told)
        self.assertIn("'no-such-program-here' is not found", told.stderr)
        told = run("mcp-stdio", "--", str(self.file("plain.txt", "hello")))
        self.assertEqual(told.returncode, 126, told)
        self.assertIn("chmod +x", told.stderr)

    def test_a_bad_policy_starts_no_server(self):
        path = str(self.file("bad.yaml", "rules:\n  - {name: a, key: [client], limits: [1/minut]}\n"))
        told = run("mcp-stdio", "--config", path, "--", "touch", str(self.folder / "ran"))
        self.assertEqual(told.returncode, 1, told)
        self.assertRegex(told.stderr, r"bad\.yaml:2:\d+")
        self.assertFalse((self.folder / "ran").exists())
        told = run("mcp-stdio", "--config", "-", "--", "true")
        self.assertEqual(told.returncode, 2, told)

    def test_a_rule_for_a_path_is_a_warning(self):
        policy = "rules:\n  - {name: a, match: {path: /mcp}, key: [client], limits: [1/minute]}\n"
        told = run("mcp-stdio", "--config", str(self.file("path.yaml", policy)), "--", "true")
        self.assertEqual(told.returncode, 0, told)
        self.assertIn("rule 'a' asks for a path", told.stderr)

    def test_help_teaches(self):
        told = run("mcp-stdio", "--help")
        self.assertEqual(told.returncode, 0)
        for words in ("-- uvx some-server", "mcpServers", "SIGHUP", "127"):
            self.assertIn(words, told.stdout)


class Documentation(McpStdio):
    def test_the_policy_of_the_page_is_good(self):
        page = (HERE.parents[1] / "doc" / "mcp.md").read_text()
        section = page.partition("## Servers on a pipe: mcp-stdio\n")[2].partition("\n## ")[0]
        policy = section.partition("```yaml\n")[2].partition("```")[0]
        peer = self.peer(policy)
        told = [peer.ask(call(number, "search-all")) for number in range(11)]
        self.assertEqual([answer["result"].get("isError", False) for answer in told], [False] * 10 + [True])
        self.assertEqual(peer.finish(), 0)
        self.assertEqual(len(peer.err.splitlines()), 1, peer.err)  # The denial, and no warning.


if __name__ == "__main__":
    unittest.main()
