# What the README names. Every target sets up what it needs first and is quick when that is there.
#
#   make demo    the bundled model answers a question
#   make bench   how fast the bundled model runs here
#   make web     the npm package (examples/web/dist) and the demo page (examples/web/site)
#   make test    everything that must hold before a change lands, cheapest first

PROGRAM := $(or $(CARGO_TARGET_DIR),target)/release/tiefsee

# Drivers complain where there is no such folder, as on a server.
export XDG_RUNTIME_DIR ?= $(CURDIR)/target

# The integration tests that use a device: they run on each driver, with and without its tiers,
# but for the real models, which take long and run once.
GPU_TESTS = $(shell grep -rlE --include='*.rs' '^mod common;|CARGO_BIN_EXE_' tests \
	| sed 's,^tests/\([^/.]*\).*,\1,' | grep -vxE 'common|real_models' | sort -u)
GPU_TEST_FLAGS = $(or $(GPU_TESTS:%=--test %),$(error no test under tests/ uses a device))

.PHONY: demo bench web test build

demo: build
	$(PROGRAM) run demo "What is 27 + 48?"

bench: build
	$(PROGRAM) bench demo

web:
	@sh tests/setup.sh web
	sh examples/web/build.sh

build:
	@sh tests/setup.sh
	cargo build --release --locked

test:
	@sh tests/setup.sh all
	cargo fmt --check
	rustfmt --edition 2024 --check src/formats/*.rs
	cargo clippy --release --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --locked --no-deps
	TIEFSEE_FUZZ_SECONDS=60 sh tests/on.sh lavapipe all cargo test --release --locked
	sh tests/on.sh lavapipe none cargo test --release --locked $(GPU_TEST_FLAGS)
	sh tests/on.sh swiftshader all cargo test --release --locked $(GPU_TEST_FLAGS)
	sh tests/on.sh swiftshader none cargo test --release --locked $(GPU_TEST_FLAGS)
	cargo build --release --locked
	sh examples/web/build.sh
	sh examples/web/test.sh
	@lines() { find "$$@" -type f -exec cat {} + | wc -l; }; \
	printf '%d lines of Rust, %d of tests, %d of WGSL\n' \
		"$$(lines src examples -name '*.rs')" "$$(lines tests -name '*.rs')" "$$(lines shaders -name '*.wgsl')"; \
	printf '%d lines of TypeScript, %d of tests in the browser\n' \
		"$$(lines examples/web/src examples/web/page -name '*.ts')" "$$(lines examples/web/test -name '*.mjs')"
