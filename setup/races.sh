#!/usr/bin/env bash
# Looks for data races in the native side of wrapped libraries: ThreadSanitizer sees what libiotdec.so, Rust's standard
# library in it, generated code and the programs of the tests read and write. docs/bridge-proofs.md says what that shows.
#
# The standard library has to be compiled for it, too, or nobody would see what its locks order. Debian has its source,
# and the compiler that belongs to it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/setup/apt.sh"
cd "$ROOT"
alone

rust=$DEPS/toolchain-races
tools=$ROOT/target/races/tools
built=$ROOT/target/races/x86_64-unknown-linux-gnu/release

unpack_rust() {
    local packages bin
    rm -rf "$rust" "$rust.new"
    own_apt_setup amd64 /var/lib/dpkg/status
    packages=$(closure amd64 rustc-web cargo-web rust-web-src | grep -v '^libc6=')
    # shellcheck disable=SC2086
    unpack amd64 "$rust.new" $packages
    rm -rf "${rust:?}.new"/{usr/share,etc,usr/src/*/{src,compiler}}
    # As in toolchain.sh.
    for bin in "$rust.new"/usr/bin/*; do
        # shellcheck disable=SC2016 # for the dynamic loader to expand
        [ -L "$bin" ] || patchelf --force-rpath --set-rpath '$ORIGIN/../lib/x86_64-linux-gnu' "$bin"
    done
    mv "$rust.new" "$rust"
    "$rust/usr/bin/rustc" --version
}

build() {
    mkdir -p "$tools"
    # gcc's runtime checks what memcpy does, but does not have it under the names that Rust's compiler calls.
    cat >"$tools/names.c" <<'C'
#include <string.h>
void *__tsan_memcpy(void *to, const void *from, size_t size) { return memcpy(to, from, size); }
void *__tsan_memmove(void *to, const void *from, size_t size) { return memmove(to, from, size); }
void *__tsan_memset(void *to, int byte, size_t size) { return memset(to, byte, size); }
C
    gcc -O1 -fno-builtin -fPIC -c "$tools/names.c" -o "$tools/names.o"
    # What tests and iotdec wrap compile with.
    printf '#!/bin/sh\nexec %q -fsanitize=thread -g "$@"\n' "$(command -v gcc)" >"$tools/gcc"
    chmod +x "$tools/gcc"
    # Options of unstable Rust, in a stable one.
    RUSTC_BOOTSTRAP=1 RUSTC=$rust/usr/bin/rustc RUSTFLAGS="-Zsanitizer=thread -Clink-arg=$tools/names.o" \
        "$rust/usr/bin/cargo" build --release -Zbuild-std=std,panic_unwind --target x86_64-unknown-linux-gnu \
        --target-dir target/races -p iotdec-runtime
}

[ -e "$rust" ] || step "Rust with its standard library's source into .deps/toolchain-races" \
    "check that this machine reaches its Debian sources (apt-get update)" unpack_rust
step "libiotdec.so for ThreadSanitizer" "see above" build

# Threads that wait for the next call when the program exits are no leak.
export TSAN_OPTIONS="report_thread_leaks=0 exitcode=66 suppressions=$ROOT/setup/races.txt"

# tested TEST NAME...: tests whose programs are checked. A race that is seen makes them fail. So does what a worker
# says that is started again, because its emulator has something where ThreadSanitizer has shared memory put: that, and
# nothing else, is tried again.
tested() {
    local test=$1 log=$tools/said try
    shift
    for try in 1 2 3 4; do
        setup/devenv env PATH="$tools:$PATH" IOTDEC_RUNTIME="$built" \
            setup/cargo test -p iotdec-tests -p iotdec -p iotdec-examples --test "$test" -- --nocapture "$@" 2>&1 |
            tee "$log" && return
        if grep -q "WARNING: ThreadSanitizer" "$log" || ! grep -q "bytes from there are not free" "$log"; then
            break
        fi
        say "try $try: no room at an address; once more"
    done
    die "$test failed" "see above"
}

# As they are meant to run at length, the short forms of the others. Not hostile::wild_pointers: ThreadSanitizer
# puts at 0 what is to be mapped where it has no room.
IOTDEC_FULL=1 tested wrapped_programs eight_threads threads_of_the_library
export IOTDEC_FULL=0
tested wrapped_programs hostile:: --skip wild_pointers
tested signatures functions_do threads_see

# Or nothing is shown: a race of the program, in a function that the library calls back, has to be seen.
events=$ROOT/target/tmp/wrapped-programs/events
said=$(setup/devenv env LD_LIBRARY_PATH="$events/wrapper" "$events/program" race 1000 2>&1) && status=0 || status=$?
if [ "$status" -ne 66 ] || [[ $said != *"data race"*count_without_lock* ]]; then
    die "ThreadSanitizer does not see a race that there is (status $status)" "look at what it says: $said"
fi
say "no data race in the native side, and one that there is was seen"
