#!/usr/bin/env bash
# `kingtide capacity` against services of known capacity, in one run, on the machine that also holds the service. Called
# by `make bench-capacity`; loopback only, leaves nothing running.
#
#   truth      five settings of the sample service: the estimate beside the capacity that follows from its slots, its
#              pool and its times (the utilisation law: `classroom capacity`)
#   faults     each fault of the sample service: what the search calls it, and what it suspects
#   throttled  the generator shares one core with busy loops of higher priority: no number may come of it
#
# BENCH_PARTS='truth faults' picks parts, BENCH_SETTINGS='slots pool' settings by name. BENCH_BUDGET and BENCH_TRIAL are
# those of each search. The capture is captures/classroom-12.
set -euo pipefail
cd "$(dirname "$0")/.."

PREFIX=()
PARTS=${BENCH_PARTS:-truth faults throttled}
SETTINGS=${BENCH_SETTINGS:-}
BUDGET=${BENCH_BUDGET:-15m}
TRIAL=${BENCH_TRIAL:-60s}
BIN=${BENCH_BIN:-target/release}
CAPTURE=captures/classroom-12
STUDENTS=50000

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

for program in "$BIN/kingtide" "$BIN/classroom"; do
  [ -x "$program" ] || die "$program is missing; run: make bench-capacity"
done
command -v jq >/dev/null || die 'jq is missing; run: sudo apt-get install --no-install-recommends jq'

WORK=$(mktemp -d)
LOGS=$WORK
. demo/servers.sh
cleanup() {
  jobs -p | xargs -r kill 2>/dev/null || true
  end_servers
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

"$BIN/classroom" accounts --count "$STUDENTS" >"$WORK/accounts.csv"
# Of the capture: uploads a student, and uploads a request.
read -r UPLOADS_PER_STUDENT UPLOADS_PER_REQUEST < <("$BIN/kingtide" inspect "$CAPTURE" --json |
  jq -r '[.upload_bytes.count / .sessions, .upload_bytes.count / .exchanges] | @tsv')

wanted() { [ -z "$SETTINGS" ] || [[ " $SETTINGS " == *" $1 "* ]]; }

# Starts the service with these flags; its address is then in URL.
serve() { start classroom "$BIN/classroom" serve --listen 127.0.0.1:0 --students "$STUDENTS" --drain-s 1 "$@"; }

unserve() { kill "$PID" 2>/dev/null || true; wait "$PID" 2>/dev/null || true; }

# search NAME SLO [FLAGS]: the JSON is then in $WORK/NAME.json. Its exit status is part of the result.
search() {
  local name=$1 slo=$2
  shift 2
  "${PREFIX[@]}" "$BIN/kingtide" capacity "$CAPTURE" --target "$URL" --identities "$WORK/accounts.csv" --slo "$slo" \
    --budget "$BUDGET" --trial "$TRIAL" --timeout 30s --json "$@" >"$WORK/$name.json" 2>"$WORK/$name.log" &&
    STATUS=0 || STATUS=$?
  [ "$STATUS" -le 3 ] && [ "$STATUS" -ne 2 ] || die "$name: $(cat "$WORK/$name.log")"
}

# What a search said, in a line.
said() {
  jq -r '[.verdict, (.capacity // {} | if .multiple then "\(.bound) \(.multiple * 100 | round / 100)x [\(.low * 100 | round / 100), \(.high * 100 | round / 100)]" else "no number" end),
    "fails by \(.failure_mode)", "recovered \(.recovered) in \(.recovery_s) s",
    "\(.trials | length) trials, \([.trials[] | select(.judged.verdict == "invalid")] | length) invalid, \(.duration_s / 60 * 10 | round / 10) min"] | join(" · ")' "$1"
  jq -r '.reasons[] | "    " + .' "$1"
  jq -r '.bottleneck[:1][] | "    \(.confidence) bottleneck: \(.stage) of \(.route), \(.growth_share * 100 | round) % of the growth, \((.slots // 0) * 10 | round / 10) busy. \(.remedy)"' "$1"
  jq -r '(.next_limit // empty | "    next limit: " + .sentence), (.cold_start // empty | "    cold start: the first \(.route) took \(.first_ms | round) ms, later ones \(.usual_ms | round) ms")' "$1"
}

truth_of() { # NAME FLAGS...: the service's capacity as a multiple, against what the search says
  local name=$1 uploads_per_s
  shift
  wanted "$name" || return 0
  uploads_per_s=$("$BIN/classroom" capacity --uploads-per-student "$UPLOADS_PER_STUDENT" "$@" | jq .chain.uploads_per_s)
  serve "$@"
  search "$name" 'p95<3s,errors<5%'
  unserve
  jq -r --arg name "$name" --arg flags "$*" --argjson uploads "$uploads_per_s" --argjson per_request "$UPLOADS_PER_REQUEST" '
    ($uploads / (.unit.requests_per_s * $per_request)) as $truth
    | "\($name) (\($flags)): truth \($truth * 1000 | round / 1000)x, estimate \(.capacity.multiple // 0 | . * 1000 | round / 1000)x, estimate / truth \((.capacity.multiple // 0) / $truth * 1000 | round / 1000), exit '"$STATUS"'"' "$WORK/$name.json"
  printf '    '
  said "$WORK/$name.json"
}

truth() {
  printf '\n== truth: estimate beside the computed capacity (trials of %s, budget %s)\n' "$TRIAL" "$BUDGET"
  truth_of slots --slots 4 --store-ms 300 --auth-ms 10 --db-ms 20
  truth_of uniform --slots 8 --store-ms 200..600 --auth-ms 10 --db-ms 20
  truth_of lognormal --slots 6 --store-ms lognormal:300:0.7 --auth-ms 10 --db-ms 20
  truth_of pool --pool 3 --store-ms 100 --auth-ms 50 --db-ms 100
  truth_of held --pool 5 --store-ms 400 --auth-ms 20 --db-ms 40 --fault held-transaction
}

fault_of() { # NAME FLAGS...
  local name=$1
  shift
  wanted "$name" || return 0
  serve "$@"
  search "$name" 'p95<3s,errors<5%'
  unserve
  printf '%s (%s): exit %s\n    ' "$name" "$*" "$STATUS"
  said "$WORK/$name.json"
}

faults() {
  printf '\n== faults: what the search says\n'
  fault_of hang --slots 20 --store-ms 300 --auth-ms 10 --db-ms 20 --fault hang-after:300
  fault_of held-transaction --pool 5 --store-ms 400 --auth-ms 20 --db-ms 40 --fault held-transaction
  fault_of leak --slots 6 --store-ms 300 --auth-ms 10 --db-ms 20 --fault leak:100000
  fault_of cold-start --slots 6 --store-ms 300 --auth-ms 10 --db-ms 20 --fault cold-start:3000:20
  fault_of shedding --store-ms 300 --auth-ms 10 --db-ms 20 --fault shed:8
  fault_of slow-db --pool 5 --store-ms 300 --auth-ms 10 --db-ms 20 --fault slow-db:5
  fault_of event-loop --store-ms 100 --auth-ms 10 --db-ms 20 --block-ms 15
}

throttled() {
  local busy=()
  printf '\n== throttled: the generator on one core with two busy loops of higher priority\n'
  serve --slots 4 --store-ms 300 --auth-ms 10 --db-ms 20
  for _ in 1 2; do
    nice -n -20 taskset -c 0 timeout 1200 bash -c 'while :; do :; done' &
    busy+=("$!")
  done
  PREFIX=(taskset -c 0)
  search throttled 'p95<3s,errors<5%'
  PREFIX=()
  kill "${busy[@]}" 2>/dev/null || true
  unserve
  printf 'exit %s\n    ' "$STATUS"
  said "$WORK/throttled.json"
}

for part in $PARTS; do "$part"; done
