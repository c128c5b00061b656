#!/usr/bin/env bash
# .deps/sysroot: the arm64 libraries the workers run on, out of Debian's own packages.
# Use: qemu-aarch64 -L .deps/sysroot PROGRAM
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/setup/apt.sh"

sysroot=$DEPS/sysroot
names=$ROOT/setup/sysroot-packages.txt
wanted=$(stamp "$names" "$ROOT"/setup/{sysroot,apt}.sh)
[ "$wanted" != "$(cat "$sysroot/.stamp" 2>/dev/null)" ] || exit 0

make_sysroot() {
    local new=$sysroot.new packages
    rm -rf "$new"
    own_apt_setup arm64 "$DEPS/apt/arm64/empty"
    # shellcheck disable=SC2046
    packages=$(closure arm64 $(list "$names"))
    # shellcheck disable=SC2086
    unpack arm64 "$new" $packages

    # Libraries are all that is needed of them; not the documentation, nor the 8 MB of character set converters.
    find "$new" -mindepth 1 -maxdepth 1 ! -name lib ! -name usr -exec rm -r {} +
    find "$new/usr" -mindepth 1 -maxdepth 1 ! -name lib -exec rm -r {} +
    rm -rf "$new"/usr/lib/aarch64-linux-gnu/{gconv,audit} "$new"/usr/lib/{locale,mime,audit}

    # An absolute link would lead out of the sysroot, into the host.
    find "$new" -type l -lname '/*' | while read -r link; do
        ln -sfn "$(realpath -ms --relative-to="$(dirname "$link")" "$new$(readlink "$link")")" "$link"
    done

    # QEMU falls back to the host's file where the sysroot has none; the host's preloads and library cache are for
    # another machine. Empty files hide them.
    mkdir -p "$new/etc"
    : >"$new/etc/ld.so.preload"
    : >"$new/etc/ld.so.cache"

    tr '=' ' ' <<<"$packages" | sort >"$new/PACKAGES"
    echo "$wanted" >"$new/.stamp"
    # Swapped in whole: a worker that starts meanwhile finds the old one or the new one.
    rm -rf "$sysroot.old"
    [ ! -e "$sysroot" ] || mv "$sysroot" "$sysroot.old"
    mv "$new" "$sysroot"
    rm -rf "$sysroot.old"
}

step "arm64 libraries into .deps/sysroot" \
    "check that this machine reaches its Debian sources (apt-get update), then try again" \
    make_sysroot
