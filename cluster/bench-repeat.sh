#!/bin/bash
# Measures the latency of some models again and again over some minutes, corrected for the host's drift as the table of a
# sweep does, and says how far the figures of each model lie apart; then the same while another process computes for a
# third of the time (20 of 60 seconds). Ends with status 1 if a spread is above the limit.
#
# Usage: cluster/bench-repeat.sh [--minutes M] [--rounds N] [--image-size S] [--threads T] [--limit PERCENT]
#   [--patience S] [--busy yes|no|both] [MODEL…]
# Defaults: 20 minutes, 5 rounds, 320 pixels, 1 thread, 3 %, 60 s, both; yolov5n yolov5s mobilenetv2.
set -eu
cd "$(dirname "$0")/.."
minutes=20 rounds=5 size=320 threads=1 limit=3 patience=60 busy=both models=()
while [ $# -gt 0 ]; do
  case $1 in
    --minutes) minutes=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --image-size) size=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --limit) limit=$2; shift 2 ;;
    --patience) patience=$2; shift 2 ;;
    --busy) busy=$2; shift 2 ;;
    -*) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    *) models+=("$1"); shift ;;
  esac
done
[ ${#models[@]} -gt 0 ] || models=(yolov5n yolov5s mobilenetv2)
if [ -z "${GREENSWEEP:-}" ]; then
  swift build -c release --product greensweep >&2
  GREENSWEEP=$(swift build -c release --show-bin-path)/greensweep
fi
work=$(mktemp -d)
other=
trap 'touch "$work/end"; [ -z "$other" ] || kill "$other" 2>/dev/null; wait; rm -rf "$work"' EXIT

# Computes on one processor for 20 seconds of each minute.
disturb() {
  while [ ! -e "$work/end" ]; do
    timeout 20 "$GREENSWEEP" power load --processors 1 --seconds 20 >/dev/null 2>&1 || true
    sleep 40
  done
}

field() { sed -n "s/.*\"$1\":\([0-9.e+-]*\).*/\1/p"; }

# One line for each measurement: model, milliseconds, reference's milliseconds, processors of others, rounds dropped.
measure() {
  local pause=$((minutes * 60 / rounds)) round model start line
  for round in $(seq "$rounds"); do
    start=$(date +%s)
    for model in "${models[@]}"; do
      line=$("$GREENSWEEP" bench infer --model "$model" --image-size "$size" --threads "$threads" \
        --patience "$patience" --json)
      echo "$model $(echo "$line" | field median_ms) $(echo "$line" | field reference_ms)" \
        "$(echo "$line" | field others_processors) $(echo "$line" | field dropped_rounds)"
    done
    [ "$round" = "$rounds" ] || sleep $((pause - ($(date +%s) - start) > 0 ? pause - ($(date +%s) - start) : 0))
  done
}

# The table; latencies are scaled to the median reference of all measurements.
report() {
  sort -k3,3g "$1" | awk '{ reference[NR] = $3 } END { print reference[int((NR + 1) / 2)] }' > "$work/usual"
  awk -v usual="$(cat "$work/usual")" -v limit="$limit" '
    { corrected = $2 * usual / $3; model = $1
      if (!(model in least) || corrected < least[model]) least[model] = corrected
      if (corrected > most[model]) most[model] = corrected
      if (!(model in low) || $2 < low[model]) low[model] = $2
      if ($2 > high[model]) high[model] = $2
      sum[model] += corrected; count[model]++; dropped[model] += $5; if ($4 > 0.2) busy[model]++
      figures[model] = figures[model] sprintf(" %.3f", corrected) }
    END {
      printf "%-20s %9s %9s %14s %8s %6s  %s\n", "model", "mean, ms", "spread, %", "uncorrected, %", "dropped", "busy", "ms"
      for (model in sum) {
        mean = sum[model] / count[model]; spread = 100 * (most[model] - least[model]) / mean
        printf "%-20s %9.3f %9.2f %14.2f %8d %6d %s\n", model, mean, spread, 100 * (high[model] - low[model]) / low[model], \
          dropped[model], busy[model], figures[model]
        if (spread > limit) bad = 1
      }
      exit bad }' "$1"
}

status=0
if [ "$busy" != yes ]; then
  measure > "$work/quiet"
  echo "host left alone, $rounds rounds in $minutes minutes"
  report "$work/quiet" || status=1
fi
if [ "$busy" != no ]; then
  disturb & other=$!
  measure > "$work/busy"
  echo "another process computes for a third of the time"
  report "$work/busy" || status=1
fi
exit $status
