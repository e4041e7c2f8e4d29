"""The client cannot choose who it is, and nothing secret is ever written down."""

import base64
import hashlib
import hmac
import json
import re
import signal
import time
import unittest

from harness import EndToEnd, run

CLIENT = "rules:\n  - {name: per-client, key: [client], limits: [3/minute]}\n"
USER = "rules:\n  - {name: per-user, key: [user], limits: [3/minute]}\n"
TRUSTED = "clients: {trusted_proxies: [127.0.0.0/8], forwarded: %s%s}\n"


class Addresses(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()

    def statuses(self, door, fields):
        return [door.request(headers=field).status for field in fields]

    def test_spoofed_addresses_of_an_untrusted_peer_are_one_client(self):
        door = self.gateway(CLIENT, upstream=self.upstream.url)
        spoofs = [
            {"X-Forwarded-For": "198.51.100.1"},
            {"X-Real-IP": "198.51.100.2"},
            {"Forwarded": "for=198.51.100.3"},
            {"X-User-ID": "someone-else"},
            {"X-Forwarded-For": "198.51.100.5, 198.51.100.6"},
        ]
        self.assertEqual(self.statuses(door, spoofs), [200, 200, 200, 429, 429])

    def test_what_an_untrusted_peer_claims_does_not_reach_the_upstream(self):
        door = self.gateway(CLIENT, upstream=self.upstream.url)
        told = door.request(
            target="/echo",
            headers={"X-Forwarded-For": "198.51.100.1", "X-Real-IP": "198.51.100.2",
                     "Forwarded": "for=198.51.100.3", "X-User-ID": "planted"},
        ).body.decode()
        self.assertNotIn("198.51.100.", told)
        self.assertIn("127.0.0.1", told)

    def test_a_trusted_proxy_names_the_client(self):
        door = self.gateway(TRUSTED % ("x-forwarded-for", "") + CLIENT, upstream=self.upstream.url)
        one = {"X-Forwarded-For": "203.0.113.1"}
        two = {"X-Forwarded-For": "203.0.113.2"}
        self.assertEqual(self.statuses(door, [one] * 4), [200, 200, 200, 429])
        self.assertEqual(self.statuses(door, [two]), [200])
        # What the client itself put in front of the proxy's own entry does not help it.
        self.assertEqual(
            self.statuses(door, [{"X-Forwarded-For": f"198.51.100.{n}, 203.0.113.1"} for n in (1, 2)]),
            [429, 429],
        )

    def test_an_ipv6_64_is_one_client(self):
        door = self.gateway(TRUSTED % ("x-forwarded-for", "") + CLIENT, upstream=self.upstream.url)
        fields = [{"X-Forwarded-For": f"2001:db8:1:2::{n:x}"} for n in range(1, 5)]
        self.assertEqual(self.statuses(door, fields), [200, 200, 200, 429])
        self.assertEqual(self.statuses(door, [{"X-Forwarded-For": "2001:db8:1:3::1"}]), [200])

    def test_forwarded_counts_where_the_setting_says_so(self):
        door = self.gateway(TRUSTED % ("forwarded", "") + CLIENT, upstream=self.upstream.url)
        fields = [{"Forwarded": "for=203.0.113.9"}] * 4
        self.assertEqual(self.statuses(door, fields), [200, 200, 200, 429])
        other = [{"X-Forwarded-For": "203.0.113.9"}]
        self.assertEqual(self.statuses(door, other), [200], "X-Forwarded-For was read as well")

    def test_a_user_from_a_trusted_proxy_counts(self):
        door = self.gateway(
            TRUSTED % ("x-forwarded-for", ", identity: {header: x-user-id}") + USER,
            upstream=self.upstream.url,
        )
        alice, bob = {"X-User-ID": "alice"}, {"X-User-ID": "bob"}
        self.assertEqual(self.statuses(door, [alice] * 4), [200, 200, 200, 429])
        self.assertEqual(self.statuses(door, [bob]), [200])

    def test_a_user_from_anyone_else_does_not(self):
        door = self.gateway(
            "clients: {identity: {header: x-user-id}, trusted_proxies: [192.0.2.0/24]}\n" + USER,
            upstream=self.upstream.url,
        )
        fields = [{"X-User-ID": f"user{n}"} for n in range(5)]
        self.assertEqual(self.statuses(door, fields), [200, 200, 200, 429, 429])


class Keys(EndToEnd):
    def make(self, name):
        made = run("api-key", name)
        self.assertEqual(made.returncode, 0, made.stderr)
        key = re.search(r"\bsgk_[0-9a-f]{64}\b", made.stdout).group()
        line = re.search(r"^\s*(sha256:[0-9a-f]{64} \S+)$", made.stdout, re.MULTILINE).group(1)
        return key, line

    def test_keys_identify_and_are_never_written_down(self):
        upstream = self.origin()
        (acme, acme_line), (other, other_line) = self.make("acme"), self.make("other")
        self.assertNotIn(acme, acme_line)
        keys = self.file("keys", f"# keys\n{acme_line}\n\n{other_line}\n", 0o600)
        door = self.gateway(
            f"clients: {{identity: {{api_keys: '{keys}'}}}}\n" + USER,
            upstream=upstream.url, args=["--log-level", "debug"],
        )

        def statuses(fields, times):
            return [door.request(headers=fields).status for _ in range(times)]

        self.assertEqual(statuses({"X-API-Key": acme}, 4), [200, 200, 200, 429])
        self.assertEqual(statuses({"Authorization": f"Bearer {acme}"}, 1), [429], "one identity")
        self.assertEqual(statuses({"X-API-Key": other}, 1), [200])
        # Wrong keys are nobody: they share the budget of their address.
        wrong = [{"X-API-Key": "sgk_planted" + str(n)} for n in range(4)]
        self.assertEqual(
            [door.request(headers=field).status for field in wrong], [200, 200, 200, 429]
        )
        door.wait_for_log("denied:")
        shown = [door.admin(target=t).body.decode() for t in ("/metrics", "/api/v1/status")]
        self.assertEqual(door.stop(), 0)
        for text in [door.log(), door.banner(), *shown]:
            for secret in (acme, other, "planted", acme_line.split()[0]):
                self.assertNotIn(secret, text)

    def test_a_bad_key_file_is_refused(self):
        keys = self.file("keys", "sha256:zz acme\n", 0o600)
        config = self.file(
            "c.yaml", f"clients: {{identity: {{api_keys: '{keys}'}}}}\n" + USER
        )
        result = run("gateway", "--config", str(config), "--listen", "127.0.0.1:0",
                     "--admin", "off", "--upstream", "http://127.0.0.1:1")
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("keys", result.stderr)

    def test_a_key_file_that_cannot_be_read_stops_a_start_and_not_what_runs(self):
        text = f"clients: {{identity: {{api_keys: '{self.folder}'}}}}\n" + USER
        config = self.file("c.yaml", text)
        result = run("gateway", "--config", str(config), "--listen", "127.0.0.1:0",
                     "--admin", "off", "--upstream", "http://127.0.0.1:1")
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("regular file", result.stderr)
        door = self.gateway(USER, upstream=self.origin().url)
        door.write_config(text)
        door.signal(signal.SIGHUP)
        door.wait_for_log("reload: refused")
        self.assertEqual(door.request().status, 200)

    def test_a_bad_id_is_refused_with_the_mend(self):
        result = run("api-key", "two words")
        self.assertEqual(result.returncode, 2, result)
        self.assertIn("letters", result.stderr)


def token(user, secret, seconds=300):
    """A JWT by HMAC."""

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    header = json.dumps({"alg": "HS256", "typ": "JWT"}).encode()
    claims = json.dumps({"sub": user, "exp": int(time.time()) + seconds, "aud": "api"}).encode()
    text = part(header) + b"." + part(claims)
    return (text + b"." + part(hmac.new(secret, text, hashlib.sha256).digest())).decode()


class Tokens(EndToEnd):
    SECRET = b"planted-secret-planted-secret-planted"
    OTHER = b"planted-others-planted-others-planted"

    def policy(self, file):
        return f"clients: {{identity: {{jwt: {{key: '{file}', audience: api}}}}}}\n" + USER

    def secret(self, secret, mode=0o600):
        return self.file("secret", f"hmac:text:{secret.decode()}\n", mode)

    def statuses(self, door, told, times=1):
        return [door.request(headers={"Authorization": f"Bearer {told}"}).status for _ in range(times)]

    def test_users_by_their_tokens_and_nothing_secret_is_written_down(self):
        file = self.secret(self.SECRET)
        door = self.gateway(self.policy(file), upstream=self.origin().url, args=["--log-level", "debug"])
        ada, bob = token("ada", self.SECRET), token("bob", self.SECRET)
        self.assertEqual(self.statuses(door, ada, 4), [200, 200, 200, 429])
        self.assertEqual(self.statuses(door, token("ada", self.SECRET, 400)), [429], "one identity")
        self.assertEqual(self.statuses(door, bob), [200])
        forged = [token(f"eve{n}", self.OTHER) for n in range(2)]
        ended = [token(f"eve{n}", self.SECRET, -3600) for n in range(2)]
        self.assertEqual([self.statuses(door, told)[0] for told in forged + ended], [200, 200, 200, 429])
        door.wait_for_log("denied:")
        shown = [door.admin(target=t).body.decode() for t in ("/metrics", "/api/v1/status")]
        self.assertEqual(door.stop(), 0)
        for text in [door.log(), door.banner(), *shown]:
            for secret in ("planted", ada, bob, forged[0], ada.split(".")[2]):
                self.assertNotIn(secret, text)

    def test_a_reload_takes_the_new_key_and_refuses_a_bad_file(self):
        file = self.secret(self.SECRET)
        door = self.gateway(self.policy(file), upstream=self.origin().url)
        self.assertEqual(self.statuses(door, token("ada", self.SECRET), 4), [200, 200, 200, 429])
        file.write_text("planted\n")
        door.signal(signal.SIGHUP)
        door.wait_for_log("reload: refused")
        self.assertIn(f"clients.identity.jwt.key: {file}: This is no file of keys for tokens.", door.log())
        self.assertNotIn("planted", door.log())
        self.assertEqual(self.statuses(door, token("ada", self.SECRET)), [429], "what it had goes on")
        file.write_text(f"hmac:text:{self.OTHER.decode()}\n")
        door.signal(signal.SIGHUP)
        door.wait_for_log("reload: done")
        self.assertEqual(self.statuses(door, token("ada", self.OTHER)), [429], "the same user")
        self.assertEqual(self.statuses(door, token("bob", self.SECRET)), [200], "the address")

    def test_check_reads_the_files(self):
        good = self.file("c.yaml", self.policy(self.secret(self.SECRET)))
        self.assertEqual(run("check", str(good)).returncode, 0)
        self.secret(self.SECRET, 0o644)
        told = run("check", str(good))
        self.assertEqual(told.returncode, 1)
        self.assertIn("Run: chmod 600 FILE.", told.stderr)
        missing = run("check", str(self.file("d.yaml", self.policy(self.folder / "nowhere"))))
        self.assertEqual(missing.returncode, 1)
        self.assertIn("clients.identity.jwt.key:", missing.stderr)
        self.assertIn("No such file", missing.stderr)


class Planted(EndToEnd):
    def test_what_clients_choose_reaches_neither_logs_nor_metrics(self):
        upstream = self.origin()
        door = self.gateway(
            "rules:\n  - {name: all, key: ['header:x-tenant'], limits: [2/minute]}\n",
            upstream=upstream.url, args=["--log-level", "debug"],
        )
        for _ in range(4):
            door.request(
                target="/planted-path?planted-query",
                headers={"X-Tenant": "planted-tenant", "Cookie": "planted-cookie",
                         "Authorization": "Bearer planted-token", "User-Agent": "planted-agent",
                         "Host": "planted.example"},
            )
        door.raw(b"GET /planted HTTP/1.1\r\nplanted field: x\r\n\r\n").close()
        door.wait_for_log("denied:")
        pages = [door.admin(target=t).body.decode() for t in ("/metrics", "/api/v1/status")]
        door.admin(target="/planted-admin", headers={"Authorization": "Bearer planted-admin"})
        self.assertEqual(door.stop(), 0)
        for text in [door.log(), door.banner(), *pages]:
            self.assertNotIn("planted", text)


if __name__ == "__main__":
    unittest.main()
