#!/usr/bin/env bash
# fluster, which runs decoders over test vectors, in an environment of its own. Only make conformance needs it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Fluendo's; the package named plain fluster is something else.
NAME=fluster-conformance
VERSION=0.8.0
HASH=4e33016eb2c624688e0ffcff9d9be48b6d27a4d86c3bf1ec7f295081b3dad7bb

install_fluster() {
    rm -rf "$DEPS/fluster"
    # Debian's Python, with its packages: the runner reads caps with python3-gi.
    /usr/bin/python3 -m venv --system-site-packages "$DEPS/fluster"
    printf '%s==%s --hash=sha256:%s\n' "$NAME" "$VERSION" "$HASH" >"$DEPS/fluster/requirements.txt"
    "$DEPS/fluster/bin/pip" install --no-deps --require-hashes -r "$DEPS/fluster/requirements.txt"
    touch "$DEPS/fluster/$VERSION.installed"
}

[ -e "$DEPS/fluster/$VERSION.installed" ] ||
    step "install fluster" "check the network, then try again" install_fluster
