#!/usr/bin/env bash
# Slow uploads through the proxy beside real Nginx, one server after the other: clients that all hold an upload
# at once, and a small request every 50 ms beside them. Called by `make bench-slow`; leaves nothing running.
#
#   nginx streaming, buffered   Debian's, proxy_request_buffering off and on, access log on
#   off streaming, buffered     kingtide-proxy, request_buffering false and true
#   on streaming, buffered      kingtide-proxy, recording
#
# Printed: uploads that succeeded and failed, megabytes that the sink confirms, the server's peak resident memory
# and CPU, its descriptors before, at the most and after, latency of the small requests from the instant each was
# due: a GET on a new connection and an upload of 2 KB on a kept one.
set -euo pipefail
cd "$(dirname "$0")/.."

CONNECTIONS=${BENCH_CONNECTIONS:-1000}
BYTES=${BENCH_BYTES:-2000000}
RATE=${BENCH_RATE:-20000}
VARIANTS=${BENCH_VARIANTS:-nginx:streaming nginx:buffered off:streaming off:buffered on:streaming on:buffered}
PROXY=${BENCH_PROXY:-${CARGO_TARGET_DIR:-target}/release/kingtide-proxy}
BIN=${CARGO_TARGET_DIR:-target}/release
CORES=$(nproc)
# Client and server ends of each upload, and what the rest needs.
DESCRIPTORS=$((CONNECTIONS * 4 + 512))

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
load_average() { cut -d ' ' -f 1-3 /proc/loadavg; }

for program in "$PROXY" "$BIN/examples/sink" "$BIN/examples/slow_uploads"; do
  [ -x "$program" ] || die "$program is missing; run: make bench-slow"
done
ulimit -n "$DESCRIPTORS" 2>/dev/null || [ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge "$DESCRIPTORS" ] \
  || die "needs $DESCRIPTORS descriptors, may have $(ulimit -Hn); raise it: ulimit -Hn $DESCRIPTORS"
case $VARIANTS in *nginx*)
  command -v nginx >/dev/null || die 'nginx is missing; run: sudo apt-get install --no-install-recommends nginx-light' ;;
esac

WORK=$(mktemp -d)
chmod 755 "$WORK"
LOGS=$WORK
. demo/servers.sh
. bench/nginx.sh
cleanup() {
  end_servers
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

start_proxy() { # NAME RECORD REQUEST_BUFFERING
  mkdir -p "$WORK/spool"
  cat >"$WORK/$1.toml" <<TOML
[server]
listen = ["127.0.0.1:0"]
threads = $CORES
spool_directory = "$WORK/spool"
[[upstream]]
name = "sink"
peers = ["$SINK"]
[[route]]
name = "all"
upstream = "sink"
request_buffering = $3
[limits]
keepalive_requests = 1000000
[access_log]
path = "$WORK/access.log"
[capture]
enabled = $2
directory = "$WORK/capture-$1"
TOML
  start "$1" "$PROXY" --config "$WORK/$1.toml"
}

start_server() { # SERVER BODY
  case $1:$2 in
    nginx:streaming) start_nginx off ;;
    nginx:buffered) start_nginx on ;;
    off:streaming) start_proxy "$1-$2" false false ;;
    off:buffered) start_proxy "$1-$2" false true ;;
    on:streaming) start_proxy "$1-$2" true false ;;
    on:buffered) start_proxy "$1-$2" true true ;;
    *) die "no such variant: $1:$2; there are: nginx, off, on, each with :streaming or :buffered" ;;
  esac
}

# Ends the server; the capture's ledger is whole then: what was shed was not paid for.
end_server() { # NAME PID
  kill -TERM "$2" 2>/dev/null || true
  wait "$2" || say "$1 did not end well: $(tail -n 3 "$WORK/$1.err")"
  local manifest=$WORK/capture-$1/manifest.json
  if [ -f "$manifest" ]; then
    sed -n 's/^ *"\([a-z_]*\)": \([0-9]*\),\{0,1\}$/\1 \2/p' "$manifest" \
      | grep -E '^(accepted|recorded|shed_queue|shed_disk|shed_budget|too_late) ' | paste -sd ' ' >"$WORK/$1.ledger"
  fi
}

measure() { # SERVER BODY
  local name=$1-$2 pid
  start_server "$1" "$2"
  pid=$PID
  say "$1 $2: $CONNECTIONS uploads of $BYTES bytes at $RATE bytes/s; load $(load_average)"
  "$BIN/examples/slow_uploads" --target "${URL#http://}" --pid "$pid" \
    --connections "$CONNECTIONS" --bytes "$BYTES" --rate "$RATE" >"$WORK/$name.result" \
    || say "$name: something failed, or was interrupted"
  [ -s "$WORK/$name.result" ] || die "$name: no result"
  grep '^failure ' "$WORK/$name.result" | sed "s/^/bench: $name: /" >&2 || true
  say "$name: over; load $(load_average)"
  end_server "$name" "$pid"
  rm -rf "$WORK/body" "$WORK/access.log"
}

row() { # SERVER BODY
  awk -v server="$1" -v body="$2" '
    { value[$1] = $2 }
    END {
      printf "%-6s %-10s %5d %6d %8.1f %7.1f %7.1f %8.1f %5d %5d %5d", server, body, value["uploads_ok"],
        value["uploads_failed"], value["bytes_confirmed"] / 1e6, value["wall_s"], value["cpu_s"],
        value["rss_peak_mb"], value["descriptors_before"], value["descriptors_peak"], value["descriptors_after"]
      split("fresh kept", probes, " ")
      for (i = 1; i <= 2; i++) printf " %7.2f %7.2f %8.2f %4d", value[probes[i] "_ms_p50"], value[probes[i] "_ms_p99"],
        value[probes[i] "_ms_max"], value[probes[i] "_failed"]
      printf "\n" }' "$WORK/$1-$2.result"
}

table() {
  local variant
  printf '%-6s %-10s %5s %6s %8s %7s %7s %8s %17s %29s %29s\n' '' '' '' '' '' '' '' '' 'descriptors' \
    'GET, new connection, ms' '2 KB, kept connection, ms'
  printf '%-6s %-10s %5s %6s %8s %7s %7s %8s %5s %5s %5s %7s %7s %8s %4s %7s %7s %8s %4s\n' server body ok failed MB \
    'wall s' 'CPU s' 'RSS MB' before peak after p50 p99 max fail p50 p99 max fail
  for variant in $VARIANTS; do row "${variant%:*}" "${variant#*:}"; done
  for variant in $VARIANTS; do
    local name=${variant%:*}-${variant#*:}
    if [ -f "$WORK/$name.ledger" ]; then echo "capture, $name: $(cat "$WORK/$name.ledger")"; fi
  done
}

start sink "$BIN/examples/sink"
SINK=$URL
say "load before the run: $(load_average)"
for variant in $VARIANTS; do measure "${variant%:*}" "${variant#*:}"; done

echo
echo "$CONNECTIONS uploads of $BYTES bytes at $RATE bytes/s, begun within 10 s"
echo "$CORES cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)"
table
echo "load after the run: $(load_average)"
