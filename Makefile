# Shortcuts for what cargo and scripts/ do. `make help` lists them.

PREFIX ?= /usr/local
CARGO ?= cargo
# More flags for cargo, say --locked.
CARGOFLAGS ?=

SHELL := /bin/bash
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
MODULE := $(abspath $(TARGET_DIR)/release/libredis_mtime.so)
MODULES_DIR = $(PREFIX)/lib/redis/modules

# Tests, benchmark and demo all load this one file, the one that `make install` installs.
export REDIS_MTIME_MODULE := $(MODULE)
export CARGOFLAGS

.DEFAULT_GOAL := help
.PHONY: help setup setup-build build test test-clients test-browser measure-http test-endurance test-matrix fuzz memcheck lint bench bench-pictures bench-smoke bench-works bench-instructions bench-pictures-test profile demo run install deb test-deb clean test-cluster-long setup-test demo-cluster

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what is missing: redis-server, redis-tools, libclang, a C compiler
	@scripts/setup

setup-build:
	@scripts/setup build

setup-test:
	@scripts/setup test

build: setup-build ## build the module, target/release/libredis_mtime.so
	$(CARGO) build --release $(CARGOFLAGS)

test test-cluster-long test-clients test-endurance test-matrix: export TMPDIR := $(shell scripts/test-directory)

# Tests are built without optimization but with overflow checks; the module under test is the release build. Cargo builds
# the other module that some load, the listener, only when asked. The tests of the cluster mostly wait for servers: many at
# once.
test: setup-test build ## run all tests on the redis-server of this machine (TEST=name: only those; REDIS_SERVER=/path)
	$(CARGO) build $(CARGOFLAGS) --example listener
	$(CARGO) test $(CARGOFLAGS) --lib --test suite -- $(TEST)
	$(CARGO) test $(CARGOFLAGS) --test cluster -- --test-threads=8 $(TEST)

test-cluster-long: setup build ## everything at once on a cluster for five minutes (REDIS_SERVER=/path; a seed repeats it)
	REDIS_MTIME_CLUSTER_SECONDS=$${REDIS_MTIME_CLUSTER_SECONDS:-300} \
		$(CARGO) test $(CARGOFLAGS) --test cluster -- --nocapture everything_at_once

test-clients: setup build ## run the tests of examples/ with the real clients (CLIENTS="redis-py ...": only those)
	@scripts/test-clients $(CLIENTS)

test-browser: setup build ## let a headless Chromium revalidate against the example of a web service
	@scripts/test-clients --browser

measure-http: setup build ## measure the bytes that the example of a web service saves
	@scripts/test-clients --measure

# In `make test` they are short.
test-endurance: export REDIS_MTIME_FUZZ_COMMANDS ?= 1000000
test-endurance: export REDIS_MTIME_VALUE_MB ?= 512
test-endurance: setup build ## run the long tests at full length: a million fuzzed commands, 512 MB values (TEST=name)
	$(CARGO) test $(CARGOFLAGS) --test suite -- endurance::$(TEST) --show-output

test-matrix: setup-test build ## run the tests on every supported server (SERVERS="name=/path ...": on those; MATRIX=--built)
	@scripts/test-matrix $(MATRIX)

fuzz: setup-build ## fuzz the parsers, coverage-guided (FUZZ=seconds a target, 30)
	@scripts/fuzz $(FUZZ)

memcheck: setup build ## run a server with the module under valgrind: no error, no leak (REDIS_SERVER=/path)
	@scripts/setup memcheck
	@scripts/memcheck

lint: setup-build ## check formatting, clippy, and the scripts with shellcheck if it is there
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path examples/redis-rs/Cargo.toml
	$(CARGO) clippy $(CARGOFLAGS) --all-targets -- -D warnings
	$(CARGO) clippy $(CARGOFLAGS) --all-targets --features panic-injection -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck scripts/* .ci/run; \
	else echo "lint: no shellcheck here, the scripts are not checked"; fi

# Draws after it has measured; REPORT is where the tables, the raw data, the pictures and index.html go.
bench: export REPORT := $(REPORT)
bench: setup build ## measure, and draw it (REPORT=directory: there, not in target/bench; BENCH="--help": options)
	@scripts/bench $(BENCH)

bench-pictures: ## draw anew what was measured before (REPORT=directory)
	@scripts/bench-report $(or $(REPORT),$(TARGET_DIR)/bench)

bench-smoke: bench-works bench-instructions bench-pictures-test ## does the benchmark work, and is the hot path as short as it was?

bench-works: setup build
	@echo "bench-smoke: every table, hardly any load"
	$(CARGO) bench $(CARGOFLAGS) --profile load --bench compare -- --smoke

bench-instructions: setup build ## instructions a request against their bounds (UPDATE=--update: take new bounds)
	@echo "bench-smoke: instructions a request"
	@scripts/instructions $(UPDATE)

bench-pictures-test:
	@echo "bench-smoke: pictures and report of a small sample"
	@scripts/bench-report --test

profile: setup build ## the functions a request spends its instructions in (ARM="MTGET, modified"; REDIS_SERVER=/path)
	@scripts/instructions --profile "$(or $(ARM),MTGET, modified)"

demo: setup build ## show the commands and a ten-second benchmark on a private server
	@$(CARGO) bench $(CARGOFLAGS) --profile load --bench compare --no-run
	@scripts/demo

demo-cluster: setup build ## a conversation with a cluster of three nodes while its slot moves
	@scripts/demo-cluster

run: setup build ## start a server with the module on the loopback (PORT=6379 or the next free one)
	@scripts/run

# Builds only when there is nothing to install, so that root needs no Rust.
$(MODULE):
	$(MAKE) build

# Servers refuse a module that is not executable.
install: $(MODULE) ## copy the module to PREFIX/lib/redis/modules (PREFIX=/usr/local, DESTDIR)
	install -d "$(DESTDIR)$(MODULES_DIR)"
	install -m 755 "$(MODULE)" "$(DESTDIR)$(MODULES_DIR)/libredis_mtime.so"
	@echo "Now put this line into redis.conf: loadmodule $(MODULES_DIR)/libredis_mtime.so"

deb: setup-build ## make a Debian package of the module, target/debian/redis-mtime_*.deb
	@scripts/setup deb
	@$(MAKE) --no-print-directory build
	@scripts/deb

test-deb: setup ## make the package, install it into an empty root, load it in a server, remove it
	@scripts/setup deb
	@$(MAKE) --no-print-directory build
	@package=$$(scripts/deb) && scripts/test-deb "$$package"

clean: ## remove what was built
	$(CARGO) clean
