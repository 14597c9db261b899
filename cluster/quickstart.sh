#!/usr/bin/env bash
# From nothing to a Pareto front: sets up, builds, and runs a small sweep with an embedded coordinator and two local
# worker processes. Usage: cluster/quickstart.sh [DATA.yaml]   (without one, a sample data set is generated)
# Run again, it reuses the build and every finished job. Everything it makes lies in quickstart/.
set -euo pipefail
[ $# -le 1 ] || { echo "usage: cluster/quickstart.sh [DATA.yaml]" >&2; exit 2; }
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
if [ -z "$dataset" ]; then
  dataset=$PWD/quickstart/sample/data.yaml
  if [ ! -f "$dataset" ]; then
    rm -rf quickstart/sample  # What an interrupted start has left.
    "$greensweep" dataset sample quickstart/sample
  fi
  run=quickstart/run
else
  run=quickstart/run-$(printf '%s' "$dataset" | sha256sum | cut -c1-8)
fi
sed "s|^dataset:.*|dataset: $dataset|" cluster/quickstart.yaml > "$run.yaml"
exec "$greensweep" run "$run.yaml" --data "$run" --workers 2 --threads 1
