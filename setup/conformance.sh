#!/usr/bin/env bash
# Every test vector: each frame against the native library, then all of them against what was published, with fluster.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

vectors=${IOTDEC_VECTORS-$ROOT/../shared/vectors}
[ -e "$vectors/MANIFEST.tsv" ] || die "no test vectors in $vectors" "name their folder in IOTDEC_VECTORS"
setup/fluster.sh
setup/sysroot.sh avcodec
failed=0
IOTDEC_FULL=1 setup/devenv setup/cargo test -p iotdec-tests --release --test conformance -- --nocapture || failed=1
setup/devenv setup/cargo build -p iotdec-tests --release --bin frame-checksum
PYTHONDONTWRITEBYTECODE=1 IOTDEC_FRAME_CHECKSUM=$ROOT/target/release/frame-checksum setup/devenv \
    "$DEPS/fluster/bin/python" tests/fluster/conformance.py "$vectors" build/conformance docs/conformance.md || failed=1
exit "$failed"
