#!/bin/sh
# Type-checks the library for the browser, with whichever toolchain of this machine can.
set -eu
cd "$(dirname "$0")/.."
. tests/find.sh

# A folder of its own: the artefacts of the other builds stay as they are.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/wasm"
set -- check --lib --locked --target wasm32-unknown-unknown
if has_wasm_target; then
    exec cargo "$@"
fi
if has_wasm_sources; then
    # Debian ships the sources of the standard library; building them is an unstable option.
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1
    exec /usr/bin/cargo "$@" -Zbuild-std=std,panic_abort
fi
printf 'wasm.sh: no toolchain here builds for wasm32-unknown-unknown\n' >&2
exit 1
