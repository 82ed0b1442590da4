# `make` lists the targets.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test fuzz lint bench bench-slow bench-replay bench-capacity bench-capacity-truth full-disk deny setup clean-demo
MAKEFLAGS += --no-print-directory

# Where rustup puts cargo, for shells that have not been started anew since.
export PATH := $(PATH):$(HOME)/.cargo/bin

# $(call stage,NAME,COMMAND): a heading, the command, and the seconds it took.
define stage
	@printf '\n== %s: %s\n' '$(1)' '$(2)'; start=$$SECONDS; \
	$(2) || { code=$$?; printf -- '-- %s FAILED after %d s\n' '$(1)' $$((SECONDS - start)); exit $$code; }; \
	printf -- '-- %s: %d s\n' '$(1)' $$((SECONDS - start))
endef

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Capture sample traffic, replay it at 1x, 2x and 5x, write target/demo/report.html
	@bash deploy/setup.sh build
	@bash demo/run.sh

test: ## Everything CI checks: format, lints, documentation tests, all tests
	$(call stage,setup,bash deploy/setup.sh test)
	$(call stage,format,cargo fmt --all --check)
	$(call stage,lock files,for at in . fuzz; do cargo tree --locked --manifest-path $$at/Cargo.toml >/dev/null || exit 1; done)
	$(call stage,lints,cargo clippy --locked --workspace --all-targets -- -D warnings)
	$(call stage,documentation tests,cargo test --locked --workspace --doc)
	$(call stage,fuzz,bash fuzz/run.sh 10)
	@# Last, so that the runner's own count is the last line.
	@if cargo nextest --version >/dev/null 2>&1; then \
	  printf '\n== tests: cargo nextest run --locked --workspace\n'; \
	  cargo nextest run --locked --workspace; \
	else \
	  printf '\n== tests: cargo test --locked --workspace --lib --bins --tests\n'; \
	  cargo test --locked --workspace --lib --bins --tests --no-fail-fast 2>&1 | awk '\
	    { print } \
	    /^test result:/ { passed += $$4; failed += $$6 } \
	    END { printf "%d passed, %d failed\n", passed, failed }'; \
	fi

fuzz: ## Every parser of foreign bytes against made-up input, a minute each (FUZZ_SECONDS=600 for longer)
	$(call stage,setup,bash deploy/setup.sh test)
	$(call stage,fuzz,bash fuzz/run.sh $(or $(FUZZ_SECONDS),60))

lint: ## Format check and lints only
	$(call stage,format,cargo fmt --all --check)
	$(call stage,lints,cargo clippy --locked --workspace --all-targets -- -D warnings)

bench: ## Micro benches, then the proxy beside nginx and on a classroom's traffic (release; on a quiet machine; 6 minutes after the build)
	$(call stage,build,nice -n 10 cargo build --release --locked --workspace --bins --example sink)
	$(call stage,micro benches,nice -n 10 cargo bench --locked --workspace --bench capture --bench redact --bench pacing --bench audio --bench plan)
	$(call stage,proxy,bash bench/proxy.sh)
	$(call stage,classroom,bash bench/classroom.sh)

bench-slow: ## 1,000 uploads of 2 MB at 20 KB/s through nginx and the proxy (release; 12 minutes after the build)
	$(call stage,build,nice -n 10 cargo build --release --locked --workspace --bins --example sink --example slow_uploads)
	$(call stage,slow uploads,bash bench/slow.sh)

bench-replay: ## The replayer beside oha and wrk2: lag, CPU per upload, 10,000 uploads in flight, ten minutes (release; 22 minutes after the build)
	$(call stage,build,nice -n 10 cargo build --release --locked --package kingtide --package classroom --bins --example sink)
	$(call stage,replayer,bash bench/replay.sh)

bench-capacity: ## kingtide capacity against services of known capacity, their faults, and a throttled generator (release; 3 hours after the build)
	$(call stage,build,nice -n 10 cargo build --release --locked --package kingtide --package classroom --bins)
	$(call stage,capacity,bash bench/capacity.sh)

bench-capacity-truth: ## 200 capacity searches on simulated targets of known capacity: bench/capacity_truth.md (release; 12 minutes on two cores)
	@cargo run --release --locked --package kingtide --example capacity_truth >target/capacity_truth.md
	@mv target/capacity_truth.md bench/capacity_truth.md

full-disk: ## A disk that is full, read-only, or may not be used further under load, and is usable again (release; root)
	$(call stage,build,nice -n 10 cargo build --release --locked --workspace --bins --example sink)
	$(call stage,full disk,bash bench/full_disk.sh)

deny: ## Licences, banned crates and sources of all dependencies (needs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo 'cargo-deny is missing; run: cargo install --locked cargo-deny' >&2; exit 1; }
	$(call stage,deny,cargo deny --locked check licenses bans sources)

setup: ## Install the system packages that build and tests need, when missing
	@bash deploy/setup.sh test

clean-demo: ## Remove what `make demo` wrote
	rm -rf target/demo
