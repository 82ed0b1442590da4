#!/usr/bin/env bash
# What recording costs on a classroom's traffic: the same students visit two proxies at the same time, one that
# records and one that does not, each before a service of its own. Called by `make bench`; loopback only, leaves nothing
# running.
#
# Printed, for a small class and for a school: CPU us per request of each proxy (user + system of all its threads, with
# what the writer still writes after the last answer), their ratio, bytes per exchange on disk, the ledger. Uploads are
# 50 KB to 2 MB, paced as the students' links are.
set -euo pipefail
cd "$(dirname "$0")/.."

ROUNDS=${BENCH_CLASS_ROUNDS:-2}
SECONDS_PER_ROUND=${BENCH_CLASS_SECONDS:-20}
CLASSES=${BENCH_CLASSES:-60 600} # students of a round
SEED=7
BIN=target/release
CORES=$(nproc)

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

for program in "$BIN/kingtide-proxy" "$BIN/classroom"; do
  [ -x "$program" ] || die "$program is missing; run: make bench"
done

WORK=$(mktemp -d)
LOGS=$WORK
. demo/servers.sh
. bench/recorder.sh
cleanup() {
  end_servers
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
ulimit -n 8192 2>/dev/null || true

declare -A AT SERVER # by proxy: its URL, its process

# A proxy before a service of its own: start_edge NAME RECORD
start_edge() {
  start "service-$1" "$BIN/classroom" serve --listen 127.0.0.1:0 --seed "$SEED" --store-ms 50..200 --auth-ms 2 --db-ms 5
  start_proxy "$1" "$URL" "$2"
  AT[$1]=$URL SERVER[$1]=$PID
}

# Nanoseconds that the threads of a process have run: they live as long as it.
cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ s += $1 } END { printf "%.0f\n", s }'; }

visit() { # NAME STUDENTS
  "$BIN/classroom" students --target "${AT[$1]}" --count "$2" --duration "$SECONDS_PER_ROUND" --seed "$SEED" --think 0.2..1 \
    --bursts --json "$WORK/$1.json" >"$WORK/students-$1.log" 2>&1 || die "students failed: $(tail -n 3 "$WORK/students-$1.log")"
}

class() { # STUDENTS
  local students=$1 off on requests
  rm -rf "$WORK/capture"
  start_edge off false
  start_edge on true
  off=$(cpu_ns "${SERVER[off]}") on=$(cpu_ns "${SERVER[on]}")
  for _ in $(seq "$ROUNDS"); do
    visit off "$students" &
    visit on "$students"
    wait $! || exit 1
  done
  sleep 1.2 # the writer flushes within a second
  off=$(($(cpu_ns "${SERVER[off]}") - off)) on=$(($(cpu_ns "${SERVER[on]}") - on))
  close_capture on "${SERVER[on]}"
  requests=$(ledger_count accepted)
  end_servers
  PIDS=()
  awk -v students="$students" -v requests="$requests" -v recorded="$(ledger_count recorded)" -v off="$off" -v on="$on" \
    -v bytes="$(exchange_bytes)" 'BEGIN {
      printf "%8d  %8d  %8d  %11.1f  %10.1f  %6.3f  %18.1f\n", students, requests, recorded, off / requests / 1000,
        on / requests / 1000, on / off, bytes / recorded }' >>"$WORK/rows"
}

say "load before the run: $(cut -d ' ' -f 1-3 /proc/loadavg)"
for students in $CLASSES; do
  say "$students students, $ROUNDS rounds of $SECONDS_PER_ROUND s and more, at both proxies at the same time"
  class "$students"
done
echo
echo "classroom students --duration $SECONDS_PER_ROUND --think 0.2..1 --bursts, $ROUNDS rounds, $CORES cores"
printf '%8s  %8s  %8s  %11s  %10s  %6s  %18s\n' students requests recorded 'CPU us off' 'CPU us on' on/off 'bytes per exchange'
cat "$WORK/rows"
