#!/usr/bin/env bash
# .deps/sources/PACKAGE: the sources of Debian packages, for tests that run their upstreams' tests.
# sources.sh PACKAGE...
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/setup/apt.sh"

sources=$DEPS/sources
wanted=$(stamp "$ROOT"/setup/{sources,apt}.sh)
missing=()
for package; do
    [ "$wanted" = "$(cat "$sources/$package/.stamp" 2>/dev/null)" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
alone

# download PACKAGE: its newest source. A mirror that is being updated may lack that; the release's own serves as well,
# for the tests change less than the library.
download() {
    local version
    for version in $(apt-cache -c="$DEPS/apt/arm64/apt.conf" showsrc "$1" | sed -n 's/^Version: //p' | sort -rVu); do
        # apt checks the sums against its signed lists.
        ! own_apt arm64 source --download-only "$1=$version" || return 0
        rm -f -- *
    done
    return 1
}

fetch_sources() {
    local dir=$DEPS/apt/arm64 package source fetched
    own_apt_setup arm64 "$dir/empty"
    sed -i 's/^deb /deb-src /; s/arch=[^] ]* *//' "$dir/sources.list"
    own_apt arm64 update
    for package in "${missing[@]}"; do
        source=$sources/$package fetched=$sources/$package.fetched
        rm -rf "$source.new" "$fetched"
        mkdir -p "$fetched"
        (cd "$fetched" && download "$package")
        dpkg-source --no-check --no-copy -x "$fetched"/*.dsc "$source.new"
        rm -rf "$fetched"
        echo "$wanted" >"$source.new/.stamp"
        rm -rf "$source"
        mv "$source.new" "$source"
    done
    rm -rf "$dir"
}

what="source of ${missing[0]}"
[ ${#missing[@]} -eq 1 ] || what="sources of ${#missing[@]} packages"
step "$what into .deps/sources" \
    "check that this machine reaches its Debian sources (apt-get update), then try again" \
    fetch_sources
