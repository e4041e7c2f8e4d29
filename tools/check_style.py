#!/usr/bin/env python3
"""What neither the compilers nor clang-tidy look at: names each fault with file and line."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_LINES = 500
MAX_PUBLIC_LINES = 150
MAX_PUBLIC_HEADERS = 12
WORDS = re.compile(r"\b(TODO|FIXME|XXX)\b")
MACHINE = re.compile(r"(?<![\w.])/(work|farm|root)/")
# g++ 12 lays the frame out wrongly then: doc/decisions.md.
NEGATED_AWAIT = re.compile(r"!\s*co_await\b")


def tracked():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [name for name in listing.decode().split("\0") if name and (ROOT / name).is_file()]


def check_source(name, lines):
    if len(lines) > MAX_LINES:
        yield f"{name}:{MAX_LINES}: {len(lines)} lines; a file is one noun, under {MAX_LINES} lines"
    if name.endswith(".h") and not lines[0].startswith("//"):
        yield f"{name}:1: a header begins with a comment that says what it is"
    for number, line in enumerate(lines, 1):
        if NEGATED_AWAIT.search(line):
            yield f"{name}:{number}: give what co_await gives a name before negating it (a fault of g++ 12)"


def check(name):
    try:
        text = (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    lines = text.splitlines()
    if name.endswith((".h", ".cc", ".cpp")) and lines:
        yield from check_source(name, lines)
    data = name.startswith(("tests/config/", "fuzz/corpus"))
    for number, line in enumerate(lines, 1):
        if WORDS.search(line) and name != "tools/check_style.py":
            yield f"{name}:{number}: a word that promises later work"
        if MACHINE.search(line) and name != "tools/check_style.py":
            yield f"{name}:{number}: a path of one machine"
        if not data and line != line.rstrip() and not name.endswith(".md"):
            yield f"{name}:{number}: white space at the line's end"


def main():
    faults = [fault for name in tracked() for fault in check(name)]
    headers = sorted((ROOT / "include" / "sluicegate").glob("*.h"))
    if len(headers) > MAX_PUBLIC_HEADERS:
        faults.append(f"include/sluicegate: {len(headers)} headers; the public API has at most {MAX_PUBLIC_HEADERS}")
    for header in headers:
        count = len(header.read_text(encoding="utf-8").splitlines())
        if count > MAX_PUBLIC_LINES:
            faults.append(f"include/sluicegate/{header.name}: {count} lines; at most {MAX_PUBLIC_LINES}")
    print("\n".join(faults) if faults else "style: nothing to say")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
