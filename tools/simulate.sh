#!/usr/bin/env bash
# Unit tests and cases in simulated time, once a seed:   tools/simulate.sh BUILD_FOLDER SEEDS
# A failure prints its seed; SLUICEGATE_SEED=that repeats it.
set -euo pipefail
build=$1
seeds=$2
for ((i = 1; i <= seeds; ++i)); do
  export SLUICEGATE_SEED=$((RANDOM * 32768 + RANDOM))
  printf 'seed %s (%d of %d): ' "$SLUICEGATE_SEED" "$i" "$seeds"
  if ! output=$(ctest --test-dir "$build" -R '^(limit|table|shield|engine|policy|wire|cases)\.' -j "$(nproc)" --output-on-failure 2>&1); then
    printf '%s\n' "$output" | tail -n 60
    echo "failed: repeat it with SLUICEGATE_SEED=$SLUICEGATE_SEED"
    exit 1
  fi
  printf '%s\n' "$output" | grep -E 'tests passed'
done
