#!/usr/bin/env bash
# Compares exported ONNX files, as ONNX Runtime computes them, with our own outputs: every family, whole and pruned,
# static and dynamic batch, with and without the decode step, each beside a run of the same graph in float64.
# Usage: cluster/check-onnx.sh [--family NAME] [--model FILE]… [--weights yolov5n.pt --images FOLDER]
# The families start with random weights and are trained for a few epochs on generated images. --model checks other models
# instead. With --weights and --images, all detections on the folder's images are compared too: of the .pt file, of the
# same model as safetensors, and of its ONNX file. Python and its packages stay in .build/onnx; nothing else needs them.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,7s/^# //p' "${BASH_SOURCE[0]}"; exit ;; esac
arguments=()
for word in "$@"; do  # Paths are the caller's; setup.sh changes the folder.
  if [ -e "$word" ]; then arguments+=("$(realpath "$word")"); else arguments+=("$word"); fi
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

python_with onnx 'numpy, onnx, onnxruntime, PIL' 'onnx==1.23.*' 'onnxruntime==1.32.*' numpy pillow
swift build -c release --product greensweep >&2
exec "$python" cluster/check-onnx.py --binary "$(swift build -c release --show-bin-path)/greensweep" \
  --work .build/onnx "${arguments[@]}"
