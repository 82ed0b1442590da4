# Sourced by scripts that need servers: started on free ports, ended with the script. The script sets LOGS (a
# directory), defines die MESSAGE, and calls end_servers when it exits.

PIDS=()

# Starts a server in the background and waits until it says where it listens: start NAME COMMAND...
# Sets URL and PID; leaves LOGS/NAME.log and LOGS/NAME.err.
start() {
  local name=$1
  shift
  # The log of an earlier server of this name tells where that one listened.
  : >"$LOGS/$name.log"
  "$@" >"$LOGS/$name.log" 2>"$LOGS/$name.err" &
  PID=$!
  PIDS+=("$PID")
  for _ in $(seq 600); do
    URL=$(sed -n 's/^listening on //p' "$LOGS/$name.log" | head -n 1)
    if [ -n "$URL" ]; then return; fi
    kill -0 "$PID" 2>/dev/null || break
    sleep 0.05
  done
  die "$name did not start; it said: $(cat "$LOGS/$name.err")"
}

end_servers() {
  local pid
  for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${PIDS[@]}"; do wait "$pid" 2>/dev/null || true; done
}
