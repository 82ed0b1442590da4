#!/usr/bin/env bash
# The proxy beside real Nginx, in one run: the same uploads through each of them to the same sink, in
# interleaved rounds, over loopback. Called by `make bench`; leaves nothing running.
#
#   nginx         Debian's, streaming (proxy_request_buffering off), keep-alive both ways, access log on
#   capture off   kingtide-proxy
#   capture on    kingtide-proxy, recording
#
# Printed: CPU us per request (user + system, all of the server's own processes and threads, with what it
# still writes after the load), its ratio to nginx, p50 and p99 latency, peak resident memory. The load is a
# closed loop that saturates the machine it shares with the servers, so latency compares servers within one
# run and says nothing about a server that is not saturated.
set -euo pipefail
cd "$(dirname "$0")/.."

ROUNDS=${BENCH_ROUNDS:-4}
SECONDS_PER_ROUND=${BENCH_SECONDS:-1}
CONNECTIONS=${BENCH_CONNECTIONS:-32}
SIZES=${BENCH_SIZES:-2048 51200 204800 2097152}
BIN=target/release
TICKS_PER_S=$(getconf CLK_TCK)
CORES=$(nproc)

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

need_programs() {
  local missing=()
  command -v wrk >/dev/null || missing+=(wrk)
  command -v nginx >/dev/null || missing+=(nginx-light)
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  say '****************************************************************'
  say "SKIPPED: the proxy beside nginx, for want of: ${missing[*]}"
  say "install and run again: sudo apt-get install --no-install-recommends ${missing[*]}"
  say '****************************************************************'
  exit 0
}

need_programs
for program in "$BIN/kingtide-proxy" "$BIN/kingtide" "$BIN/examples/sink"; do
  [ -x "$program" ] || die "$program is missing; run: make bench"
done

WORK=$(mktemp -d)
chmod 755 "$WORK"
LOGS=$WORK
. demo/servers.sh
. bench/nginx.sh
. bench/recorder.sh
cleanup() {
  end_servers
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
ulimit -n 8192 2>/dev/null || true

declare -A AT SERVER # by server: its URL, its main process

# The server's processes: the main one and its children.
processes() { printf '%s ' "$1" "$(cat "/proc/$1/task/"*/children 2>/dev/null || true)"; }

cpu_ticks() { # PID
  local pid total=0 fields
  for pid in $(processes "$1"); do
    fields=$(sed 's/^.*) //' "/proc/$pid/stat")
    total=$((total + $(awk '{ print $12 + $13 }' <<<"$fields")))
  done
  echo "$total"
}

# Ticks when the server has come to rest: the writer flushes within a second.
cpu_ticks_at_rest() { # NAME
  if [ "$1" = on ]; then sleep 1.2; else sleep 0.1; fi
  cpu_ticks "${SERVER[$1]}"
}

reset_peak_memory() { local pid; for pid in $(processes "$1"); do echo 5 >"/proc/$pid/clear_refs" 2>/dev/null || true; done; }
peak_memory_kb() { local pid; for pid in $(processes "$1"); do sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status"; done | awk '{ s += $1 } END { print s }'; }

load() { # NAME BYTES SECONDS; prints: requests µs p50 p99 errors
  BODY_BYTES=$2 wrk --threads 1 --connections "$CONNECTIONS" --duration "$3s" --timeout 10s --latency \
    --script bench/upload.lua "${AT[$1]}" | sed -n 's/^result //p'
}

# One round of one server: size server requests ticks p50 p99 errors rss
round() { # NAME BYTES
  local before after result peak requests p50 p99 errors _us
  before=$(cpu_ticks "${SERVER[$1]}")
  reset_peak_memory "${SERVER[$1]}"
  result=$(load "$1" "$2" "$SECONDS_PER_ROUND")
  peak=$(peak_memory_kb "${SERVER[$1]}")
  after=$(cpu_ticks_at_rest "$1")
  read -r requests _us p50 p99 errors <<<"$result"
  echo "$2 $1 $requests $((after - before)) $p50 $p99 $errors $peak" >>"$WORK/rounds"
}

table() {
  awk -v ticks_per_s="$TICKS_PER_S" '
    { key = $1 " " $2; requests[key] += $3; ticks[key] += $4; errors += $7
      p50[key] = p50[key] " " $5; p99[key] = p99[key] " " $6
      one = $3 ? $4 / ticks_per_s * 1e6 / $3 : 0
      if (!(key in low) || one < low[key]) low[key] = one
      if (one > high[key]) high[key] = one
      if ($8 > rss[key]) rss[key] = $8
      if (!($1 in seen)) { seen[$1] = 1; sizes[++n] = $1 } }
    function median(list,   values, count, i, j, swap) {
      count = split(list, values, " ")
      for (i = 2; i <= count; i++) for (j = i; j > 1 && values[j] + 0 < values[j - 1] + 0; j--) {
        swap = values[j]; values[j] = values[j - 1]; values[j - 1] = swap }
      return count % 2 ? values[(count + 1) / 2] : (values[count / 2] + values[count / 2 + 1]) / 2 }
    END {
      printf "%8s  %-11s %9s %17s %8s %8s %9s %9s %8s\n", "body", "server", "CPU us", "(rounds)",
        "x nginx", "x off", "p50 ms", "p99 ms", "RSS MB"
      split("nginx off on", servers, " ")
      label["nginx"] = "nginx"; label["off"] = "capture off"; label["on"] = "capture on"
      for (i = 1; i <= n; i++) for (s = 1; s <= 3; s++) {
        key = sizes[i] " " servers[s]
        cpu[key] = ticks[key] / ticks_per_s * 1e6 / requests[key]
        off = s == 3 ? sprintf("%.2f", cpu[key] / cpu[sizes[i] " off"]) : ""
        printf "%8d  %-11s %9.1f %17s %8.2f %8s %9.2f %9.2f %8.1f\n", sizes[i], label[servers[s]], cpu[key],
          sprintf("(%.1f-%.1f)", low[key], high[key]), cpu[key] / cpu[sizes[i] " nginx"], off,
          median(p50[key]) / 1000, median(p99[key]) / 1000, rss[key] / 1024 }
      printf "requests that failed: %d\n", errors }' "$WORK/rounds"
}

print_ledger() {
  close_capture on "${SERVER[on]}"
  local recorded counts
  recorded=$(ledger_count recorded)
  counts=$(ledger | grep -E '^(accepted|recorded|shed_queue|shed_disk|shed_budget|too_late) ' | paste -sd ' ')
  echo "capture: $counts; $(($(exchange_bytes) / (recorded > 0 ? recorded : 1))) bytes per exchange on disk"
}

start sink "$BIN/examples/sink"
SINK=$URL
start_nginx off
AT[nginx]=$URL SERVER[nginx]=$PID
start_proxy off "$SINK" false
AT[off]=$URL SERVER[off]=$PID
start_proxy on "$SINK" true
AT[on]=$URL SERVER[on]=$PID

say "load before the run: $(cut -d ' ' -f 1-3 /proc/loadavg)"
for server in nginx off on; do load "$server" 51200 1 >/dev/null; done
for size in $SIZES; do
  say "$size bytes, $ROUNDS rounds"
  for _ in $(seq "$ROUNDS"); do
    for server in nginx off on; do round "$server" "$size"; done
  done
done

echo
echo "wrk --threads 1 --connections $CONNECTIONS --duration ${SECONDS_PER_ROUND}s --script bench/upload.lua, $ROUNDS rounds"
echo "$CORES cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r), $(nginx -v 2>&1 | sed 's/.*: //')"
table
print_ledger
