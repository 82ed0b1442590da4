#!/usr/bin/env bash
# Runs every fuzz target for a bounded time; fails when one finds a crash, and names its input.
#
#   fuzz/run.sh [SECONDS] [TARGET...]      default: 20 seconds each, all targets
#
# Built with the stable compiler and without a sanitizer (there is no unsafe code here to sanitize): a panic, a
# broken invariant, an overflow, 2 GB of memory or 10 s for one input is a crash. What it has learnt is kept in
# target/fuzz/corpus and used again; FUZZ_SEED (default 1) chooses where it begins. With a nightly compiler, `cargo fuzz run TARGET` works as well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:-20}
shift $(( $# > 0 ? 1 : 0 ))
all=(capture redactor body html sessions import_har import_goreplay import_nginx)
if [ $# -gt 0 ]; then targets=("$@"); else targets=("${all[@]}"); fi

root=$(cd .. && pwd)
export CARGO_TARGET_DIR=$root/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
binaries=$CARGO_TARGET_DIR/$host/release

# Coverage counters in the code under test. --target keeps them out of build scripts and macros.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"

# One capture as the `capture` target reads it: segment, index, length of the index in two bytes.
seed_capture() {
  local length
  length=$(stat -c %s "$1/exchanges-000001.idx")
  cat "$1/exchanges-000001.arrows" "$1/exchanges-000001.idx"
  # shellcheck disable=SC2059
  printf "$(printf '\\x%02x\\x%02x' $((length % 256)) $((length / 256)))"
}

seeds() {
  local corpus=$1 capture
  case $2 in
    capture)
      for capture in ../captures/*/; do seed_capture "$capture" > "$corpus/seed-$(basename "$capture")"; done ;;
    import_har) cp ../replayer/tests/samples/*.har "$corpus"/ ;;
    import_goreplay) cp ../replayer/tests/samples/*.gor "$corpus"/ ;;
    import_nginx) cp ../replayer/tests/samples/*.log "$corpus"/ ;;
  esac
}

run() {
  local target=$1 corpus=$CARGO_TARGET_DIR/corpus/$1 found=$CARGO_TARGET_DIR/found/$1/
  mkdir -p "$corpus" "$found"
  seeds "$corpus" "$target"
  if ! "$binaries/$target" -seed="${FUZZ_SEED:-1}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -artifact_prefix="$found" -print_final_stats=1 "$corpus" > "$found/log" 2>&1; then
    tail -n 60 "$found/log" >&2
    printf 'fuzz: %s FAILED; its input is in %s\n' "$target" "${found#"$root"/}" >&2
    return 1
  fi
  printf 'fuzz: %-16s %9s inputs in %s s, %s kept\n' "$target" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$found/log")" "$seconds" "$(find "$corpus" -type f | wc -l)"
}

cargo build --release --locked --target "$host"
# Two at a time: each is one thread.
failed=0
for target in "${targets[@]}"; do
  run "$target" &
  [ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n || failed=1
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=1; jobs > /dev/null; done
exit "$failed"
