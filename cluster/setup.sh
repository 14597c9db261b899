# Sourced by the other scripts: makes sure that the distribution's packages and a Swift toolchain are there.
# Idempotent; says what it installs; uses sudo when not root.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

say() { printf '\033[1m%s\033[0m\n' "greensweep: $*" >&2; }
die() { say "$*"; exit 1; }

# Sets `python` to one in .build/NAME that has the modules, from PyPI's packages; only comparisons with others need it.
python_with() {
  local folder=.build/$1 modules=$2
  shift 2
  python=$folder/venv/bin/python
  if "$python" -c "import $modules" 2>/dev/null; then return; fi
  say "installing $* into $folder"
  python3 -m venv "$folder/venv" || die "python3 cannot make a venv: apt-get install python3-venv"
  "$python" -m pip install --quiet --disable-pip-version-check "$@"
}

required_packages=(
  libopenblas-dev libzstd-dev libevent-dev libssl-dev libsqlite3-dev libjpeg-dev libpng-dev libyaml-dev pkg-config
)
# oneDNN is what makes x86-64 fast. Where the distribution has none, the OpenBLAS backend serves.
optional_packages=(libdnnl-dev)
# A script that needs more names it in `extra_packages` before it sources this one.
required_packages+=("${extra_packages[@]}")

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "need root to run '$*': run it yourself, or install sudo"; fi
}

is_installed() { [ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = "install ok installed" ]; }

install_packages() {
  command -v apt-get >/dev/null || die "this set-up knows Debian's and Ubuntu's apt only; install the equivalents of: \
${required_packages[*]} ${optional_packages[*]}"
  local missing=() package
  for package in "${required_packages[@]}" "${optional_packages[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "refreshing the package lists (apt-get update)"
  as_root apt-get update -qq || die "apt-get update failed: check the network and /etc/apt/sources.list"
  local wanted=()
  for package in "${missing[@]}"; do
    if apt-cache show "$package" >/dev/null 2>&1; then wanted+=("$package")
    elif [[ " ${optional_packages[*]} " == *" $package "* ]]; then
      say "$package is not in this distribution: going on without it (the OpenBLAS backend will be used)"
    else die "$package is not in this distribution's package lists"; fi
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  say "installing ${wanted[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${wanted[@]}" >/dev/null \
    || die "apt-get could not install ${wanted[*]}: run it by hand to see why"
}

check_swift() {
  local candidate version
  if ! command -v swift >/dev/null; then
    for candidate in /opt/swift/usr/bin /opt/swift/bin /usr/share/swift/usr/bin "$HOME/.local/share/swiftly/bin"; do
      if [ -x "$candidate/swift" ]; then PATH="$candidate:$PATH"; break; fi
    done
  fi
  command -v swift >/dev/null \
    || die "no 'swift' in PATH: install Swift 6.2 or newer from https://www.swift.org/install/linux/ and try again"
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' | head -n 1)
  [ -n "$version" ] || die "'swift --version' did not say its version: is the toolchain complete?"
  if [ "${version%%.*}" -lt 6 ] || { [ "${version%%.*}" = 6 ] && [ "${version#*.}" -lt 2 ]; }; then
    die "Swift $version is too old: install 6.2 or newer from https://www.swift.org/install/linux/ and try again"
  fi
}

# A disk that fills up later shows in stranger ways.
check_room() {
  local folder free
  for folder in . "${TMPDIR:-/tmp}"; do
    free=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge 2048 ] || die "only $free MB are free in $folder: building and running needs 2048 there; free some, \
or set TMPDIR to a folder on another disk"
  done
}

check_room
install_packages
check_swift
