#!/usr/bin/env bash
# Every test there is, fast ones first. Goes on after a failure, to tell of all of them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

passed=0
failed=()

# check WHAT COMMAND...
check() {
    local what=$1 start=$SECONDS
    shift
    printf '\n== %s: %s\n' "$what" "$*"
    if "$@"; then
        passed=$((passed + 1))
        printf '== %s: passed (%d s)\n' "$what" $((SECONDS - start))
    else
        failed+=("$what")
        printf '== %s: FAILED (%d s)\n' "$what" $((SECONDS - start))
    fi
}

# The installed tree must have all parts in place, whoever the user is.
install_tree() {
    local dest prefix=usr/local file
    dest=$(mktemp -d) || return
    DESTDIR=$dest meson install -C build --no-rebuild --quiet || return
    prefix=$dest/$(meson introspect build --buildoptions |
        python3 -c 'import json, sys; print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))') || return
    for file in bin/iotdec libexec/iotdec/iotdec-worker-{aarch64,x86_64} lib/*/gstreamer-1.0/libgstiotdec.so \
        share/iotdec/sysroot/lib/ld-linux-aarch64.so.1; do
        # shellcheck disable=SC2086 # the plugin's directory has the architecture in its name
        ls -d $prefix/$file || return
    done
    rm -rf "$dest"
}

check "format" setup/cargo fmt --all --check
check "build" ninja -C build --quiet
check "install" install_tree
check "lint" setup/devenv setup/cargo clippy --workspace --all-targets -- -D warnings
check "documentation" env RUSTDOCFLAGS="-D warnings" setup/devenv setup/cargo doc --workspace --no-deps
check "tests" setup/devenv setup/cargo test --workspace
check "model" env RUSTFLAGS="--cfg loom" setup/cargo test -p iotdec-wire --release --target-dir target/loom loom

printf '\n'
[ ${#failed[@]} -eq 0 ] || printf 'failed: %s\n' "${failed[*]}"
printf 'checks: %d passed, %d failed\n' "$passed" ${#failed[@]}
[ ${#failed[@]} -eq 0 ]
