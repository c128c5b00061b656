# shellcheck shell=bash
# An apt of our own: it fetches packages of any architecture for unpacking into .deps, without touching the host's
# package database, lists or foreign architectures, and without root. Sourced after lib.sh.

CODENAME=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")

# debian_sources ARCH: the host's Debian sources of this release (so that a local mirror or a proxy is used), no
# others: third parties often have nothing for ARCH. Security is added when the host has none, since the Rust
# toolchain is there.
debian_sources() {
    local arch=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg options found source
    options=arch=$arch
    [ ! -e $keyring ] || options+=" signed-by=$keyring"
    # shellcheck disable=SC2016 # apt expands these
    found=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(ORIGIN) $(COMPONENT)' \
        'Created-By: Packages' 'Architecture: amd64' |
        awk -v release="$CODENAME" '
            # Before the first "apt-get update" apt does not know codename and origin: go by the address then.
            $4 ~ /^\$/ && $1 ~ /\/debian(-security)?\/$/ { $4 = "Debian"; $3 = $2 }
            $4 == "Debian" && $1 !~ /^cdrom:/ && ($3 == release || $3 == release "-updates" || $3 == release "-security") &&
                !seen[$0]++ { print $1, $2, $5 }')
    [ -n "$found" ] || found="http://deb.debian.org/debian $CODENAME main"
    [[ $found == *-security* ]] || found+=$'\n'"http://deb.debian.org/debian-security $CODENAME-security main"
    while read -r source; do echo "deb [$options] $source"; done <<<"$found"
}

# own_apt_setup ARCH STATUS: configure it and fetch the lists. STATUS is the package database to resolve against:
# the host's, to leave out what it has, or an empty one for a complete closure.
own_apt_setup() {
    local arch=$1 status=$2 dir=$DEPS/apt/$1
    mkdir -p "$dir"/{lists/partial,cache/archives/partial}
    : >"$dir/empty"
    debian_sources "$arch" >"$dir/sources.list"
    # Read after the host's own configuration, which stays in force for proxies and the like; but its hooks are about
    # the host's lists, and it may ask for indexes nobody needs here.
    cat >"$dir/apt.conf" <<CONF
#clear APT::Update;
#clear DPkg;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear Acquire::IndexTargets::deb::DEP-11-icons-small;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large;
#clear Acquire::IndexTargets::deb::DEP-11-icons-hidpi;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large-hidpi;
#clear APT::Architectures;
APT::Update::Error-Mode "any";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "true";
Dir::Etc::SourceList "$dir/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$dir";
Dir::State::Lists "$dir/lists";
Dir::State::Status "$status";
Dir::State::extended_states "$dir/extended_states";
Dir::Cache "$dir/cache";
Dir::Cache::Archives "$dir/cache/archives";
CONF
    own_apt "$arch" update
}

own_apt() {
    local arch=$1
    shift
    apt-get -c="$DEPS/apt/$arch/apt.conf" "$@"
}

# closure ARCH PACKAGE...: "name=version" of the packages and of what they depend on.
closure() {
    local arch=$1
    shift
    own_apt "$arch" -s install "$@" | sed -n 's/^Inst \([^ ]*\) .*(\([^ ]*\) .*/\1=\2/p'
}

# unpack ARCH DIR NAME=VERSION...: fetch (apt verifies them) and unpack.
unpack() {
    local arch=$1 dir=$2 debs deb
    shift 2
    debs=$DEPS/apt/$arch/debs
    mkdir -p "$debs" "$dir"
    (cd "$debs" && own_apt "$arch" download "$@")
    for deb in "$debs"/*.deb; do dpkg -x "$deb" "$dir"; done
    rm -rf "$DEPS/apt/$arch" # 100 MB of lists that would be stale next time
}
