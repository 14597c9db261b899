#!/usr/bin/env bash
# GFLOPs and latency of each family, pruned more and more, on one and two threads. The channels are drawn at random, and
# layers keep as many as by default. The ratios take turns, because a shared machine is slower for minutes on end: what
# is printed of the latencies are medians over the rounds, of each as it is, as a share of the whole network's in the
# same round, and as a share of that at the ratio before.
# Usage: cluster/bench-pruned.sh [--image-size S] [--rounds N] [--iterations N] [--round-to N] [--work FOLDER]
#        [FAMILY …] (default: 320 pixels, 9 rounds of 20 passes, all families)
set -euo pipefail
families=() size=320 rounds=9 iterations=20 round_to=1 work=
while [ $# -gt 0 ]; do
  case $1 in
    --image-size) size=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --iterations) iterations=$2; shift 2 ;;
    --round-to) round_to=$2; shift 2 ;;
    --work) work=$(realpath -m "$2"); shift 2 ;;
    -*) sed -n '2,7s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
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
ratios=(0 0.1 0.3 0.5 0.7 0.8)

field() { grep -o "\"$1\":[-0-9.e]*" | head -n 1 | cut -d: -f2; }

model() { echo "$work/$1-$2-$round_to.safetensors"; }

prepare() {
  local ratio
  [ -s "$(model "$1" 0)" ] || "$greensweep" import "$1" --nc 14 -o "$(model "$1" 0)" >/dev/null
  for ratio in "${ratios[@]:1}"; do
    [ -s "$(model "$1" "$ratio")" ] \
      || "$greensweep" prune "$(model "$1" 0)" --ratio "$ratio" --policy grouped --importance random --min-channels 4 \
        --min-share 0.1 --round-to "$round_to" -o "$(model "$1" "$ratio")" >/dev/null
  done
}

for family in "${families[@]}"; do prepare "$family"; done
[ "$rounds" -gt 0 ] || exit 0
printf '%-18s %5s %8s %6s | %11s %6s %6s | %12s %6s %6s\n' \
  family ratio GFLOPs share "1 thread ms" share step "2 threads ms" share step
rises=0
for family in "${families[@]}"; do
  for round in $(seq "$rounds"); do
    for threads in 1 2; do
      for ratio in "${ratios[@]}"; do
        echo "$round $threads $ratio $("$greensweep" bench infer --model "$(model "$family" "$ratio")" \
          --image-size "$size" --iterations "$iterations" --threads "$threads" --json | field median_ms)"
      done
    done
  done > "$work/times"
  before=
  for ratio in "${ratios[@]}"; do
    gflops=$("$greensweep" model info "$(model "$family" "$ratio")" --image-size "$size" --json | field gflops)
    [ "$ratio" != 0 ] || whole=$gflops
    awk -v family="$family" -v ratio="$ratio" -v before="$before" -v gflops="$gflops" -v whole="$whole" '
      function median(of, threads, against,   n, i, j, list, value, r) {
        for (r = 1; (r, threads, of) in ms; r++) {
          value = ms[r, threads, of] / (against == "" ? 1 : ms[r, threads, against])
          for (i = ++n; i > 1 && list[i - 1] > value; i--) list[i] = list[i - 1]
          list[i] = value
        }
        return list[int((n + 1) / 2)]
      }
      { ms[$1, $2, $3] = $4 }
      END {
        printf "%-18s %5s %8.3f %6.2f", family, ratio, gflops, gflops / whole
        for (threads = 1; threads <= 2; threads++) {
          step = before == "" ? 0 : median(ratio, threads, before)
          if (step >= 1) risen = 1
          printf " | %*.2f %6.3f %6s", 10 + threads, median(ratio, threads, ""), median(ratio, threads, "0"), \
            before == "" ? "" : sprintf("%.3f", step)
        }
        print risen ? "  rises" : ""
        exit risen
      }' "$work/times" || rises=$((rises + 1))
    before=$ratio
  done
done
echo "bench-pruned: $rises steps at which a latency rises"
