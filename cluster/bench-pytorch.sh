#!/usr/bin/env bash
# Times training steps beside PyTorch's, in turn, on the same networks: each is written as a model file, whose graph the
# Python script builds from PyTorch's own layers. PyTorch runs in both of its memory formats (the ratio is to the faster
# one), eagerly, and with a loss that costs next to nothing instead of YOLOv5's. What is printed are medians over the
# rounds.
# Usage: cluster/bench-pytorch.sh [--image-size S] [--batch B] [--threads T] [--rounds N] [--steps N] [NETWORK …]
#        (default: 320 pixels, batches of 8, 2 threads, 3 rounds of 7 steps, yolov5s and mobilenetv2)
# Python and PyTorch (a download of gigabytes) stay in .build/pytorch; nothing else needs them.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,8s/^# *//p' "${BASH_SOURCE[0]}"; exit ;; esac
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

python_with pytorch torch 'torch==2.*' numpy
swift build -c release --product greensweep >&2
exec "$python" cluster/bench-pytorch.py --binary "$(swift build -c release --show-bin-path)/greensweep" \
  --work .build/pytorch "$@"
