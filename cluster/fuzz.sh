#!/usr/bin/env bash
# Feeds the readers of foreign files, and of what arrives by network, with damaged input, each reader in a process of its
# own; the time and memory that each takes are watched. Usage: cluster/fuzz.sh [--reader NAME] [--count N] [--seed S] [--case I]
# Without --reader all are fed; --case repeats one case and keeps its file. A case is a function of reader, seed and
# number, so what a failure names can be repeated anywhere.
set -euo pipefail
usage() { sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
readers=(safetensors model checkpoint pt yaml data-yaml hyp sweep labels jpeg png pack sound-images
  worker-message coordinator-message request response bulk-message chunk frames token coordinator worker journal http)
count=1000000 seed=1 case=
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --reader) readers=("$2") ;;
    --count) count=$2 ;;
    --seed) seed=$2 ;;
    --case) case=$2 ;;
    *) usage ;;
  esac
  shift 2
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
swift build --build-tests

# A reader that takes memory without end is stopped before the machine is.
ulimit -v $((8 << 20))
trace=$(mktemp) log=$(mktemp)
trap 'rm -f "$trace" "$log"' EXIT
failed=()
for reader in "${readers[@]}"; do
  : > "$trace"
  GREENSWEEP_FUZZ_READER=$reader GREENSWEEP_FUZZ_COUNT=$count GREENSWEEP_FUZZ_SEED=$seed \
    GREENSWEEP_FUZZ_TRACE=$trace ${case:+env GREENSWEEP_FUZZ_CASE=$case} swift test --skip-build --filter FuzzTests \
    | tee -a "$log" || failed+=("cluster/fuzz.sh --reader $reader --seed $seed --case $(cat "$trace")")
done
# A line for each reader with what it was fed, and the sum.
awk '/^fuzz / { print; sum += $3 } END { print "fuzz: " sum + 0 " cases in all" }' "$log"
[ ${#failed[@]} = 0 ] || { printf 'failed, as said above; the last case it came to: %s\n' "${failed[@]}" >&2; exit 1; }
