#!/usr/bin/env bash
# Every run of docs/results.md. Hours on a laptop; stopped at any time, it goes on with the item where it was.
#
#   benchmarks/baselines.sh [FOLDER]     where the runs are kept; plait-eval if not given
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-plait-eval}
plait=${PLAIT:-.venv/bin/plait}
model=qwen2.5-coder-1.5b

for planner in compiler native react; do
  for category in parallel parallel_multiple irrelevance multiple simple_python live_multiple; do
    "$plait" eval bfcl --planner "$planner" --category "$category" --limit 100 --sample 1 --model $model --out "$out/bfcl"
  done
  "$plait" eval plans benchmarks/assistant_dev.jsonl --planner "$planner" --model $model --out "$out/plans"
  "$plait" eval nestful --part executable --planner "$planner" --model $model --out "$out/nestful"
done

# Whole runs against calls of half a second: items of three and more parallel calls, on an idle machine.
for options in "--planner compiler --joiner results" "--planner compiler,react,native"; do
  "$plait" eval bfcl $options --category parallel --ids @benchmarks/executed_ids.txt \
    --model $model --execute --tool-latency 0.5 --out "$out/executed"
done

for benchmark in bfcl plans nestful executed; do
  "$plait" eval show "$out/$benchmark" --html "$out/$benchmark.html"
done
