#!/bin/sh
# on.sh DRIVER TIERS COMMAND..: runs a test command on one software driver and on nothing else, so
# that a machine with a GPU gives the same results. DRIVER is lavapipe or swiftshader, TIERS is
# all or none.
set -eu
cd "$(dirname "$0")/.."
. tests/find.sh

case $1 in
lavapipe)
    driver=$(find_lavapipe)
    device=llvmpipe
    ;;
swiftshader)
    driver=$(find_swiftshader)
    device=SwiftShader
    ;;
*)
    printf 'on.sh: no driver is called %s\n' "$1" >&2
    exit 2
    ;;
esac
if [ -z "$driver" ]; then
    printf 'on.sh: %s is not installed\n' "$1" >&2
    exit 1
fi
printf '%s (tiers: %s): %s\n' "$device" "$2" "$driver"

# Older loaders know only the second name of the same setting.
export VK_DRIVER_FILES="$driver" VK_ICD_FILENAMES="$driver"
export TIEFSEE_TEST_DEVICE="$device" TIEFSEE_TEST_TIERS="$2"
shift 2

# The loader complains where there is no such folder, as on a server.
XDG_RUNTIME_DIR=$(mktemp -d)
export XDG_RUNTIME_DIR
trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
trap 'exit 130' HUP INT TERM
"$@"
