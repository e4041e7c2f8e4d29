#!/usr/bin/env python3
"""Compiles and runs what README.md and doc/*.md show, so that no example rots.

    tools/check_snippets.py BUILD_FOLDER

```cpp blocks with a main() are compiled against the library and run; ```yaml blocks that begin at the file's top
level and have rules are checked with `sluicegate check`; ```console blocks behind the comment <!-- run --> are run,
line by line that begins with "$ ", and must print what is shown below, line by line: "..." stands for anything within a
line, and alone for any lines. Blank lines do not count.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCE = re.compile(r"(?P<mark><!-- run -->\n+)?```(?P<kind>\w+)\n(?P<body>.*?)```", re.DOTALL)
MODULES = ["engine", "shield", "policy", "table", "limit", "base"]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def check_cpp(build, folder, body):
    source = folder / "snippet.cc"
    source.write_text(body, encoding="utf-8")
    libraries = [str(build / "src" / module / f"libsg_{module}.a") for module in MODULES]
    command = ["g++", "-std=c++23", "-Wall", "-Werror", f"-I{ROOT / 'include'}", str(source), "-o", str(folder / "snippet")]
    compiled = run([*command, "-Wl,--start-group", *libraries, "-Wl,--end-group", "-pthread"])
    if compiled.returncode != 0:
        return "does not compile:\n" + compiled.stderr
    ran = run([str(folder / "snippet")])
    return f"ends with status {ran.returncode}:\n{ran.stdout}{ran.stderr}" if ran.returncode != 0 else None


def check_yaml(build, folder, body):
    if not re.search(r"^rules:", body, re.MULTILINE):
        return None
    file = folder / "policy.yaml"
    file.write_text(body, encoding="utf-8")
    ran = run([str(build / "sluicegate"), "check", str(file)])
    return ran.stdout + ran.stderr if ran.returncode != 0 else None


def matches(shown, line):
    return re.fullmatch(".*".join(re.escape(part) for part in shown.split("...")), line)


def compare(shown, printed):
    """Says what is shown otherwise than printed: line by line, where "..." alone stands for any lines."""
    shown, printed = ([line.rstrip() for line in lines if line.strip()] for lines in (shown, printed))
    at, any_lines = 0, False
    for line in shown:
        if line == "...":
            any_lines = True
            continue
        rest = printed[at:] if any_lines else printed[at : at + 1]
        found = next((i for i, other in enumerate(rest) if matches(line, other)), None)
        if found is None:
            return f"does not print {line!r} there"
        at, any_lines = at + found + 1, False
    return None if any_lines or at == len(printed) else f"prints {printed[at]!r} as well"


def check_console(build, body):
    environment = dict(os.environ, PATH=f"{build}{os.pathsep}{os.environ['PATH']}")
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        ran = run(["bash", "-c", command], cwd=ROOT, env=environment)
        printed = (ran.stdout + ran.stderr).splitlines()
        if fault := compare(shown, printed):
            return f"$ {command}\n{fault}; it prints:\n" + "\n".join(printed)
    return None


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    checked = faults = 0
    for document in [ROOT / "README.md", *sorted((ROOT / "doc").glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]:
        text = document.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            body = block["body"]
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                fault = None
                if block["kind"] == "cpp" and "int main" in body:
                    fault = check_cpp(build, folder, body)
                elif block["kind"] == "yaml":
                    fault = check_yaml(build, folder, body)
                elif block["kind"] == "console" and block["mark"]:
                    fault = check_console(build, body)
                else:
                    continue
            checked += 1
            if fault:
                faults += 1
                line = text.count("\n", 0, block.start("body")) + 1
                print(f"{document.relative_to(ROOT)}:{line}: this {block['kind']} block fails: {fault}")
    print(f"{checked} snippets, {faults} faults")
    sys.exit(1 if faults or not checked else 0)


if __name__ == "__main__":
    main()
