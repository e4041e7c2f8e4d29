#!/usr/bin/env python3
"""Runs the tests of a build folder and ends with one line: N passed, N failed.

    tools/run_tests.py BUILD_FOLDER [--label unit]

Failures are printed whole; what was skipped is named with its reason.
"""

import argparse
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--label", help="only tests of this label")
    options = parser.parse_args()
    report = os.path.abspath(os.path.join(options.build, "tests.xml"))
    if os.path.exists(report):
        os.remove(report)
    command = ["ctest", "--test-dir", options.build, "-j", str(os.cpu_count() or 1), "--output-junit", report, "--progress"]
    if options.label:
        command += ["-L", options.label]
    environment = dict(os.environ)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment["PATH"] = os.path.join(root, "build/tools/usr/bin") + os.pathsep + environment["PATH"]
    subprocess.run(command, check=False, env=environment)
    if not os.path.exists(report):
        sys.exit("run_tests.py: ctest wrote no report; run it by hand: " + " ".join(command))
    passed = failed = 0
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        output = case.findtext("system-out") or ""
        status = case.get("status")
        if status == "run":
            passed += 1
            for line in re.findall(r"^skipped: .*$", output, re.MULTILINE):
                print(f"{case.get('name')}: {line}")
        elif status in ("notrun", "disabled"):
            reason = case.find("skipped")
            print(f"skipped: {case.get('name')}: {reason.get('message') if reason is not None else status}")
            print("\n".join(output.splitlines()[-3:]))
        else:
            failed += 1
            print(f"\n==== FAILED {case.get('name')}\n{output}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
