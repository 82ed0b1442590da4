#!/usr/bin/env bash
# A disk that refuses under load and takes bytes again, in three ways: no request may fail, recording must stop and go
# on, and /status, /metrics and the capture must say so. Needs root (it mounts a tmpfs) and wrk. Called by
# `make full-disk`, or with the ways to try: `bash bench/full_disk.sh quota`. BENCH_BIN=target/debug tries other
# programs than released ones. Leaves nothing mounted or running.
set -euo pipefail
cd "$(dirname "$0")/.."

BIN=${BENCH_BIN:-target/release}
SECONDS_MAX=${BENCH_SECONDS:-120}

say() { printf '%s: %s\n' "$WAY" "$*"; }
WAY='full disk'
die() { say "$*" >&2; exit 1; }

# Each way: how large the disk is, how it comes to refuse, how it takes bytes again, and why it says it does not.

# 50 MB, which the load fills.
full_size=50m
full_reason='No space left on device'
full_refuse() { :; }
full_allow() { mount -o remount,size=150m "$WORK/disk"; }

# Nothing can be mounted read-only while a file of it is open for writing. The kernel makes a disk with errors read-only
# all the same, but not writable again. So the same directory is mounted over itself, read-only: whatever the
# proxy opens, makes or renames by its path is refused as on such a disk.
readonly_size=500m
readonly_reason='Read-only file system'
readonly_refuse() { mount --bind "$WORK/disk" "$WORK/disk" && mount -o remount,bind,ro "$WORK/disk"; }
readonly_allow() { umount --lazy "$WORK/disk"; }

# No file of the process may grow: what a quota that is used up is to it. (Where the quota is the file system's own the
# reason is `Disk quota exceeded`; root, who runs this, has none.) The system sends SIGXFSZ, which must not end it.
quota_size=500m
quota_reason='File too large'
quota_refuse() { prlimit --pid "$PROXY" --fsize=0:unlimited; }
quota_allow() { prlimit --pid "$PROXY" --fsize=unlimited:unlimited; }

[ "$(id -u)" = 0 ] || die "it mounts a tmpfs; run it as root: sudo make full-disk"
command -v wrk >/dev/null || die "wrk is missing; run: sudo apt-get install --no-install-recommends wrk"
for program in "$BIN/kingtide-proxy" "$BIN/kingtide" "$BIN/examples/sink"; do
  [ -x "$program" ] || die "$program is missing; run: make full-disk"
done
[ $# -gt 0 ] || set -- full readonly quota
for way in "$@"; do
  case $way in full|readonly|quota) ;; *) die "no way to refuse is called $way; there are: full readonly quota" ;; esac
done

WORK=$(mktemp -d)
LOGS=$WORK
. demo/servers.sh
unmount() { while mountpoint -q "$WORK/disk"; do umount "$WORK/disk" 2>/dev/null || return; done; }
cleanup() {
  end_servers
  unmount || true
  # Never into a disk that is still there.
  rm -rf --one-file-system "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
mkdir "$WORK/disk"

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

state() { curl -fsS "$ADMIN/status" | sed -n 's/.*"capture":{"state":"\([a-z]*\)".*/\1/p'; }
reason() { curl -fsS "$ADMIN/status" | grep -o '"error":"[^"]*"' | head -n 1; }
metric() { curl -fsS "$ADMIN/metrics" | sed -n "s/^$1 //p"; }
recorded() { metric 'kingtide_capture_requests_total{state="recorded"}'; }
is_alive() { kill -0 "$PROXY" 2>/dev/null || die "the proxy is gone: $(tail -n 3 "$WORK/proxy.err")"; }
until_state() { # STATE
  local began=$SECONDS
  until [ "$(state)" = "$1" ]; do
    is_alive
    [ $((SECONDS - began)) -lt "$SECONDS_MAX" ] || die "still $(state) and not $1 after $SECONDS_MAX s"
    sleep 0.1
  done
}
until_recorded_beyond() { # COUNT
  local began=$SECONDS
  until [ "$(recorded)" -gt "$1" ]; do
    is_alive
    [ $((SECONDS - began)) -lt "$SECONDS_MAX" ] || die "nothing was recorded beyond $1 requests in $SECONDS_MAX s"
    sleep 0.1
  done
}

# Refuses and takes bytes again while wrk asks; leaves the capture closed.
refuse_under_load() {
  start proxy "$BIN/kingtide-proxy" --config "$WORK/proxy.toml"
  PROXY=$PID
  ADMIN=$(sed -n 's/^admin on //p' "$WORK/proxy.log")
  wrk --threads 1 --connections 16 --duration "$((SECONDS_MAX * 3))s" --timeout 10s --script bench/users.lua "$URL" \
    >"$WORK/wrk.log" & WRK=$!
  PIDS+=("$WRK")
  until_recorded_beyond 0
  say "recording under load, on $(df -h --output=size "$WORK/disk" | tail -n 1 | tr -d ' ')"
  "${WAY}_refuse"
  until_state failed
  say "stopped recording; df: $(df -h --output=used,avail "$WORK/disk" | tail -n 1 | tr -s ' ')"
  say "/status: $(reason)"
  say "/metrics: kingtide_capture_recording $(metric kingtide_capture_recording), kingtide_capture_failing $(metric kingtide_capture_failing)"
  local expected=${WAY}_reason
  [[ $(reason) == *"${!expected}"* ]] || die "the reason should be \`${!expected}\`"
  [ "$(metric kingtide_capture_recording) $(metric kingtide_capture_failing)" = "0 1" ] || die "the metrics should say so"
  # Some of its tries, one a second.
  sleep 3
  [ "$(state)" = failed ] || die "it should still refuse"
  "${WAY}_allow"
  until_state recording
  [ "$(metric kingtide_capture_failing)" = 0 ] || die "the metrics should say that it records again"
  until_recorded_beyond "$(recorded)"
  say "recording again; kingtide_capture_failing $(metric kingtide_capture_failing)"
  kill -INT "$WRK"
  wait "$WRK" || true
  kill -TERM "$PROXY"
  wait "$PROXY" || die "the proxy did not close its capture: $(tail -n 3 "$WORK/proxy.err")"
}

check_capture() {
  sed -n "s/^result \([0-9]*\) .* \([0-9]*\)\$/$WAY: \1 requests, \2 failed/p" "$WORK/wrk.log"
  grep -q '^result .* 0$' "$WORK/wrk.log" || die "requests failed: $(cat "$WORK/wrk.log")"
  "$BIN/kingtide" inspect "$WORK/disk/capture" --json >"$WORK/inspect.json"
  python3 - "$WORK/inspect.json" "$WAY" <<'PY'
import json, sys
told = json.load(open(sys.argv[1]))
ledger = told["ledger"]
states = sum(count for state, count in ledger.items() if state != "accepted")
gaps = sum(gap["count"] for gap in told["gaps"])
print(f"{sys.argv[2]}: " + ", ".join(f"{state} {count}" for state, count in ledger.items() if count))
assert ledger["accepted"] == states, ledger
assert told["exchanges"] == ledger["recorded"], ledger
assert gaps == ledger["shed_queue"] + ledger["shed_disk"] + ledger["shed_budget"], (gaps, ledger)
assert ledger["shed_disk"] > 0 and not told["damage"], told["damage"]
print(f"{sys.argv[2]}: the ledger adds up, {told['cut']} sessions are named as cut, nothing is damaged")
PY
}

for WAY in "$@"; do
  size=${WAY}_size
  mount -t tmpfs -o "size=${!size}" tmpfs "$WORK/disk"
  refuse_under_load
  check_capture
  unmount || die "$WORK/disk is still in use"
done
