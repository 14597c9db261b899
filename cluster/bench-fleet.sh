#!/usr/bin/env bash
# Measures what a real coordinator bears: throughput, latency, memory and idle connections, over TLS with its journal on
# the disk. Prints JSON. Usage: cluster/bench-fleet.sh [--workers N] [--jobs N] [--pace N] [--idle-workers N] [--folder DIR]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
swift build -c release --product greensweep >&2
swift build -c release --product fleet-benchmark >&2
exec "$(swift build -c release --show-bin-path)/fleet-benchmark" "$@"
