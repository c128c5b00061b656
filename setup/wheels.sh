#!/usr/bin/env bash
# .deps/wheels: aarch64 libraries out of Python wheels, as anybody finds them. Nothing is installed, and no code of
# theirs runs here but in the tests.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

wheels=$DEPS/wheels
names=$ROOT/setup/wheels.txt
wanted=$(stamp "$names" "$ROOT/setup/wheels.sh")
[ "$wanted" != "$(cat "$wheels/.stamp" 2>/dev/null)" ] || exit 0
alone

fetch_wheels() {
    local new=$wheels.new python wheel
    rm -rf "$new"
    /usr/bin/python3 -m venv "$new/venv"
    python=$new/venv/bin/python3
    # shellcheck disable=SC2046
    "$python" -m pip download --disable-pip-version-check --no-deps --only-binary :all: --dest "$new" \
        --python-version 3.11 --implementation cp --abi cp311 --abi abi3 \
        --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 $(list "$names")
    for wheel in "$new"/*.whl; do
        "$python" -m zipfile -e "$wheel" "$new/$(basename "$wheel" | cut -d- -f1)"
        rm "$wheel"
    done
    rm -rf "$new/venv"
    echo "$wanted" >"$new/.stamp"
    rm -rf "$wheels"
    mv "$new" "$wheels"
}

step "aarch64 wheels into .deps/wheels" \
    "check that this machine reaches a Python package index (python3 -m pip download pip), then try again" \
    fetch_wheels
