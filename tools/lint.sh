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
tidy() {  # The folder of the commands, then the files.
  printf '%s\n' "${@:2}" | xargs -P "$jobs" -n 4 clang-tidy-19 --quiet -p "$1" 2> >(grep -v 'warnings generated\|warning generated\|Processing file' >&2 || true)
}
tidy build/tsan "${units[@]}"
# The Python module's need nanobind, which has no package of Debian's that is new enough.
if [ -x build/lint/venv/bin/python ] || { rm -rf build/lint && python3 -m venv build/lint/venv; } &&
  build/lint/venv/bin/python -m pip install --quiet --disable-pip-version-check 'nanobind>=2.7'; then
  cmake -G Ninja -B build/lint -DCMAKE_CXX_COMPILER=clang++-19 -DSLUICEGATE_PYTHON=ON -DSLUICEGATE_PROGRAM=OFF -DSLUICEGATE_TESTS=OFF \
    -DPython_EXECUTABLE="$PWD/build/lint/venv/bin/python" -Dnanobind_DIR="$(build/lint/venv/bin/python -m nanobind --cmake_dir)" --log-level=WARNING > /dev/null
  mapfile -t units < <(git ls-files 'python/core/*.cc')
  tidy build/lint "${units[@]}"
else
  echo "lint: skipped clang-tidy of python/core: no Python with venv, or pip cannot get nanobind"
fi
echo "lint: nothing to say about ${#sources[@]} files"
