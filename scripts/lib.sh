# shellcheck shell=bash
# What OpsBot's scripts share: messages, packages, waiting under a deadline, and processes that are ended only while they are still ours.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { # die CODE MESSAGE…
  local code=$1
  shift
  say "$@"
  exit "$code"
}
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: as it is, or through sudo.
root_prefix=()
[ "$(id -u)" = 0 ] || root_prefix=(sudo)
as_root() {
  [ ${#root_prefix[@]} = 0 ] || have sudo || die 3 "this needs root, and sudo is not installed: $*"
  "${root_prefix[@]}" "$@"
}

# missing_packages PACKAGE…: those that dpkg does not list as installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
  done
}

# need_packages PACKAGE…: installs the missing ones, after a look at the package lists only if that fails.
need_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  have apt-get || die 3 "missing: ${missing[*]}; this script installs them on Debian only, install their like by hand"
  say "installing Debian packages: ${missing[*]}"
  local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  as_root "${quiet[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { as_root "${quiet[@]}" update && as_root "${quiet[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null; } ||
    die 3 "could not install: ${missing[*]}"
}

# pip_download FOLDER: takes pinned requirements from standard input and checks their hashes; nothing of them is run.
need_pip() { python3 -m pip --version >/dev/null 2>&1 || need_packages python3-pip; }
pip_download() {
  python3 -m pip --disable-pip-version-check download --no-deps --only-binary :all: --require-hashes --quiet --progress-bar off -d "$1" -r /dev/stdin
}

# wait_for SECONDS WHAT COMMAND…: asks again until the command succeeds; past the deadline it says what did not happen.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      say "gave up waiting: $what"
      return 1
    fi
    sleep 0.2
  done
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A pid file holds "PID START", where START is the kernel's start time of that very process: a reused pid is never taken for it.
start_of() { # the 20th field after the command's closing parenthesis
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  [ "$1" != Z ] && printf '%s\n' "${20}"
}
note_pid() { # note_pid FILE PID
  local start
  start=$(start_of "$2") && printf '%s %s\n' "$2" "$start" >"$1"
}
pid_of() { # pid_of FILE: the pid, if that process still runs
  local pid start
  read -r pid start 2>/dev/null <"$1" && [ "$(start_of "$pid")" = "$start" ] && printf '%s\n' "$pid"
}
spawn() { # spawn PIDFILE LOG COMMAND…: a process of its own session, without our descriptors
  local file=$1 log=$2
  shift 2
  setsid "$@" </dev/null >"$log" 2>&1 9>&- &
  note_pid "$file" $! || true # it may have ended already: whoever waits for it says so
}
end_process() { # end_process FILE [SECONDS]: TERM, then KILL past the deadline; the file goes
  local file=$1 pid deadline=$((SECONDS + ${2:-15}))
  if pid=$(pid_of "$file"); then
    kill "$pid" 2>/dev/null || as_root kill "$pid" || true
    while pid_of "$file" >/dev/null; do
      if [ "$SECONDS" -ge "$deadline" ]; then
        kill -KILL "$pid" 2>/dev/null || as_root kill -KILL "$pid" || true
        deadline=$((SECONDS + 5))
      fi
      sleep 0.1
    done
  fi
  rm -f "$file"
}
