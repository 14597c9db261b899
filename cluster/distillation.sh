#!/usr/bin/env bash
# Whether distillation pays: runs the sweeps docs/results/distillation-*.yaml with and without it, which share all other
# stages, and prints medians over the seeds. Interrupted, it goes on from where it was; while it runs, --table prints
# what is there.
# Usage: cluster/distillation.sh [--table] WORK_FOLDER BCCD/data.yaml yolov5n.pt
set -euo pipefail
table_only=
if [ "${1:-}" = --table ]; then table_only=1; shift; fi
[ $# = 3 ] || { sed -n '2,5s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
work=$(realpath -m "$1") dataset=$(realpath "$2") weights=$(realpath "$3")
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

families=(yolov5n mobilenetv2)
if [ -z "$table_only" ]; then
  greensweep=${GREENSWEEP:-}
  if [ -z "$greensweep" ]; then
    swift build -c release --product greensweep >&2
    greensweep=$(swift build -c release --show-bin-path)/greensweep
  fi
  mkdir -p "$work"
  for family in "${families[@]}"; do
    for teacher in off parent; do
      sweep=$work/$family-$teacher
      sed -e "s|^dataset:.*|dataset: $dataset|" -e "s|weights: yolov5n.pt|weights: $weights|" \
        -e "s|distill: parent|distill: $teacher|" "docs/results/distillation-$family.yaml" > "$sweep.yaml"
      "$greensweep" run "$sweep.yaml" --data "$work/run" --workers 2 --threads 1
      cp "$work/run/results.csv" "$sweep.csv"
    done
  done
fi

# median FILE RATIO COLUMN
median() {
  awk -F, -v ratio="$2" -v name="$3" '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
    $column["prune_ratio"] == ratio && $column["state"] == "done" { print $column[name] }' "$1" | sort -g |
    awk '{ value[NR] = $1 } END { if (NR) printf "%.3f", (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2 }'
}
echo "| backbone | ratio | map50_95 | with distillation | map50 | with distillation |"
echo "| :-- | --: | --: | --: | --: | --: |"
for family in "${families[@]}"; do
  for ratio in 0 0.5 0.7; do
    row="| $family | $ratio |"
    for metric in map50_95 map50; do
      for teacher in off parent; do
        csv=$work/$family-$teacher.csv cell=
        if [ -f "$csv" ] && [ "$ratio-$teacher" != 0-parent ]; then cell=$(median "$csv" "$ratio" "$metric"); fi
        row+=" $cell |"
      done
    done
    echo "$row"
  done
done
