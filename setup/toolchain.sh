#!/usr/bin/env bash
# Decides which Rust builds the host's and which the guest's crates, and writes it to .deps/rust.env for setup/cargo
# and setup/cargo-guest. A toolchain on PATH is used when it is new enough and complete; otherwise Debian's is
# unpacked into .deps/toolchain: its packages cannot be installed beside rustup's or another Rust, and those that
# can are too old.
#
# IOTDEC_RUST=debian takes Debian's in any case.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/setup/apt.sh"

target=aarch64-unknown-linux-gnu
needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
toolchain=$DEPS/toolchain
choice=$DEPS/rust.env

# usable BIN: is there a Rust in BIN that can build, test and check the host's crates? (rustup's stand-ins exist
# even for tools it has not installed: so run them.)
usable() {
    local version tool
    version=$("$1/rustc" --version 2>/dev/null | awk '{ print $2 }') || return 1
    [ "$(printf '%s\n' "$needed" "$version" | sort -V | head -n 1)" = "$needed" ] || return 1
    for tool in cargo rustdoc rustfmt cargo-clippy; do
        "$1/$tool" --version >/dev/null 2>&1 || return 1
    done
}

# builds_guest BIN: does the Rust in BIN have the guest's standard library?
builds_guest() {
    compgen -G "$("$1/rustc" --print sysroot)/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null
}

# Debian security's newest Rust for amd64, and the same version's standard library for arm64, as one toolchain.
unpack_debian_rust() {
    local new=$toolchain.new packages version bin
    rm -rf "$new"
    own_apt_setup amd64 /var/lib/dpkg/status
    own_apt_setup arm64 "$DEPS/apt/arm64/empty"
    # What the host has installed of the closure is not in this list, above all libc, which must never come here.
    packages=$(closure amd64 rustc-web cargo-web rustfmt-web rust-web-clippy | grep -v '^libc6=')
    version=$(sed -n 's/^libstd-rust-web-dev=//p' <<<"$packages")
    # shellcheck disable=SC2086
    unpack amd64 "$new" $packages
    unpack arm64 "$new" "libstd-rust-web-dev=$version"
    rm -rf "${new:?}"/{usr/share,etc}
    # DT_RPATH, not DT_RUNPATH: it also holds for the libraries' own libraries. No LD_LIBRARY_PATH is needed then,
    # which would reach everything that cargo runs.
    for bin in "$new"/usr/bin/*; do
        # shellcheck disable=SC2016 # for the dynamic loader to expand
        [ -L "$bin" ] || patchelf --force-rpath --set-rpath '$ORIGIN/../lib/x86_64-linux-gnu' "$bin"
    done
    echo "$wanted" >"$new/.stamp"
    rm -rf "$toolchain"
    mv "$new" "$toolchain"
    usable "$toolchain/usr/bin"
    builds_guest "$toolchain/usr/bin"
}

debian_rust() {
    wanted=$(stamp "$ROOT"/setup/{toolchain,apt}.sh)
    [ "$wanted" != "$(cat "$toolchain/.stamp" 2>/dev/null)" ] || ! usable "$toolchain/usr/bin" || return 0
    step "Debian's Rust into .deps/toolchain" \
        "check that this machine reaches its Debian sources (apt-get update); or install Rust $needed or newer with rustup" \
        unpack_debian_rust
}

host_bin='' guest_bin=''
if [ "${IOTDEC_RUST-}" != debian ] && command -v rustc >/dev/null && usable "$(dirname "$(command -v rustc)")"; then
    host_bin=$(dirname "$(command -v rustc)")
    guest_bin=$host_bin
    if ! builds_guest "$host_bin"; then
        # Without a network this must not take long: there is another way. Nor is rustup asked again each time.
        if command -v rustup >/dev/null && ! usable "$toolchain/usr/bin"; then
            say "asking rustup for $target"
            RUSTUP_MAX_RETRIES=0 timeout 120 rustup target add "$target" >/dev/null 2>&1 ||
                say "rustup cannot get it; taking Debian's Rust for the guest"
        fi
        builds_guest "$host_bin" || guest_bin=
    fi
fi
[ -n "$guest_bin" ] || debian_rust
: "${host_bin:=$toolchain/usr/bin}" "${guest_bin:=$toolchain/usr/bin}"

printf -v decided 'HOST_BIN=%q\nGUEST_BIN=%q' "$host_bin" "$guest_bin"
if [ "$decided" != "$(cat "$choice" 2>/dev/null)" ]; then
    mkdir -p "$DEPS"
    echo "$decided" >"$choice"
    say "Rust for the host: $("$host_bin/rustc" --version)"
    say "Rust for the guest: $("$guest_bin/rustc" --version)"
fi
