#!/usr/bin/env bash
# Feeds the readers of foreign files with damaged ones, each reader in a process of its own; the time and memory that
# each file takes are watched. Usage: cluster/fuzz.sh [--reader NAME] [--count N] [--seed S] [--case I]
# Without --reader all are fed; --case repeats one case and keeps its file. A case is a function of reader, seed and
# number, so what a failure names can be repeated anywhere.
set -euo pipefail
usage() { sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
readers=(safetensors model checkpoint pt yaml data-yaml hyp sweep labels jpeg png pack)
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

# What takes memory without end is stopped before the machine is.
ulimit -v $((8 << 20))
trace=$(mktemp)
trap 'rm -f "$trace"' EXIT
failed=()
for reader in "${readers[@]}"; do
  : > "$trace"
  GREENSWEEP_FUZZ_READER=$reader GREENSWEEP_FUZZ_COUNT=$count GREENSWEEP_FUZZ_SEED=$seed \
    GREENSWEEP_FUZZ_TRACE=$trace ${case:+env GREENSWEEP_FUZZ_CASE=$case} swift test --skip-build --filter FuzzTests \
    || failed+=("cluster/fuzz.sh --reader $reader --seed $seed --case $(cat "$trace")")
done
[ ${#failed[@]} = 0 ] || { printf 'failed, as said above; the last case it came to: %s\n' "${failed[@]}" >&2; exit 1; }
