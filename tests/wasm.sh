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
if ! has_std_sources && ! has_wasm_target && has_debian_sources; then
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(find_wasm_linker)
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
    cargo=/usr/bin/cargo
fi
# Messages of panics name files, and need not say where somebody's crates and toolchain lie.
RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src/= --remap-path-prefix=$(std_sources)= ${RUSTFLAGS:-}"
export RUSTFLAGS
if has_std_sources; then
    # A standard library made for size, which is an unstable option: the module is a thirtieth smaller.
    export RUSTC_BOOTSTRAP=1
    exec "${cargo:-cargo}" "$@" -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
fi
if has_wasm_target; then
    exec cargo "$@"
fi
printf 'wasm.sh: no toolchain here builds for wasm32-unknown-unknown\n' >&2
exit 1
