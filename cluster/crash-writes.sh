#!/usr/bin/env bash
# Kills a real coordinator at its N-th write to the journal or sync of it, for every N that a small real sweep reaches,
# and the one started after it at one of its own first writes. Started a third time on the same folder it must finish,
# with the table and the models of a run that was left alone. Prints how many writes were tried.
# Usage: cluster/crash-writes.sh [--first N] [--step N] [--last N] [--lanes N] [--folder DIR]
# --lanes runs so many at once (default: one a processor); --folder keeps what the last ones left (default: a temporary one, which a failure
# leaves behind as well).
set -euo pipefail
usage() { sed -n '2,7s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
first=1 step=1 last=100000 lanes=$(nproc) folder=
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --first) first=$2 ;;
    --step) step=$2 ;;
    --last) last=$2 ;;
    --lanes) lanes=$2 ;;
    --folder) folder=$(realpath -m "$2") ;;
    *) usage ;;
  esac
  shift 2
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
swift build -c release --product greensweep >&2
swift build -c release --product kill-at-write >&2
binaries=$(swift build -c release --show-bin-path)
greensweep=$binaries/greensweep
kept=$folder
folder=${folder:-$(mktemp -d)}
tidy_up() {
  local status=$?
  kill $(jobs -p) 2>/dev/null || true
  wait
  [ -n "$kept" ] || [ "$status" != 0 ] || rm -rf "$folder"
}
trap tidy_up EXIT
trap 'exit 143' INT TERM
rm -rf "$folder"/{run-*,calm,data,end}
mkdir -p "$folder"
export OMP_WAIT_POLICY=passive
patience=180 # Seconds; a run takes about four.

"$greensweep" dataset sample "$folder/data" --images 8 --val-images 4 --image-size 64 >/dev/null
cat >"$folder/sweep.yaml" <<'END_OF_SWEEP'
name: crashes
dataset: data/data.yaml
image_size: 64
batch_size: 4
grid: {backbone: [yolov5n-w0.5], prune_ratio: [0, 0.2]}
stages: {train: {epochs: 2}, sparsify: {epochs: 2}, finetune: {epochs: 1}}
objectives: [maximize map50_95, minimize size_mb]
END_OF_SWEEP

# keep_running RUN N…: the coordinator, started again whenever it ends, as an init system would. The first is killed at
# its N-th write, the second at its next N-th, and so on; without a number, or with 0, at none.
keep_running() {
  local run=$1 address=127.0.0.1:0 listening status
  shift
  trap 'kill $! 2>/dev/null; wait; exit' TERM
  while true; do
    "$binaries/kill-at-write" "${1:-0}" "$run/data/journal.sqlite" \
      "$greensweep" coordinator --data "$run/data" --listen "$address" >>"$run/coordinator.log" 2>&1 </dev/null &
    status=0
    wait $! || status=$?
    if [ $status = 137 ]; then echo "$1" >>"$run/kills"; fi
    [ $# = 0 ] || shift
    # Once somebody may have heard of the port, it stays.
    listening=$(sed -n 's/^greensweep coordinator: listening on //p' "$run/coordinator.log" | tail -n 1)
    address=${listening:-$address}
  done
}

# ask RUN COMMAND…: until the coordinator answers.
ask() {
  local run=$1 deadline=$((SECONDS + patience)) address
  shift
  until address=$(sed -n 's/^greensweep coordinator: listening on //p' "$run/coordinator.log" | tail -n 1) &&
    "$greensweep" "$@" --coordinator "$address" --token-file "$run/data/operator.token" 2>>"$run/operator.log"; do
    [ $? -lt 128 ] || die "'$*' crashed: see $run/operator.log"
    [ $SECONDS -lt $deadline ] || die "no end of '$*' in sight: see $run"
    sleep 0.1
  done
}

# run RUN N…: the whole sweep, its coordinators killed at these writes. Leaves what came out in RUN/results.txt; without
# a kill before that, the end of all writes is reached, and RUN's number is left in FOLDER/end.
run() (
  set -euo pipefail
  run=$1
  shift
  mkdir -p "$run"
  touch "$run/coordinator.log"
  trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
  trap 'exit 143' TERM INT
  keep_running "$run" "$@" &
  ask "$run" workers >/dev/null
  "$greensweep" worker --join "$(sed -n 's/^greensweep coordinator: listening on //p' "$run/coordinator.log" | tail -n 1)" \
    --token-file "$run/data/worker.token" --cache "$run/cache" --threads 1 >"$run/worker.log" 2>&1 </dev/null &
  # Submitted anew, a sweep would get new chances: only until it is acknowledged.
  ask "$run" submit "$folder/sweep.yaml" >/dev/null
  ask "$run" status crashes --watch >/dev/null
  ask "$run" pareto crashes --format csv >"$run/results.txt"
  for trial in $(tail -n +2 "$run/results.txt" | cut -d, -f1); do
    ask "$run" pull "$trial" -o "$run/model" >/dev/null
    sha256sum <"$run/model" >>"$run/results.txt"
  done
  [ $# = 0 ] || [ -s "$run/kills" ] || echo "$1" >>"$folder/end"
)

say "a run that is left alone"
run "$folder/calm"
cat "$folder/calm/results.txt"
say "the same, killed at each write"
kills=0
numbers=() processes=()
# Waits for the oldest run under way and compares.
collect() {
  local n=${numbers[0]} run=$folder/run-${numbers[0]}
  wait "${processes[0]}" || die "killed at write $n, it did not finish: see $run"
  cmp "$folder/calm/results.txt" "$run/results.txt" || die "killed at write $n, it came to other results: see $run"
  numbers=("${numbers[@]:1}") processes=("${processes[@]:1}")
  [ -s "$run/kills" ] || return 0
  kills=$((kills + $(wc -l <"$run/kills")))
  reached=$n
  rm -rf "$run"
}
for ((n = first; n <= last; n += step)); do
  [ ! -e "$folder/end" ] || break
  run "$folder/run-$n" "$n" $((n % 11 + 1)) &
  numbers+=("$n") processes+=($!)
  [ ${#numbers[@]} -lt "$lanes" ] || collect
done
while [ ${#numbers[@]} -gt 0 ]; do collect; done
say "writes $first to ${reached:-none}, every ${step}: $kills kills in all, the same table and models after each"
