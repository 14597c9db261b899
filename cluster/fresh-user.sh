#!/usr/bin/env bash
# The path of a user who has 60 pictures and knows two commands: 'init' and 'run'. Fails unless no trial fails, at least
# three models are on the front, and the smallest of them has at most 0.4 of the parameters of the best unpruned one and
# loses at most 0.05 of its mAP50. Takes a quarter of an hour or more on two cores.
# Usage: cluster/fresh-user.sh [--budget TIME] [--work FOLDER]
set -euo pipefail
budget=() work=
while [ $# -gt 0 ]; do
  case $1 in
    --budget) budget=(--budget "$2"); shift 2 ;;
    --work) work=$(realpath -m "$2"); shift 2 ;;
    *) sed -n '2,5s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
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
cd "$work"
[ -f pictures/data.yaml ] || "$greensweep" dataset sample pictures --images 60 --val-images 20 --seed 1
start=$SECONDS
[ -f sweep.yaml ] || "$greensweep" init pictures/data.yaml "${budget[@]}"
"$greensweep" run sweep.yaml --data run
echo "fresh-user: $((SECONDS - start)) s"
awk -F, '
  { sub(/\r$/, "") }
  NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
  { rows++; front = $column["on_front"] == "true" }
  $column["state"] != "done" { print "fresh-user: trial " $column["trial"] " is " $column["state"]; bad = 1 }
  $column["prune_ratio"] == 0 && $column["map50"] > map { map = $column["map50"]; whole = $column["parameters"] }
  front { members++; if (!least || $column["parameters"] < least) { least = $column["parameters"]; found = $column["map50"] } }
  END {
    printf "fresh-user: %d of %d trials on the front; the smallest has %.3f of the parameters and mAP50 %.3f of %.3f\n",
      members, rows, least / whole, found, map
    exit bad || members < 3 || least > 0.4 * whole || found < map - 0.05
  }' run/results.csv
