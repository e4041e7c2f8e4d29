#!/usr/bin/env python3
"""Checks that modules include only along the arrows, and that the core keeps to itself.

    tools/check_layers.py [--root FOLDER]     names each broken arrow with file and line
    tools/check_layers.py --self-test         breaks each rule in a folder of its own and expects to hear of it

The arrows are those of doc/decision.md. A module's CMake DEPS must be among them, and every include of its
sources must be among its DEPS. Tests (*_test.cc, *_for_test.*) may include anything.
"""

import argparse
import pathlib
import re
import sys
import tempfile

CORE = {
    "base": set(),
    "limit": {"base"},
    "table": {"base", "limit"},
    "policy": {"base", "limit"},
    "shield": {"base", "limit", "table"},
    "engine": {"base", "limit", "table", "policy", "shield"},
}
ARROWS = CORE | {
    "identity": {"base"},
    "config": {"base", "identity", "limit", "policy"},  # identity: the files that the policy names.
    "wire": {"base"},
    "net": {"base"},
    "http": {"base", "engine", "identity", "limit", "policy", "table", "wire"},
    "gateway": {"base", "engine", "http", "identity", "policy", "shield", "wire", "net"},  # policy: the settings that a ruleset carries.
    "admin": {"base", "engine", "policy", "wire", "net"},
    "pipe": {"base", "engine", "http", "wire"},
    "handover": {"base", "net", "policy"},
    "app": {"base", "limit", "table", "policy", "shield", "engine", "identity", "config", "wire", "http", "net",
            "gateway", "admin", "pipe", "handover"},
}
# The core does no I/O, reads no clock, starts no thread, logs nothing and throws nothing.
FORBIDDEN = {
    r'#include <(iostream|fstream|filesystem|cstdio|thread|future|boost/.*|spdlog/.*|fmt/.*|yaml-cpp/.*|nlohmann/.*)>':
        "the core has no I/O, threads or libraries",
    r"\bthrow\b": "the core throws nothing",
    r"::now\(\)|\bclock_gettime\b|\btime\(nullptr\)": "time is an argument in the core",
    r"\bstd::(cout|cerr|printf)\b": "the core prints nothing",
}
# What must be done somewhere, and where.
EXCEPTIONS = {
    ("src/base/clock.cc", "time is an argument in the core"),  # The one clock.
    ("src/table/bucket.h", "the core has no I/O, threads or libraries"),  # A waiter yields its core.
}
INCLUDE = re.compile(r'^\s*#include "([a-z_]+)/')
MODULE = re.compile(r"sg_module\((\w+)(.*?)\)", re.DOTALL)


def is_test(path):
    return path.stem.endswith(("_test", "_for_test"))


def code_of(line):
    return re.sub(r'"([^"\\]|\\.)*"', '""', line.split("//")[0])


def deps_of(folder):
    """The DEPS of a module's CMakeLists.txt, or None where there is none."""
    file = folder / "CMakeLists.txt"
    found = MODULE.search(file.read_text(encoding="utf-8")) if file.exists() else None
    if found is None:
        return None
    words = found.group(2).split()
    if "DEPS" not in words:
        return set()
    deps = words[words.index("DEPS") + 1:]
    return set(deps[: deps.index("LIBS")] if "LIBS" in deps else deps)


def check_file(root, path, module, deps):
    relative = path.relative_to(root).as_posix()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = INCLUDE.match(line)
        if found and found.group(1) not in {module, "sluicegate"} and found.group(1) not in deps:
            allowed = ", ".join(sorted(deps)) or "nothing but the standard library"
            yield f"{relative}:{number}: {module} -> {found.group(1)} is no arrow; {module} may include {allowed}"
        if module not in CORE:
            continue
        for pattern, why in FORBIDDEN.items():
            text = line if pattern.startswith("#include") else code_of(line)
            if re.search(pattern, text) and (relative, why) not in EXCEPTIONS:
                yield f"{relative}:{number}: {why}"


def check(root):
    source = root / "src"
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        module = folder.name
        if module not in ARROWS:
            yield f"src/{module}: no module of doc/decision.md is called so"
            continue
        deps = deps_of(folder)
        if deps is None:
            continue
        for extra in sorted(deps - ARROWS[module]):
            yield f"src/{module}/CMakeLists.txt: {module} -> {extra} is no arrow"
        # A rule of engine carries policies, so doors reach policy's headers through it.
        reached = deps | ({"policy"} if "engine" in deps and module in {"http", "gateway", "admin"} else set())
        for path in sorted(folder.glob("*.[ch]*")):
            if path.suffix in {".h", ".cc"} and not is_test(path):
                yield from check_file(root, path, module, reached)
    for path in sorted((root / "include").rglob("*.h")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if INCLUDE.match(line) and not line.startswith('#include "sluicegate/'):
                yield f"{path.relative_to(root).as_posix()}:{number}: the public API includes nothing private"


def self_test():
    """Plants one break of each kind; every one must be found, and nothing in the clean tree."""
    breaks = {
        '#include "engine/engine.h"\n': "table -> engine is no arrow",
        "#include <iostream>\n": "no I/O",
        "int F() { throw 1; }\n": "throws nothing",
        "auto t = std::chrono::steady_clock::now();\n": "time is an argument",
    }
    for text, expected in [("int F();\n", None), *breaks.items()]:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "include").mkdir()
            module = root / "src" / "table"
            module.mkdir(parents=True)
            (module / "CMakeLists.txt").write_text("sg_module(table SOURCES x.cc DEPS base limit)\n")
            (module / "x.cc").write_text(text)
            (module / "x_test.cc").write_text("".join(breaks))
            heard = list(check(root))
            if (expected is None) != (not heard) or (expected and expected not in heard[0]):
                sys.exit(f"self-test: {text!r} gave {heard}, not {expected!r}")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "include").mkdir()
        module = root / "src" / "wire"
        module.mkdir(parents=True)
        (module / "CMakeLists.txt").write_text("sg_module(wire SOURCES x.cc DEPS base engine)\n")
        if list(check(root)) != ["src/wire/CMakeLists.txt: wire -> engine is no arrow"]:
            sys.exit("self-test: a wrong DEPS was not heard of")
    print("self-test: every break was found")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        self_test()
        return
    faults = list(check(options.root))
    print("\n".join(faults) if faults else "layers: every include follows an arrow")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
