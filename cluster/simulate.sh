#!/usr/bin/env bash
# Checks the fleet's promises in simulated clusters, one from each seed, on all cores; prints the story of the first one
# broken. Usage: cluster/simulate.sh [--seeds N] [--first SEED] [--threads N] [--fault NAME|all]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
swift build -c release --product simulate >&2
exec "$(swift build -c release --show-bin-path)/simulate" "$@"
