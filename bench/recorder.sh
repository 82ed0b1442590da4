# Sourced by the benches, after demo/servers.sh: kingtide-proxy before a server, and what its capture says of itself. The
# script sets WORK (a directory), BIN (where the programs are) and CORES.

# start_proxy NAME PEER RECORD: sets URL and PID; a capture goes to WORK/capture.
start_proxy() {
  cat >"$WORK/$1.toml" <<TOML
[server]
listen = ["127.0.0.1:0"]
threads = $CORES
[[upstream]]
name = "backend"
peers = ["$2"]
[[route]]
name = "all"
upstream = "backend"
[capture]
enabled = $3
directory = "$WORK/capture"
TOML
  start "$1" "$BIN/kingtide-proxy" --config "$WORK/$1.toml"
}

# close_capture NAME PID: ends the proxy, so that the ledger is whole: what was shed was not paid for.
close_capture() {
  kill -TERM "$2"
  wait "$2" || die "the proxy did not close its capture: $(tail -n 3 "$WORK/$1.err")"
}

# Counts of the closed capture's ledger, `state count` a line.
ledger() { sed -n 's/^ *"\([a-z_]*\)": \([0-9]*\),\{0,1\}$/\1 \2/p' "$WORK/capture/manifest.json"; }
ledger_count() { ledger | awk -v of="$1" '$1 == of { print $2 }'; } # STATE

exchange_bytes() { cat "$WORK"/capture/exchanges-* | wc -c; }
