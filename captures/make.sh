#!/usr/bin/env bash
# Makes the golden captures: real students, through the real proxy, to the sample service, over loopback.
#
#   classroom-12   12 students for 5 s, with one bell; the proxy was ended by SIGTERM and closed its capture
#   torn           the same traffic; the proxy was ended by kill -9 while requests were in flight
#
#   captures/make.sh DIRECTORY      where they go; a capture that is there already is never overwritten
#
# The captures in this directory are of format version 1 and stay as they are: tests pin their values, and
# every later program must read them. Make new ones beside them when the format gets a new version. Times
# and sizes on the wire differ from run to run, so the pinned values belong to the files, not to this script.
#
# A capture is accepted only when what was answered is in it (all of it, or up to the kill), when it is
# small, and when neither its files nor its decoded records hold an account's e-mail address or password.
set -euo pipefail

OUT=$(realpath -m "${1:?usage: captures/make.sh DIRECTORY}")
cd "$(dirname "$0")/.."

BIN=${BIN:-target/release}
STUDENTS=12
SEED=12
BYTES_MAX=150000 # both captures together
SECONDS_BEFORE_KILL=3.4

WORK=$(mktemp -d)
LOGS=$WORK
. demo/servers.sh

say() { printf 'captures: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

cleanup() {
  end_servers
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

start_proxy() { # DIRECTORY
  cat >"$WORK/proxy.toml" <<TOML
[server]
listen = ["127.0.0.1:0"]
[[upstream]]
name = "classroom"
peers = ["$BACKEND"]
[[route]]
name = "classroom"
upstream = "classroom"
[capture]
enabled = true
directory = "$1"
TOML
  start proxy "$BIN/kingtide-proxy" --config "$WORK/proxy.toml"
}

students() { # TARGET REPORT
  "$BIN/classroom" students --target "$1" --count "$STUDENTS" --duration 5 --seed "$SEED" --think 0.3..1 \
    --uploads 1..3 --burst-every 3 --json "$2" >"$2.log" 2>&1
}

# The value of a number in a JSON file: number FILE KEY (its first occurrence).
number() { sed -n "s/^.*\"$2\": *\([0-9][0-9]*\).*$/\1/p" "$1" | head -n 1; }

make_whole() { # DIRECTORY
  start_proxy "$1"
  students "$URL" "$WORK/students.json" || die "not every student was served: $(cat "$WORK/students.json.log")"
  kill -TERM "$PID"
  wait "$PID" || die "the proxy did not close its capture"
  local done recorded
  done=$(number "$WORK/students.json" done)
  "$BIN/kingtide" inspect "$1" --json >"$WORK/inspect.json"
  recorded=$(number "$WORK/inspect.json" exchanges)
  [ "$done" = "$recorded" ] || die "$done requests were answered, $recorded are in the capture"
}

make_torn() { # DIRECTORY
  start_proxy "$1"
  local visit
  students "$URL" "$WORK/torn.json" &
  visit=$!
  sleep "$SECONDS_BEFORE_KILL"
  kill -KILL "$PID"
  wait "$PID" 2>/dev/null || true
  if wait "$visit"; then die 'the students were through before the kill'; fi
  "$BIN/kingtide" inspect "$1" | grep -q 'torn tail' || die 'the capture does not say that it is torn'
}

# Who the students were, one text a line: nothing of it may be in a capture.
secrets() { "$BIN/classroom" accounts --seed "$SEED" --count "$STUDENTS" | tail -n +2 | tr ',' '\n'; }

refuse_secrets() { # DIRECTORY
  [ "$(wc -l <"$WORK/secrets")" -eq $((2 * STUDENTS)) ] || die 'the list of secrets is not whole'
  "$DECODE" "$1" >"$WORK/decoded"
  grep -q '/api/' "$WORK/decoded" || die "the decoded records of $1 cannot be searched"
  if grep -rFq -f "$WORK/secrets" "$1" "$WORK/decoded"; then die "$1 holds an e-mail address or a password"; fi
  # A JSON Web Token in clear, and what may leave no trace of the machine.
  if grep -rEq 'eyJ[A-Za-z0-9_-]{10}|/home/|/root/|/tmp/' "$1" "$WORK/decoded"; then
    die "$1 holds a token or a path of this machine"
  fi
}

accept() { # DIRECTORY NAME
  refuse_secrets "$1"
  rm -f "$1/lock" # the writer's; readers do not look for it
  mkdir -p "$OUT"
  mv -T "$1" "$OUT/$2"
  say "$2: $(cat "$OUT/$2"/* | wc -c) bytes"
}

for name in classroom-12 torn; do
  if [ -e "$OUT/$name" ]; then die "$OUT/$name is there; golden captures are not overwritten"; fi
done
for program in classroom kingtide kingtide-proxy; do
  [ -x "$BIN/$program" ] || die "$BIN/$program is missing; run: cargo build --release --workspace --bins"
done
say 'building the decoder'
cargo build --quiet --locked --workspace --example decode
DECODE=target/debug/examples/decode
secrets >"$WORK/secrets"

start classroom "$BIN/classroom" serve --seed "$SEED" --slots 20 --store-ms 100..400 --pool 20
BACKEND=$URL
say "$STUDENTS students, captured to the end"
make_whole "$WORK/whole"
say "$STUDENTS students, the proxy killed after $SECONDS_BEFORE_KILL s"
make_torn "$WORK/cut"
[ "$(cat "$WORK"/{whole,cut}/* | wc -c)" -lt "$BYTES_MAX" ] || die "the captures are over $BYTES_MAX bytes"
accept "$WORK/whole" classroom-12
accept "$WORK/cut" torn
