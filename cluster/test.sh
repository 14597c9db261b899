#!/usr/bin/env bash
# Sets up this machine and runs every test. Arguments go to `swift test` (for example: --filter Pruning).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

say "building (warnings are errors)"
export GREENSWEEP_STRICT=1
swift build --build-tests
say "testing"
limit_seconds=1200
timeout --foreground --kill-after=30 "$limit_seconds" swift test --skip-build "$@" || {
  status=$?
  [ "$status" != 124 ] || die "the tests have not ended within $limit_seconds s: one that has started and not ended hangs"
  exit "$status"
}
