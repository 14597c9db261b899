# Sourced by try-packages.sh and try-hosts.sh: minimal Debian roots without Swift. Needs root. Expects `skip`, and the
# repository as the current folder.

base=$PWD/.build/roots/base
clean=(env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)

# Makes the root that all others are copies of, once: debootstrap's smallest, with this machine's ways to packages, sshd
# and a user `tester`.
make_base() {
  [ ! -e "$base.done" ] || return 0
  command -v debootstrap >/dev/null || skip "'debootstrap' is missing: apt-get install debootstrap"
  local codename mirror file
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' \
    | awk -v name="$codename" '$1 == name && $2 == "main" { print $3; exit }')
  [ -n "$mirror" ] || skip "apt knows no source for '$codename main'"
  echo "making a minimal Debian ($codename) in $base" >&2
  rm -rf --one-file-system "$base"
  mkdir -p "$base"
  unshare --mount debootstrap --variant=minbase --include=openssh-server,ca-certificates "$codename" "$base" "$mirror" \
    >"$base.log" 2>&1 || { tail "$base.log" >&2; skip "debootstrap failed"; }
  rm -f "$base/etc/apt/sources.list"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/*; do
    if grep -qsiE "^(deb |types:|[^#]*acquire)" "$file" && grep -qsiE "debian|acquire" "$file"; then
      cp "$file" "$base$file"
    fi
  done
  cp -an /usr/share/keyrings/. "$base/usr/share/keyrings/"
  cp -an /etc/apt/trusted.gpg.d/. "$base/etc/apt/trusted.gpg.d/"
  cp -an /usr/local/share/ca-certificates/. "$base/usr/local/share/ca-certificates/" 2>/dev/null || true
  cp -L /etc/resolv.conf "$base/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$base/usr/sbin/policy-rc.d"  # No package starts a daemon.
  chmod 755 "$base/usr/sbin/policy-rc.d"
  within_root "$base" root "useradd --create-home --shell /bin/bash --password '*' tester
    update-ca-certificates && apt-get update" >>"$base.log" 2>&1 || { tail "$base.log" >&2; skip "apt does not work there"; }
  touch "$base.done"
}

# make_root FOLDER: a fresh copy.
make_root() {
  rm -rf --one-file-system "$1"
  cp -a --reflink=auto "$base" "$1"
}

# within_root ROOT USER SCRIPT: by sh, with the few mounts that every program expects.
within_root() {
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child "${clean[@]}" sh -c '
    mount -t proc proc "$1/proc"
    mount -t tmpfs -o mode=755 dev "$1/dev"
    for node in null:3 zero:5 random:8 urandom:9; do mknod -m 666 "$1/dev/${node%:*}" c 1 "${node#*:}"; done
    ln -s /proc/self/fd "$1/dev/fd"
    mkdir "$1/dev/shm"
    mount -t tmpfs -o mode=1777 shm "$1/dev/shm"
    exec chroot --userspec="$2" "$1" env HOME="$([ "$2" = root ] && echo /root || echo "/home/$2")" sh -c "$3"' \
    sh "$1" "$2" "$3" </dev/null
}
