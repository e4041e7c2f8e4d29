"""A short run of a real load generator: no failure, whatever the verdicts."""

import re
import shutil
import subprocess
import unittest

from harness import EndToEnd


class Load(EndToEnd):
    def wrk(self, door, target="/"):
        if not shutil.which("wrk"):
            self.skipTest("wrk is not installed")
        said = subprocess.run(
            ["wrk", "-t1", "-c32", "-d2s", f"http://127.0.0.1:{door.port}{target}"],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout
        self.assertNotIn("Socket errors", said)
        self.assertGreater(float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)), 100, said)
        return said

    def no_failures(self, door):
        for name, value in door.metrics().items():
            self.assertFalse(re.search(r'(code|status)="5', name) and value, (name, value))

    def test_a_flood_that_is_limited(self):
        door = self.gateway()  # The demo upstream and the default policy.
        self.assertIn("Non-2xx", self.wrk(door))
        self.assertIn(door.request().status, (200, 429))
        self.no_failures(door)
        # A flood writes a few lines, not one a request.
        self.assertLess(len(door.log().splitlines()), 100)
        self.assertEqual(door.stop(), 0)

    def test_a_load_that_passes(self):
        door = self.gateway("rules:\n  - {name: a, key: [client], limits: [100000000/minute]}\n")
        self.assertNotIn("Non-2xx", self.wrk(door))
        self.no_failures(door)
        self.assertEqual(door.stop(), 0)


if __name__ == "__main__":
    unittest.main()
