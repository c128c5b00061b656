#!/usr/bin/env bash
# All set-up, on any Debian 12 amd64. Does only what is missing: a second run takes a moment.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || die "this needs Debian on amd64"
[ "$(. /etc/os-release && echo "${ID-} ${VERSION_ID-}")" = "debian 12" ] ||
    say "warning: only Debian 12 is tried; this is $(. /etc/os-release && echo "${PRETTY_NAME-unknown}")"

alone
"$ROOT/setup/packages.sh"
"$ROOT/setup/toolchain.sh"
"$ROOT/setup/sysroot.sh"
