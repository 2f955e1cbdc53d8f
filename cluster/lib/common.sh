# shellcheck shell=bash
# What every program of this folder needs: where things are, how to speak, how to run a process
# that outlives the shell and how to find it again. Sourced, never run.
set -euo pipefail
shopt -s inherit_errexit # a failure inside $(…) is a failure

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${SHOP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shop-operator}
STATE=${SHOP_CLUSTER_STATE:-/var/lib/shop-operator-cluster}
BIN=$CACHE/bin
IMAGES=$CACHE/images
RUN=$STATE/run      # pid files; a program may choose another before its first process
LOG=$STATE/log
BOOT=$(cat /proc/sys/kernel/random/boot_id)
# shellcheck source=../versions
. "$HERE/versions"
# shellcheck source=alive.sh
. "$HERE/lib/alive.sh"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

need_root() { [ "$EUID" = 0 ] || die "this needs root: it makes network namespaces and mounts (try sudo)"; }

# Two commands at once would undo each other's work; the second waits. Children must not inherit
# the lock (9>&-), or it would be held for as long as they live.
one_at_a_time() { # DIRECTORY
  mkdir -p "$1"
  exec 9>"$1/.lock"
  flock -n 9 || { say "waiting for another command on $1"; flock 9; }
}

# Removes what a folder holds under some names. They are gone at once, or an interrupted removal would
# leave halves behind that look whole to the next command.
discard() { # DIRECTORY NAME...
  local from=$1 name bin
  shift
  bin=$(mktemp -d "$from/discarded.XXXXXX")
  for name; do [ ! -e "$from/$name" ] || mv "$from/$name" "$bin/"; done
  # What a killed engine has started may still write.
  eventually 15 rm -rf "$from"/discarded.* || die "$from/discarded.* cannot be removed"
}

# Waits until a command succeeds. Everything that takes time here is awaited this way.
eventually() { # SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}
await() { # SECONDS COMPLAINT COMMAND...
  local seconds=$1 complaint=$2
  shift 2
  eventually "$seconds" "$@" || die "$complaint"
}

# ---- packages ----

# Installs what is missing, from a list of PACKAGE=FILE, FILE being what the package is wanted for.
packages() {
  local missing=() item
  for item; do [ -e "${item#*=}" ] || missing+=("${item%%=*}"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]} (names of Debian packages; this system has no apt-get)"
  [ "$EUID" = 0 ] || die "missing packages, install them with: apt-get install --no-install-recommends ${missing[*]}"
  local policy=/usr/sbin/policy-rc.d log ours=
  log=$(mktemp)
  # Some of these packages start a server of their own, which would take its port: not now, not at boot.
  [ -e $policy ] || { ours=1; printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; }
  local ok=1
  alive "installing ${missing[*]}" "half a minute" logged "$log" apt_install "${missing[@]}" || ok=
  [ -z "$ours" ] || rm -f $policy
  [ -n "$ok" ] || { tail -20 "$log" >&2; die "apt-get could not install ${missing[*]}"; }
  rm -f "$log"
  if [ -d /run/systemd/system ]; then
    local unit
    for unit in containerd etcd postgresql redis-server; do
      case " ${missing[*]} " in *" $unit"*) systemctl disable -q "$unit" 2>/dev/null || true ;; esac
    done
  fi
}

apt_install() { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null; } # PACKAGE...

# ---- processes ----

born() { # PID: when it started, in ticks since boot; fails for the dead and for zombies
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) } # the name before it may hold spaces
  # shellcheck disable=SC2086
  set -- $stat
  [[ $1 != [ZX] ]] || return 1
  echo "${20}"
}

# Starts a process of its own session and records who it is: pid, birth and boot together name one
# process for ever, a pid alone may belong to somebody else tomorrow.
spawn() { # NAME COMMAND...
  local name=$1 file=$RUN/$1.pid
  shift
  mkdir -p "$RUN" "$LOG"
  rm -f "$file"
  # shellcheck disable=SC2016
  setsid bash -c 'echo $$ >"$1.new" && mv "$1.new" "$1"; shift; exec "$@"' _ "$file" "$@" \
    </dev/null >"$LOG/$name.log" 2>&1 9>&- &
  disown
  await 10 "$name did not start" test -s "$file"
  local pid
  pid=$(cat "$file")
  echo "$pid $(born "$pid" || echo gone) $BOOT" >"$file"
}

pid_of() { # NAME: prints the pid if the recorded process is alive and is still that process
  local pid birth boot
  read -r pid birth boot 2>/dev/null <"$RUN/$1.pid" || return 1
  [ "$boot" = "$BOOT" ] && [ "$(born "$pid")" = "$birth" ] || return 1
  echo "$pid"
}
running() { pid_of "$1" >/dev/null; }

gone() { ! running "$1"; }

halt() { # NAME [SECONDS]: asks, waits, insists
  local pid
  if pid=$(pid_of "$1"); then
    kill "$pid" 2>/dev/null || true
    if ! eventually "${2:-10}" gone "$1"; then
      kill -KILL "$pid" 2>/dev/null || true
      await 5 "$1 ($pid) does not end" gone "$1"
    fi
  fi
  rm -f "$RUN/$1.pid"
}

log_of() { tail -n "${2:-15}" "$LOG/$1.log" >&2 2>/dev/null || true; }

# Waits for a process to be ready; if it dies, its last words are the error.
ready() { # NAME SECONDS COMMAND...
  local name=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    running "$name" || { log_of "$name"; die "$name ended; its log is $LOG/$name.log"; }
    [ "$SECONDS" -lt "$deadline" ] || { log_of "$name"; die "$name is not ready; its log is $LOG/$name.log"; }
    sleep 0.05
  done
}

port_open() { (exec 3<>"/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null; }

port_free() { # PORT [ADDRESS]: an error that names who has it
  port_open "$@" || return 0
  local who
  who=$(ss -Htlnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:/users:/p') || true
  die "port $1 is taken${who:+ by $who}"
}

# ---- caching ----

digest() { # PATH...: of names and contents, the same in every clone
  (cd "$HERE" && find "$@" -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-16
}
