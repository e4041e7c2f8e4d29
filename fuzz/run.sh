#!/usr/bin/env bash
# Every fuzz target for some seconds, then a table:   fuzz/run.sh SECONDS_EACH [TARGET...]
#
# What it finds new goes to build/fuzz/corpus, inputs that break something to build/fuzz/crashes.
# Exit: 0 all held, 1 something broke, 2 it could not run.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-}
if [[ ! $seconds =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: fuzz/run.sh SECONDS_EACH [TARGET...]" >&2
  exit 2
fi
shift
if [[ $# -eq 0 ]]; then
  for file in fuzz/*_fuzz.cc; do
    name=${file##*/}
    set -- "$@" "${name%_fuzz.cc}"
  done
fi
for name in "$@"; do
  if [[ ! -f fuzz/${name}_fuzz.cc ]]; then
    echo "fuzz/run.sh: there is no target '$name'; the targets are fuzz/*_fuzz.cc" >&2
    exit 2
  fi
done

build=build/fuzz
cmake --preset fuzz --log-level=WARNING > /dev/null || exit 2
cmake --build "$build" -j "${JOBS:-$(nproc)}" --target "${@/#/fuzz_}" || exit 2
mkdir -p "$build/logs" "$build/crashes"
export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1

# The number that libFuzzer printed last behind a word of its log, or a dash.
figure() { grep -aoE "$1 *[0-9]+" "$2" | tail -1 | grep -oE '[0-9]+$' || echo -; }

table=$(printf '%-16s %12s %10s %8s %8s  %s' target executions 'a second' edges 'new' result)
crashes=()
for name in "$@"; do
  log=$build/logs/$name.log
  found=$build/corpus/$name
  mkdir -p "$found"
  echo "fuzz: $name for $seconds s; log: $log"
  # A head may have 40 KiB, so inputs are longer than libFuzzer's own bound. The bounds on time and memory are for one
  # input: they catch what does not end.
  options=(-max_total_time="$seconds" -max_len=49152 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
    -artifact_prefix="$build/crashes/$name-")
  [[ -f fuzz/dictionaries/$name.txt ]] && options+=(-dict="fuzz/dictionaries/$name.txt")
  result=held
  "$build/fuzz/fuzz_$name" "${options[@]}" "$found" "fuzz/corpus/$name" > "$log" 2>&1 || result=BROKEN
  if [[ $result == BROKEN ]]; then
    input=$(grep -aoE "Test unit written to .*" "$log" | tail -1 | cut -d' ' -f5- || true)
    crashes+=("$name: $build/fuzz/fuzz_$name ${input:-  (it did not start: see $log)}")
  fi
  table+=$(printf '\n%-16s %12s %10s %8s %8s  %s' "$name" "$(figure stat::number_of_executed_units: "$log")" \
    "$(figure stat::average_exec_per_sec: "$log")" "$(figure cov: "$log")" "$(figure stat::new_units_added: "$log")" \
    "$result")
done

printf '\n%s\n' "$table"
[[ ${#crashes[@]} -eq 0 ]] && exit 0
printf '\nRepeat it with:\n'
printf '  %s\n' "${crashes[@]}"
echo "Make the input smaller with -minimize_crash=1 -max_total_time=60; what was said is at the end of $build/logs/TARGET.log."
echo "When it is mended, the input becomes a file of fuzz/corpus/TARGET with a telling name."
exit 1
