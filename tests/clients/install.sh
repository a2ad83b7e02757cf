#!/bin/sh
# Installs the clients where they are not: Python's into target/clients, those of Node.js into node_modules
# next to this file. It takes a network once.
set -eu
cd "$(dirname "$0")"
folder=${CARGO_TARGET_DIR:-../../target}/clients
mkdir -p "$folder"

# Whether what was installed is what the file lists: installed FILE.
installed() {
    cmp -s "$1" "$folder/$1"
}

# pip OPTION.. FILE: everything the file lists and nothing else.
pip() {
    "$folder/venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --no-compile \
        --only-binary :all: "$@"
}

if ! installed requirements.txt; then
    printf 'set-up: the clients in Python are not all here: installing them from PyPI\n'
    rm -rf "$folder/venv"
    python3 -m venv "$folder/venv"
    pip --requirement requirements.txt
    cp requirements.txt "$folder"
fi
if ! installed requirements-openai-2.txt; then
    printf 'set-up: openai 2 is not here: installing it from PyPI\n'
    rm -rf "$folder/openai-2"
    pip --target "$folder/openai-2" --requirement requirements-openai-2.txt
    cp requirements-openai-2.txt "$folder"
fi
if ! installed package-lock.json || [ ! -d node_modules ]; then
    printf 'set-up: the clients in JavaScript are not all here: installing them from npm\n'
    npm ci --no-audit --no-fund --loglevel error
    cp package-lock.json "$folder"
fi
