#!/usr/bin/env bash
# The Debian packages of setup/packages.txt. Installs what is missing and touches nothing else; says nothing when
# all are there.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mapfile -t wanted < <(list "$ROOT/setup/packages.txt")
# dpkg-query fails when it knows nothing of a package; what it prints of the others is still right.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
    grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

say "Debian packages to install: ${missing[*]}"
by_hand="run by hand, as root: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "installing packages needs root, and there is no sudo" "$by_hand"
    # The password is asked for here, not behind a progress line.
    sudo -v || die "sudo did not let this user install packages" "$by_hand"
    as_root=(sudo)
fi

# Nothing may be removed for our sake; and a daemon's questions or restarts must not hold the set-up up.
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
    apt-get -y --no-install-recommends --no-remove -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)

update_lists() {
    # A source that cannot be reached need not be the one the packages come from: the installation will tell.
    "${apt[@]}" update || echo "went on with the lists there are"
}

install_missing() {
    # A large installation was seen to stop half-way with "cannot access archive" in its temporary directory; what
    # was left was repaired by -f, and the second try went through.
    "${apt[@]}" install "${missing[@]}" || {
        "${apt[@]}" -f install
        "${apt[@]}" install "${missing[@]}"
    }
}

step "package lists" "$by_hand" update_lists
step "${#missing[@]} Debian packages" "$by_hand" install_missing
