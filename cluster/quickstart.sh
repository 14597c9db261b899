#!/usr/bin/env bash
# From nothing to a Pareto front: sets up, builds, and runs a sweep with an embedded coordinator and two local worker
# processes: a small one on a generated data set, or, for a data set of your own, the one that 'greensweep init' writes.
# Usage: cluster/quickstart.sh [DATA.yaml [--budget TIME]]
# Run again, it reuses the build, the sweep file and every finished job. Everything it makes lies in quickstart/.
set -euo pipefail
[ $# -le 1 ] || [ "$#/$2" = 3/--budget ] || {
  echo "usage: cluster/quickstart.sh [DATA.yaml [--budget TIME]]" >&2; exit 2; }
dataset=${1:-}
if [ -n "$dataset" ]; then
  [ -f "$dataset" ] || { echo "cluster/quickstart.sh: no such file: $dataset" >&2; exit 2; }
  dataset=$(realpath "$dataset")
fi
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

say "building (the first time takes a few minutes)"
swift build -c release --product greensweep
greensweep=$(swift build -c release --show-bin-path)/greensweep

mkdir -p quickstart
if [ -n "$dataset" ]; then
  shift
  run=quickstart/run-$(printf '%s' "$dataset" | sha256sum | cut -c1-8)
  [ -f "$run.yaml" ] || "$greensweep" init "$dataset" -o "$run.yaml" "$@"
  exec "$greensweep" run "$run.yaml" --data "$run"
fi
dataset=$PWD/quickstart/sample/data.yaml
if [ ! -f "$dataset" ]; then
  rm -rf quickstart/sample  # What an interrupted start has left.
  "$greensweep" dataset sample quickstart/sample
fi
run=quickstart/run
sed "s|^dataset:.*|dataset: $dataset|" cluster/quickstart.yaml > "$run.yaml"
exec "$greensweep" run "$run.yaml" --data "$run" --workers 2 --threads 1
