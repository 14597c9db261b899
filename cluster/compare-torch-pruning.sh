#!/usr/bin/env bash
# Compares what a sweep does by default (gradual pruning, recipe auto) with what others would use: Torch-Pruning cuts
# the same trained networks to the same number of parameters, and YOLOv5's own training loop and settings fine-tune them
# for as many epochs as ours fade and fine-tune. Cut networks come back as model files, so that `greensweep val`
# measures both sides. The table's last columns are those cuts fine-tuned by `greensweep train --recipe auto` instead.
# Usage: cluster/compare-torch-pruning.sh DATA.yaml --weights yolov5n.pt [--results SWEEP.csv] [--families F …]
#        [--ratios R …] [--seeds S …] [--image-size S] [--threads T]
#        (default: yolov5n and mobilenetv2, ratios 0.5 and 0.7, seeds 0 to 2, 320 pixels, 2 threads)
# What finished sweeps have measured of our side is read from their CSV files (--results, once each), the rest is
# trained here. May be stopped and started again: each cell that is measured is a file in .build/torch-pruning/work,
# where table.md is the table so far.
# Python and PyTorch (a download of gigabytes) stay in .build/torch-pruning; nothing else needs them.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,13s/^# *//p' "${BASH_SOURCE[0]}"; exit ;; esac
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

python_with torch-pruning torch_pruning,pandas 'torch==2.*' torchvision torch-pruning==1.6.1 safetensors numpy pandas \
  pyyaml opencv-python-headless pillow tqdm requests psutil matplotlib seaborn scipy gitpython tensorboard \
  'huggingface-hub<0.25' 'setuptools<80' fire
"$python" -m pip install --quiet --disable-pip-version-check --no-deps yolov5==7.0.14
swift build -c release --product greensweep >&2
exec "$python" cluster/compare-torch-pruning.py --binary "$(swift build -c release --show-bin-path)/greensweep" \
  --work .build/torch-pruning/work "$@"
