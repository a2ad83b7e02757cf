# What the README names. Every target sets up what it needs first and is quick when that is there.
#
#   make demo    the bundled model answers a question
#   make bench   how fast the bundled model runs here
#   make compare tiefsee beside other engines, which it builds
#   make web     the npm package (examples/web/dist) and the demo page (examples/web/site)
#   make demo-model       trains a bundled model from nothing, in hours, into target/demo-model
#   make load    2,000 requests of 64 clients, and how fast they are answered
#   make test    everything that must hold before a change lands, cheapest first
#   make test-scale-out   two replicas behind Ray Serve, vllm-router and LiteLLM's proxy, one of them killed under load
#   make test-recipe      the recipe's short setting, and tiefsee beside transformers on what it makes
#   make test-matrix   products by matrix units, on a newer Mesa that is fetched for it

PROGRAM := $(or $(CARGO_TARGET_DIR),target)/release/tiefsee

# Drivers complain where there is no such folder, as on a server.
export XDG_RUNTIME_DIR ?= $(CURDIR)/target

# The integration tests whose results depend on the driver: they run on each driver, and on lavapipe without
# its tiers, too, where each kernel meets fewer formats. All others run once.
KERNEL_TESTS = flight launches models ops selftest
KERNEL_TEST_FLAGS = $(KERNEL_TESTS:%=--test %)

.PHONY: demo bench compare web demo-model load test test-scale-out test-recipe test-matrix build

demo: build
	$(PROGRAM) run demo "What is 27 + 48?"

bench: build
	$(PROGRAM) bench demo

compare: build
	@sh tests/setup.sh compare
	sh examples/compare/build.sh
	sh tests/on.sh lavapipe all python3 examples/compare/compare.py

web:
	@sh tests/setup.sh web
	sh examples/web/build.sh

build:
	@sh tests/setup.sh
	cargo build --release --locked

demo-model: build
	@sh tests/setup.sh recipe
	sh examples/demo-model/recipe/make.sh

load:
	@sh tests/setup.sh
	TIEFSEE_LOAD=2000 sh tests/on.sh lavapipe all cargo test --release --locked --test load -- --nocapture --test-threads 1

test-scale-out: build
	@sh tests/setup.sh scale-out
	sh tests/on.sh lavapipe all $(or $(CARGO_TARGET_DIR),target)/clients/venv/bin/python examples/scale-out/test.py

test-recipe: build
	@sh tests/setup.sh recipe
	sh tests/on.sh lavapipe all sh examples/demo-model/recipe/test.sh

test-matrix:
	@sh tests/setup.sh
	sh tests/matrix.sh

# The check is of the program as users build it: with the tests its dependencies have more features. Clients and
# browsers use the program that was built with the tests.
test:
	@sh tests/setup.sh all
	cargo fmt --check
	rustfmt --edition 2024 --check src/formats/*.rs
	cargo clippy --release --locked --all-targets -- -D warnings
	python3 -B examples/demo-model/recipe/test_problems.py
	RUSTDOCFLAGS='-D warnings' cargo doc --release --locked --no-deps
	cargo check --release --locked
	TIEFSEE_FUZZ_SECONDS=20 sh tests/on.sh lavapipe all cargo test --release --locked
	TIEFSEE_TEST_FORMATS=some sh tests/on.sh lavapipe none cargo test --release --locked $(KERNEL_TEST_FLAGS)
	TIEFSEE_TEST_FORMATS=some sh tests/on.sh swiftshader all cargo test --release --locked $(KERNEL_TEST_FLAGS)
	sh tests/on.sh lavapipe all sh tests/clients/run.sh
	sh examples/web/build.sh
	sh examples/web/test.sh
	@lines() { find "$$@" -type f -exec cat {} + | wc -l; }; \
	printf '%d lines of Rust, %d of tests, %d of WGSL\n' \
		"$$(lines src examples -name '*.rs')" "$$(lines tests -name '*.rs')" "$$(lines shaders -name '*.wgsl')"; \
	printf '%d lines of TypeScript, %d of tests in the browser\n' \
		"$$(lines examples/web/src examples/web/page -name '*.ts')" "$$(lines examples/web/test -name '*.mjs')"
