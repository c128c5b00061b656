# shellcheck shell=bash
# What all set-up scripts share: where things are, how a step is shown, how a failure is told. Sourced.
set -euo pipefail
export LC_ALL=C.UTF-8

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEPS=$ROOT/.deps # everything set-up makes lives here
export ROOT DEPS

say() { printf 'iotdec: %s\n' "$*"; }

# die MESSAGE [WHAT TO DO]
die() {
    printf 'iotdec: error: %s\n' "$1" >&2
    [ -z "${2-}" ] || printf 'iotdec: what to do: %s\n' "$2" >&2
    exit 1
}

# spin WHAT: one line that keeps changing, so that a long step on a terminal does not look dead.
spin() {
    local start=$SECONDS frames='|/-+' i=0
    while kill -0 $$ 2>/dev/null; do
        printf '\r  %s %s (%d s)' "${frames:i++%4:1}" "$1" $((SECONDS - start))
        sleep 0.25
    done
}

# step WHAT HINT COMMAND...: run a command (or function) quietly, with a log, and show how long it took. On failure
# show the command that failed, the end of its log and HINT. Never call it in a condition: that would switch off
# `set -e` within COMMAND.
step() {
    local what=$1 hint=$2 start=$SECONDS rc spinner='' log
    shift 2
    mkdir -p "$DEPS/log"
    log=$DEPS/log/$(tr -cs 'a-zA-Z0-9\n' - <<<"$what").log
    if [ -t 1 ]; then
        spin "$what" &
        spinner=$!
    else
        printf '  %s ...\n' "$what"
    fi
    set +e
    (
        set -ex
        "$@"
    ) >"$log" 2>&1
    rc=$?
    set -e
    if [ -n "$spinner" ]; then
        kill "$spinner" 2>/dev/null || true
        wait "$spinner" 2>/dev/null || true
        printf '\r\033[K'
    fi
    if [ "$rc" -ne 0 ]; then
        {
            printf 'iotdec: error: %s: failed with status %d. The end of %s:\n' "$what" "$rc" "$log"
            grep -v '^+' "$log" | tail -n 15 | sed 's/^/    /'
            # Of the traced lines, the last that is a command and not just an assignment.
            printf 'iotdec: failed command: %s\n' "$(sed -n 's/^+\{1,\} //p' "$log" | grep -v '^[a-z_]*=' | tail -n 1)"
            printf 'iotdec: what to do: %s\n' "$hint"
        } >&2
        exit 1
    fi
    printf '  %s: done (%d s)\n' "$what" $((SECONDS - start))
}

# alone: waits until no other set-up runs in this tree; two at the same time would unpack over each other.
alone() {
    [ -z "${IOTDEC_SETUP_ALONE-}" ] || return 0
    mkdir -p "$DEPS"
    exec 9>"$DEPS/lock"
    flock -n 9 || {
        say "waiting for another set-up in this tree"
        flock 9
    }
    export IOTDEC_SETUP_ALONE=1 # for the scripts that this one calls
}

# Names in a list file: one a line, comments after #.
list() { sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$1"; }

# stamp FILE...: a value that changes when one of the files does.
stamp() { cat "$@" | sha256sum | cut -c1-16; }
