#!/usr/bin/env bash
# The promises under real faults: a coordinator and four workers, as real processes in network namespaces of their own,
# run a small real sweep. The first time they are left alone. After that, processes are killed and frozen, links are
# slow, late, lossy and cut, disks fill up, and a byte of a stored model flips; table and models must be the same, byte
# for byte. Needs root, and is skipped without. Usage: cluster/testbed.sh [--times N] [--folder DIR]
# --times runs the disturbed sweep so often (default: 1); --folder is made anew (default: .build/testbed).
set -euo pipefail
usage() { sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
times=1 folder=
while [ $# -gt 0 ]; do
  case $#:$1 in
    1:*) usage ;;
    *:--times) times=$2; shift ;;
    *:--folder) folder=$(realpath -m "$2"); shift ;;
    *) usage ;;
  esac
  shift
done
skip() { echo "cluster/testbed.sh: skipped: $*" >&2; exit 0; }
[ "$(id -u)" = 0 ] || skip "network namespaces and small file systems need root"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
bed=${folder:-$PWD/.build/testbed}
workers=(1 2 3 4)
source cluster/boxes.sh
swift build -c release --product greensweep >&2
swift build -c release --product delay-relay >&2
binaries=$(swift build -c release --show-bin-path)
greensweep=$binaries/greensweep

# ------------------------------------------------------------------------------------------------ The sweep

run_sweep() {
  local run=$1 trial
  ask "$run" submit "$bed/sweep.yaml" --wait >>"$run/sweep.log" 2>&1 &
  wait $! || die "testbed: the sweep failed: see $run"
  touch "$run/finished"
  ask "$run" pareto testbed --format csv >"$run/results.csv"
  mkdir -p "$run/models"
  for trial in $(tail -n +2 "$run/results.csv" | cut -d, -f1); do
    ask "$run" pull "$trial" -o "$run/models/$trial.safetensors" >/dev/null
  done
}

run_fleet() {
  local run=$1 name
  mkdir -p "$run"
  start_coordinator "$run"
  for name in 1 2 3; do start_worker "$run" "$name"; done
  start_worker "$run" 4 ${2:+"$2"}
}

# ------------------------------------------------------------------------------------------------ Faults

# Every fault must hit the sweep under way.
fault() {
  if [ -e "$run/finished" ]; then die "testbed: the sweep was over before this: $*"; fi
  echo "$(printf '%4d s: %s' $((SECONDS - started)) "$*")" | tee -a "$run/faults.log" >&2
}
# until_busy BOX: something of the sweep runs there.
until_busy() { until stage "$run" "$1" >/dev/null; do still_under_way; sleep 0.1; done; }
still_under_way() { if [ -e "$run/finished" ]; then die "testbed: the sweep was over before the faults were"; fi; }
at() { while [ $((SECONDS - started)) -lt "$1" ]; do sleep 0.2; done; }

# Flips a byte in the middle of the newest model that the coordinator keeps.
rot() {
  local file size byte
  file=$(find "$run/disk-c/data/artifacts" -path '*/??/*' -type f -size +100k -printf '%T@ %p\n' | sort -n | tail -n 1)
  file=${file#* }
  size=$(stat -c %s "$file")
  byte=$(dd if="$file" bs=1 skip=$((size / 2)) count=1 status=none | od -An -tu1)
  printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$file" bs=1 seek=$((size / 2)) conv=notrunc status=none
}

wear_wires() {
  within 2 tc qdisc add dev eth0 root tbf rate 20mbit burst 64kbit latency 200ms
  within 4 iptables -A INPUT -i eth0 -m statistic --mode random --probability 0.05 -j DROP
  within 4 "$binaries/delay-relay" 7500 "$(address c)" 7433 50 2>/dev/null &
  disown
}
repair_wires() {
  within 2 tc qdisc del dev eth0 root
  within 4 iptables -F INPUT
}

disturb() {
  local run=$1 started=$SECONDS frozen name
  for name in "${workers[@]}"; do until_busy "$name"; done
  fault "(all along: w2's wire carries 20 Mbit/s; w4's loses 5 % of its packets and takes 50 ms each way)"
  fault "SIGKILL of the stage on w1"
  kill -KILL "$(stage "$run" 1)"
  at 4
  until_busy 2
  fault "SIGKILL of worker w2"
  kill -KILL "$(daemon "$run" 2)"
  at 7
  until_busy 1
  fault "w1 is cut off for 60 s"
  cut_off 1
  at 9
  until_busy 3
  fault "the whole box w3 freezes for 30 s"
  frozen=$(everything_in 3)
  kill -STOP $frozen
  at 14
  fault "SIGKILL of the coordinator"
  kill -KILL "$(daemon "$run" c)"
  at 21
  fault "the coordinator's disk is full for 8 s"
  fill_disk "$run/disk-c"
  at 29
  empty_disk "$run/disk-c"
  at 31
  fault "w2's disk is full for 8 s"
  fill_disk "$run/disk-2"
  at 39
  empty_disk "$run/disk-2"
  fault "w3 wakes"
  kill -CONT $frozen
  at 43
  until_busy 4
  fault "SIGKILL of the stage on w4"
  kill -KILL "$(stage "$run" 4)"
  at 46
  fault "a byte of the newest stored model is flipped"
  rot
  at 48
  fault "SIGKILL of the coordinator, again"
  kill -KILL "$(daemon "$run" c)"
  at 55
  until_busy 3
  fault "SIGKILL of the worker w3 and its stage"
  kill -KILL $(everything_in 3)
  at 67
  fault "w1 is back"
  mend 1
}

# ------------------------------------------------------------------------------------------------ Runs

rm -rf "$bed"
mkdir -p "$bed"
"$greensweep" dataset sample "$bed/data" --images 256 --val-images 32 --image-size 96 >/dev/null
cat >"$bed/sweep.yaml" <<'END_OF_SWEEP'
name: testbed
dataset: data/data.yaml
image_size: 96
batch_size: 16
nominal_batch_size: 16
grid:
  backbone: [yolov5n-w0.5, mobilenetv2-w0.25]
  optimizer: [SGD, Adam]
  prune_ratio: [0, 0.2]
stages:
  train: {epochs: 40}
  sparsify: {epochs: 20}
  finetune: {epochs: 20}
objectives: [maximize map50_95, minimize size_mb]
END_OF_SWEEP

lay_wires
say "a run that is left alone"
run_fleet "$bed/calm"
run_sweep "$bed/calm"
stop_fleet "$bed/calm"
cat "$bed/calm/results.csv"

for ((time = 1; time <= times; time++)); do
  run=$bed/disturbed-$time
  say "disturbed, $time of $times"
  mkdir -p "$run"
  wear_wires
  run_fleet "$run" "$(address 4):7500"
  disturb "$run" &
  disturber=$!
  run_sweep "$run"
  wait $disturber
  stop_fleet "$run"
  repair_wires
  cmp "$bed/calm/results.csv" "$run/results.csv" || die "testbed: the tables differ: see $bed"
  diff -r "$bed/calm/models" "$run/models" || die "testbed: the models differ: see $bed"
done
say "$times disturbed sweeps, $(cat "$bed"/disturbed-*/faults.log | wc -l) faults: the same table and the same \
$(ls "$bed/calm/models" | wc -l) models as undisturbed, byte for byte"
