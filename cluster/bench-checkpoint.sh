#!/usr/bin/env bash
# How well real checkpoints compress: trains a detector for four epochs, keeps the checkpoint of each, and prints for
# each pair of successive ones the table of Tests/CheckpointBenchmark.
# Usage: cluster/bench-checkpoint.sh DATA.yaml [further options of 'greensweep train']
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
data=$(realpath "$1"); shift
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
swift build -c release --product greensweep >&2
swift build -c release --product checkpoint-benchmark >&2
binaries=$(swift build -c release --show-bin-path)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
run=$folder/run/checkpoint.safetensors
"$binaries/greensweep" train "$data" --model yolov5n --image-size 128 --epochs 4 "$@" --output "$folder/run" >&2 &
# A checkpoint is replaced by renaming, so that a second name keeps it.
epoch=0 known=
while kill -0 $! 2>/dev/null; do
  file=$(stat -c %i "$run" 2>/dev/null || true)
  if [ -n "$file" ] && [ "$file" != "$known" ] && ln "$run" "$folder/$((epoch + 1))" 2>/dev/null; then
    epoch=$((epoch + 1)) known=$file
  fi
  sleep 0.1
done
wait $!
for ((next = 2; next <= epoch; next++)); do
  echo "epoch $((next - 1)) to $next:"
  "$binaries/checkpoint-benchmark" "$folder/$((next - 1))" "$folder/$next"
done
