#!/bin/sh
# A small web shop front: serves pages and a health page, logs like nginx with an application behind it, can get stuck (signal USR1) and has the fault that a file names.
# shellcheck disable=SC3028 # busybox's ash has RANDOM
conf=/etc/app/app.conf
run=/run/app
stats=/var/stats/web.prom
ailing=/var/stats/fault
scratch=/run/uploads
requests=0 errors=0 stuck=0 conn=4700

now() { date -u '+%Y-%m-%dT%H:%M:%SZ'; }
app() { printf '[app] %s %s %s\n' "$(now)" "$1" "$2"; }
nap() { sleep "$1" & wait $!; }
count() {
  # shellcheck disable=SC2046 # two figures: size and free, in KiB
  set -- $(df -k /run | awk 'END { print $(NF - 4), $(NF - 2) }')
  printf 'sandbox_http_requests_total %s\nsandbox_http_errors_total %s\nsandbox_app_stuck %s\nsandbox_disk_size_bytes %s\nsandbox_disk_free_bytes %s\n' \
    "$requests" "$errors" "$stuck" $(($1 * 1024)) $(($2 * 1024)) >"$stats"
}

line=0 listen='' workers='' server=''
while IFS= read -r text; do
  line=$((line + 1))
  key=${text%% *} value=${text##* }
  case $key in
    listen | workers)
      case $value in
        '' | *[!0-9]*)
          app FATAL "config: $conf:$line: $key = \"$value\" is not a number; refusing to start" >&2
          exit 1
          ;;
      esac
      ;;
  esac
  case $key in
    listen) listen=$value ;;
    workers) workers=$value ;;
    server_name) server=$value ;;
  esac
done <"$conf"
: "${listen:=8080}" "${workers:=16}" "${server:=localhost}"

# A fresh process is a healthy one: whatever state the last one was in ends here.
# What it asks is another's, and stays as it is.
rm -rf "$run" "$scratch" && mkdir -p "$run/www" "$scratch"
grep -qsx 'memory-leak\|full-disk' "$ailing" && rm -f "$ailing"
echo "<h1>$server</h1>" >"$run/www/index.html"
ln -s /opt/sandbox/cgi-bin "$run/www/cgi-bin"
count
app INFO "starting: server_name=$server listen=$listen workers=$workers"
httpd -f -p "$listen" -h "$run/www" &
app INFO "ready: accepting connections on 0.0.0.0:$listen"

trap 'app INFO "signal 15 (SIGTERM) received, shutting down gracefully"; exit 0' TERM
trap 'stuck=1; : >"$run/stuck"' USR1

# access CLIENT REQUEST STATUS BYTES: one line of nginx's combined format, with the request's time.
access() {
  requests=$((requests + 1))
  printf '%s - - [%s] "%s" %s %s "https://%s/" "%s" rt=%s\n' "$1" "$(date -u '+%d/%b/%Y:%H:%M:%S +0000')" \
    "$2" "$3" "$4" "$server" "$agent" "$5"
}
visitor() {
  set -- 198.51.100 203.0.113 192.0.2
  shift $((RANDOM % 3))
  client=$1.$((RANDOM % 250 + 2))
  case $((RANDOM % 3)) in
    0) agent='Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0' ;;
    1) agent='Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15' ;;
    2) agent='Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36' ;;
  esac
}
calm() {
  case $((RANDOM % 6)) in
    0) access "$client" 'GET / HTTP/1.1' 200 5120 0.012 ;;
    1) access "$client" "GET /product/$((RANDOM % 400)) HTTP/1.1" 200 $((RANDOM % 9000 + 2000)) 0.031 ;;
    2) access "$client" 'GET /static/app.css HTTP/1.1' 304 0 0.001 ;;
    3) access "$client" 'POST /cart HTTP/1.1' 302 0 0.044 ;;
    4) access "$client" "GET /search?q=rye HTTP/1.1" 200 $((RANDOM % 9000 + 2000)) 0.058 ;;
    5) access "$client" 'GET /favicon.ico HTTP/1.1' 404 153 0.001 ;;
  esac
}
burst() {
  conn=$((conn + 1)) errors=$((errors + 1))
  case $((RANDOM % 3)) in
    0) path=/checkout ;; 1) path=/cart ;; 2) path=/ ;;
  esac
  printf '%s [error] 12#12: *%s connect() failed (111: Connection refused) while connecting to upstream, client: %s, server: %s, request: "GET %s HTTP/1.1", upstream: "http://127.0.0.1:9000%s", host: "%s"\n' \
    "$(date -u '+%Y/%m/%d %H:%M:%S')" "$conn" "$client" "$server" "$path" "$path" "$server" >&2
  access "$client" "GET $path HTTP/1.1" 502 157 0.003
}
# One more mebibyte that nothing frees, up to what fits below the limit.
leak() {
  calm
  if [ "$leaked" -lt 28 ]; then
    leaked=$((leaked + 1))
    eval "kept_$leaked=\$(head -c 1048576 /dev/zero | tr '\\0' x)"
  else
    app WARN "heap at its limit: $leaked MiB of session objects are still referenced, collecting frees nothing" >&2
  fi
}
# Two more mebibytes on the scratch disk, until there is no room.
fill() {
  calm
  file=$scratch/upload-$turn.tmp
  if ! message=$(dd if=/dev/zero of="$file" bs=65536 count=32 2>&1); then
    errors=$((errors + 1))
    message=$(printf '%s' "$message" | grep -m 1 -o 'No space left on device')
    app ERROR "cannot write $file: ${message:-write failed}" >&2
    access "$client" 'POST /upload HTTP/1.1' 500 170 0.004
  fi
}
# Half of the requests are answered late, half not at all.
crawl() {
  conn=$((conn + 1))
  if [ $((turn % 2)) = 0 ]; then
    access "$client" "GET /search?q=rye HTTP/1.1" 200 $((RANDOM % 9000 + 2000)) "$((RANDOM % 4 + 5)).$((RANDOM % 900 + 100))"
  else
    errors=$((errors + 1))
    printf '%s [error] 12#12: *%s upstream timed out (110: Operation timed out) while reading response header from upstream, client: %s, server: %s, request: "GET /checkout HTTP/1.1", upstream: "http://payments.internal:9000/checkout", host: "%s"\n' \
      "$(date -u '+%Y/%m/%d %H:%M:%S')" "$conn" "$client" "$server" "$server" >&2
    access "$client" 'GET /checkout HTTP/1.1' 504 160 10.001
  fi
}
# peer NAME PORT: one short exchange with a service this one depends on; a warning in the log when it is not there.
peer() {
  answer=$(printf 'PING\r\n' | timeout 2 nc -w 1 "$1" "$2" 2>&1) && [ -n "$answer" ] && return
  app WARN "dependency $1:$2 does not answer: ${answer:-connection closed}" >&2
}

turn=0 leaked=0
while :; do
  visitor
  fault=''
  [ ! -s "$ailing" ] || read -r fault <"$ailing"
  if [ "$stuck" != 1 ] && [ -n "$fault" ]; then
    case $fault in
      memory-leak) leak ;;
      full-disk) fill ;;
      slow-upstream) crawl ;;
    esac
    count
    nap 0.4
  elif [ "$stuck" = 1 ]; then
    burst
    [ $((turn % 8)) = 0 ] &&
      app ERROR "worker pool exhausted: $workers of $workers workers blocked on a lock, upstream 127.0.0.1:9000 refuses connections" >&2
    count
    nap 0.5
  else
    calm
    [ $((turn % 30)) = 29 ] && app INFO "cache: hits=$((turn * 7)) misses=$((turn / 3)) workers_busy=$((RANDOM % 4))/$workers"
    [ $((turn % 4)) = 3 ] && [ "${OPSBOT_SANDBOX_PEERS:-0}" = 1 ] && peer redis 6379 && peer db 5432
    count
    nap 2
  fi
  turn=$((turn + 1))
done
