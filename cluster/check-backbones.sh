#!/usr/bin/env bash
# Compares backbones that begin with a classifier's weights with the classifier itself: torchvision and timm build their
# networks with random weights and batch norm statistics, 'greensweep import --weights' reads the saved files, and the
# maps after each layer are compared, with the classifier as it is and with what is known to differ made the same.
# Usage: cluster/check-backbones.sh [NETWORK …]   (mobilenet_v2, mobilenetv1_100 …; default: all)
# Python and PyTorch (a download of gigabytes) stay in .build/backbones. Skipped where PyPI cannot be reached.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}"; exit ;; esac
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

python_with backbones 'torch, torchvision, timm, onnx, onnxruntime, safetensors' \
  'torch==2.*' 'torchvision' 'timm==1.*' onnx onnxruntime safetensors numpy ||
  { say "check-backbones: skipped, because PyPI's packages cannot be installed"; exit 0; }
greensweep=${GREENSWEEP:-}
if [ -z "$greensweep" ]; then
  swift build -c release --product greensweep >&2
  greensweep=$(swift build -c release --show-bin-path)/greensweep
fi
exec "$python" cluster/check-backbones.py --binary "$greensweep" --work .build/backbones "$@"
