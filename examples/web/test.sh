#!/bin/sh
# Runs the package's tests, one file after the other: they share the processor with the driver.
set -eu
cd "$(dirname "$0")"
. ../../tests/find.sh

CHROMIUM=${CHROMIUM:-$(find_chromium)}
export CHROMIUM
exec node --test --test-concurrency=1 --test-reporter=spec test/*.test.mjs
