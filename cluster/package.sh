#!/usr/bin/env bash
# Builds the packages of what is checked out: a .deb for this distribution, and a tarball that runs in any folder of any
# Linux with this glibc or a newer one. Both hold the same binary, with the Swift runtime in it. Prints their paths; they
# lie in .build/packages. Usage: cluster/package.sh
set -euo pipefail
[ $# = 0 ] || { sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
extra_packages=(dpkg-dev)
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

commit=$(git rev-parse --short=10 HEAD)
[ -z "$(git status --porcelain)" ] || commit+=.changed
version=$(sed -n 's/.*static let version = "\(.*\)"/\1/p' Sources/greensweep/Greensweep.swift)
version+=+$(git show -s --format=%cd --date=format:%Y%m%d%H%M HEAD).$commit
SOURCE_DATE_EPOCH=$(git show -s --format=%ct HEAD)
export SOURCE_DATE_EPOCH GREENSWEEP_COMMIT=$commit
maintainer=$(git show -s --format='%an <%ae>' HEAD)
folder=$PWD/.build/packages
deb=$folder/greensweep_${version}_$(dpkg --print-architecture).deb
portable=greensweep-$version-linux-$(uname -m)
rm -rf "$folder"
mkdir -p "$folder"

# The libraries that a program loads from its own rpath, those of libraries included, are found by an rpath of the old
# kind only. In the .deb that folder does not exist, and the distribution's libraries are used.
say "building $version (a few minutes)"
build=(swift build -c release --product greensweep --scratch-path .build/package --static-swift-stdlib
  --disable-local-rpath -Xlinker --disable-new-dtags -Xlinker '-rpath=$ORIGIN/../lib/greensweep')
"${build[@]}" >&2
binary=$("${build[@]}" --show-bin-path)/greensweep

# ------------------------------------------------------------------------------------------------ What both hold

# lay_out FOLDER: program, completion and manual pages, as below /usr.
lay_out() {
  install -D -s "$binary" "$1/bin/greensweep"
  install -d "$1/share/man/man1" "$1/share/bash-completion/completions" "$1/share/zsh/vendor-completions"
  "$binary" completion bash >"$1/share/bash-completion/completions/greensweep"
  "$binary" completion zsh >"$1/share/zsh/vendor-completions/_greensweep"
  "$binary" manual "$1/share/man/man1"
  gzip -9n "$1"/share/man/man1/*.1
  chmod 644 "$1"/share/man/man1/*
}

# ------------------------------------------------------------------------------------------------ The .deb

root=$folder/deb
lay_out "$root/usr"
install -D -m 644 -t "$root/lib/systemd/system" cluster/debian/*.service
install -D -m 644 -t "$root/etc/greensweep" cluster/debian/*.conf
install -D -m 644 -t "$root/usr/share/doc/greensweep" cluster/debian/copyright README.md SECURITY.md
printf 'greensweep (%s) %s; urgency=medium\n\n  * Built from commit %s.\n\n -- %s  %s\n' "$version" \
  "$(. /etc/os-release; echo "${VERSION_CODENAME:-stable}")" "$commit" "$maintainer" \
  "$(git show -s --format=%cD HEAD)" | gzip -9n >"$root/usr/share/doc/greensweep/changelog.gz"
install -D -m 755 -t "$root/DEBIAN" cluster/debian/{postinst,prerm,postrm}
(cd "$root" && find etc -type f | sort | sed 's|^|/|' >DEBIAN/conffiles)
(cd "$root" && find usr lib -type f | sort | xargs md5sum >DEBIAN/md5sums)
mkdir -p "$folder/shlibs/debian"
touch "$folder/shlibs/debian/control"
depends=$(cd "$folder/shlibs" && dpkg-shlibdeps -O "$root/usr/bin/greensweep" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
cat >"$root/DEBIAN/control" <<CONTROL
Package: greensweep
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: $maintainer
Section: science
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends, adduser
Description: train, prune and measure small detectors on a fleet of Linux hosts
 Greensweep crosses backbones, sparsity rates and prune ratios of YOLOv5-style
 detectors, trains, prunes, fine-tunes and measures each combination on
 whatever hosts join, and hands back the Pareto front of accuracy against size,
 latency and energy, with the models on it.
CONTROL
chmod -R u=rwX,go=rX "$root"
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build "$root" "$deb" >/dev/null

# ------------------------------------------------------------------------------------------------ The tarball

tree=$folder/$portable
lay_out "$tree"
mkdir -p "$tree/lib/greensweep" "$tree/share/doc/greensweep/licenses"
cp LICENSE README.md SECURITY.md "$tree/share/doc/greensweep"
# All libraries but glibc's, which belong to the kernel and the loader of their host.
ldd "$binary" | sed -n 's/^\t\([^ ]*\) => \(\/[^ ]*\) .*/\1 \2/p' | while read -r name path; do
  path=$(realpath "$path")
  owner=$(dpkg-query -S "*/${path##*/}" 2>/dev/null | sed 's/:.*//;q') || owner=  # Of no package.
  [ "$owner" != libc6 ] || continue
  install -s -m 644 "$path" "$tree/lib/greensweep/$name"
  [ -z "$owner" ] || install -m 644 "/usr/share/doc/$owner/copyright" "$tree/share/doc/greensweep/licenses/$owner"
done
tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" \
  -cf - "$portable" | gzip -6n >"$folder/$portable.tar.gz"
rm -rf "$root" "$tree" "$folder/shlibs"
printf '%s\n' "$deb" "$folder/$portable.tar.gz"
