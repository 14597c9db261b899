# Sourced by testbed.sh and recovery.sh: a coordinator and workers as real processes in boxes of their own, which are
# network namespaces with real addresses on one bridge and small file systems of their own. Needs root.
# Expects `bed`, the folder where everything is, and `workers`, their names.

for need in "ip iproute2" "tc iproute2" "iptables iptables" "mount mount" "taskset util-linux"; do
  command -v "${need% *}" >/dev/null || skip "'${need% *}' is missing: apt-get install ${need#* }"
done
box_prefix=gs$$
# Sweeps take as long on a large machine as on a small one.
processors=0-$(($(nproc) > 1 ? 1 : 0))
export OMP_WAIT_POLICY=passive

# ------------------------------------------------------------------------------------------------ Boxes and wires

box() { echo "$box_prefix-$1"; }
within() { local name=$1; shift; ip netns exec "$(box "$name")" "$@"; }
# The coordinator is `c` and 10.77.0.1; worker N is 10.77.0.1N.
address() { case $1 in c) echo 10.77.0.1 ;; *) echo "10.77.0.1$1" ;; esac; }

lay_wires() {
  local name
  ip netns add "$(box hub)" 2>/dev/null || skip "this kernel, or this container, has no network namespaces"
  within hub ip link add hub type bridge
  within hub ip link set hub up
  for name in c "${workers[@]}"; do
    ip netns add "$(box "$name")"
    within hub ip link add "to-$name" type veth peer name eth0 netns "$(box "$name")"
    within hub ip link set "to-$name" master hub up
    within "$name" ip link set lo up
    within "$name" ip link set eth0 up
    within "$name" ip address add "$(address "$name")/24" dev eth0
  done
}

cut_off() { within hub ip link set "to-$1" down; }
mend() { within hub ip link set "to-$1" up; }

# ------------------------------------------------------------------------------------------------ Disks

disk_size=2g
make_disk() {
  mkdir -p "$1"
  mount -t tmpfs -o "size=$disk_size" tmpfs "$1"
}
# A disk with no room but what its files take, without having to write any. (Refused while the files grow.)
fill_disk() {
  until mount -o "remount,size=$(df --output=used -B1 "$1" | tail -n 1)" "$1" 2>/dev/null; do sleep 0.01; done
}
empty_disk() { mount -o "remount,size=$disk_size" "$1"; }

# ------------------------------------------------------------------------------------------------ Daemons

# keep_running RUN BOX COMMAND…: starts it again a second after it has ended, as an init system would; not as long as
# RUN/hold-BOX exists.
keep_running() {
  local run=$1 name=$2
  shift 2
  while [ ! -e "$run/done" ]; do
    ip netns exec "$(box "$name")" taskset -c "$processors" "$@" >>"$run/$name.log" 2>&1 </dev/null &
    echo $! >"$run/$name.pid"
    wait $! 2>/dev/null || true
    sleep 1
    while [ -e "$run/hold-$name" ]; do sleep 0.1; done
  done
}

# start_coordinator RUN, start_worker RUN BOX [ADDRESS:PORT]
start_coordinator() {
  make_disk "$1/disk-c"
  keep_running "$1" c "$greensweep" coordinator --data "$1/disk-c/data" --listen "$(address c):7433" &
  until grep -qs listening "$1/c.log"; do sleep 0.1; done
}

start_worker() {
  make_disk "$1/disk-$2"
  keep_running "$1" "$2" "$greensweep" worker --join "${3:-$(address c):7433}" --threads 1 --name "w$2" \
    --token-file "$1/disk-c/data/worker.token" --cache "$1/disk-$2/cache" &
}

# ask RUN COMMAND…: what an operator on the coordinator's box would type.
ask() {
  local run=$1
  shift
  within c taskset -c "$processors" "$greensweep" "$@" --coordinator "$(address c):7433" \
    --token-file "$run/disk-c/data/operator.token"
}

daemon() { cat "$1/$2.pid"; }
# The first of the stages that run in a box; fails if none does.
stage() {
  local pids
  pids=$(cat "/proc/$(daemon "$1" "$2")/task/"*/children 2>/dev/null) || true
  [ -n "${pids// /}" ] && echo "${pids%% *}"
}
everything_in() { ip netns pids "$(box "$1")"; }

# Ends what runs in the boxes, and takes the disks away.
stop_fleet() {
  local run=$1 name
  touch "$run/done"
  for name in c "${workers[@]}"; do
    everything_in "$name" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
  done
  sleep 1.5
  for name in "$run"/disk-*; do ! mountpoint -q "$name" || umount -l "$name"; done
}

tidy_up() {
  local name
  for name in "$bed"/*/; do [ ! -e "$name/c.pid" ] || stop_fleet "$name" || true; done
  kill $(jobs -p) 2>/dev/null || true
  for name in c "${workers[@]}" hub; do ip netns del "$(box "$name")" 2>/dev/null || true; done
}
trap tidy_up EXIT
trap 'exit 143' INT TERM
