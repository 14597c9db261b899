#!/usr/bin/env bash
# Measures what a real coordinator bears: throughput, latency, streams of checkpoints, idle connections and a restart, over
# TLS with its data on the disk. Prints JSON. Usage: cluster/bench-fleet.sh [--parts
# throughput,latency,bulk,idle,restart] [--workers N] [--jobs N] [--pace N] [--idle-workers N] [--bulk-mb N]
# [--bulk-rounds N] [--folder DIR]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
swift build -c release --product greensweep >&2
swift build -c release --product fleet-benchmark >&2
exec "$(swift build -c release --show-bin-path)/fleet-benchmark" "$@"
