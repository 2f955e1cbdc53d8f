# shellcheck shell=bash
# Long steps say how long they usually take, and every half a minute that they go on. Sourced, by the scripts of all folders.

# Runs a command. What it takes is a text, since a first time takes longer than the next.
alive() { # WHAT USUALLY COMMAND...
  local what=$1 usually=$2 begun=$SECONDS parent=$BASHPID every=${ALIVE_EVERY:-30} beat status errexit=
  shift 2
  printf '%s: usually %s\n' "$what" "$usually" >&2
  # Nothing that waits for the end of our output, or for a lock of ours, may have to wait for this.
  while sleep $((every < 5 ? every : 5)) 3>&- && kill -0 "$parent"; do
    [ $((SECONDS - begun)) -lt "${next:=$every}" ] || {
      printf '%s: %d s so far, usually %s\n' "$what" $((SECONDS - begun)) "$usually" >&3
      next=$((next + every))
    }
  done </dev/null 3>&2 >/dev/null 2>&1 8>&- 9>&- &
  beat=$!
  [[ $- != *e* ]] || errexit=1
  # Not in a condition: errexit would be off inside.
  set +e
  (set -e; "$@")
  status=$?
  [ -z "$errexit" ] || set -e
  kill "$beat" 2>/dev/null
  wait "$beat" 2>/dev/null || true
  [ "$status" != 0 ] || [ $((SECONDS - begun)) -lt 10 ] || printf '%s: done after %d s\n' "$what" $((SECONDS - begun)) >&2
  return "$status"
}

# Its words go into a log; it holds no lock of ours, whatever it leaves behind.
logged() { "${@:2}" >"$1" 2>&1 8>&- 9>&-; } # LOG COMMAND...
