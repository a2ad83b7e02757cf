#!/bin/sh
# make.sh OPTION..: trains the model into target/demo-model/model, going on where an earlier run stopped, and has tiefsee
# answer held-out problems with it. The options are train.py's.
set -eu
cd "$(dirname "$0")/../../.."
recipe=examples/demo-model/recipe
target=${CARGO_TARGET_DIR:-target}
folder=$target/demo-model
python=$folder/venv/bin/python

. "$recipe/environment.sh"
"$python" "$recipe/train.py" --out "$folder/model" "$@"
"$python" "$recipe/problems.py" held-out 200 >"$folder/problems.jsonl"
"$python" "$recipe/table.py" "$folder/model" "$folder/problems.jsonl" "$target/release/tiefsee"
sha256sum "$folder/model/model.safetensors"
