# Packages of Debian unstable, unpacked where nothing else sees them: Debian stable's Vulkan is too old
# for some of what is tested and compared. Read by scripts that have a `fail`.

# sid_apt FOLDER ARGUMENT..: an apt-get that knows only Debian unstable and a machine on which nothing
# is installed.
sid_apt() {
    sid_folder=$1
    shift
    apt-get -qq -o "Dir::State=$sid_folder/state" -o "Dir::Cache=$sid_folder/cache" \
        -o "Dir::State::status=$sid_folder/state/status" -o "Dir::Etc::SourceList=$sid_folder/sources.list" \
        -o Dir::Etc::SourceParts=/dev/null -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
        -o APT::Sandbox::User= -o APT::Get::List-Cleanup=false -o APT::Install-Recommends=false "$@"
}

# unpack_sid FOLDER PACKAGE..: the packages, with what they need, in FOLDER/root.
unpack_sid() {
    sid_folder=$1
    shift
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ "$(uname -m)" = x86_64 ] || fail 'packages of Debian unstable are fetched for x86-64 processors only.'
    for needed in apt-get dpkg-deb; do
        command -v "$needed" >/dev/null 2>&1 || fail "there is no $needed, as Debian has it."
    done
    [ -e "$keys" ] || fail "there is no $keys: install debian-archive-keyring."
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' | grep -v security | head -n 1)
    [ -n "$mirror" ] || fail 'the sources of apt-get name no mirror of Debian.'
    rm -rf "$sid_folder/root" "$sid_folder/state" "$sid_folder/cache"
    mkdir -p "$sid_folder/root" "$sid_folder/state/lists/partial" "$sid_folder/cache/archives/partial"
    : >"$sid_folder/state/status"
    printf 'deb [signed-by=%s] %s sid main\n' "$keys" "$mirror" >"$sid_folder/sources.list"
    sid_apt "$sid_folder" update && sid_apt "$sid_folder" -y --download-only install "$@" ||
        fail 'the packages could not be fetched: see the messages above.'
    for package in "$sid_folder"/cache/archives/*.deb; do
        dpkg-deb --extract "$package" "$sid_folder/root"
    done
    rm -rf "$sid_folder/cache"
}
