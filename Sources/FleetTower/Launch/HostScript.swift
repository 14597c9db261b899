import Transport
import Wording

/// The scripts that a host's shell runs, each a value. They need what every Linux host has: sh, coreutils, tar, gzip.
/// No secret is part of any: tokens and packages come over standard input.
///
/// Everything on the host lies in `~/.greensweep/NAME`, readable for its user only:
///
///     app-DIGEST/   an unpacked package
///     token         the worker's token
///     call          the arguments that the worker is started with
///     run           starts it; what systemd calls too
///     pid, log      of the worker
///     cache/        its data sets, models and checkpoints, unless the hosts file has another place
enum HostScript {
  /// Variables and functions for all scripts.
  private static func prelude(_ name: String) -> String {
    """
    umask 077
    name=\(name.shellQuoted)
    home=$HOME/.greensweep/$name
    unit=greensweep-$name.service
    units=$HOME/.config/systemd/user
    export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
    fail() { echo "$*" >&2; exit 1; }
    has_units() { command -v systemctl >/dev/null && systemctl --user show-environment >/dev/null 2>&1; }
    running() {
      pid=$(cat "$home/pid" 2>/dev/null) && exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 1
      case $exe in "$(cd "$home" && pwd -P)"/app-*) ;; *) return 1 ;; esac
    }
    last_words() { tail -n 1 "$home/log" 2>/dev/null | cut -c 1-300; }

    """
  }

  /// Prints lines for `HostSurvey`, and changes nothing.
  /// - Parameters:
  ///   - cache: the folder of the worker's cache, if it is a place of its own.
  ///   - coordinator: where to try to connect to; nil tries nothing.
  static func survey(_ name: String, cache: String?, coordinator: Endpoint?) -> String {
    var script =
      prelude(name) + """
        say() { echo "greensweep-$*"; }
        say architecture "$(uname -m)"
        library=$(getconf GNU_LIBC_VERSION 2>/dev/null) && say library "$library"
        place=$home
        while [ ! -d "$place" ]; do place=$(dirname "$place"); done
        say free "$(df -Pk "$place" | tail -n 1 | { read -r device size used free rest; echo "$free"; })"
        [ -w "$place" ] && say writable yes
        say clock "$(date +%s)"
        for app in "$home"/app-*; do [ -x "$app/bin/greensweep" ] && say package "${app##*/app-}"; done
        if running; then running=${exe#*/app-}; say running "${running%%/*}"; fi
        [ -f "$home/token" ] && say token "$(sha256sum <"$home/token" | cut -d ' ' -f 1)"
        [ -f "$home/call" ] && say call "$(cat "$home/call")"
        cache=\((cache ?? "").shellQuoted)
        [ -f "${cache:-$home/cache}/worker-id" ] && say worker "$(cat "${cache:-$home/cache}/worker-id")"

        """
    if let coordinator {
      script += """
        if command -v bash >/dev/null && command -v timeout >/dev/null; then
          said=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' \(coordinator.host.shellQuoted) \(coordinator.port) 2>&1)
          case $? in
          0) say coordinator yes ;;
          124) say coordinator no answer within 5 s ;;
          *) said=$(echo "$said" | tail -n 1); say coordinator "${said##*: }" ;;
          esac
        fi

        """
    }
    return script + "exit 0"
  }

  /// Unpacks the package that comes over standard input, wholly or not at all.
  static func receive(_ package: LaunchPackage, for name: String) -> String {
    prelude(name) + """
      mkdir -p "$home" && cd "$home" || exit 1
      trap 'rm -rf arriving arriving.tar.gz' EXIT
      rm -rf arriving
      cat >arriving.tar.gz || exit 1
      [ "$(sha256sum <arriving.tar.gz)" = "\(package.digest)  -" ] || fail "the package has not arrived whole"
      mkdir arriving && tar -xzf arriving.tar.gz -C arriving --strip-components=1 || exit 1
      said=$(arriving/bin/greensweep --version 2>&1) || fail "the program does not run there: $said"
      rm -rf 'app-\(package.name)'
      mv arriving 'app-\(package.name)'
      """
  }

  /// Keeps the token that comes over standard input.
  static func takeToken(for name: String) -> String {
    prelude(name) + """
      mkdir -p "$home" && cat >"$home/token.new" && mv -f "$home/token.new" "$home/token"
      """
  }

  /// Starts the worker and waits until it has its name, which is printed for `HostSurvey`. As a unit of the user's
  /// systemd where there is one that stays when nobody is logged in, which restarts it; otherwise detached.
  static func start(_ wanted: WantedWorker) -> String {
    let name = wanted.host.name
    let unit = """
      [Unit]
      Description=Greensweep's worker \(name)

      [Service]
      ExecStart=/bin/sh "%h/.greensweep/\(name)/run"
      Restart=on-failure
      RestartSec=5
      TimeoutStopSec=40
      KillMode=mixed
      StandardOutput=append:%h/.greensweep/\(name)/log
      StandardError=inherit

      [Install]
      WantedBy=default.target
      """
    return prelude(name) + """
      cd "$home" || exit 1
      printf '%s\\n' \(wanted.call.shellQuoted) >call
      cat >run <<'RUN'
      cd "${0%/*}" || exit 1
      echo $$ >pid
      exec "$PWD/app-\(wanted.package.name)/bin/greensweep" \(wanted.call)
      RUN
      rm -f pid
      [ ! -f log ] || mv -f log log.old
      : >log
      stays() { [ "$(loginctl show-user "$(id -un)" --property Linger --value 2>/dev/null)" = yes ]; }
      if has_units && { stays || { loginctl enable-linger >/dev/null 2>&1; stays; }; }; then
        mkdir -p "$units"
        cat >"$units/$unit" <<'UNIT'
      \(unit)
      UNIT
        systemctl --user daemon-reload && systemctl --user enable --quiet "$unit" && systemctl --user restart "$unit" ||
          fail "systemd does not start it: $(systemctl --user status "$unit" 2>&1 | tail -n 1)"
      else
        setsid sh "$home/run" </dev/null >>log 2>&1 &
      fi
      cache=\((wanted.host.cache ?? "").shellQuoted)
      for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        sleep 0.2
        if running && [ -f "${cache:-cache}/worker-id" ]; then
          for app in app-*; do [ "$app" = 'app-\(wanted.package.name)' ] || rm -rf "$app"; done
          echo "greensweep-worker $(cat "${cache:-cache}/worker-id")"
          exit 0
        fi
        if [ -f pid ] && ! readlink "/proc/$(cat pid)/exe" >/dev/null; then break; fi
      done
      fail "the worker has ended: $(last_words)"
      """
  }

  /// Ends the worker, which hands its jobs back first, and sees to it that nothing starts it again.
  static func stop(_ name: String) -> String {
    prelude(name) + """
      if [ -f "$units/$unit" ] && has_units; then
        systemctl --user disable --now --quiet "$unit"
        rm -f "$units/$unit"
        systemctl --user daemon-reload
      fi
      if running; then
        kill -TERM "$pid"
        i=0
        while running && [ $i -lt 200 ]; do sleep 0.2; i=$((i + 1)); done
        ! running || kill -KILL "$pid"
      fi
      rm -f "$home/pid"
      """
  }

  /// Prints the last line of the worker's log.
  static func lastWords(_ name: String) -> String { prelude(name) + "last_words" }
}
