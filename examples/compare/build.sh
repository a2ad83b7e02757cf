#!/bin/sh
# Builds what tiefsee is compared with, once: llama.cpp with its Vulkan back end, from the source
# distribution of llama-cpp-python, and burn. Everything goes into target/compare. llama.cpp takes
# a quarter of an hour on two cores, most of it for its shaders; burn takes ten minutes.
set -eu
cd "$(dirname "$0")/../.."
. tests/find.sh
. tests/sid.sh

VERSION=0.3.36
SHA256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

target=$(mkdir -p "${CARGO_TARGET_DIR:-target}/compare" && cd "${CARGO_TARGET_DIR:-target}/compare" && pwd)
program=${CARGO_TARGET_DIR:-target}/release/tiefsee

say() {
    printf 'compare: %s\n' "$*"
}

fail() {
    printf 'compare: %s\n' "$*" >&2
    exit 1
}

# Whether this system's headers are of a Vulkan that is new enough for llama.cpp.
has_new_headers() {
    printf '#include <vulkan/vulkan_core.h>\n#ifndef VK_EXT_layer_settings\n#error\n#endif\n' |
        c++ -E -x c++ - >/dev/null 2>&1
}

build_llama() {
    archive=$target/llama_cpp_python-$VERSION.tar.gz
    source=$target/llama_cpp_python-$VERSION/vendor/llama.cpp
    build=$target/llama-build
    if ! is_file "$archive" "$SHA256"; then
        say "fetching llama-cpp-python $VERSION"
        python3 -m pip --disable-pip-version-check download --quiet --no-deps --dest "$target" \
            --no-binary llama-cpp-python "llama-cpp-python==$VERSION" ||
            fail 'llama-cpp-python could not be fetched: see the messages above.'
        is_file "$archive" "$SHA256" || fail "$archive is not the file with SHA-256 $SHA256."
    fi
    if [ ! -f "$target/libraries" ]; then
        set --
        if ! has_new_headers; then
            say 'fetching headers of a newer Vulkan than that of this system, which llama.cpp needs'
            unpack_sid "$target/headers" libvulkan-dev
            set -- "-DVulkan_INCLUDE_DIR=$target/headers/root/usr/include"
        fi
        say 'building llama.cpp'
        tar -xzf "$archive" -C "$target"
        cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release -DGGML_VULKAN=ON "$@" \
            -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
            -DLLAMA_BUILD_TESTS=OFF >"$target/llama.log" &&
            cmake --build "$build" --target llama --parallel "$(nproc)" >>"$target/llama.log" ||
            fail "llama.cpp could not be built: $target/llama.log says why."
        : >"$target/libraries"
    fi
    cc -O2 -std=c11 -I"$source/include" -I"$source/ggml/include" examples/compare/llama.c \
        -L"$build/bin" -lllama -lggml -lggml-base -Wl,-rpath,"$build/bin" -o "$target/llama"
}

build_burn() {
    cargo build --quiet --release --locked --manifest-path examples/compare/burn/Cargo.toml --target-dir "$target/burn"
}

# The model of 48 M parameters in V3's shape, as files that both engines load.
make_models() {
    if [ ! -f "$target/v3-48m-q4_0.gguf" ]; then
        say 'making up weights in the shape of V3'
        python3 examples/compare/make_model.py tests/golden/v3-48m/config.json examples/demo-model "$target/v3-48m"
        for type in f16 q4_0; do
            "$program" quantize --force "$target/v3-48m" "$target/v3-48m-$type.gguf" "$type"
        done
    fi
}

build_llama
build_burn
make_models
