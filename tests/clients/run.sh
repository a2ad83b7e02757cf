#!/bin/sh
# run.sh [PART..]: runs the clients' tests with what install.sh installed.
set -eu
cd "$(dirname "$0")/../.."
exec "${CARGO_TARGET_DIR:-target}/clients/venv/bin/python" tests/clients/run.py "$@"
