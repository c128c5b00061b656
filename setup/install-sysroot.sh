#!/usr/bin/env bash
# meson's install script: puts .deps/sysroot and, where they were fetched, its siblings for particular libraries in
# place. install-sysroot.sh DIRECTORY
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ -e "$DEPS/sysroot/.stamp" ] || die "there is no .deps/sysroot to install" "run make setup, or configure with -Dsysroot=false"
for stamp in "$DEPS"/sysroot{,-*}/.stamp; do
    [ -e "$stamp" ] || continue # no sibling
    from=$(dirname "$stamp")
    to=${DESTDIR-}$1/$(basename "$from")
    mkdir -p "$to"
    cp -r --no-dereference --remove-destination "$from/." "$to/"
done
