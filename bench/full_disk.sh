#!/usr/bin/env bash
# A disk of 50 MB fills up under load, and gets space again: no request may fail, recording must stop and go on, and
# /status, /metrics and the capture must say so. Needs root (it mounts a tmpfs) and wrk. Called by `make full-disk`;
# leaves nothing mounted or running.
set -euo pipefail
cd "$(dirname "$0")/.."

BIN=${BENCH_BIN:-target/release}
SECONDS_MAX=${BENCH_SECONDS:-120}

say() { printf 'full disk: %s\n' "$*"; }
die() { printf 'full disk: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "it mounts a tmpfs; run it as root: sudo make full-disk"
command -v wrk >/dev/null || die "wrk is missing; run: sudo apt-get install --no-install-recommends wrk"
for program in "$BIN/kingtide-proxy" "$BIN/kingtide" "$BIN/examples/sink"; do
  [ -x "$program" ] || die "$program is missing; run: make full-disk"
done

WORK=$(mktemp -d)
LOGS=$WORK
. demo/servers.sh
cleanup() {
  end_servers
  umount "$WORK/disk" 2>/dev/null || true
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
mkdir "$WORK/disk"
mount -t tmpfs -o size=50m tmpfs "$WORK/disk"

start sink "$BIN/examples/sink"
# wrk's connections carry many users, as a load balancer's do.
cat >"$WORK/proxy.toml" <<TOML
[server]
listen = ["127.0.0.1:0"]
trusted_proxies = ["127.0.0.1"]
[[upstream]]
name = "sink"
peers = ["$URL"]
[[route]]
name = "all"
upstream = "sink"
[limits]
keepalive_requests = "off"
[admin]
listen = "127.0.0.1:0"
[capture]
enabled = true
directory = "$WORK/disk/capture"
TOML
start proxy "$BIN/kingtide-proxy" --config "$WORK/proxy.toml"
PROXY=$PID
ADMIN=$(sed -n 's/^admin on //p' "$WORK/proxy.log")

state() { curl -fsS "$ADMIN/status" | sed -n 's/.*"capture":{"state":"\([a-z]*\)".*/\1/p'; }
metric() { curl -fsS "$ADMIN/metrics" | sed -n "s/^$1 //p"; }
until_state() { # STATE
  local began=$SECONDS
  until [ "$(state)" = "$1" ]; do
    [ $((SECONDS - began)) -lt "$SECONDS_MAX" ] || die "still $(state) and not $1 after $SECONDS_MAX s"
    sleep 0.1
  done
}

wrk --threads 1 --connections 16 --duration "$((SECONDS_MAX * 3))s" --timeout 10s --script bench/users.lua "$URL" \
  >"$WORK/wrk.log" & WRK=$!
PIDS+=("$WRK")
say "filling $(df -h --output=size "$WORK/disk" | tail -n 1 | tr -d ' ') under load"
until_state failed
say "stopped recording; df: $(df -h --output=used,avail "$WORK/disk" | tail -n 1 | tr -s ' ')"
say "/status: $(curl -fsS "$ADMIN/status" | grep -o '"error":"[^"]*"' | head -n 1)"
say "/metrics: kingtide_capture_recording $(metric kingtide_capture_recording), kingtide_capture_failing $(metric kingtide_capture_failing)"
sleep 3
[ "$(state)" = failed ] || die "it should still refuse"
mount -o remount,size=150m "$WORK/disk"
until_state recording
say "space again: recording; kingtide_capture_failing $(metric kingtide_capture_failing)"
recorded=$(metric 'kingtide_capture_requests_total{state="recorded"}')
until [ "$(metric 'kingtide_capture_requests_total{state="recorded"}')" -gt "$recorded" ]; do sleep 0.1; done
sleep 2
kill -INT "$WRK"
wait "$WRK" || true
kill -TERM "$PROXY"
wait "$PROXY" || die "the proxy did not close its capture: $(tail -n 3 "$WORK/proxy.err")"

sed -n 's/^result \([0-9]*\) .* \([0-9]*\)$/full disk: \1 requests, \2 failed/p' "$WORK/wrk.log"
"$BIN/kingtide" inspect "$WORK/disk/capture" | sed -n '/^!!/p; /^Ledger/,$p'
grep -q '^result .* 0$' "$WORK/wrk.log" || die "requests failed: $(cat "$WORK/wrk.log")"
"$BIN/kingtide" inspect "$WORK/disk/capture" --json >"$WORK/inspect.json"
python3 - "$WORK/inspect.json" <<'PY'
import json, sys
told = json.load(open(sys.argv[1]))
ledger = told["ledger"]
states = sum(count for state, count in ledger.items() if state != "accepted")
gaps = sum(gap["count"] for gap in told["gaps"])
assert ledger["accepted"] == states, ledger
assert told["exchanges"] == ledger["recorded"], ledger
assert gaps == ledger["shed_queue"] + ledger["shed_disk"] + ledger["shed_budget"], (gaps, ledger)
assert ledger["shed_disk"] > 0 and not told["damage"], told["damage"]
print(f"full disk: the ledger adds up, {told['cut']} sessions are named as cut, nothing is damaged")
PY
