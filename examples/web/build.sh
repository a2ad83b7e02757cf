#!/bin/sh
# Builds the npm package into dist/ and the demo page into site/, next to this file.
set -eu
cd "$(dirname "$0")/../.."
. tests/find.sh

web=examples/web
sh tests/wasm.sh build --profile web
wasm=${CARGO_TARGET_DIR:-target}/wasm
bound=$wasm/bound
"$(wasm_bindgen)" --target web --remove-name-section --out-dir "$bound" \
    "$wasm/wasm32-unknown-unknown/web/tiefsee.wasm"
[ "$web/node_modules/.package-lock.json" -nt "$web/package-lock.json" ] ||
    (cd "$web" && npm ci --no-audit --no-fund)

# wasm-opt makes the module a tenth smaller; everything works without. Nothing lies in the first kilobyte, which is the end of
# the stack, and memory begins as zeros.
if ! cmp -s "$bound/tiefsee_bg.wasm" "$wasm/before.wasm"; then
    PATH="$PATH:$web/node_modules/.bin" wasm-opt -Oz --low-memory-unused --zero-filled-memory \
        -o "$wasm/after.wasm" "$bound/tiefsee_bg.wasm" || {
        printf 'build.sh: no wasm-opt that works, so the module stays as it is\n' >&2
        cp "$bound/tiefsee_bg.wasm" "$wasm/after.wasm"
    }
    cp "$bound/tiefsee_bg.wasm" "$wasm/before.wasm"
fi
rm -rf "$web/src/wasm"
mkdir "$web/src/wasm"
cp "$bound/tiefsee.js" "$bound/tiefsee.d.ts" "$web/src/wasm"
cp "$wasm/after.wasm" "$web/src/wasm/tiefsee_bg.wasm"
cd "$web"
exec node build.mjs
