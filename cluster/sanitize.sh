#!/usr/bin/env bash
# Runs the fleet's tests under AddressSanitizer and ThreadSanitizer; each has a build of its own under .build.
# Usage: cluster/sanitize.sh [address|thread]… [-- ARGUMENTS OF 'swift test']
set -euo pipefail
kinds=()
while [ $# -gt 0 ]; do
  case $1 in
    address | thread) kinds+=("$1") ;;
    --) shift; break ;;
    *) sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
  shift
done
[ ${#kinds[@]} -gt 0 ] || kinds=(address thread)
[ $# -gt 0 ] || set -- --filter 'ArtifactsTests|YAMLTests|SweepTests|FleetTests|ShellTests'
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

suppressions=$(mktemp -d)
trap 'rm -rf "$suppressions"' EXIT
# The only pointer to a Swift object's weak references lies in its reference count, shifted, where the search for leaks does
# not see it: those of objects that live to the end count as lost.
echo "leak:swift::RefCounts" >"$suppressions/leaks"
# A Mutex that is contended is locked inside Swift's library, which is not instrumented, so that what its holders do one
# after the other looks like a race. These are all the bodies that run under one; only they are passed over, not what they
# call or what calls them.
printf 'race_top:%s\n' 8LoopCoreC6submit 8LoopCoreC5drain 7JournalC6append 7JournalC4take >"$suppressions/races"
export LSAN_OPTIONS="suppressions=$suppressions/leaks:print_suppressions=0"
export TSAN_OPTIONS="suppressions=$suppressions/races:print_suppressions=0"

for kind in "${kinds[@]}"; do
  say "building for the $kind sanitizer"
  swift build --build-tests --sanitize="$kind" --scratch-path ".build/$kind" >&2
  say "testing under the $kind sanitizer"
  # Simulated clusters live on one thread each and share nothing: there is nothing in them for the thread sanitizer.
  skip=$([ "$kind" != thread ] || echo --skip=SimulationTests)
  swift test --skip-build --disable-xctest --sanitize="$kind" --scratch-path ".build/$kind" $skip "$@"
done
