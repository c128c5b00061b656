#!/usr/bin/env bash
# cargo's part of the meson build: build-crates.sh STAMP host LIBEXECDIR DATADIR | build-crates.sh STAMP guest |
# build-crates.sh STAMP accelerator
# STAMP is rewritten only when a result changed, so that ninja leaves alone what depends on it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

stamp=$1
# `sudo meson install` builds first. root would leave files behind that their owner cannot replace, and may not have
# the owner's Rust.
if [ -e "$stamp" ] && [ "$(id -u)" -eq 0 ] && [ "$(stat -c %u "$ROOT")" -ne 0 ]; then
    say "run as root in another user's tree: taking what is built"
    exit 0
fi

cd "$ROOT"
case $2 in
host)
    export IOTDEC_LIBEXECDIR=$3 IOTDEC_DATADIR=$4
    # In one go: built one by one, shared dependencies would be built with differing features.
    CARGO_TARGET_DIR=$ROOT/target setup/cargo build --release -p gst-plugin-iotdec -p iotdec -p iotdec-malloc \
        -p iotdec-runtime -p iotdec-worker
    made=(target/release/{libgstiotdec.so,libiotdec_malloc.so,libiotdec.so,iotdec,iotdec-worker})
    ;;
guest)
    IOTDEC_GUEST_TARGET_DIR=$ROOT/target/guest setup/cargo-guest build --release -p iotdec-worker
    made=(target/guest/aarch64-unknown-linux-gnu/release/iotdec-{worker,calls})
    ;;
accelerator)
    # By itself, for it is optional: with it, the host's crates would share other features of dependencies.
    CARGO_TARGET_DIR=$ROOT/target setup/cargo build --release -p iotdec-accel
    made=(target/release/libiotdec_accel.so)
    ;;
*) die "nothing to build is called $2" ;;
esac

state=$(stat -c "%n %i %s %y" "${made[@]}")
cd "$OLDPWD"
[ "$state" = "$(cat "$stamp" 2>/dev/null)" ] || echo "$state" >"$stamp"
