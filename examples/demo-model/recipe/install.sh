#!/bin/sh
# install.sh: PyTorch and transformers into target/demo-model/venv, where they are not yet. Several gigabytes, once.
set -eu
cd "$(dirname "$0")"
folder=${CARGO_TARGET_DIR:-../../../target}/demo-model
mkdir -p "$folder"
cmp -s requirements.txt "$folder/requirements.txt" && exit
printf 'set-up: PyTorch is not here: installing it from PyPI\n'
rm -rf "${folder:?}/venv"
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip --disable-pip-version-check install --quiet \
    --only-binary :all: --requirement requirements.txt
cp requirements.txt "$folder"
