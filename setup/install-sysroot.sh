#!/usr/bin/env bash
# meson's install script: puts .deps/sysroot in place. install-sysroot.sh DIRECTORY
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

to=${DESTDIR-}$1
[ -e "$DEPS/sysroot/.stamp" ] || die "there is no .deps/sysroot to install" "run make setup, or configure with -Dsysroot=false"
mkdir -p "$to"
cp -r --no-dereference --remove-destination "$DEPS/sysroot/." "$to/"
