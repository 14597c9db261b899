#!/usr/bin/env bash
# Times training steps beside PyTorch's, in turn, on the same networks: each is written as a model file, whose graph the
# Python script builds from PyTorch's own layers. Ours runs in float32 and in bfloat16; PyTorch in float32 in both of its
# memory formats, with bfloat16 autocast, and with --compiled by torch.compile besides (minutes a network); its loss
# costs next to nothing instead of YOLOv5's. What is printed are medians over the rounds, and ratios to the faster of
# PyTorch's float32 modes, to its fastest mode, and of bfloat16 to float32.
# Usage: cluster/bench-pytorch.sh [--image-size S] [--batch B] [--threads T] [--rounds N] [--steps N] [--compiled]
#        [NETWORK …]
#        (default: 320 pixels, batches of 8, 2 threads, 3 rounds of 7 steps, yolov5s and mobilenetv2)
# Python and PyTorch (a download of gigabytes) stay in .build/pytorch; nothing else needs them.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,11s/^# *//p' "${BASH_SOURCE[0]}"; exit ;; esac
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

python_with pytorch torch 'torch==2.*' numpy
swift build -c release --product greensweep >&2
exec "$python" cluster/bench-pytorch.py --binary "$(swift build -c release --show-bin-path)/greensweep" \
  --work .build/pytorch "$@"
