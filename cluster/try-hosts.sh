#!/usr/bin/env bash
# Tries 'greensweep fleet' on hosts that have never seen Swift: network namespaces with real sshds, each with a minimal
# Debian of its own, and a coordinator on this machine. Three hosts are sound; of four more one is down, one has another
# key, one a full disk, and one no way to the coordinator. A sweep on the three must give the table of one machine while
# 'fleet upgrade' brings them another package, and the worker token must be nowhere but in its files.
# Needs root, and is skipped without. Usage: cluster/try-hosts.sh [TARBALL]     (default: cluster/package.sh builds it)
set -euo pipefail
[ $# -le 1 ] || { sed -n '2,7s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
tarball=${1:+$(realpath "$1")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
skip() { echo "cluster/try-hosts.sh: skipped: $*" >&2; exit 0; }
die() { echo "cluster/try-hosts.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
for need in "ip iproute2" "ssh openssh-client"; do
  command -v "${need% *}" >/dev/null || skip "'${need% *}' is missing: apt-get install ${need#* }"
done
source cluster/minimal-root.sh
[ -n "$tarball" ] || tarball=$(cluster/package.sh | tail -n 1)
make_base

bed=$PWD/.build/hosts
sound=(h1 h2 h3)
all=("${sound[@]}" down key full away)
prefix=gh$$
coordinator=10.79.1.1:7433

tidy_up() {
  local name
  kill $(jobs -p) 2>/dev/null || true
  for name in "${all[@]}"; do
    [ ! -s "$bed/$name.pid" ] || kill -KILL "$(cat "$bed/$name.pid")" 2>/dev/null || true
    ip netns del "$prefix-$name" 2>/dev/null || true
  done
  ip link del "$prefix" 2>/dev/null || true
  [ -z "${HOME_BEFORE:-}" ] || export HOME=$HOME_BEFORE
}
trap tidy_up EXIT
trap 'exit 143' INT TERM

# ------------------------------------------------------------------------------------------------ Hosts

address() { local i; for i in "${!all[@]}"; do [ "${all[i]}" != "$1" ] || echo "10.79.0.$((11 + i))"; done; }

# Runs as process 1 of a host, whose namespaces end with it.
# shellcheck disable=SC2016
host_program='
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root" 2>/dev/null || cp -a "$1/." "$2/root"
  cd "$2/root"
  mount -t proc proc proc
  mount -t tmpfs -o mode=755 dev dev
  for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"; done
  mknod -m 666 dev/tty c 5 0
  ln -s /proc/self/fd dev/fd
  mkdir dev/pts dev/shm run/sshd
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  mount -t tmpfs -o mode=1777 shm dev/shm
  install -d -o 1000 -g 1000 -m 700 home/tester/.ssh
  install -o 1000 -g 1000 -m 600 "$3" home/tester/.ssh/authorized_keys
  case $4 in
  full)
    mount -t tmpfs -o mode=755,size=300k,uid=1000,gid=1000 disk home/tester
    cp -a ../key.ssh home/tester/.ssh
    head -c 1m /dev/zero >home/tester/ballast 2>/dev/null || true ;;
  esac
  [ "$4" = down ] || chroot . /usr/sbin/sshd -E /var/log/sshd.log
  exec chroot . /bin/bash -c "touch /run/up; while :; do sleep 60 & wait; done"'

start_host() {
  local name=$1 folder=$bed/$1 key=$bed/id.pub
  mkdir -p "$folder/root" "$folder/upper" "$folder/work"
  [ "$name" != key ] || key=$bed/other.pub
  install -d -o 1000 -g 1000 -m 700 "$folder/key.ssh"
  install -o 1000 -g 1000 -m 600 "$key" "$folder/key.ssh/authorized_keys"
  ip netns add "$prefix-$name"
  ip link add "$prefix$name" type veth peer name eth0 netns "$prefix-$name"
  ip link set "$prefix$name" master "$prefix" up
  ip -n "$prefix-$name" link set lo up
  ip -n "$prefix-$name" link set eth0 up
  ip -n "$prefix-$name" address add "$(address "$name")/24" dev eth0
  [ "$name" = away ] || ip -n "$prefix-$name" route add 10.79.1.0/24 via 10.79.0.1
  ip netns exec "$prefix-$name" unshare --mount --pid --uts --ipc --fork --kill-child "${clean[@]}" \
    bash -c "hostname $name; $host_program" bash "$base" "$folder" "$key" "$name" </dev/null >"$folder/log" 2>&1 &
  echo $! >"$bed/$name.pid"
  disown  # Its end is not worth a word.
}

# processes_of HOST: the programs of Greensweep that run there.
processes_of() {
  local pid
  for pid in $(ip netns pids "$prefix-$1"); do
    case $(readlink "/proc/$pid/exe") in */greensweep) echo "$pid" ;; esac
  done
}

[ ! -e "$bed" ] || rm -rf --one-file-system "$bed"
mkdir -p "$bed"
ssh-keygen -q -t ed25519 -N '' -f "$bed/id"
ssh-keygen -q -t ed25519 -N '' -f "$bed/other"
ip link add "$prefix" type bridge 2>/dev/null || skip "this kernel, or this container, has no bridges"
ip address add 10.79.0.1/24 dev "$prefix"
ip address add 10.79.1.1/24 dev "$prefix"
ip link set "$prefix" up
for name in "${all[@]}"; do start_host "$name"; done
for name in "${all[@]}"; do
  printf '%s %s\n' "$(address "$name")" "$(cut -d ' ' -f 1,2 "$base/etc/ssh/ssh_host_ed25519_key.pub")" >>"$bed/known_hosts"
  printf 'Host %s\n  HostName %s\n' "$name" "$(address "$name")" >>"$bed/ssh_config"
done
cat >>"$bed/ssh_config" <<CONFIG
Host *
  User tester
  IdentityFile $bed/id
  IdentitiesOnly yes
  UserKnownHostsFile $bed/known_hosts
CONFIG
for name in "${sound[@]}"; do
  for _ in $(seq 100); do ssh -F "$bed/ssh_config" -o BatchMode=yes "$name" true 2>/dev/null && break; sleep 0.2; done
  ! ssh -F "$bed/ssh_config" "$name" 'command -v swift' || die "$name has Swift"
done

# ------------------------------------------------------------------------------------------------ Coordinator and sweep

mkdir "$bed/program" "$bed/home"
tar -xzf "$tarball" -C "$bed/program" --strip-components=1
greensweep=$bed/program/bin/greensweep
HOME_BEFORE=$HOME
export HOME=$bed/home OMP_WAIT_POLICY=passive  # The tunnels' sockets are made there.
"$greensweep" coordinator --data "$bed/data" --listen $coordinator >"$bed/coordinator.log" 2>&1 &
until [ -s "$bed/data/worker.token" ] && grep -qs listening "$bed/coordinator.log"; do sleep 0.1; done
export GREENSWEEP_TOKEN_FILE=$bed/data/operator.token GREENSWEEP_COORDINATOR=$coordinator
write_hosts() { # FILE PACKAGE HOST…
  local file=$1 package=$2
  shift 2
  printf 'coordinator: %s\nworker_token: data/worker.token\npackage: %s\nhosts:\n' $coordinator "$package" >"$file"
  for name in "$@"; do printf '  - {address: %s, threads: 1}\n' "$name" >>"$file"; done
}
write_hosts "$bed/all.yaml" "$tarball" "${all[@]}"
write_hosts "$bed/sound.yaml" "$tarball" "${sound[@]}"
write_hosts "$bed/away.yaml" "$tarball" away
fleet() { local verb=$1; shift; timeout 240 "$greensweep" fleet "$verb" "$@" --ssh-config "$bed/ssh_config"; }

secret=$(cut -d . -f 4 "$bed/data/worker.token" | head -n 1)
# Looks for the secret where others could see it, as long as the bed is in use.
watch_for_secret() {
  local pid
  while sleep 0.2; do
    for pid in /proc/[0-9]*; do
      if grep -qsaF "$secret" "$pid/cmdline" "$pid/environ" 2>/dev/null && [ "$pid" != "/proc/$BASHPID" ]; then
        echo "in $pid: $(tr '\0' ' ' <"$pid/cmdline" 2>/dev/null | cut -c 1-200)" >>"$bed/secret-seen"
      fi
    done
  done
}
watch_for_secret &

# timed SECONDS WORDS…: the fleet's command must take no longer; prints how long it took.
timed() {
  local limit=$1 start=$EPOCHREALTIME took
  shift
  "$@" || return 1
  took=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
  echo "$took s: ${*:1:2}" >&2
  awk -v took="$took" -v limit="$limit" 'BEGIN { exit !(took <= limit) }' || die "it took $took s, more than $limit"
}

failing_up() { ! fleet up "$bed/all.yaml" 2>"$bed/up.log"; }
timed 60 failing_up || die "hosts with faults went unnoticed"
cat "$bed/up.log" >&2
for name in "${sound[@]}"; do grep -q "^$name *up (" "$bed/up.log" || die "$name is not up"; done
told() { grep -qE "^$1 *failed: .*$2" "$bed/up.log" || die "the fault of '$1' is not told"; }
told down 'Connection refused'
told key 'Permission denied'
told full 'MB are free'
told away 'cannot reach the coordinator .*unreachable'
[ "$(grep -c '"isConnected":true' <<<"$("$greensweep" workers --json | tr '{' '\n')")" = 3 ] || die "not three workers"

timed 5 fleet up "$bed/sound.yaml" 2>"$bed/again.log" || die "up again fails: $(cat "$bed/again.log")"
grep ' s: ' "$bed/again.log" >&2
[ "$(grep -c 'nothing to change' "$bed/again.log")" = 3 ] || die "up again changes something: $(cat "$bed/again.log")"

"$greensweep" dataset sample "$bed/sample" --images 24 2>/dev/null
cat >"$bed/sweep.yaml" <<'SWEEP'
name: hosts
dataset: sample/data.yaml
image_size: 96
grid: {backbone: [yolov5n, mobilenetv2], prune_ratio: [0, 0.4, 0.7]}
stages: {train: {epochs: 6}, sparsify: {epochs: 3}, finetune: {epochs: 3}}
objectives: [maximize map50, minimize size_mb]
SWEEP
mkdir -p "$bed/repacked"
cp -a "$bed/program" "$bed/repacked/greensweep"
echo another >"$bed/repacked/greensweep/share/another"
tar -C "$bed/repacked" -czf "$bed/greensweep-other-linux-$(uname -m).tar.gz" greensweep
"$greensweep" submit "$bed/sweep.yaml" --wait >"$bed/table" 2>"$bed/sweep.log" &
sweep=$!
until "$greensweep" status hosts --json 2>/dev/null | grep -q '"state":"succeeded"'; do sleep 0.5; done
timed 300 fleet upgrade "$bed/sound.yaml" --package "$bed/greensweep-other-linux-$(uname -m).tar.gz" 2>"$bed/upgrade.log" \
  || die "the upgrade fails: $(cat "$bed/upgrade.log")"
cat "$bed/upgrade.log" >&2
kill -0 $sweep 2>/dev/null || die "the sweep was over before the upgrade"
wait $sweep || die "the sweep fails: $(tail "$bed/sweep.log")"
if "$greensweep" status hosts --json | grep -q '"state":"failed"'; then die "a job has failed"; fi
"$greensweep" pareto hosts --format csv >"$bed/fleet.csv"
"$greensweep" run "$bed/sweep.yaml" --data "$bed/alone" --workers 1 --threads 1 >/dev/null 2>"$bed/alone.log" || die "the sweep fails alone"
diff <(sed '/^$/d' "$bed/fleet.csv") "$bed/alone/results.csv" || die "the fleet's table differs from that of one machine"
cat "$bed/table"

timed 60 fleet up "$bed/away.yaml" --tunnel 2>"$bed/tunnel.log" || die "no tunnel: $(cat "$bed/tunnel.log")"
tail -n 2 "$bed/tunnel.log" >&2
fleet status "$bed/all.yaml"
fleet down "$bed/away.yaml" --now 2>/dev/null
timed 60 fleet down "$bed/sound.yaml" 2>"$bed/down.log" || die "down fails: $(cat "$bed/down.log")"
for name in "${sound[@]}" away; do [ -z "$(processes_of "$name")" ] || die "the worker of $name still runs"; done
[ ! -e "$bed/secret-seen" ] || die "the token was seen $(head -n 3 "$bed/secret-seen")"
found=$(grep -rlaF "$secret" "$bed" --include='*' --exclude-dir=program 2>/dev/null | sort)
for file in $found; do
  [ "$(stat -c %a "$file")" = 600 ] || die "others can read the token in $file"
  case ${file##*/} in *token) ;; *) die "the token is in $file" ;; esac
done
echo "the token was in no argument, environment, log or file of others; it is in: $(echo $found | sed "s|$bed/||g")"
