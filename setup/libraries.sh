#!/usr/bin/env bash
# What wrapping the libraries of setup/sysroot-libraries.txt, and testing the wrappers, needs:
# .deps/sysroot-libraries   the libraries for arm64, and what they need
# .deps/libraries/include   their headers as the -dev packages have them; those that differ in a directory by target
# .deps/libraries/native    their twins for amd64 with what they need, in one directory: what wrappers are compared with
# .deps/sources             where the upstream tests are
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/setup/apt.sh"

list=$ROOT/setup/sysroot-libraries.txt
libraries=$DEPS/libraries
wanted=$(stamp "$list" "$ROOT"/setup/{libraries,sysroot,sources,apt}.sh)
[ "$wanted" != "$(cat "$libraries/.stamp" 2>/dev/null)" ] || exit 0
alone

# columns FIELD: of the list's lines that name a source, each word once.
columns() { sed 's/#.*//' "$list" | awk -v field="$1" 'NF && $4 != "-" { print $field }' | tr , '\n' | sort -u; }

fetch_libraries() {
    local new=$libraries.new arch developing native file name
    rm -rf "$new"
    mkdir -p "$new"/{include,native}
    mapfile -t developing < <(columns 3)
    for arch in arm64 amd64; do
        own_apt_setup "$arch" "$DEPS/apt/$arch/empty"
    done
    unpack arm64 "$new/arm64-headers" "${developing[@]}"
    # The host's libc, with what comes with the compiler, serves every native program: never another one.
    # shellcheck disable=SC2046
    native=$(closure amd64 $(columns 2) | grep -Ev '^(libc6|libgcc-s1|libstdc\+\+6|gcc-12-base|libcrypt1)=')
    # shellcheck disable=SC2086
    unpack amd64 "$new/amd64" "${developing[@]}" $native
    for arch in arm64-headers amd64; do
        cp -r "$new/$arch/usr/include/." "$new/include/"
    done
    # By their SONAMEs, which are what programs ask for.
    while read -r file; do
        name=$(patchelf --print-soname "$file" 2>/dev/null) || continue
        [ -z "$name" ] || install -m 644 "$file" "$new/native/$name"
    done < <(find "$new/amd64" -type f -name '*.so*' -path '*/lib/x86_64-linux-gnu/*')
    rm -rf "$new"/{arm64-headers,amd64}
    echo "$wanted" >"$new/.stamp"
    rm -rf "$libraries"
    mv "$new" "$libraries"
}

"$ROOT/setup/sysroot.sh" libraries
# shellcheck disable=SC2046
"$ROOT/setup/sources.sh" $(columns 4)
step "headers and native twins of the wrapped libraries into .deps/libraries" \
    "check that this machine reaches its Debian sources (apt-get update), then try again" \
    fetch_libraries
