#!/bin/sh
# A stand-in for PostgreSQL: holds some memory, answers a connection, and logs checkpoints, connections and a slow statement now and then.
# shellcheck disable=SC3028 # busybox's ash has RANDOM
pg() { printf '%s UTC [%s] %s:  %s\n' "$(date -u '+%Y-%m-%d %H:%M:%S.000')" "$1" "$2" "$3" >&2; }
nap() { sleep "$1" & wait $!; }

dd if=/dev/zero of=/run/shared_buffers bs=1M count=12 2>/dev/null
pg 1 LOG 'starting PostgreSQL 15.8 on x86_64-pc-linux-gnu, 64-bit'
pg 1 LOG 'listening on IPv4 address "0.0.0.0", port 5432'
pg 27 LOG 'database system was shut down cleanly'
pg 1 LOG 'database system is ready to accept connections'
trap 'pg 1 LOG "received fast shutdown request"; pg 1 LOG "database system is shut down"; exit 0' TERM
nc -ll -p 5432 -e /opt/sandbox/answer.sh &

turn=0
while :; do
  nap 5
  turn=$((turn + 1))
  case $((turn % 6)) in
    1) pg 25 LOG 'checkpoint starting: time' ;;
    2)
      n=$((RANDOM % 90 + 10))
      pg 25 LOG "checkpoint complete: wrote $n buffers (0.6%); 0 WAL file(s) added, 0 removed, 0 recycled; write=$((n / 10)).0$((n % 10)) s, sync=0.011 s, total=$((n / 10)).1$((n % 10)) s; sync files=$((n / 3)), longest=0.004 s, average=0.001 s; distance=$((n * 8)) kB, estimate=$((n * 9)) kB"
      ;;
    4) pg $((RANDOM % 900 + 100)) LOG "connection authorized: user=shop database=shop application_name=web" ;;
    5) pg $((RANDOM % 900 + 100)) LOG "duration: $((RANDOM % 180 + 250)).$((RANDOM % 900 + 100)) ms  statement: SELECT id, name, price FROM product WHERE name ILIKE '%rye%' ORDER BY rank LIMIT 50" ;;
  esac
done
