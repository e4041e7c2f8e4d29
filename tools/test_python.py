#!/usr/bin/env python3
"""The Python package as its users get it: built, installed into empty environments, and tested there.

    tools/test_python.py BUILD_FOLDER build      the sdist, and a wheel for every Python from 3.10 on
    tools/test_python.py BUILD_FOLDER SUITE      a suite with the wheels: package, types, fastmcp, limits, workers; bench

Environments lie in BUILD_FOLDER/python and are kept. Exit status 77: what a suite needs cannot be got
here; a line says so.
"""

import argparse
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = ROOT / "python" / "tests"
SKIPPED = 77

BASE = ["pytest", "pytest-asyncio"]
WEB = [*BASE, "starlette", "fastapi", "httpx"]
# Of a suite, for each of its environments: which Pythons, what is installed, which tests run.
SUITES = {
    "package": [("all", [*WEB, "pyyaml"], ["test_limiter.py", "test_cases.py", "test_middleware.py", "test_functions.py", "test_fastapi.py", "test_docs.py"])],
    "fastmcp": [
        ("one", [*BASE, version], ["test_fastmcp.py", "test_fastmcp_rounds.py", "test_fastmcp_limiting.py", "test_fastmcp_tools.py", "test_docs.py"])
        for version in ("fastmcp==4.*", "fastmcp==3.4.*", "fastmcp==2.14.*")
    ],
    "limits": [
        ("one", [*WEB, "slowapi", "flask-limiter", version],
         ["test_limits_storage.py", "test_slowapi.py", "test_flask_limiter.py", "test_docs.py"])
        for version in ("limits==5.*", "limits==4.*")
    ],
    "workers": [("one", [*WEB, "uvicorn", "uvicorn-worker", "gunicorn"], ["test_workers.py"])],
}


class Missing(Exception):
    """What is needed cannot be got here."""


def run(*command, **options):
    print("+", *(str(part) for part in command), flush=True)
    return subprocess.run([str(part) for part in command], check=True, **options)


def pythons():
    """Every Python from 3.10 on, one a version, that can make environments and compile modules."""
    found = {}
    names = [f"python3.{minor}" for minor in range(10, 20)]
    candidates = [shutil.which(name) for name in names]
    candidates += sorted(pathlib.Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    for candidate in filter(None, candidates):
        code = (
            "import os, sys, sysconfig, venv, ensurepip\n"
            "assert os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h'))\n"
            "print('%d.%d' % sys.version_info[:2])"
        )
        told = subprocess.run([candidate, "-c", code], capture_output=True, text=True)
        version = told.stdout.strip()
        if told.returncode == 0 and int(version.partition(".")[2]) >= 10:
            found.setdefault(version, str(candidate))
    if not found:
        raise Missing("no Python from 3.10 on with venv and Python.h (Debian: python3-venv, python3-dev)")
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


def main_python(found):
    own = "%d.%d" % sys.version_info[:2]
    return own if own in found else next(iter(found))


def environment(folder, python, version, wanted):
    """A venv with what is wanted; the same as last time if that was the same."""
    digest = hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:10]
    place = folder / "venvs" / f"{version}-{digest}"
    if not (place / "whole").exists():
        shutil.rmtree(place, ignore_errors=True)
        run(python, "-m", "venv", place)
        pip = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            run(*pip, *wanted)
        except subprocess.CalledProcessError as error:
            raise Missing(f"pip cannot install {' '.join(wanted)} for Python {version}") from error
        (place / "whole").touch()
    return place / "bin" / "python"


def wheel_for(folder, version):
    tag = "cp" + version.replace(".", "")
    wheels = sorted((folder / "dist").glob(f"sluicegate-*-{tag}-*.whl"))
    if not wheels:
        raise Missing(f"there is no wheel for Python {version}")
    return wheels[-1]


def make_sdist(folder, python, dist):
    """Of what a clone would have, apart from what was built here. Returns the archive."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"],
                            check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as clone:
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                target = pathlib.Path(clone, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        run(python, "-m", "build", "--sdist", "--outdir", dist, clone)
    return next(dist.glob("*.tar.gz"))


def unpack(archive, source):
    """What did not change since last time stays as it is, so that what was built of it stays, too."""
    with tempfile.TemporaryDirectory() as fresh:
        shutil.unpack_archive(archive, fresh)
        top = next(pathlib.Path(fresh).iterdir())
        names = {file.relative_to(top) for file in top.rglob("*") if file.is_file()}
        for old in list(source.rglob("*")):
            name = old.relative_to(source)
            if old.is_file() and name.parts[0] != "build" and name not in names:
                old.unlink()
        for name in names:
            new, old = top / name, source / name
            if not old.exists() or old.read_bytes() != new.read_bytes():
                old.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(new, old)


def build(folder):
    found = pythons()
    dist, source = folder / "dist", folder / "source"
    shutil.rmtree(dist, ignore_errors=True)
    main = main_python(found)
    archive = make_sdist(folder, environment(folder, found[main], main, ["build"]), dist)
    unpack(archive, source)
    for version, python in found.items():
        pip = environment(folder, python, version, ["pip"])
        run(pip, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", dist, source)
        install(pip, wheel_for(folder, version))
        run(pip, "-c", "import sluicegate; print(sluicegate.__version__, sluicegate.Limiter(['1/s']).check('a'))")


def install(python, wheel):
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--force-reinstall", wheel)


def check_types(folder):
    found = pythons()
    main = main_python(found)
    python = environment(folder, found[main], main, [*WEB, "mypy", "nanobind"])
    install(python, wheel_for(folder, main))
    run(python, "-m", "mypy", "--strict", "--config-file", ROOT / "pyproject.toml", ROOT / "python" / "sluicegate",
        cwd=ROOT / "python")
    stub = folder / "_core.pyi"
    run(python, "-m", "nanobind.stubgen", "-q", "-m", "sluicegate._core", "-o", stub, cwd=folder)
    if stub.read_text() != (ROOT / "python" / "sluicegate" / "_core.pyi").read_text():
        sys.exit("python/sluicegate/_core.pyi is not what the module says: copy " + str(stub))


def bench(folder):
    found = pythons()
    main = main_python(found)
    wanted = ["limits", "throttled-py", "fastmcp", "slowapi", "starlette", "uvicorn"]
    python = environment(folder, found[main], main, wanted)
    install(python, wheel_for(folder, main))
    run(python, ROOT / "bench" / "python_bench.py")


def test(folder, suite):
    found = pythons()
    failed = 0
    for which, wanted, files in SUITES[suite]:
        for version in found if which == "all" else [main_python(found)]:
            python = environment(folder, found[version], version, wanted)
            install(python, wheel_for(folder, version))
            print(f"== {suite}: Python {version}, {' '.join(wanted)}", flush=True)
            command = [python, "-m", "pytest", "-q", "-rs", "-c", ROOT / "pyproject.toml", "-p", "no:cacheprovider",
                       *(TESTS / file for file in files)]
            told = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
            print(told.stdout, told.stderr, flush=True)
            failed += told.returncode != 0
            for reason in re.findall(r"^SKIPPED .*$", told.stdout, re.MULTILINE):
                print(f"skipped: {suite}, Python {version}: {reason}")
    sys.exit(1 if failed else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("suite", choices=["build", "types", "bench", *SUITES])
    options = parser.parse_args()
    folder = (options.build / "python").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if options.suite == "build":
            build(folder)
        elif options.suite == "types":
            check_types(folder)
        elif options.suite == "bench":
            bench(folder)
        else:
            test(folder, options.suite)
    except Missing as missing:
        print(f"skipped: python.{options.suite}: {missing}")
        sys.exit(SKIPPED)


if __name__ == "__main__":
    main()
