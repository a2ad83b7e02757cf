# Where the drivers and toolchains of this machine are. Read by the other scripts; changes nothing.

# Folders in which the Vulkan loader looks for drivers, one a line.
driver_folders() {
    printf '%s\n' "${XDG_CONFIG_HOME:-${HOME:-}/.config}" "${XDG_CONFIG_DIRS:-/etc/xdg}" \
        /usr/local/etc /etc "${XDG_DATA_HOME:-${HOME:-}/.local/share}" \
        "${XDG_DATA_DIRS:-/usr/local/share:/usr/share}" |
        tr ':' '\n' | sed 's,$,/vulkan/icd.d,'
}

# The first driver whose file name matches the pattern; nothing if there is none.
find_driver() {
    driver_folders | while IFS= read -r folder; do
        # A pattern: the shell is to expand it.
        # shellcheck disable=SC2086
        ls -d -- "$folder"/$1 2>/dev/null || :
    done | head -n 1
}

# Mesa's driver for the processor. Where another architecture's is installed too, this one's.
find_lavapipe() {
    found=$(find_driver "lvp_icd.$(uname -m).json")
    [ -n "$found" ] || found=$(find_driver 'lvp_icd*.json')
    printf '%s\n' "$found"
}

# The driver for the processor that Chromium brings along.
find_swiftshader() {
    for folder in /usr/lib/chromium /usr/lib/chromium-browser /usr/lib64/chromium-browser \
        /opt/google/chrome /snap/chromium/current/usr/lib/chromium-browser; do
        if [ -e "$folder/libvk_swiftshader.so" ] && [ -e "$folder/vk_swiftshader_icd.json" ]; then
            printf '%s\n' "$folder/vk_swiftshader_icd.json"
            return
        fi
    done
}

# Whether the environment or a folder names a driver that exists.
has_driver() {
    chosen=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
    if [ -z "$chosen" ]; then
        [ -n "$(find_driver '*.json')" ]
        return
    fi
    [ -n "$(printf '%s\n' "$chosen" | tr ':' '\n' | while IFS= read -r driver; do
        ls -d -- "$driver" 2>/dev/null || :
    done)" ]
}

# Whether programs can load Vulkan at all.
has_loader() {
    if PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; then
        return
    fi
    for folder in $(printf '%s' "${LD_LIBRARY_PATH:-}" | tr ':' ' ') \
        /lib /lib64 /usr/lib /usr/lib64 /usr/local/lib "/usr/lib/$(uname -m)-linux-gnu"; do
        if [ -e "$folder/libvulkan.so.1" ]; then
            return
        fi
    done
    return 1
}

# The oldest Rust that Cargo.toml allows.
oldest_rust() {
    sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml
}

# Whether the given cargo or rustc is not older than that.
is_recent() {
    version=$("$1" --version 2>/dev/null | cut -d ' ' -f 2)
    [ -n "$version" ] &&
        [ "$(printf '%s\n' "$(oldest_rust)" "$version" | sort -V | head -n 1)" = "$(oldest_rust)" ]
}

# Whether the toolchain in use has a standard library for the browser.
has_wasm_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]
}

# Where it keeps the sources of the standard library, to build a smaller one; and whether they are there.
std_sources() {
    printf '%s/lib/rustlib/src/rust/\n' "$("${RUSTC:-rustc}" --print sysroot)"
}

has_std_sources() {
    [ -d "$(std_sources)library/std" ]
}

# Debian's linker for the browser: the newest, as its name has a version.
find_wasm_linker() {
    ls /usr/bin/wasm-ld-* 2>/dev/null | sort -V | tail -n 1
}

# Whether Debian's toolchain is there with those sources, and a linker.
has_debian_sources() {
    [ -d /usr/lib/rustlib/src/rust/library/std ] && is_recent /usr/bin/cargo &&
        is_recent /usr/bin/rustc && [ -n "$(find_wasm_linker)" ]
}

# The version that a crate has in Cargo.lock.
locked_version() {
    sed -n "/^name = \"$1\"\$/{n;s/^version = \"\(.*\)\"\$/\1/p;q;}" Cargo.lock
}

# The wasm-bindgen of that version, which the build puts there.
wasm_bindgen() {
    printf '%s/wasm-bindgen-%s/bin/wasm-bindgen\n' "${CARGO_TARGET_DIR:-target}" "$(locked_version wasm-bindgen)"
}

# Whether there is a Node.js that runs the build of the package and its tests.
has_node() {
    command -v npm >/dev/null 2>&1 &&
        node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null
}

# Whether there is a Python that gets packages.
has_pip() {
    python3 -m pip --version >/dev/null 2>&1
}

# Whether a file has the hash: is_file FILE SHA256.
is_file() {
    [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d ' ' -f 1)" = "$2" ]
}
