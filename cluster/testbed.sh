#!/usr/bin/env bash
# The promises under real faults: a coordinator and four workers as real processes in network namespaces of their own, on a
# bridge, run a small real sweep twice. The first run is left alone. During the second, processes are killed and frozen,
# links are slow, lossy, late and cut, disks fill up, and a stored file rots. Table and models must come out the same,
# byte for byte. Needs root (namespaces, small file systems); without it, it says so and is skipped.
# Usage: cluster/testbed.sh [FOLDER]   (default: testbed; removed and made anew)
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "cluster/testbed.sh: skipped: network namespaces need root" >&2; exit 0; }
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
for tool in ip tc iptables mount; do
  command -v $tool >/dev/null || die "testbed: '$tool' is missing: apt-get install iproute2 iptables mount"
done

swift build -c release --product greensweep >&2
swift build -c release --product delay-relay >&2
binaries=$(swift build -c release --show-bin-path)
greensweep=$binaries/greensweep
bed=$(realpath -m "${1:-testbed}")
prefix=gs$$
workers=(1 2 3 4)
export OMP_WAIT_POLICY=passive

# ------------------------------------------------------------------------------------------------ Boxes and wires

box() { echo "$prefix-$1"; }
within() { local name=$1; shift; ip netns exec "$(box "$name")" "$@"; }
address() { case $1 in c) echo 10.77.0.1 ;; *) echo "10.77.0.1$1" ;; esac; }

lay_wires() {
  ip netns add "$(box hub)"
  within hub ip link add hub type bridge
  within hub ip link set hub up
  local name
  for name in c "${workers[@]}"; do
    ip netns add "$(box "$name")"
    within hub ip link add "to-$name" type veth peer name eth0 netns "$(box "$name")"
    within hub ip link set "to-$name" master hub up
    within "$name" ip link set lo up
    within "$name" ip link set eth0 up
    within "$name" ip address add "$(address "$name")/24" dev eth0
  done
}

tidy_up() {
  trap - EXIT
  local name
  for name in c "${workers[@]}" hub; do
    ip netns pids "$(box "$name")" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
  done
  sleep 0.3
  for name in c "${workers[@]}" hub; do ip netns del "$(box "$name")" 2>/dev/null || true; done
  local disk
  for disk in "$bed"/*/disk-*; do mountpoint -q "$disk" && umount -l "$disk"; done
  return 0
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

# ------------------------------------------------------------------------------------------------------- Processes

# Daemons are started again two seconds after they end, as an init system would.
keep_running() {
  local run=$1 name=$2
  shift 2
  while true; do
    within "$name" "$@" >>"$run/$name.log" 2>&1 </dev/null || true
    [ ! -e "$run/done" ] || return 0
    sleep 2
  done
}

start_fleet() {
  local run=$1 name join
  mkdir -p "$run"
  for name in c "${workers[@]}"; do
    mkdir -p "$run/disk-$name"
    mount -t tmpfs -o size=512m tmpfs "$run/disk-$name"
  done
  keep_running "$run" c "$greensweep" coordinator --data "$run/disk-c/data" --listen 10.77.0.1:7433 &
  while [ ! -s "$run/disk-c/data/worker.token" ]; do sleep 0.1; done
  for name in "${workers[@]}"; do
    join=10.77.0.1:7433
    [ "$run" != "$bed/disturbed" ] || [ "$name" != 4 ] || join=10.77.0.14:7500
    keep_running "$run" "$name" "$greensweep" worker --join $join --token-file "$run/disk-c/data/worker.token" \
      --name "w$name" --threads 1 --cache "$run/disk-$name/cache" &
  done
}

ask() {
  local run=$1
  shift
  within c "$greensweep" "$@" --coordinator 10.77.0.1:7433 --token-file "$run/disk-c/data/operator.token"
}

run_sweep() {
  local run=$1
  ask "$run" submit "$bed/sweep.yaml" --wait >"$run/sweep.log" 2>&1
  ask "$run" pareto testbed --format csv >"$run/results.csv"
  mkdir -p "$run/models"
  local trial
  for trial in $(tail -n +2 "$run/results.csv" | cut -d, -f1); do
    ask "$run" pull "$trial" -o "$run/models/$trial.safetensors" >/dev/null
  done
  touch "$run/done"
}

stop_fleet() {
  local name
  touch "$1/done"
  for name in c "${workers[@]}"; do ip netns pids "$(box "$name")" | xargs -r kill -KILL 2>/dev/null || true; done
  wait
}

# ---------------------------------------------------------------------------------------------------------- Faults

daemon() { ip netns pids "$(box "$1")" | while read -r pid; do is_command "$pid" "$2" && echo "$pid"; done | head -n 1; }
is_command() { tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -q "^[^ ]* $2 "; }
family() { ip netns pids "$(box "$1")"; }
fault() { say "$(printf '%4d s: %s' $((SECONDS - started)) "$*")"; }

# Waits until something of the sweep runs on a worker.
busy() {
  until [ -n "$(daemon "$1" stage)" ]; do [ ! -e "$bed/disturbed/done" ] || return 1; sleep 0.2; done
}

disturb() {
  local run=$bed/disturbed pid
  started=$SECONDS
  fault "w1's wire carries 20 Mbit/s; w4's loses 5 % of its packets and takes 50 ms each way"
  within 1 tc qdisc add dev eth0 root tbf rate 20mbit burst 64kbit latency 200ms
  within 4 iptables -A INPUT -i eth0 -m statistic --mode random --probability 0.05 -j DROP
  within 4 "$binaries/delay-relay" 7500 10.77.0.1 7433 50 &

  busy 1 && pid=$(daemon 1 stage) && { fault "SIGKILL of the stage on w1"; kill -KILL "$pid" || true; }
  sleep 4
  busy 2 && { fault "SIGKILL of worker w2"; kill -KILL "$(daemon 2 worker)" || true; }
  sleep 4
  fault "SIGKILL of the coordinator"
  kill -KILL "$(daemon c coordinator)" || true
  sleep 6
  if busy 3; then
    fault "w3 freezes for 30 s, longer than its lease"
    pid=$(family 3)
    kill -STOP $pid 2>/dev/null || true
    (sleep 30; kill -CONT $pid 2>/dev/null || true) &
  fi
  sleep 3
  fault "w1 is cut off for 60 s"
  within hub ip link set to-1 down
  (sleep 60; within hub ip link set to-1 up) &
  sleep 8
  fault "the coordinator's disk fills up for 10 s"
  dd if=/dev/zero of="$run/disk-c/filler" bs=1M 2>/dev/null || true
  sleep 10
  rm -f "$run/disk-c/filler"
  sleep 3
  fault "w2's disk fills up for 10 s"
  dd if=/dev/zero of="$run/disk-2/filler" bs=1M 2>/dev/null || true
  sleep 10
  rm -f "$run/disk-2/filler"
  rot "$run"
  fault "SIGKILL of the coordinator, again"
  kill -KILL "$(daemon c coordinator)" || true
}

# ------------------------------------------------------------------------------------------------------------ Runs

tidy_up
rm -rf "$bed"
mkdir -p "$bed"
trap tidy_up EXIT
"$greensweep" dataset sample "$bed/data" --images 96 --val-images 24 --image-size 96 >/dev/null
cat >"$bed/sweep.yaml" <<'END'
name: testbed
dataset: data/data.yaml
image_size: 96
batch_size: 8
nominal_batch_size: 8
grid:
  backbone: [yolov5n, mobilenetv2]
  sparsity_rate: [0.001, 0.002]
  prune_ratio: [0, 0.2]
stages:
  train: {epochs: 30}
  sparsify: {epochs: 12}
  finetune: {epochs: 12}
objectives: [maximize map50_95, minimize size_mb]
END

say "a run that is left alone"
lay_wires
start_fleet "$bed/calm"
run_sweep "$bed/calm"
stop_fleet "$bed/calm"

say "the same, disturbed"
start_fleet "$bed/disturbed"
disturb &
run_sweep "$bed/disturbed"
stop_fleet "$bed/disturbed"

cmp "$bed/calm/results.csv" "$bed/disturbed/results.csv" || die "testbed: the tables differ: see $bed"
diff -r "$bed/calm/models" "$bed/disturbed/models" || die "testbed: the models differ: see $bed"
cat "$bed/disturbed/results.csv"
say "the same table and the same $(ls "$bed/calm/models" | wc -l) models, byte for byte"
