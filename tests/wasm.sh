#!/bin/sh
# wasm.sh COMMAND..: runs a cargo command on the library for the browser, with whichever toolchain of
# this machine can: `wasm.sh build --profile web`.
set -eu
cd "$(dirname "$0")/.."
. tests/find.sh

command=$1
shift
set -- "$command" --lib --locked --target wasm32-unknown-unknown "$@"
# A folder of its own: the artefacts of the other builds stay as they are.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/wasm"
# Messages of panics name files, and need not say where somebody's crates lie.
export RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src/= ${RUSTFLAGS:-}"
if has_wasm_target; then
    exec cargo "$@"
fi
if has_wasm_sources; then
    # Debian ships the sources of the standard library; building them is an unstable option.
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(find_wasm_linker)
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
    exec /usr/bin/cargo "$@" -Zbuild-std=std,panic_abort
fi
printf 'wasm.sh: no toolchain here builds for wasm32-unknown-unknown\n' >&2
exit 1
