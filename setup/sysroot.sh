#!/usr/bin/env bash
# .deps/sysroot: the arm64 libraries the workers run on, out of Debian's own packages.
# Use: qemu-aarch64 -L .deps/sysroot PROGRAM
#
# sysroot.sh NAME makes .deps/sysroot-NAME, of setup/sysroot-NAME.txt, for the libraries that need much.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/setup/apt.sh"

name=sysroot${1:+-$1}
sysroot=$DEPS/$name
wanted_libraries=$ROOT/setup/$name.txt
[ -e "$wanted_libraries" ] || die "there is no sysroot '$1'" "see setup/sysroot-*.txt"
wanted=$(stamp "$wanted_libraries" "$ROOT"/setup/{sysroot,apt}.sh)
[ "$wanted" != "$(cat "$sysroot/.stamp" 2>/dev/null)" ] || exit 0
alone

# columns FIELD: of the list, without comments.
columns() { sed 's/#.*//' "$wanted_libraries" | awk -v field="$1" 'NF { print $field }'; }

# elf_closure FROM TO LIBRARY...: copies the libraries and everything they need from an unpacked tree into one
# directory, where the dynamic linker looks first.
elf_closure() {
    local from=$1 to=$2 library file
    shift 2
    local queue=("$@")
    while [ ${#queue[@]} -gt 0 ]; do
        library=${queue[0]}
        queue=("${queue[@]:1}")
        [ ! -e "$to/$library" ] || continue
        file=$(find "$from" -name "$library" -print -quit)
        [ -n "$file" ] || die "$library is in none of the packages"
        # An absolute link would lead out of the tree, into the host.
        while [ -L "$file" ]; do
            case $(readlink "$file") in
            /*) file=$from$(readlink "$file") ;;
            *) file=$(dirname "$file")/$(readlink "$file") ;;
            esac
        done
        install -m 644 "$file" "$to/$library"
        # shellcheck disable=SC2207 # names without blanks
        queue+=($(patchelf --print-needed "$file"))
    done
}

make_sysroot() {
    local new=$sysroot.new packages libraries
    rm -rf "$new" "$new.packages"
    own_apt_setup arm64 "$DEPS/apt/arm64/empty"
    # shellcheck disable=SC2046
    packages=$(closure arm64 $(columns 2 | sort -u))
    # shellcheck disable=SC2086
    unpack arm64 "$new.packages" $packages

    libraries=$new/lib/aarch64-linux-gnu
    mkdir -p "$libraries" "$new/etc"
    # shellcheck disable=SC2046
    elf_closure "$new.packages" "$libraries" $(columns 1)
    # Where programs look for their loader (ELF PT_INTERP).
    ln -s aarch64-linux-gnu/ld-linux-aarch64.so.1 "$new/lib/ld-linux-aarch64.so.1"

    # QEMU falls back to the host's file where the sysroot has none; the host's preloads and library cache are for
    # another machine. Empty files hide them.
    : >"$new/etc/ld.so.preload"
    : >"$new/etc/ld.so.cache"

    tr '=' ' ' <<<"$packages" | sort >"$new/PACKAGES"
    echo "$wanted" >"$new/.stamp"
    rm -rf "$new.packages"
    # Swapped in whole: a worker that starts meanwhile finds the old one or the new one.
    rm -rf "$sysroot.old"
    [ ! -e "$sysroot" ] || mv "$sysroot" "$sysroot.old"
    mv "$new" "$sysroot"
    rm -rf "$sysroot.old"
}

step "arm64 libraries into .deps/$name" \
    "check that this machine reaches its Debian sources (apt-get update), then try again" \
    make_sysroot
