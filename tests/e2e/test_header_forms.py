"""The forms of the rate limit fields: what each has, that a second reader understands them, and that
an origin's own are kept.
"""

import time
import unittest

from harness import EndToEnd, run
from structured_fields import read_list

LISTS = ("RateLimit-Policy", "RateLimit-Partition", "RateLimit")
TRIPLES = ("RateLimit-", "X-RateLimit-")
ALL = LISTS + tuple(prefix + one for prefix in TRIPLES for one in ("Limit", "Remaining", "Reset"))
# Every letter that a name may have, and the longest that it may be.
NAMES = ("abcdefghijklmnopqrstuvwxyz-_0123456789", "9" * 64, "a", "0-_-_")


def rules(limits="[3/minute]"):
    return f"rules:\n  - {{name: r, key: [client], limits: {limits}}}\n"


def fields_of(reply):
    return {name: ", ".join(reply.headers.get_all(name)) for name in ALL if reply[name] is not None}


class Forms(EndToEnd):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin()

    def answers(self, headers, config=None, target="/"):
        door = self.gateway(
            f"headers: {headers}\n" + (config or rules()), upstream=self.upstream.url
        )
        return door.request(target=target), door

    def test_each_form_has_its_own_fields_and_a_true_retry_after(self):
        wanted = {
            "draft11": {"RateLimit-Policy", "RateLimit"},
            "draft-next": {"RateLimit-Policy", "RateLimit-Partition", "RateLimit"},
            "draft03": {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"},
            "x-ratelimit-epoch": {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"},
            "x-ratelimit-delta": {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"},
            "off": set(),
        }
        for form, names in wanted.items():
            with self.subTest(form=form):
                reply, door = self.answers(form)
                self.assertEqual(set(fields_of(reply)), names)
                self.assertEqual(
                    [door.request().status for _ in range(3)],
                    [200, 200, 429],
                )
                denied = door.request()
                self.assertEqual(set(fields_of(denied)), names)
                self.assertTrue(50 < int(denied["Retry-After"]) <= 75, denied["Retry-After"])
                again = int(door.request()["Retry-After"])
                self.assertLessEqual(abs(again - int(denied["Retry-After"])), 1)

    def test_resets_are_what_the_forms_say(self):
        reply, _ = self.answers("[draft03, x-ratelimit-epoch]")
        self.assertEqual(reply["RateLimit-Limit"], "3, 3;w=60")
        self.assertEqual(reply["RateLimit-Remaining"], "2")
        self.assertTrue(0 < int(reply["RateLimit-Reset"]) <= 64)
        self.assertTrue(0 < int(reply["X-RateLimit-Reset"]) - time.time() <= 66)
        reply, _ = self.answers("x-ratelimit-delta")
        self.assertTrue(0 < int(reply["X-RateLimit-Reset"]) <= 64)

    def test_a_second_reader_understands_every_name(self):
        limits = ", ".join(
            f"{{limit: {50 + place}/minute, name: {name!r}}}" for place, name in enumerate(NAMES)
        )
        two = rules(f"[{limits}]") + (
            "  - {name: other, key: [user, method], limits: [{limit: 9/minute, name: a}]}\n"
        )
        reply, _ = self.answers("[draft11, draft-next, draft03]", two)
        names = [*NAMES[:2], "r/a", NAMES[3], "other/a"]
        policies = read_list(reply["RateLimit-Policy"])
        self.assertEqual([name for name, _ in policies], names)
        self.assertEqual([told["q"] for _, told in policies], [50, 51, 52, 53, 9])
        self.assertEqual({told["w"] for _, told in policies}, {60})
        partitions = dict(read_list(reply["RateLimit-Partition"]))
        self.assertEqual(list(partitions), names)
        self.assertEqual(partitions["other/a"], {"user_id": True, "method": True})
        self.assertEqual(partitions["r/a"], {"sluicegate-client": True})
        ((name, left),) = read_list(reply["RateLimit"])
        self.assertEqual(name, "other/a")
        self.assertEqual((left["r"], left["a"], left["c"]), (8, 8, 1))
        self.assertEqual(left["t"], left["w"])
        limit, *windows = read_list(reply["RateLimit-Limit"])
        self.assertEqual(limit, (9, {}))
        self.assertEqual(windows, [(quota, {"w": 60}) for quota in (50, 51, 52, 53, 9)])

    def test_no_field_has_a_clients_address_or_name(self):
        config = (
            "clients: {trusted_proxies: [127.0.0.0/8], identity: {header: x-user-id}}\n"
            "rules:\n  - {name: r, key: [user, client], limits: [3/minute]}\n"
        )
        door = self.gateway(
            "headers: [draft-next, draft11, draft03, x-ratelimit-delta]\n" + config,
            upstream=self.upstream.url,
        )
        secret = {"X-User-ID": "alice-secret", "X-Forwarded-For": "203.0.113.77"}
        for _ in range(4):
            told = str(door.request(headers=secret).headers)
            self.assertIn("user_id", told)
            for value in ("alice", "203.0.113", "YWxpY2U"):
                self.assertNotIn(value, told)

    def test_an_origins_lists_are_kept_and_ours_are_appended(self):
        for form, parameters in (("draft11", {"r", "t"}), ("draft-next", {"a", "w", "c"})):
            with self.subTest(form=form):
                reply, _ = self.answers(form, target="/fields")
                origin, ours = read_list(", ".join(reply.headers.get_all("RateLimit")))
                self.assertEqual(origin, ("origin", {"r": 1, "t": 5}))
                self.assertEqual((ours[0], set(ours[1])), ("per-minute", parameters))

    def test_a_form_that_is_none_and_a_pair_that_is_none_are_refused(self):
        for headers, why in (
            ("draft12", "No form of the fields"),
            ("[x-ratelimit-delta, x-ratelimit-epoch]", "fields of the same names"),
            ("[draft03, off]", "off and on at once"),
        ):
            told = run("check", "-", stdin=f"headers: {headers}\n" + rules())
            self.assertEqual(told.returncode, 1)
            self.assertIn(why, told.stdout + told.stderr)


if __name__ == "__main__":
    unittest.main()
