#!/usr/bin/env bash
# The whole of Kingtide on real traffic: students upload through the proxy, which records them; the capture
# is inspected and replayed at 1x, 2x and 5x as new users; the report is written. Loopback only; nothing is
# left running. Results: target/demo/. Called by `make demo`.
set -euo pipefail
cd "$(dirname "$0")/.."

STUDENTS=${DEMO_STUDENTS:-60}
SECONDS_OF_STUDENTS=${DEMO_SECONDS:-40}
MULTIPLES=${DEMO_MULTIPLES:-1 2 5}
SEED=7
OUT=target/demo
BIN=target/release
# The service: 20 object-store slots of 0.4-1.2 s each, so about 25 uploads per second; pool of 20.
SERVICE=(--seed "$SEED" --slots 20 --store-ms 400..1200 --pool 20)
MISSED=1 # exit status of a replay whose target did not hold: a finding, not a failure of the demo

say() { printf '\n\033[1m[%3d s] %s\033[0m\n' "$SECONDS" "$*" >&2; }
die() { printf '\nmake demo: %s\n' "$*" >&2; exit 1; }

LOGS=$OUT
. demo/servers.sh
trap end_servers EXIT
trap 'die "interrupted"' INT TERM

proxy_config() { # FILE BACKEND RECORD
    cat >"$1" <<TOML
[server]
listen = ["127.0.0.1:0"]
[[upstream]]
name = "classroom"
peers = ["$2"]
[[route]]
name = "all"
upstream = "classroom"
[capture]
enabled = $3
directory = "$OUT/capture"
exclude = ["/health"]
TOML
}

# Runs a replay; a target that does not hold is part of the story.
replay() {
    local status=0
    "$BIN/kingtide" replay "$OUT/capture" "$@" || status=$?
    [ "$status" -le "$MISSED" ] || die "the replay ended with status $status; see the lines above"
}

[ "$(df -Pk . | awk 'NR == 2 {print $4}')" -gt 2000000 ] || die "less than 2 GB are free here; the build needs them"
ulimit -n 4096 2>/dev/null || true

say "Building (release; the first time this takes some minutes)"
cargo build --release --locked --workspace --bins || die "the build failed; deploy/setup.sh build installs what it needs"

rm -rf "$OUT"
mkdir -p "$OUT"
SECONDS=0
start classroom "$BIN/classroom" serve --listen 127.0.0.1:0 "${SERVICE[@]}"
BACKEND=$URL
proxy_config "$OUT/proxy.toml" "$BACKEND" true
start proxy "$BIN/kingtide-proxy" --config "$OUT/proxy.toml"
say "classroom at $BACKEND, kingtide-proxy before it at $URL, recording to $OUT/capture"

say "$STUDENTS students for $SECONDS_OF_STUDENTS s: login, profile, assignments, activities, uploads of 50 KB to 2 MB"
"$BIN/classroom" students --target "$URL" --count "$STUDENTS" --duration "$SECONDS_OF_STUDENTS" --seed "$SEED" \
    --think 0.5..2 --bursts --json "$OUT/students.json" || die "not every student was served; see $OUT/students.json"
kill "$PID" && wait "$PID" || die "the proxy did not close its capture: $(cat "$OUT/proxy.err")"

say "What was captured"
"$BIN/kingtide" inspect "$OUT/capture"

proxy_config "$OUT/edge.toml" "$BACKEND" false
start edge "$BIN/kingtide-proxy" --config "$OUT/edge.toml"
EDGE=$URL
"$BIN/classroom" accounts --seed "$SEED" --offset 1000 --count 1000 >"$OUT/identities.csv"
RUNS=()
for multiple in $MULTIPLES; do
    say "Replay at ${multiple}x: new users, the original rhythm"
    replay --target "$EDGE" -x "$multiple" --seed "$SEED" --identities "$OUT/identities.csv" --out "$OUT/run-${multiple}x"
    RUNS+=("$OUT/run-${multiple}x")
done

say "Report"
"$BIN/kingtide" report --capture "$OUT/capture" "${RUNS[@]}" --html "$OUT/report.html" --json "$OUT/report.json"
printf '\n%s\n%s\n%s\n' "$OUT/report.html" "$OUT/report.json" "$OUT/capture/"
