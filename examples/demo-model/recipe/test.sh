#!/bin/sh
# test.sh: the recipe's short setting, from nothing, interrupted once; what it makes has to be loadable, and its scores the
# same in tiefsee and in transformers.
set -eu
cd "$(dirname "$0")/../../.."
recipe=examples/demo-model/recipe
target=${CARGO_TARGET_DIR:-target}
python=$target/demo-model/venv/bin/python
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' HUP INT TERM

. "$recipe/environment.sh"
train() {
    "$python" "$recipe/train.py" --out "$folder/model" --tokens 200000 --save-seconds 5 "$@"
}
train &
training=$!
while [ ! -f "$folder/model/state.pt" ]; do
    sleep 1
    kill -0 $training
done
kill $training
wait $training || :
if train --seed 1 2>/dev/null; then
    printf 'a run went on with other settings\n' >&2
    exit 1
fi
train
grep -q '^resumed after ' "$folder/model/train.log"
"$python" "$recipe/train.py" --out "$folder/next" --start "$folder/model" --tokens 8192
"$python" "$recipe/problems.py" held-out 2 >"$folder/problems.jsonl"
"$target/release/tiefsee" accuracy "$folder/model" -f "$folder/problems.jsonl" --max-tokens 50
"$python" "$recipe/compare.py" "$folder/model" "$folder/problems.jsonl" "$target/release/tiefsee"
