#!/usr/bin/env bash
# Sets up this machine and runs every test. Arguments go to `swift test` (for example: --filter Pruning).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

say "building (warnings are errors)"
export GREENSWEEP_STRICT=1
swift build --build-tests
say "testing"
exec swift test --skip-build "$@"
