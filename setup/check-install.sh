#!/usr/bin/env bash
# Everything that meson says it installs must be in place, and the sysroot with it; and from there QEMU loads the
# accelerator.
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

accelerator=$(find "$dest" -name libiotdec-accel.so)
[ -n "$accelerator" ] || exit 0
sysroot=$(find "$dest" -path '*/iotdec/sysroot' -print -quit)
# It has no command to run and says so; a plugin that QEMU refuses, or that is off, would say something else before.
said=$(qemu-aarch64 -plugin "$accelerator" -L "$sysroot" "$(dirname "$accelerator")/iotdec-worker-aarch64" 2>&1 || true)
[[ $said == "iotdec-worker serve|"* ]] || die "the installed accelerator does not work: $said"
