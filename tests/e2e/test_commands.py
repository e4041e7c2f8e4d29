"""check, explain, describe and state, as people use them."""

import json
import unittest

from harness import EndToEnd, run

GOOD = """\
clients: {trusted_proxies: [10.0.0.0/8]}
rules:
  - name: per-client
    match: {path: "/**"}
    key: [client]
    limits: [60/minute, {burst: 10}]
    exempt: {clients: [192.168.1.0/24]}
  - name: search
    match: {path: /search, method: GET}
    key: [user]
    limits: [5/minute]
    mode: observe
"""
STRICT = """\
max_body: 10MiB
rules:
  - name: uploads
    key: [client]
    limits: [5/minute]
    max_body: 64KiB
    penalty: {violations: 3, within: 1m, ban: 5m, answer: drop}
  - name: watched
    key: [client]
    limits: [5/minute]
    max_body: 1KiB
    mode: observe
"""
SHARED = """\
state: {sketch: 8MiB}
rules:
  - name: exports
    key: [client]
    limits: [600/minute, {concurrency: 3}]
    ceilings: {56: x4, 48: x16}
    new_keys: 1000/minute
"""
BAD = """\
rulez: []
rules:
  - name: a
    limits: [60/minut]
  - name: a
    key: [cleint]
    limits: [0/minute]
"""


class Check(EndToEnd):
    def test_a_good_file(self):
        result = run("check", str(self.file("good.yaml", GOOD)))
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("per-client", result.stdout)
        self.assertIn("search", result.stdout)

    def test_every_mistake_at_once_with_its_place(self):
        result = run("check", str(self.file("bad.yaml", BAD)))
        self.assertEqual(result.returncode, 1, result)
        for place in ("bad.yaml:1:", "bad.yaml:4:", "bad.yaml:5:", "bad.yaml:6:", "bad.yaml:7:"):
            self.assertIn(place, result.stderr)

    def test_a_dash_reads_standard_input(self):
        self.assertEqual(run("check", "-", stdin=GOOD).returncode, 0)
        result = run("check", "-", stdin=BAD)
        self.assertEqual(result.returncode, 1)
        self.assertIn(":4:", result.stderr)

    def test_files_of_tls_are_looked_at(self):
        listen = "listen: {gateway: {address: 127.0.0.1:0, tls: {certificate: none.pem, key: none.key}}}\n"
        result = run("check", "-", stdin=listen + "rules: []\n")
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("listen.gateway.tls.certificate: none.pem: ", result.stderr)
        self.assertIn("2 mistakes to mend", result.stderr)

    def test_the_access_log_is_looked_for_and_not_made(self):
        log = self.folder / "access.log"
        self.assertEqual(run("check", "-", stdin=f"access_log: {log}\n" + GOOD).returncode, 0)
        self.assertFalse(log.exists())
        result = run("check", "-", stdin=f"access_log: {self.folder}/none/access.log\n" + GOOD)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("Make its folder first.", result.stderr)

    def test_what_flags_may_give_is_noted_and_no_mistake(self):
        result = run("check", "-", stdin=GOOD)
        self.assertEqual(result.returncode, 0, result)
        self.assertRegex(result.stderr, r"(?m)^note: .* pass --listen HOST:PORT\.$")
        self.assertRegex(result.stderr, r"(?m)^note: .* pass --upstream URL\.$")
        doors = "listen: {gateway: 127.0.0.1:8080}\nupstream: {url: 'http://127.0.0.1:8000'}\n"
        self.assertNotIn("note: ", run("check", "-", stdin=doors + GOOD).stderr)

    def test_what_is_no_configuration_is_refused(self):
        for text in ("", "[]", "a: [", "\x00\x01", "&a [*a, *a]", "- " * 5000, "{" * 5000):
            with self.subTest(text=text[:20]):
                result = run("check", "-", stdin=text)
                self.assertEqual(result.returncode, 1, result)
                self.assertTrue(result.stderr.strip())

    def test_how_many_keys_may_have_requests_in_flight(self):
        result = run("check", "-", stdin=SHARED)
        self.assertEqual(result.returncode, 0, result)
        self.assertRegex(result.stdout, r"\nexports: [0-9,]+ keys may have requests in flight")
        self.assertNotIn("in flight", run("check", "-", stdin=GOOD).stdout)

    def test_files_that_cannot_be_read(self):
        for path in (self.folder / "none.yaml", self.folder):
            result = run("check", str(path))
            self.assertEqual(result.returncode, 1, result)
            self.assertIn(str(path), result.stderr)


class Explain(EndToEnd):
    def setUp(self):
        super().setUp()
        self.config = str(self.file("good.yaml", GOOD))

    def test_it_refuses_what_the_gateway_refuses(self):
        cases = (
            ("get", "/search", "answer 501: Methods are written in capitals"),
            ("CONNECT", "a.test:80", "answer 501: CONNECT is not supported"),
            ("GET", "*", "answer 400"),
            ("GET", "/a%2fb", "answer 400"),
        )
        for method, target, said in cases:
            with self.subTest(method=method, target=target):
                result = run("explain", "--config", self.config, "--client", "203.0.113.7", method, target)
                self.assertEqual(result.returncode, 1, result)
                self.assertIn(said, result.stderr)

    def test_forms_of_targets_are_read_as_the_gateway_reads_them(self):
        hosts = str(self.file("hosts.yaml", "rules: [{name: a, match: {host: a.test}, key: [client], limits: [5/minute]}]"))
        ask = ("explain", "--config", hosts, "--client", "203.0.113.7")
        self.assertIn("rule a (enforce) matches", run(*ask, "GET", "http://A.test:8080/x").stdout)
        self.assertIn("rule a (enforce) matches", run(*ask, "--host", "a.test", "OPTIONS", "*").stdout)
        self.assertIn("does not match", run(*ask, "GET", "http://b.test/").stdout)
        self.assertIn("name different hosts", run(*ask, "--host", "a.test", "GET", "http://b.test/").stderr)

    def test_doubts_about_the_question_are_told(self):
        self.assertIn("clients.identity", run("explain", "--client", "203.0.113.7", "--user", "acme", "GET", "/").stderr)
        self.assertIn("--tool", run("explain", "--client", "203.0.113.7", "POST", "/mcp").stderr)
        self.assertEqual(run("explain", "--client", "203.0.113.7", "GET", "/").stderr, "")
        result = run("explain", "--client", "203.0.113.7", "--tool", "a", "--mcp-method", "tools/list", "POST", "/mcp")
        self.assertEqual(result.returncode, 2, result)

    def explain_mcp(self, *args):
        policy = "rules: [{name: search, match: {mcp_tool: search}, key: [client, mcp_tool], limits: [2/minute]}]"
        return run("explain", "--config", str(self.file("mcp.yaml", policy)), "--client", "203.0.113.7", *args).stdout

    def test_explain_of_mcp(self):
        call = self.explain_mcp("--tool", "search", "POST", "/mcp")
        self.assertRegex(call, r"rule search \(enforce\) matches\n.*client = 203.0.113.7\n.*mcp_tool = search")
        self.assertIn("rule mcp-setup (enforce) does not match", call)
        initialize = self.explain_mcp("--mcp-method", "initialize", "POST", "/mcp")
        self.assertIn("rule search (enforce) does not match", initialize)
        self.assertIn("rule mcp-initialize (enforce) matches", initialize)
        self.assertIn("rule mcp-streams (enforce) matches", self.explain_mcp("GET", "/mcp"))

    def explain(self, *args):
        result = run("explain", "--config", self.config, *args)
        self.assertEqual(result.returncode, 0, result)
        return result.stdout

    def test_it_names_rules_keys_limits_and_the_verdict(self):
        said = self.explain("--client", "203.0.113.7", "GET", "/search?q=x")
        self.assertIn("per-client", said)
        self.assertIn("search", said)
        self.assertIn("203.0.113.7", said)
        self.assertIn("60", said)
        self.assertIn("allowed", said)
        self.assertIn("observe", said)

    def test_an_exempt_client(self):
        self.assertIn("exempt", self.explain("--client", "192.168.1.9", "GET", "/"))

    def test_a_rule_that_does_not_match_says_so(self):
        said = self.explain("--client", "203.0.113.7", "POST", "/search")
        self.assertRegex(said, r"search.*does not match")

    def test_the_path_is_normalised_as_the_gateway_does(self):
        self.assertRegex(
            self.explain("--client", "203.0.113.7", "GET", "//x/../%73earch"), r"/search\b"
        )

    def test_it_tells_how_large_a_body_may_be_and_what_a_ban_does(self):
        self.config = str(self.file("strict.yaml", STRICT))
        said = self.explain("--client", "203.0.113.7", "POST", "/upload")
        self.assertIn("  body    at most 64.0 KiB\n", said)
        self.assertNotIn("1.0 KiB", said)  # A rule that watches bounds nothing.
        self.assertIn("Its body may have at most 64.0 KiB.\n", said)
        self.assertIn("a ban of 5m, during which connections are closed without an answer\n", said)

    def test_requests_in_flight_and_what_a_network_shares(self):
        self.config = str(self.file("shared.yaml", SHARED))
        said = self.explain("--client", "2001:db8::1:2:3:4", "GET", "/export")
        self.assertIn("  limit   concurrency: 3 requests at the same time\n", said)
        self.assertIn("  ceiling x4 for all of 2001:db8::/56\n", said)
        self.assertIn("  network 2001:db8::/48: new keys beyond 1,000 in any 1m share", said)
        self.assertIn("at once, 3 pass and the next is limited by concurrency of rule exports", said)
        self.assertNotIn("ceiling", self.explain("--client", "203.0.113.7", "GET", "/export"))

    def test_arguments_that_make_no_sense(self):
        for args in (
            ["--client", "nobody", "GET", "/"],
            ["--client", "203.0.113.7", "GET", "/a\r\nb"],
            ["--client", "203.0.113.7", "GET", "/ HTTP/1.1\r\nHost: a\r\n\r\n"],
            ["--client", "203.0.113.7", "--header", "nocolon", "GET", "/"],
            ["--client", "203.0.113.7", "GET"],
            [],
        ):
            with self.subTest(args=args):
                result = run("explain", "--config", self.config, *args)
                self.assertNotEqual(result.returncode, 0, result)
                self.assertTrue(result.stderr.strip())


class Describe(EndToEnd):
    def test_markdown_and_json(self):
        config = str(self.file("good.yaml", GOOD))
        page = run("describe", "--config", config)
        self.assertEqual(page.returncode, 0, page)
        self.assertIn("60", page.stdout)
        told = run("describe", "--config", config, "--format", "json")
        self.assertEqual(told.returncode, 0, told)
        self.assertIn("per-client", json.dumps(json.loads(told.stdout)))
        self.assertNotEqual(run("describe", "--config", config, "--format", "xml").returncode, 0)

    def test_requests_at_the_same_time_and_ceilings(self):
        page = run("describe", "--config", str(self.file("shared.yaml", SHARED)))
        self.assertEqual(page.returncode, 0, page)
        self.assertIn("| concurrency | 3 requests at the same time |\n", page.stdout)
        self.assertIn("IPv6 /56 have these limits 4 times, those of a /48 16 times.", page.stdout)

    def test_bounds_of_bodies_and_bans(self):
        page = run("describe", "--config", str(self.file("strict.yaml", STRICT)))
        self.assertEqual(page.returncode, 0, page)
        self.assertIn("No request's body has more than 10.0 MiB.\n", page.stdout)
        self.assertIn("A request's body has at most 64.0 KiB.\n", page.stdout)
        self.assertIn("connections are closed without an answer.\n", page.stdout)

    def test_the_default_policy_can_be_described(self):
        page = run("describe")
        self.assertEqual(page.returncode, 0, page)
        for number in ("60", "10"):
            self.assertIn(number, page.stdout)


class State(EndToEnd):
    def test_what_is_no_state_file_is_refused_with_a_reason(self):
        letter = self.file("letter", "a letter to a friend")
        for path, says in ((letter, "it is no state file of Sluicegate"),
                           (self.folder / "none", "No such file")):
            with self.subTest(path=path):
                result = run("state", str(path))
                self.assertEqual(result.returncode, 1, result)
                self.assertEqual(result.stdout, "")
                self.assertIn(f"sluicegate: state file {path}: ", result.stderr)
                self.assertIn(says, result.stderr)
        self.assertEqual(letter.read_text(), "a letter to a friend")
        self.assertFalse((self.folder / "none").exists())

    def test_arguments_that_make_no_sense(self):
        for args in ([], [""], ["a", "b"]):
            with self.subTest(args=args):
                self.assertEqual(run("state", *args).returncode, 2)


if __name__ == "__main__":
    unittest.main()
