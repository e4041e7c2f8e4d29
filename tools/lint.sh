#!/usr/bin/env bash
# Everything that reads the sources without running them:   tools/lint.sh [JOBS]
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
mapfile -t sources < <(git ls-files '*.cc' '*.h' '*.cpp')
clang-format-19 --dry-run --Werror "${sources[@]}"
python3 tools/check_layers.py
python3 tools/check_style.py
cmake --preset tsan --log-level=WARNING > /dev/null  # clang's commands, for clang-tidy.
# version.h and its like are made at configure time, so nothing has to be built. Tests are read by the compilers only.
mapfile -t units < <(git ls-files 'src/*.cc' 'bench/*.cc' | grep -v '_test\.cc$' | grep -v '^bench/')
printf '%s\n' "${units[@]}" | xargs -P "$jobs" -n 4 clang-tidy-19 --quiet -p build/tsan 2> >(grep -v 'warnings generated\|warning generated' >&2 || true)
echo "lint: nothing to say about ${#sources[@]} files"
