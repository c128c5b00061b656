#!/usr/bin/env bash
# The build: meson setup once, then ninja, which asks cargo.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$ROOT"
if [ ! -e build/build.ninja ]; then
    step "configure" "make clean, then try again" meson setup build
    say "building; the first time takes some minutes"
fi
ninja -C build --quiet || die "the build failed: ninja -C build" "see above; if it is not the code: make clean, then try again"
