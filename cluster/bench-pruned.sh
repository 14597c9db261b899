#!/usr/bin/env bash
# GFLOPs and latency of each family, pruned more and more (grouped policy, random channels), on one and two threads.
# The ratios take turns, so that whatever else the machine does hits all alike; medians of medians are printed.
# Usage: cluster/bench-pruned.sh [--image-size S] [--rounds N] [--work FOLDER] [FAMILY …]   (default: 320, 5, all)
set -euo pipefail
families=() size=320 rounds=5 work=
while [ $# -gt 0 ]; do
  case $1 in
    --image-size) size=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --work) work=$(realpath -m "$2"); shift 2 ;;
    -*) sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    *) families+=("$1"); shift ;;
  esac
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
[ ${#families[@]} -gt 0 ] || families=(yolov5n yolov5s yolov5m yolov5l yolov5x mobilenetv1 mobilenetv2
  mobilenetv3-small mobilenetv3-large shufflenetv1 shufflenetv2 ghostnet)
greensweep=${GREENSWEEP:-}
if [ -z "$greensweep" ]; then
  swift build -c release --product greensweep >&2
  greensweep=$(swift build -c release --show-bin-path)/greensweep
fi
if [ -z "$work" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work"
ratios=(0 0.1 0.3 0.5 0.7)

field() { grep -o "\"$1\":[-0-9.e]*" | head -n 1 | cut -d: -f2; }
median() { sort -g | awk '{ values[NR] = $1 } END { print values[int((NR + 1) / 2)] }'; }

model() { echo "$work/$1-$2.safetensors"; }

prepare() {
  local ratio
  [ -s "$(model "$1" 0)" ] || "$greensweep" import "$1" --nc 14 -o "$(model "$1" 0)" >/dev/null
  for ratio in "${ratios[@]:1}"; do
    [ -s "$(model "$1" "$ratio")" ] \
      || "$greensweep" prune "$(model "$1" 0)" --ratio "$ratio" --policy grouped --importance random --min-channels 2 \
        -o "$(model "$1" "$ratio")" >/dev/null
  done
}

for family in "${families[@]}"; do prepare "$family"; done
[ "$rounds" -gt 0 ] || exit 0
printf '%-18s %5s %8s %6s %12s %6s %12s %6s\n' family ratio GFLOPs share "1 thread ms" share "2 threads ms" share
rises=0
for family in "${families[@]}"; do
  rm -f "$work"/times-*
  for round in $(seq "$rounds"); do
    for threads in 1 2; do
      for ratio in "${ratios[@]}"; do
        "$greensweep" bench infer --model "$(model "$family" "$ratio")" --image-size "$size" --iterations 10 \
          --threads "$threads" --json | field median_ms >> "$work/times-$ratio-$threads"
      done
    done
  done
  for ratio in "${ratios[@]}"; do
    gflops=$("$greensweep" model info "$(model "$family" "$ratio")" --image-size "$size" --json | field gflops)
    one=$(median < "$work/times-$ratio-1") two=$(median < "$work/times-$ratio-2")
    if [ "$ratio" = 0 ]; then whole=($gflops "$one" "$two"); before=("$one" "$two"); fi
    awk -v f="$family" -v r="$ratio" -v g="$gflops" -v a="$one" -v b="$two" -v g0="${whole[0]}" -v a0="${whole[1]}" \
      -v b0="${whole[2]}" -v a1="${before[0]}" -v b1="${before[1]}" 'BEGIN {
        printf "%-18s %5s %8.3f %6.2f %12.2f %6.2f %12.2f %6.2f%s\n", f, r, g, g / g0, a, a / a0, b, b / b0, \
          (a > a1 || b > b1) ? "  rises" : ""
        exit (a > a1 || b > b1) }' || rises=$((rises + 1))
    before=("$one" "$two")
  done
done
echo "bench-pruned: $rises steps at which a latency rises"
