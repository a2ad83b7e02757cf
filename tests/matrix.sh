#!/bin/sh
# matrix.sh [COMMAND..]: runs a test command on a Mesa that has matrix units, without a GPU. Debian
# stable's has none, so the one of Debian unstable is unpacked into target/sid, where nothing else
# sees it. Without a command: the tests that matrix units could break.
set -eu
cd "$(dirname "$0")/.."
. tests/sid.sh
sid=$(mkdir -p "${CARGO_TARGET_DIR:-target}/sid" && cd "${CARGO_TARGET_DIR:-target}/sid" && pwd)
library=$sid/root/usr/lib/x86_64-linux-gnu
driver=$library/libvulkan_lvp.so

fail() {
    printf 'matrix.sh: %s\n' "$*" >&2
    exit 1
}

if [ ! -e "$driver" ]; then
    printf 'set-up: fetching Mesa of Debian unstable into %s, about 80 MB\n' "$sid"
    unpack_sid "$sid" mesa-vulkan-drivers libvulkan1
    [ -e "$driver" ] || fail "there is no $driver in the packages."
fi
printf '{"ICD": {"api_version": "1.4.0", "library_path": "%s"}, "file_format_version": "1.0.1"}\n' \
    "$driver" >"$sid/lvp_icd.json"
# The driver needs the C library of its own release, and so does the program that loads it.
printf '#!/bin/sh\nexec "%s" --library-path "%s" "$@"\n' "$library/ld-linux-x86-64.so.2" "$library" >"$sid/run"
chmod +x "$sid/run"

export VK_DRIVER_FILES="$sid/lvp_icd.json" VK_ICD_FILENAMES="$sid/lvp_icd.json"
export TIEFSEE_TEST_DEVICE=llvmpipe TIEFSEE_TEST_TIERS="${TIEFSEE_TEST_TIERS:-matrix}"
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$sid/run"
XDG_RUNTIME_DIR=$(mktemp -d)
export XDG_RUNTIME_DIR
trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
trap 'exit 130' HUP INT TERM

if [ $# -gt 0 ]; then
    "$@"
else
    cargo test --release --locked --test ops -- matrix expert_matmul matmul_takes_either lanes
    cargo test --release --locked --test selftest
    cargo test --release --locked --test models -- scores_equal weights_split quantised_models
fi
