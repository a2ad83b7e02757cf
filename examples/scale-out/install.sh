#!/bin/sh
# install.sh: Ray Serve, vllm-router and LiteLLM's proxy, each into an environment of its own in target/scale-out,
# where they are not yet. It takes a network once.
set -eu
cd "$(dirname "$0")"
folder=${CARGO_TARGET_DIR:-../../target}/scale-out
mkdir -p "$folder"
for list in requirements/*.txt; do
    name=$(basename "$list" .txt)
    cmp -s "$list" "$folder/$name.txt" && continue
    printf 'set-up: %s is not here: installing it from PyPI\n' "$name"
    rm -rf "${folder:?}/$name"
    python3 -m venv "$folder/$name"
    "$folder/$name/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps \
        --only-binary :all: --requirement "$list"
    cp "$list" "$folder"
done
