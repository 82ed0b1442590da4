#!/usr/bin/env bash
# The replayer beside oha and wrk2, in one run, on the machine that also holds the target. Called by `make bench-replay`;
# loopback only, leaves nothing running.
#
#   lag       200, 1,000 and 2,000 uploads of 2 KB per second: how late requests went out, and their latency from the
#             intended instant
#   service   the same against the sample service instead of the sink: it parses the form and refuses it with 401, as
#             nobody is logged in
#   cost      CPU us (user + system) of the generator per upload of 200 KB
#   many      10,000 uploads of 200 KB in flight at 5 KB/s each: peak resident memory
#   steady    ten minutes at 200 requests per second: resident memory, minute by minute
#
# BENCH_PARTS='lag cost' picks parts. kingtide replays one capture, amplified 1x, 5x and 10x, a connection per user;
# what it reads, plans and synthesises counts as its cost. oha and wrk2 send one prepared request over as many
# connections. A peer that is not on PATH is named and left out.
set -euo pipefail
cd "$(dirname "$0")/.."

PARTS=${BENCH_PARTS:-lag service cost many steady}
SECONDS_PER_RUN=${BENCH_SECONDS:-20}
ROUNDS=${BENCH_ROUNDS:-2}
MINUTES=${BENCH_MINUTES:-10}
BIN=target/release
UPLOAD_PATH=/api/students/upload-recording
BASE_CLIENTS=40 BASE_PER_S=5 # 200 requests per second at 1x
LAG_BYTES=2048 COST_BYTES=204800
LAG_MULTIPLES=${BENCH_MULTIPLES:-1 5 10}
COST_MULTIPLES=${BENCH_COST_MULTIPLES:-1 2}

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

for program in "$BIN/kingtide" "$BIN/classroom" "$BIN/examples/sink"; do
  [ -x "$program" ] || die "$program is missing; run: make bench-replay"
done
command -v jq >/dev/null || die 'jq is missing; run: sudo apt-get install --no-install-recommends jq'

PEERS=()
for peer in oha wrk2; do
  if command -v "$peer" >/dev/null; then PEERS+=("$peer"); else say "LEFT OUT: $peer, which is not on PATH"; fi
done

WORK=$(mktemp -d)
LOGS=$WORK
. demo/servers.sh
cleanup() {
  end_servers
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
ulimit -n "$(ulimit -Hn)"

# A capture of clients with steady traffic: capture NAME KEY=VALUE... (see bench/steady_log.awk)
capture() {
  local name=$1 setting settings=()
  shift
  for setting; do settings+=(-v "$setting"); done
  awk "${settings[@]}" -f bench/steady_log.awk | sort >"$WORK/$name.log"
  "$BIN/kingtide" import nginx "$WORK/$name.log" --out "$WORK/$name" --upload-part audio=audio/webm 2>"$WORK/$name.import" ||
    die "import failed: $(cat "$WORK/$name.import")"
}

# Runs a command, its CPU seconds (user + system) and peak resident KB into WORK/used: measured COMMAND...
measured() {
  local peak=0 now pid timer
  rm -f "$WORK/pid"
  # In a shell of its own: what the watching below takes is not the program's.
  (
    TIMEFORMAT='%U %S'
    time {
      "$@" >"$WORK/out" 2>"$WORK/err" &
      echo $! >"$WORK/pid"
      wait $! || true
    }
  ) 2>"$WORK/times" &
  timer=$!
  until [ -s "$WORK/pid" ]; do sleep 0.01; done
  pid=$(cat "$WORK/pid")
  while now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
    peak=$now
    sleep 0.5
  done
  wait "$timer"
  echo "$(awk 'END { print $1 + $2 }' "$WORK/times") $peak" >"$WORK/used"
}

replay() { # CAPTURE MULTIPLE; leaves WORK/run.json
  rm -rf "$WORK/run" # a run that fails must not show the one before it
  measured "$BIN/kingtide" replay "$WORK/$1" --target "$SINK" -x "$2" --out "$WORK/run"
  [ -s "$WORK/run/run.json" ] || die "replay failed: $(cat "$WORK/err")"
}

row() { printf '%8s  %6s  %-9s %9s  %23s  %23s  %9s  %7s  %s\n' "$@"; }

# kingtide at one multiple: a row.
kingtide_row() { # CAPTURE MULTIPLE BYTES
  replay "$1" "$2"
  local cpu peak rate lag latency verdict
  read -r cpu peak <"$WORK/used"
  jq -r --arg cpu "$cpu" --arg peak "$peak" '
    def three(d): [d.p50, d.p99, d.p999] | map((. // 0) * 100 | round / 100 | tostring) | join(" / ");
    [ (.sent / .duration_s | round | tostring), three(.lag_ms), three(.latency_ms),
      (($cpu | tonumber) * 1e6 / .sent | round | tostring), (($peak | tonumber) / 1024 | round | tostring),
      "\(.verdict), \(.failed) failed" ] | @tsv' "$WORK/run/run.json" >"$WORK/row"
  IFS=$'\t' read -r rate lag latency cpu peak verdict <"$WORK/row"
  row "$3" "$((200 * $2))" kingtide "$rate" "$lag" "$latency" "$cpu" "$peak" "$verdict"
}

# A peer at the same rate and over as many connections: a row.
oha_row() { # BYTES RATE CONNECTIONS
  measured oha --no-tui --output-format json -m POST -D "$WORK/body-$1" -T 'multipart/form-data; boundary=----KingtideBench' \
    -z "${SECONDS_PER_RUN}s" -q "$2" -c "$3" --latency-correction "$SINK$UPLOAD_PATH"
  local cpu peak rate lag latency verdict
  read -r cpu peak <"$WORK/used"
  jq -r --arg cpu "$cpu" --arg peak "$peak" '
    def ms: . * 1e5 | round / 100 | tostring;
    (.statusCodeDistribution | add) as $sent
    | [ (.summary.requestsPerSec | round | tostring), "-", (.latencyPercentiles | [.p50, .p99, .["p99.9"]] | map(ms) | join(" / ")),
        (($cpu | tonumber) * 1e6 / $sent | round | tostring), (($peak | tonumber) / 1024 | round | tostring),
        "\((.errorDistribution | add // 0) + ([.statusCodeDistribution | to_entries[] | select(.key | startswith("2") | not).value] | add // 0)) errors" ]
    | @tsv' "$WORK/out" >"$WORK/row" || true
  IFS=$'\t' read -r rate lag latency cpu peak verdict <"$WORK/row" || die "oha said nothing: $(cat "$WORK/err")"
  row "$1" "$2" oha "$rate" "$lag" "$latency" "$cpu" "$peak" "$verdict"
}

wrk2_row() { # BYTES RATE CONNECTIONS
  BODY_BYTES=$1 measured wrk2 --threads 1 --connections "$3" --duration "${SECONDS_PER_RUN}s" --rate "$2" --latency \
    --script bench/upload.lua "$SINK"
  local cpu peak requests us p50 p99 errors
  read -r cpu peak <"$WORK/used"
  read -r requests us p50 p99 errors < <(sed -n 's/^result //p' "$WORK/out") || die "it said nothing: $(cat "$WORK/err")"
  row "$1" "$2" wrk2 "$(awk -v r="$requests" -v us="$us" 'BEGIN { printf "%.0f", r / us * 1e6 }')" - \
    "$(awk -v a="$p50" -v b="$p99" 'BEGIN { printf "%.2f / %.2f", a / 1000, b / 1000 }')" \
    "$(awk -v c="$cpu" -v r="$requests" 'BEGIN { printf "%.0f", c * 1e6 / r }')" "$((peak / 1024))" "$errors errors"
}

# wrk as fast as it goes: what a request costs at least. Its latency is that of a closed loop.
wrk_row() { # BYTES CONNECTIONS
  command -v wrk >/dev/null || return 0
  BODY_BYTES=$1 measured wrk --threads 1 --connections "$2" --duration "${SECONDS_PER_RUN}s" --latency --script bench/upload.lua "$SINK"
  local cpu peak requests us p50 p99 errors
  read -r cpu peak <"$WORK/used"
  read -r requests us p50 p99 errors < <(sed -n 's/^result //p' "$WORK/out") || die "it said nothing: $(cat "$WORK/err")"
  row "$1" max wrk "$(awk -v r="$requests" -v us="$us" 'BEGIN { printf "%.0f", r / us * 1e6 }')" - 'closed loop' \
    "$(awk -v c="$cpu" -v r="$requests" 'BEGIN { printf "%.0f", c * 1e6 / r }')" "$((peak / 1024))" "$errors errors"
}

# side_by_side CAPTURE BYTES MULTIPLES: every program at each rate, in interleaved rounds.
side_by_side() {
  local multiple rate connections peer
  head -c "$2" /dev/urandom >"$WORK/body-$2"
  row bytes rate program 'sent/s' 'lag p50/p99/p99.9 ms' 'latency, the same' 'CPU us' 'RSS MB' ''
  for multiple in $3; do
    rate=$((200 * multiple)) connections=$((BASE_CLIENTS * multiple))
    for _ in $(seq "$ROUNDS"); do
      kingtide_row "$1" "$multiple" "$2"
      for peer in "${PEERS[@]}"; do "${peer}_row" "$2" "$rate" "$connections"; done
    done
  done
  wrk_row "$2" "$BASE_CLIENTS"
}

lag() {
  echo
  echo "lag: uploads of $LAG_BYTES bytes for $SECONDS_PER_RUN s to a sink that answers at once, $ROUNDS rounds"
  capture small clients=$BASE_CLIENTS per_s=$BASE_PER_S seconds="$SECONDS_PER_RUN" bytes=$LAG_BYTES took=0.001 spread=1
  side_by_side small $LAG_BYTES "$LAG_MULTIPLES"
}

service() {
  local SINK
  echo
  echo "service: uploads of $LAG_BYTES bytes for $SECONDS_PER_RUN s to the sample service on the same cores, $ROUNDS rounds"
  start classroom "$BIN/classroom" serve --listen 127.0.0.1:0 --store-ms 0 --auth-ms 0 --db-ms 0
  SINK=$URL
  capture small clients=$BASE_CLIENTS per_s=$BASE_PER_S seconds="$SECONDS_PER_RUN" bytes=$LAG_BYTES took=0.001 spread=1
  side_by_side small $LAG_BYTES "$LAG_MULTIPLES"
}

cost() {
  echo
  echo "cost: uploads of $COST_BYTES bytes for $SECONDS_PER_RUN s to a sink that answers at once, $ROUNDS rounds"
  capture large clients=$BASE_CLIENTS per_s=$BASE_PER_S seconds="$SECONDS_PER_RUN" bytes=$COST_BYTES took=0.001 spread=1
  side_by_side large $COST_BYTES "$COST_MULTIPLES"
}

many() {
  echo
  echo "many: 10,000 users with one upload of 200 KB each, at 5 KB/s, begun within 20 s"
  capture many clients=10000 per_s=0 seconds=0 bytes=204800 took=40 spread=20
  replay many 1
  local cpu peak
  read -r cpu peak <"$WORK/used"
  jq -r --arg cpu "$cpu" --arg peak "$peak" '
    "in flight at most \([.series[].in_flight] | max), done \(.done) of \(.planned), peak RSS \(($peak | tonumber) / 1024 | round) MB,"
    + " CPU \($cpu) s in \(.duration_s | round) s, lag p99 \(.lag_ms.p99) ms, \(.verdict) \(.reasons)"' "$WORK/run/run.json"
}

steady() {
  local seconds=$((MINUTES * 60)) pid rss
  echo
  echo "steady: 200 requests per second for $MINUTES minutes; resident MB of kingtide each minute"
  capture steady clients=$BASE_CLIENTS per_s=$BASE_PER_S seconds="$seconds" bytes=$LAG_BYTES took=0.001 spread=1
  rm -rf "$WORK/run"
  "$BIN/kingtide" replay "$WORK/steady" --target "$SINK" --out "$WORK/run" >"$WORK/out" 2>"$WORK/err" &
  pid=$!
  while rss=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null) && [ -n "$rss" ]; do
    printf '%s ' "$((rss / 1024))"
    for _ in $(seq 60); do kill -0 "$pid" 2>/dev/null && sleep 1 || break; done
  done
  echo
  wait "$pid" || true
  [ -s "$WORK/run/run.json" ] || die "replay failed: $(cat "$WORK/err")"
  jq -r '"\(.done) of \(.planned) done, lag p99 \(.lag_ms.p99) ms, \(.verdict)"' "$WORK/run/run.json"
}

start sink "$BIN/examples/sink"
SINK=$URL
say "load before the run: $(cut -d ' ' -f 1-3 /proc/loadavg)"
echo "$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)"
for part in $PARTS; do
  case $part in lag | service | cost | many | steady) "$part" ;; *) die "BENCH_PARTS: no part '$part'; there are lag, service, cost, many, steady" ;; esac
done
