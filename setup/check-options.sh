#!/usr/bin/env bash
# Configuring where the accelerator cannot be built: it says what is missing and how to do without; and without the
# accelerator it is not asked for.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf "[binaries]\ncpp = '/nowhere/c++'\n" >"$scratch/tools"

# configure OPTION...: in a directory of its own; what meson says is in $scratch/said.
configure() {
    rm -rf "$scratch/build"
    meson setup --native-file "$scratch/tools" "$@" "$scratch/build" >"$scratch/said" 2>&1
}

! configure || die "configured without a C++ compiler"
grep -q 'C++ compiler.*make setup.*-Daccelerator=disabled' "$scratch/said" ||
    die "did not say that a C++ compiler is missing and what to do: $(tail -n 5 "$scratch/said")"
for choice in auto disabled; do
    configure "-Daccelerator=$choice" || die "-Daccelerator=$choice needs a C++ compiler: $(tail -n 5 "$scratch/said")"
    ! meson introspect "$scratch/build" --installed | grep -q accel ||
        die "-Daccelerator=$choice installs an accelerator that cannot be built"
done
