#!/bin/sh
# A stand-in for Redis: holds some memory, answers PING, and logs background saves the way Redis does.
# shellcheck disable=SC3028 # busybox's ash has RANDOM
log() { printf '%s:%s %s %s %s\n' "$1" "$2" "$(date -u '+%d %b %Y %H:%M:%S.000')" "$3" "$4"; }
nap() { sleep "$1" & wait $!; }

dd if=/dev/zero of=/run/dataset bs=1M count=6 2>/dev/null
log 1 C '#' 'oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo'
log 1 C '#' 'Redis version=7.0.15, bits=64, commit=00000000, modified=0, pid=1, just started'
log 1 M '*' 'Running mode=standalone, port=6379.'
log 1 M '#' 'Server initialized'
log 1 M '*' 'Ready to accept connections'
trap 'log 1 signal-handler "#" "Received SIGTERM scheduling shutdown..."; log 1 M "#" "Redis is now ready to exit, bye bye..."; exit 0' TERM
nc -ll -p 6379 -e /opt/sandbox/answer.sh &

child=20
while :; do
  nap 15
  child=$((child + 1))
  log 1 M '*' "$((RANDOM % 400 + 100)) changes in 60 seconds. Saving..."
  log 1 M '*' "Background saving started by pid $child"
  log "$child" C '*' 'DB saved on disk'
  log 1 M '*' 'Background saving terminated with success'
done
