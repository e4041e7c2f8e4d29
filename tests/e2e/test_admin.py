"""The admin door of the real program."""

import datetime
import http.client
import json
import shutil
import signal
import socket
import struct
import subprocess
import unittest
import urllib.parse

from harness import WAIT_SECONDS, EndToEnd, read_to_end, run

RULES = "rules:\n  - {name: per-client, key: [client], limits: [3/minute, {burst: 3}]}\n"
TOKEN = "0123456789abcdef0123456789abcdef"


class Reading(EndToEnd):
    def setUp(self):
        super().setUp()
        self.door = self.gateway(RULES, upstream=self.origin().url)

    def test_health_readiness_and_status(self):
        self.assertEqual(self.door.admin(target="/healthz").status, 200)
        self.assertEqual(self.door.admin(target="/readyz").status, 200)
        for _ in range(5):
            self.door.request()
        status = self.door.admin(target="/api/v1/status").json()
        self.assertEqual(status["state"], "running")
        self.assertEqual(status["rules"][0]["name"], "per-client")
        self.assertEqual(status["rules"][0]["requests"]["allowed"], 3)
        self.assertEqual(status["rules"][0]["requests"]["limited"], 2)
        self.assertEqual(
            [limit["name"] for limit in status["rules"][0]["limits"]], ["per-minute", "burst"]
        )

    def test_the_metrics_page_counts_and_is_well_formed(self):
        for _ in range(5):
            self.door.request()
        metrics = self.door.metrics()
        name = 'sluicegate_rule_decisions_total{rule="per-client",verdict="%s"}'
        self.assertEqual(metrics[name % "allowed"], 3)
        self.assertEqual(metrics[name % "limited"], 2)
        self.assertEqual(metrics['sluicegate_table_tracked_keys{rule="per-client"}'], 1)
        self.assertIn('sluicegate_decision_duration_seconds_bucket{le="+Inf"}', metrics)
        for name in (
            'sluicegate_rule_blocked_total{rule="per-client"}',
            'sluicegate_rule_network_decisions_total{rule="per-client",reason="leases"}',
            'sluicegate_table_forgotten_total{rule="per-client"}',
            'sluicegate_table_newcomers_refused_ratio{rule="per-client"}',
            'sluicegate_table_lease_slots{rule="per-client"}',
            'sluicegate_table_keys_in_flight{rule="per-client"}',
        ):
            self.assertEqual(metrics[name], 0, name)
        reply = self.door.admin(target="/metrics")
        self.assertTrue(reply["Content-Type"].startswith("text/plain; version=0.0.4"))
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed (apt package prometheus)")
        said = subprocess.run(
            ["promtool", "check", "metrics"], input=reply.body, capture_output=True, timeout=60,
            check=False,
        )
        self.assertEqual((said.returncode, said.stdout, said.stderr), (0, b"", b""))

    def test_a_page_is_the_same_length_for_head(self):
        reply = self.door.admin("HEAD", "/healthz")
        self.assertEqual((reply.status, reply.body, reply["Content-Length"]), (200, b"", "3"))

    def test_keep_alive_serves_many_on_one_connection(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.door.admin_port, timeout=WAIT_SECONDS)
        self.addCleanup(connection.close)
        local = None
        for _ in range(5):
            connection.request("GET", "/healthz")
            self.assertEqual(connection.getresponse().read(), b"ok\n")
            local = local or connection.sock.getsockname()
            self.assertEqual(connection.sock.getsockname(), local)

    def test_pages_are_never_stored_or_sniffed(self):
        reply = self.door.admin(target="/api/v1/status")
        self.assertEqual(reply["Cache-Control"], "no-store")
        self.assertEqual(reply["X-Content-Type-Options"], "nosniff")

    def test_unknown_paths_and_methods(self):
        self.assertEqual(self.door.admin(target="/nope").status, 404)
        reply = self.door.admin("DELETE", "/metrics")
        self.assertEqual((reply.status, reply["Allow"]), (405, "GET, HEAD"))
        reply = self.door.admin("GET", "/api/v1/reload")
        self.assertEqual((reply.status, reply["Allow"]), (405, "POST"))

    def raw(self, data):
        connection = socket.create_connection(("127.0.0.1", self.door.admin_port), WAIT_SECONDS)
        with connection:
            connection.sendall(data)
            return read_to_end(connection)

    def test_hostile_bytes_are_refused(self):
        for data in (
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
            b"POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET /healthz HTTP/1.1\nHost: a\n\n",
            b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
            b"POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n",
        ):
            with self.subTest(data=data[:60]):
                reply = self.raw(data)
                self.assertRegex(reply[:13], rb"^HTTP/1\.1 4\d\d ")
        self.assertEqual(self.door.admin(target="/healthz").status, 200)


class StateFile(EndToEnd):
    def test_who_is_attached_is_told_where_there_is_a_state_file(self):
        upstream = self.origin().url
        state = self.folder / "state"
        config = f"state: {{memory: 1MiB, file: {state}}}\n" + RULES
        door, other = (self.gateway(config, upstream=upstream) for _ in range(2))
        door.request()
        metrics = door.metrics()
        self.assertEqual(metrics["sluicegate_state_processes"], 2)
        self.assertEqual(metrics["sluicegate_state_file_bytes"], state.stat().st_size)
        self.assertEqual(metrics["sluicegate_state_takeovers_total"], 0)
        self.assertEqual(metrics["sluicegate_state_stuck_total"], 0)
        other.kill()
        shown = door.admin(target="/api/v1/status").json()["state_file"]
        self.assertEqual(
            shown,
            {"path": str(state), "bytes": state.stat().st_size, "processes": 1, "takeovers": 0,
             "stuck": 0},
        )
        state.unlink()
        metrics = door.metrics()
        self.assertNotIn("sluicegate_state_file_bytes", metrics)
        self.assertEqual(metrics["sluicegate_state_processes"], 1)

    def test_without_one_nothing_is_told_of_it(self):
        door = self.gateway(RULES, upstream=self.origin().url)
        self.assertFalse([name for name in door.metrics() if name.startswith("sluicegate_state_")])
        self.assertNotIn("state_file", door.admin(target="/api/v1/status").json())


class Alarm(EndToEnd):
    def test_offenders_that_are_forgotten_raise_one_alarm(self):
        door = self.gateway(
            "state: {memory: 1MiB, sketch: 0}\n"
            "clients: {trusted_proxies: [127.0.0.1]}\n"
            "rules:\n  - {name: small, key: [client], memory: 64KiB, limits: [1/hour]}\n",
            upstream=self.origin().url,
        )
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=WAIT_SECONDS)
        self.addCleanup(connection.close)
        for number in range(3000):
            address = f"10.0.{number // 250}.{number % 250}"
            connection.request("HEAD", "/", headers={"X-Forwarded-For": address})
            response = connection.getresponse()
            response.read()
            self.assertEqual(response.status, 200)
        door.wait_for_log("memory: rule small has too little: ")
        self.assertRegex(
            door.log(), r" warning memory: rule small has too little: \d+ offender\(s\) forgotten\n"
        )
        self.assertGreater(door.metrics()['sluicegate_table_forgotten_total{rule="small"}'], 500)
        self.assertEqual(door.log().count("memory: rule"), 1, "one a minute")

    def hold(self, state, before, slot):
        """Locks the bucket that changed since `before` as if the process of that slot held it. The
        places are those of doc/table-format.md: a bucket is before the states of its keys."""
        with state.open("r+b") as file:
            data = file.read()
            (generation,) = struct.unpack_from("<I", data, 1024 + 8 * slot)
            lines = (slice(at, at + 64) for at in range(143360, len(data), 64))
            bucket = next(line.start for line in lines if data[line] != before[line])
            file.seek(bucket + 48)
            self.assertEqual(file.read(4), bytes(4))
            file.seek(bucket + 48)
            file.write(struct.pack("<I", generation * 256 + slot))

    def test_a_lock_that_a_stopped_process_holds_raises_one_alarm_and_goes_over_when_it_is_dead(self):
        state = self.folder / "state"
        config = (
            f"state: {{memory: 1MiB, file: {state}}}\n"
            "rules:\n  - {name: a, key: [client], limits: [{burst: 9, refill: 1/day}]}\n"
        )
        upstream = self.origin().url
        door, other = (self.gateway(config, upstream=upstream) for _ in range(2))
        before = state.read_bytes()
        self.assertEqual(door.request().status, 200)
        other.signal(signal.SIGSTOP)
        self.hold(state, before, slot=1)
        self.assertEqual([door.request().status for _ in range(2)], [429, 429])
        door.wait_for_log(f"warning state: a process that is attached to {state} is stopped or starved: ")
        self.assertGreaterEqual(door.metrics()["sluicegate_state_stuck_total"], 2)
        self.assertEqual(door.metrics()["sluicegate_state_takeovers_total"], 0)
        other.kill()
        self.assertEqual(door.request().status, 200)
        self.assertEqual(door.metrics()["sluicegate_state_takeovers_total"], 1)
        self.assertEqual(door.log().count("warning state: "), 1, "one a minute")


class Tools(EndToEnd):
    """Statistics of the tools of MCP, from calls that pass through the gateway."""

    RULES = (
        "rules:\n"
        "  - {name: calls, match: {mcp_method: tools/call}, key: [client, mcp_tool], limits: [2/minute]}\n"
    )

    def setUp(self):
        super().setUp()
        token = self.file("token", TOKEN + "\n", 0o600)
        config = f"admin: {{token_file: '{token}'}}\n" + self.RULES
        self.door = self.gateway(config, upstream=self.origin().url)

    def call(self, tool, method="tools/call"):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": tool}}
        reply = self.door.request("POST", "/mcp", {"Content-Type": "application/json"}, json.dumps(message))
        self.assertEqual(reply.status, 200)

    def tools(self, name=None):
        target = "/api/v1/tools" if name is None else "/api/v1/tools/" + urllib.parse.quote(name, safe="")
        return self.door.admin(target=target)

    def test_calls_are_counted_by_tool(self):
        self.assertEqual(self.tools().json(), {"tools": []})
        began = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        odd = 'a/b "c"<odd>%41\u00e9'
        for tool in ("search", odd, "search", "search", "search"):
            self.call(tool)
        self.call("search", "prompts/get")
        reply = self.tools()
        self.assertEqual((reply.status, reply["Content-Type"]), (200, "application/json"))
        first, second = reply.json()["tools"]
        self.assertEqual(
            first,
            {"tool": odd, "total_calls": 1, "limited_calls": 0, "last_limited": None, "limited_rate": 0.0},
        )
        last = datetime.datetime.fromisoformat(second.pop("last_limited"))
        self.assertLessEqual(began, last)
        self.assertLessEqual(last, datetime.datetime.now(datetime.UTC))
        self.assertEqual(
            second, {"tool": "search", "total_calls": 4, "limited_calls": 2, "limited_rate": 0.5}
        )
        self.assertEqual(self.tools(odd).json(), first)
        self.assertEqual(self.tools("nobody").status, 404)
        # Nowhere else: neither in the metrics nor in the log.
        self.assertNotIn("<odd>", self.door.admin(target="/metrics").body.decode())
        self.assertEqual(self.door.stop(), 0)
        self.assertNotIn("<odd>", self.door.log())

    def test_the_token_resets_them(self):
        for tool in ("search", "fetch", "write"):
            self.call(tool)
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        self.assertEqual(self.door.admin("DELETE", "/api/v1/tools").status, 401)
        self.assertEqual(self.door.admin("DELETE", "/api/v1/tools/search").status, 401)
        self.assertEqual(len(self.tools().json()["tools"]), 3)
        reply = self.door.admin("DELETE", "/api/v1/tools/search", bearer)
        self.assertEqual((reply.status, reply.json()), (200, {"result": "reset"}))
        self.assertEqual(self.door.admin("DELETE", "/api/v1/tools/search", bearer).status, 404)
        self.assertEqual([tool["tool"] for tool in self.tools().json()["tools"]], ["fetch", "write"])
        self.assertEqual(self.door.admin("DELETE", "/api/v1/tools", bearer).status, 200)
        self.assertEqual(self.tools().json(), {"tools": []})
        reply = self.door.admin("POST", "/api/v1/tools", bearer)
        self.assertEqual((reply.status, reply["Allow"]), (405, "GET, HEAD, DELETE"))
        self.call("search")
        self.assertEqual(self.tools("search").json()["total_calls"], 1)


class Writing(EndToEnd):
    def door_with(self, mode=0o600):
        token = self.file("token", TOKEN + "\n", mode)
        return self.gateway(f"admin: {{token_file: '{token}'}}\n" + RULES, upstream=self.origin().url)

    def reload(self, door, **headers):
        return door.admin("POST", "/api/v1/reload", headers)

    def test_without_a_token_configured_it_is_forbidden(self):
        door = self.gateway(RULES, upstream=self.origin().url)
        reply = self.reload(door, Authorization=f"Bearer {TOKEN}")
        self.assertEqual(reply.status, 403)
        self.assertIn("token_file", reply.json()["detail"])

    def test_the_token_opens_it_and_nothing_else_does(self):
        door = self.door_with()
        for authorization in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
            with self.subTest(authorization=authorization):
                reply = self.reload(door, Authorization=authorization)
                self.assertEqual(reply.status, 401)
                self.assertTrue(reply["WWW-Authenticate"].startswith("Bearer"))
        reply = self.reload(door, Authorization=f"Bearer {TOKEN}")
        self.assertEqual((reply.status, reply.json()["result"]), (200, "reloaded"))
        self.assertEqual(door.metrics()["sluicegate_admin_unauthorized_total"], 5)
        self.assertEqual(door.stop(), 0)
        self.assertNotIn(TOKEN, door.log())

    def test_a_bad_file_is_told_in_the_answer(self):
        door = self.door_with()
        door.write_config(door.config.read_text() + "nonsense: 1\n")
        reply = self.reload(door, Authorization=f"Bearer {TOKEN}")
        self.assertEqual(reply.status, 422)
        self.assertRegex(reply.json()["errors"][0], r"sluicegate\.yaml:\d+:\d+")
        self.assertEqual(door.request().status, 200)

    def test_a_token_file_that_others_may_read_is_refused_at_start(self):
        token = self.file("token", TOKEN, 0o644)
        config = self.file("c.yaml", f"admin: {{token_file: '{token}'}}\n" + RULES)
        result = run("gateway", "--config", str(config), "--listen", "127.0.0.1:0", "--admin",
                     "127.0.0.1:0")
        self.assertEqual(result.returncode, 1)
        self.assertIn("chmod 600", result.stderr)
        self.assertNotIn(TOKEN, result.stderr)


if __name__ == "__main__":
    unittest.main()
