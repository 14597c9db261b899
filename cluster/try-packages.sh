#!/usr/bin/env bash
# Tries the packages where there is nothing: the .deb in a minimal Debian that debootstrap makes, and the tarball in
# another one by a user without rights. In each a small sweep on two workers must end with a front. Needs root, and is
# skipped without; lintian looks at the .deb if it is installed. Usage: cluster/try-packages.sh [DEB TARBALL]
# Without arguments cluster/package.sh builds both. The roots lie in .build/roots; the first takes a minute.
set -euo pipefail
case $# in 0 | 2) ;; *) sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;; esac
packages=()
[ $# = 0 ] || mapfile -t packages < <(realpath "$@")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
skip() { echo "cluster/try-packages.sh: skipped: $*" >&2; exit 0; }
die() { echo "cluster/try-packages.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || skip "it makes file systems for chroot, which needs root"
source cluster/minimal-root.sh
[ $# -gt 0 ] || mapfile -t packages < <(cluster/package.sh)
deb=${packages[0]} tarball=${packages[1]}
[ -f "$deb" ] && [ -f "$tarball" ] || die "no packages: '${packages[*]}'"

make_base
roots=$PWD/.build/roots

# sweep ROOT USER PROGRAM: a front must come of it.
sweep() {
  local table
  cat >"$1/home/$2/sweep.yaml" <<'SWEEP'
name: package
dataset: sample/data.yaml
image_size: 96
grid: {backbone: [yolov5n], prune_ratio: [0, 0.5]}
stages: {train: {epochs: 3}, sparsify: {epochs: 1}, finetune: {epochs: 1}}
objectives: [maximize map50, minimize size_mb]
SWEEP
  # shellcheck disable=SC2016
  table=$(within_root "$1" "$2" 'set -e; cd; '"$3"' version >&2; '"$3"' dataset sample sample --images 24 >&2
    '"$3"' run sweep.yaml --workers 2 --threads 1' 2>"$1/sweep.log") || { tail "$1/sweep.log" >&2; die "the sweep failed in $1"; }
  grep '^\*' <<<"$table" || die "no front: $table"
}

if command -v lintian >/dev/null; then
  lintian --no-cfg --allow-root --fail-on error "$deb" || die "lintian finds errors"
fi

echo "the .deb:"
root=$roots/deb
make_root "$root"
cp "$deb" "$root/root/"
within_root "$root" root "cd; DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  ./$(basename "$deb") >/root/apt.log 2>&1" || { tail "$root/root/apt.log" >&2; die "apt cannot install $deb"; }
within_root "$root" root 'id greensweep && stat -c "%U %a %n" /etc/greensweep/*.conf' >/dev/null || die "no user, or no files"
sweep "$root" tester greensweep
within_root "$root" root "apt-get purge -y greensweep >/root/apt.log 2>&1" || die "apt cannot remove it again"

echo "the tarball:"
root=$roots/tarball
make_root "$root"
install -o 1000 -g 1000 "$tarball" "$root/home/tester/"
within_root "$root" tester "cd; tar xzf $(basename "$tarball")"
sweep "$root" tester "./$(basename "$tarball" .tar.gz)/bin/greensweep"
rm -rf --one-file-system "$roots/deb" "$roots/tarball"
