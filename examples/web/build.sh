#!/bin/sh
# Builds the npm package into dist/ and the demo page into site/, next to this file.
set -eu
cd "$(dirname "$0")/../.."
. tests/find.sh

web=examples/web
sh tests/wasm.sh build --profile web
# wasm-opt makes it a tenth smaller; everything works without.
wasm=${CARGO_TARGET_DIR:-target}/wasm/wasm32-unknown-unknown/web/tiefsee.wasm
rm -rf "$web/src/wasm"
"$(wasm_bindgen)" --target web --remove-name-section --out-dir "$web/src/wasm" "$wasm"
if command -v wasm-opt >/dev/null 2>&1; then
    wasm-opt -Oz --all-features -o "$web/src/wasm/tiefsee_bg.wasm" "$web/src/wasm/tiefsee_bg.wasm" ||
        printf 'build.sh: wasm-opt failed, the module stays as it is\n' >&2
fi
cd "$web"
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund
exec node build.mjs
