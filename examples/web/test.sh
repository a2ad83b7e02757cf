#!/bin/sh
# Runs the package's tests, one file after the other: they share the processor with the driver.
set -eu
cd "$(dirname "$0")"
exec node --test --test-concurrency=1 --test-reporter=spec test/*.test.mjs
