#!/usr/bin/env bash
# Unit tests, cases and the simulator in simulated time, once a seed:
#
#   tools/simulate.sh BUILD_FOLDER SEEDS           random seeds, each told before it begins
#   tools/simulate.sh BUILD_FOLDER SEEDS SEED      this one alone: repeats what a failure told
set -euo pipefail
build=$1
seeds=$2
only=${3:-}
[ -z "$only" ] || seeds=1
for ((i = 1; i <= seeds; ++i)); do
  export SLUICEGATE_SEED=${only:-$((RANDOM * 32768 + RANDOM))}
  printf 'seed %s (%d of %d): ' "$SLUICEGATE_SEED" "$i" "$seeds"
  if ! output=$(ctest --test-dir "$build" -R '^(limit|table|shield|engine|policy|wire|cases)\.' -j "$(nproc)" 2>&1); then
    ctest --test-dir "$build" --rerun-failed --output-on-failure 2>&1 | tail -n 60 || true
    echo "failed: repeat it with make sim SEED=$SLUICEGATE_SEED"
    exit 1
  fi
  printf '%s\n' "$output" | grep -E 'tests passed'
  # Its episodes follow from the seed and their number alone. The threads come after them.
  "$build/tests/sim/sluicegate_sim" --episodes 60 --hammer 2000
done
