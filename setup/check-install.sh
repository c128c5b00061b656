#!/usr/bin/env bash
# Everything that meson says it installs must be in place, and the sysroot with it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT
DESTDIR=$dest meson install -C build --no-rebuild --quiet
meson introspect build --installed | python3 -c '
import json, os, sys
missing = [path for path in json.load(sys.stdin).values() if not os.path.lexists(sys.argv[1] + path)]
sys.exit("not installed: " + " ".join(missing) if missing else 0)' "$dest"
find "$dest" -path '*/iotdec/sysroot/lib/ld-linux-aarch64.so.1' | grep -q . || die "the sysroot was not installed"
