#!/usr/bin/env bash
# Measures how fast the fleet gets over the loss of a part, with real processes in network namespaces of their own and
# the default lease, and checks what is promised: a killed worker's job runs elsewhere within 0.2 s; a frozen or
# cut-off worker's within one and a half leases, and its late result is refused; without a coordinator running jobs
# finish, and after its restart the others start and nothing is lost. Takes two minutes.
# Needs root, and is skipped without. Usage: cluster/recovery.sh [--folder DIR]   (made anew; default: .build/recovery)
set -euo pipefail
folder=
case $#:${1-} in
  0:) ;;
  2:--folder) folder=$(realpath -m "$2") ;;
  *) sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
skip() { echo "cluster/recovery.sh: skipped: $*" >&2; exit 0; }
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
bed=${folder:-$PWD/.build/recovery}
workers=(1 2)
source cluster/boxes.sh
swift build -c release --product greensweep >&2
greensweep=$(swift build -c release --show-bin-path)/greensweep
run=$bed/run
killed_limit=200 lease=20000 # Milliseconds.

# ------------------------------------------------------------------------------------------------ Sweeps

# submit NAME EPOCHS SEEDS: one training for each seed.
submit() {
  cat >"$bed/$1.yaml" <<END_OF_SWEEP
name: $1
dataset: data/data.yaml
image_size: 64
batch_size: 8
grid: {backbone: yolov5n-w0.25, seed: $3, sparsity_rate: 0, prune_ratio: 0}
stages: {train: {epochs: $2}}
objectives: [maximize map50_95, minimize size_mb]
END_OF_SWEEP
  ask "$run" submit "$bed/$1.yaml" >/dev/null 2>&1
}

finished() { ask "$run" status "$1" --watch >/dev/null 2>&1; }

# How the attempts at a job ended, oldest first.
outcomes() { ask "$run" logs "$1" 2>/dev/null | sed -n 's/^attempt .* on [^:]*: //p' | paste -sd,; }

# ------------------------------------------------------------------------------------------------ Clock

milliseconds() { local now=${EPOCHREALTIME/[.,]/}; echo $((now / 1000)); }

# Starts no process while it waits: the loop must not take the time that it measures.
until_stage_in() {
  local pid file child
  pid=$(daemon "$run" "$1")
  while true; do
    for file in "/proc/$pid/task/"*/children; do
      child=
      read -r child <"$file" || true
      [ -z "$child" ] || return 0
    done
  done 2>/dev/null
}

failures=0
# judge WHAT MILLISECONDS LIMIT
judge() {
  local verdict=ok
  [ "$2" -le "$3" ] || { verdict="TOO LATE"; failures=$((failures + 1)); }
  printf '%-64s %6d ms  (at most %5d)  %s\n' "$1" "$2" "$3" "$verdict"
}
# check WHAT CONDITION…
check() {
  local what=$1 verdict=ok
  shift
  "$@" || { verdict=BROKEN; failures=$((failures + 1)); }
  printf '%-90s %s\n' "$what" "$verdict"
}

# ------------------------------------------------------------------------------------------------ Losses

rm -rf "$bed"
mkdir -p "$run"
"$greensweep" dataset sample "$bed/data" --images 32 --val-images 4 --image-size 64 >/dev/null
lay_wires
start_coordinator "$run"
for name in "${workers[@]}"; do start_worker "$run" "$name"; done
until [ "$(ask "$run" workers 2>/dev/null | grep -c 'w[12]')" = 2 ]; do sleep 0.2; done
submit warm-up 1 "[1, 2]"
finished warm-up

# Sets `holder` to the worker with a stage, and `other` to the one without.
find_holder() {
  until stage "$run" 1 >/dev/null || stage "$run" 2 >/dev/null; do sleep 0.05; done
  holder=1 other=2
  if stage "$run" 2 >/dev/null; then holder=2 other=1; fi
}

submit endless 1000000 3
for round in 1 2 3; do
  find_holder
  sleep 4 # Until a checkpoint is stored, and the former holder is back.
  began=$(milliseconds)
  kill -KILL "$(daemon "$run" "$holder")"
  until_stage_in "$other"
  judge "worker killed: its job runs elsewhere after" $(($(milliseconds) - began)) $killed_limit
done

find_holder
sleep 3
stopped=$(everything_in "$holder")
began=$(milliseconds)
kill -STOP $stopped
until_stage_in "$other"
judge "worker and stage frozen: its job runs elsewhere after" $(($(milliseconds) - began)) $((lease * 3 / 2))
kill -CONT $stopped
sleep 4
check "awake again, it has let go of the job" test -z "$(stage "$run" "$holder" || true)"

find_holder
sleep 3
began=$(milliseconds)
cut_off "$holder"
until_stage_in "$other"
judge "worker cut off: its job runs elsewhere after" $(($(milliseconds) - began)) $((lease * 3 / 2))
mend "$holder"
began=$(milliseconds)
while stage "$run" "$holder" >/dev/null; do sleep 0.05; done
judge "reached again, it lets go of the job after" $(($(milliseconds) - began)) $lease
ask "$run" cancel endless >/dev/null

while stage "$run" 1 >/dev/null || stage "$run" 2 >/dev/null; do sleep 0.1; done
submit late 60 4
find_holder
frozen=$(daemon "$run" "$holder")
kill -STOP "$frozen"
job=$(sed -n 's/^attempt .* of job //p' "$run/$holder.log" | tail -n 1)
while [ -n "$(tr -d '\0' <"/proc/$(stage "$run" "$holder")/cmdline" 2>/dev/null)" ]; do sleep 0.1; done
finished late
kill -CONT "$frozen"
sleep 8
check "a result that its worker brings after the lease is refused" \
  test "$(outcomes "$job")" = "lost with its worker,succeeded"
check "... and its worker works on" test "$(ask "$run" workers | grep -c 'w[12]')" = 2

submit orphans 40 "[5, 6, 7, 8]"
until stage "$run" 1 >/dev/null && stage "$run" 2 >/dev/null; do sleep 0.1; done
running="$(stage "$run" 1) $(stage "$run" 2)"
touch "$run/hold-c"
kill -KILL "$(daemon "$run" c)"
for pid in $running; do while [ -e "/proc/$pid" ]; do sleep 0.1; done; done
rm "$run/hold-c"
began=$(milliseconds)
until_stage_in 1
judge "coordinator back: the next job starts after" $(($(milliseconds) - began)) $lease
finished orphans
check "jobs that ran without a coordinator counted: none was given out twice" \
  test "$(ask "$run" status orphans --json | grep -o '"attempts" *: *[0-9]*' | tr -d ' ' | sort -u)" = '"attempts":1'
check "every trial of the sweep is done" test "$(ask "$run" pareto orphans --format csv | grep -c ',done')" = 4
stop_fleet "$run"
[ $failures = 0 ] || die "recovery: $failures promises do not hold: see $run"
