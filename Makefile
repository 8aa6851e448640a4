# `make demo` and `make test` are all a fresh machine needs; each does the set-up it depends on.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

STACK := deploy/dev-stack/stack.sh
# rustup's folder, for a shell that was opened before rustup was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin
export CARGO_TERM_COLOR ?= auto
# Exports the servers' URLs for what follows in the same recipe.
WITH_STACK = . "$$($(STACK) envfile)"
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
NEXTEST := cargo nextest --version >/dev/null 2>&1

.PHONY: help demo test chaos bench bench-coordination up up-durable down status doctor check fmt clippy doc tidy ci

help:              ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## */  make \1\t/p' Makefile | expand -t 20

demo: up           ## see it work against a simulated WhatsApp (DEMO_EXIT=1 ends by itself)
	@$(WITH_STACK)
	# No -p: the same features for all members, so that nothing is built twice for demo and test.
	cargo run --locked --bin switchyard -- demo $(if $(filter 1,$(DEMO_EXIT)),--exit)

test: up           ## all tests on real servers; ARGS=... goes to the test runner
	@$(WITH_STACK)
	if $(NEXTEST); then
		cargo nextest run --workspace --locked $(ARGS)
	else
		# One process runs many tests then: one after the other, as some look at the whole process.
		RUST_TEST_THREADS=1 cargo test --workspace --locked $(ARGS)
	fi

# The release build, or most of the time would go into starting what was killed. The seed is printed.
chaos: doctor      ## 20,000 recipients while everything is killed, in minutes (CHAOS_RECIPIENTS=..., CHAOS_SEED=...)
	@export SWITCHYARD_CHAOS_RECIPIENTS="$(or $(CHAOS_RECIPIENTS),20000)"
	$(if $(CHAOS_SEED),export SWITCHYARD_CHAOS_SEED="$(CHAOS_SEED)")
	cargo test --release --locked -p switchyard --test it campaigns_reach_everybody -- --nocapture

# Servers of its own, with fsync; figures of a machine that does something else besides are not worth much.
bench: doctor      ## figures beside the machine's own limits, in minutes; BENCH_QUICK=1 only shows that it works
	@export STACK_RUN_DIR="$(TARGET)/bench/stack" STACK_PRIVATE=1 STACK_DURABLE=1
	cargo build --release --locked -p switchyard -p benchmark
	trap '$(STACK) down' EXIT
	$(STACK) up
	$(WITH_STACK)
	"$(TARGET)/release/benchmark" product --report "$(TARGET)/bench/report.md" --scratch "$(TARGET)/bench/peers" $(if $(filter 1,$(BENCH_QUICK)),--quick) $(ARGS)

# A Redis of its own; the libraries beside ours go to a scratch folder, and one that cannot be installed is a row that says so.
bench-coordination: doctor ## locks and limits beside other libraries, in minutes; BENCH_QUICK=1 only shows that it works
	@cargo build --release --locked -p benchmark
	"$(TARGET)/release/benchmark" coordination --report "$(TARGET)/bench/coordination.md" --scratch "$(TARGET)/bench/peers" $(if $(filter 1,$(BENCH_QUICK)),--quick) $(ARGS)

up: doctor         ## PostgreSQL, Redis and RabbitMQ for this checkout
	@$(STACK) up

up-durable: doctor # the same with fsync, for figures and power-cut claims
	@STACK_DURABLE=1 $(STACK) up

down:              ## stop them; the data stays
	@$(STACK) down

status:            ## what runs, and where
	@$(STACK) status

doctor:            ## compiler and Rust, or how to get them
	@command -v cc >/dev/null || $(STACK) apt gcc libc6-dev
	command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer with rustup (https://rustup.rs), then run make again" >&2; exit 69; }
	version=$$(cargo --version | cut -d' ' -f2)
	oldest=$$(printf '%s\n' 1.95.0 "$${version%%-*}" | sort -V | head -n 1)
	[ "$$oldest" = 1.95.0 ] || { echo "cargo $$version is too old: run 'rustup update stable' (needs 1.95)" >&2; exit 69; }

check: fmt clippy doc tidy ## all gates that need no servers

fmt:               # the format
	@cargo fmt --all --check

clippy: doctor     # lints of code and tests
	@cargo clippy --workspace --all-targets --locked -- -D warnings

doc: doctor        # documentation: complete, with working links
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

tidy: doctor       # layers, file sizes, names, unused dependencies
	@cargo test --locked -p testkit --test tidy

ci:                ## everything that a change must pass
	@bash .ci/run
