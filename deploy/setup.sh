#!/usr/bin/env bash
# Installs the system packages that building and testing Kingtide need, and only those that are missing.
# Running it again does nothing. It installs no Rust: it says how.
#
#   deploy/setup.sh build    what `make demo` needs
#   deploy/setup.sh test     that, and what `make test` needs (the default); the Python packages go to target/python
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=target/python
PYTHON_PACKAGES=deploy/python-requirements.txt

missing=()

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Adds packages to the list unless the check passes: need PURPOSE CHECK PACKAGE...
need() {
  local purpose=$1 check=$2
  shift 2
  if "$check"; then return; fi
  say "missing: $* ($purpose)"
  missing+=("$@")
}

compiles_c() { have cc && printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' | cc -x c -o /dev/null - 2>/dev/null; }
compiles_cxx() { have c++ && printf '#include <vector>\nint main() { return 0; }\n' | c++ -x c++ -o /dev/null - 2>/dev/null; }
has_make() { have make; }
has_curl() { have curl; }
has_postgres() { have postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }
has_pgbouncer() { have pgbouncer || [ -x /usr/sbin/pgbouncer ]; }
has_openssl() { have openssl; }
has_nginx() { have nginx || [ -x /usr/sbin/nginx ]; }
has_http2_clients() { have nghttp && have h2load; }
has_kill() { [ -n "$(type -P kill)" ]; }
has_ffmpeg() { have ffprobe && have ffmpeg; }
has_python() { have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }
has_chromium() { have chromium || have chromium-browser || have google-chrome; }

build_packages() {
  need 'C compiler: ring, SQLite, zstd and mimalloc are built from source' compiles_c gcc libc6-dev
  need 'drives the stages' has_make make
  need 'asks the running services for their state' has_curl curl ca-certificates
}

test_packages() {
  build_packages
  need 'C++ compiler: libFuzzer, which the fuzz targets are linked with' compiles_cxx g++
  need 'server binaries; tests start servers of their own on free ports' has_postgres postgresql
  need 'the monitors must work behind it; tests start pools of their own' has_pgbouncer pgbouncer
  need 'makes the certificates of the TLS tests' has_openssl openssl
  need 'the differential tests run it beside the proxy' has_nginx nginx-light
  need 'HTTP/2 clients of the tests' has_http2_clients nghttp2-client
  need 'sends signals to the programs that tests start' has_kill procps
  need 'probes and decodes the recordings that replays upload' has_ffmpeg ffmpeg
  need 'uploads through the proxy from a real browser' has_chromium "$(chromium_package)"
  need 'DuckDB and pandas read exports' has_python python3 python3-venv
}

# Ubuntu has chromium under another name.
chromium_package() {
  if have apt-cache && ! apt-cache show chromium >/dev/null 2>&1 && apt-cache show chromium-browser >/dev/null 2>&1; then
    echo chromium-browser
  else
    echo chromium
  fi
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_missing() {
  if [ ${#missing[@]} -eq 0 ]; then
    say 'all system packages are there'
    return
  fi
  have apt-get || fail "this system has no apt-get; install these (names of Debian) and run again: ${missing[*]}"
  [ "$(id -u)" -eq 0 ] || have sudo || fail "not root and no sudo; run as root: apt-get install ${missing[*]}"
  say "installing with apt-get: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    || fail "apt-get could not install: ${missing[*]}"
  say 'installed'
}

# Made again when its list of packages has changed; a list beside it says what is in it.
provide_python() {
  if cmp -s "$PYTHON_PACKAGES" "$PYTHON/packages.txt"; then return; fi
  say "making $PYTHON from $PYTHON_PACKAGES: DuckDB, pandas, polars and pyarrow, which read exports in tests (600 MB)"
  rm -rf "$PYTHON"
  python3 -m venv "$PYTHON" || fail "python3 cannot make $PYTHON; run: apt-get install python3-venv"
  "$PYTHON/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$PYTHON_PACKAGES" \
    || fail "pip could not install $PYTHON_PACKAGES; without a package index name a Python that has them in KINGTIDE_TEST_PYTHON"
  cp "$PYTHON_PACKAGES" "$PYTHON/packages.txt"
}

check_rust() {
  PATH=$PATH:$HOME/.cargo/bin
  have cargo || fail "cargo is missing; install Rust and run again:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
}

# Part of every default installation of Rust, but not of rustup's minimal profile.
check_rust_tools() {
  local tool
  for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || fail "cargo $tool is missing; run: rustup component add rustfmt clippy"
  done
  cargo nextest --version >/dev/null 2>&1 || say 'cargo-nextest is not there; tests run with cargo test'
}

case ${1:-test} in
  build) build_packages && install_missing && check_rust ;;
  test) test_packages && install_missing && provide_python && check_rust && check_rust_tools ;;
  *) printf 'usage: deploy/setup.sh [build|test]\n' >&2; exit 2 ;;
esac
