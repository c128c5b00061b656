#!/usr/bin/env bash
# .deps/sources/PACKAGE: the source of a Debian package, for tests that run its upstream's tests.
# sources.sh PACKAGE
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/setup/apt.sh"

package=$1
source=$DEPS/sources/$package
wanted=$(stamp "$ROOT"/setup/{sources,apt}.sh)
[ "$wanted" != "$(cat "$source/.stamp" 2>/dev/null)" ] || exit 0
alone

fetch_source() {
    local new=$source.new dir=$DEPS/apt/arm64 description
    rm -rf "$new" "$new.fetched"
    own_apt_setup arm64 "$dir/empty"
    sed -i 's/^deb /deb-src /; s/arch=[^] ]* *//' "$dir/sources.list"
    own_apt arm64 update
    mkdir -p "$new.fetched"
    # apt checks the sums against its signed lists.
    (cd "$new.fetched" && own_apt arm64 source --download-only "$package")
    description=$(echo "$new.fetched"/*.dsc)
    dpkg-source --no-check -x "$description" "$new"
    rm -rf "$dir" "$new.fetched"
    echo "$wanted" >"$new/.stamp"
    rm -rf "$source"
    mv "$new" "$source"
}

step "source of $package into .deps/sources" \
    "check that this machine reaches its Debian sources (apt-get update), then try again" \
    fetch_source
