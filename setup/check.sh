#!/usr/bin/env bash
# Every test there is, fast ones first. Goes on after a failure, to tell of all of them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

passed=0
failed=()
# Where nobody watches, a hang must not take all the time there is.
limit=()
[ -t 1 ] || limit=(timeout --kill-after=30 2700)

# check WHAT COMMAND...
check() {
    local what=$1 start=$SECONDS
    shift
    printf '\n== %s: %s\n' "$what" "$*"
    if "${limit[@]}" "$@"; then
        passed=$((passed + 1))
        printf '== %s: passed (%d s)\n' "$what" $((SECONDS - start))
    else
        failed+=("$what")
        printf '== %s: FAILED (%d s)\n' "$what" $((SECONDS - start))
    fi
}

check "format" setup/cargo fmt --all --check
check "build" setup/build.sh
check "install" setup/check-install.sh
check "options" setup/check-options.sh
# The accelerator apart: its C++ was built for the release profile and is not to be built for another.
others=(--workspace --exclude iotdec-accel)
accelerator=(--release -p iotdec-accel)
check "lint" setup/devenv setup/cargo clippy "${others[@]}" --all-targets -- -D warnings
check "guest's lint" setup/cargo-guest clippy --release -p iotdec-worker -- -D warnings
check "documentation" env RUSTDOCFLAGS="-D warnings" setup/devenv setup/cargo doc "${others[@]}" --no-deps
# shellcheck disable=SC2016 # for the environment that is entered
if setup/devenv sh -c '[ -n "$IOTDEC_ACCEL" ]'; then
    check "accelerator's lint" setup/cargo clippy "${accelerator[@]}" --all-targets -- -D warnings
    check "accelerator's documentation" env RUSTDOCFLAGS="-D warnings" setup/cargo doc "${accelerator[@]}" \
        --no-deps --document-private-items
    check "accelerator's tests" setup/cargo test "${accelerator[@]}"
    # All tests below are accelerated as far as they can be. Those that decide whether a frame is right are done without
    # each part of that as well.
    bit_exact=(bit_exact av1_vpx avcodec jpeg mpeg2 conformance buffer_safety)
    for mode in off native; do
        check "bit-exactness, accel=$mode" env IOTDEC_ACCEL_MODE="$mode" setup/devenv \
            setup/cargo test "${others[@]}" --no-fail-fast "${bit_exact[@]/#/--test=}"
    done
    check "bit-exactness, 2 threads" env IOTDEC_TEST_THREADS=2 setup/devenv \
        setup/cargo test "${others[@]}" --no-fail-fast "${bit_exact[@]/#/--test=}"
    # The C library asks for more than turbo has.
    calls=(bridge_calls bridge_memory bridge_process bridge_descriptors wrap wrapped_programs)
    for mode in off turbo; do
        check "calls, accel=$mode" env IOTDEC_ACCEL_MODE="$mode" setup/devenv \
            setup/cargo test "${others[@]}" --no-fail-fast "${calls[@]/#/--test=}" -- --skip the_c_library_sorts
    done
    for mode in native turbo; do
        check "guest tests, $mode" setup/devenv sh -c \
            "QEMU_PLUGIN=\$IOTDEC_ACCEL IOTDEC_GUEST_ACCEL=$mode setup/cargo-guest test -p iotdec-worker native::"
    done
else
    printf '\n== accelerator: not in this build\n'
fi
check "tests" setup/devenv setup/cargo test "${others[@]}" --no-fail-fast
check "guest tests" setup/cargo-guest test -p iotdec-heap -p iotdec-nal -p iotdec-wire -p iotdec-worker # under QEMU, on the sysroot
check "model" env RUSTFLAGS="--cfg loom" setup/cargo test -p iotdec-wire --release --target-dir target/loom loom
if [ "${IOTDEC_FULL-0}" != 0 ]; then
    check "races" setup/races.sh
else
    printf '\n== races: not looked for; make races does, or IOTDEC_FULL=1\n'
fi

printf '\n'
[ ${#failed[@]} -eq 0 ] || printf 'failed: %s\n' "${failed[*]}"
printf 'checks: %d passed, %d failed\n' "$passed" ${#failed[@]}
[ ${#failed[@]} -eq 0 ]
