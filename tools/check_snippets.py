#!/usr/bin/env python3
"""Compiles and runs what README.md and doc/*.md show, so that no example rots.

    tools/check_snippets.py BUILD_FOLDER

```cpp blocks with a main() are compiled against the library and run; ```yaml blocks that begin at the file's top
level and have rules are checked with `sluicegate check`; ```console blocks behind the comment <!-- run --> are run,
line by line that begins with "$ ", and each line shown below must be among what is printed ("..." stands for
anything).
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


def matches(shown, printed):
    pattern = ".*".join(re.escape(part) for part in shown.split("..."))
    return any(re.fullmatch(pattern, line.rstrip()) for line in printed)


def check_console(build, body):
    environment = dict(os.environ, PATH=f"{build}{os.pathsep}{os.environ['PATH']}")
    command = None
    printed = []
    for line in body.splitlines():
        if line.startswith("$ "):
            command = line[2:]
            ran = run(["bash", "-c", command], cwd=ROOT, env=environment)
            printed = (ran.stdout + ran.stderr).splitlines()
        elif line.strip() and line.strip() != "..." and not matches(line.rstrip(), printed):
            return f"$ {command}\nprints no line like {line!r}; it prints:\n" + "\n".join(printed)
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
