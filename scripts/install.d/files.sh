# shellcheck shell=bash
# What an installed OpsBot consists of and where it is, for scripts/install and scripts/uninstall; and how they act.
# shellcheck disable=SC2034,SC2154 # used by the scripts that read this, which set dry

programs=(opsbot opsbot-docker-helper)
units=(opsbot.service opsbot-docker-helper.socket opsbot-docker-helper.service)
enabled=(opsbot-docker-helper.socket opsbot.service)
bin_dir=/usr/local/bin
# Not /etc: what a person changes there (systemctl edit) goes before ours and is never overwritten.
unit_dir=/usr/local/lib/systemd/system
sysusers_dir=/usr/lib/sysusers.d
config_dir=/etc/opsbot
state_dir=/var/lib/opsbot

# Sets dest (empty for this machine) and systemd (1 where it runs and is to be told).
set_destination() {
  dest='' systemd=0
  if [ -z "${DESTDIR:-}" ]; then
    [ ! -d /run/systemd/system ] || systemd=1
    return
  fi
  dest=$(realpath -m -- "$DESTDIR")
  [ "$dest" != / ] || die 2 'DESTDIR=/ is this machine: leave it out'
}

need_root() {
  [ -n "$dest" ] || [ "$dry" = 1 ] || [ "$(id -u)" = 0 ] || have sudo || die 3 'this needs root'
}

# act COMMAND…: runs it, as root where the real machine is meant; with --dry-run it is only said
act() {
  if [ "$dry" = 1 ]; then
    printf '%s\n' "$*"
  elif [ -n "$dest" ]; then
    "$@"
  else
    as_root "$@"
  fi
}

# owned GROUP: the options that make root and GROUP the owners; none below a staging folder, where accounts mean nothing
owned() { [ -n "$dest" ] || printf '%s\n' --owner=root "--group=$1"; }

# put SOURCE TARGET MODE GROUP: a file in its place, if it is not there like that; replaced in one step
put() {
  local target=$dest$2 owner
  if [ -f "$target" ] && cmp -s "$1" "$target" && [ "$(stat -c %a "$target")" = "$3" ]; then
    return
  fi
  if [ "$dry" = 1 ]; then
    printf 'put %s (mode %s, root:%s)\n' "$target" "$3" "$4"
    return
  fi
  mapfile -t owner < <(owned "$4")
  [ -d "${target%/*}" ] || act install -d -m 755 "${target%/*}"
  act install "${owner[@]}" -m "$3" "$1" "$target.new"
  act mv -f "$target.new" "$target"
}

# folder PATH MODE GROUP
folder() {
  local owner
  mapfile -t owner < <(owned "$3")
  act install -d "${owner[@]}" -m "$2" "$dest$1"
}
