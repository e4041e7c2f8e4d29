#!/usr/bin/env bash
# The unit tests under a sanitizer:   tools/sanitize.sh asan|tsan [JOBS]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
jobs=${2:-$(nproc)}
tools/install_packages.sh program test lint
cmake --preset "$preset" --log-level=WARNING > /dev/null
cmake --build "build/$preset" --target unit_tests -j "$jobs"
# A report ends the program, so a test that has one fails.
export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
exec tools/run_tests.py "build/$preset" --label unit
