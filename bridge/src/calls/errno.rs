//! `errno`, which crosses with calls and callbacks, and otherwise is what the program and the
//! library have made of it.

use nix::libc;

/// The calling thread's.
pub(crate) fn get() -> i32 {
    // SAFETY: this thread's, for as long as it runs.
    unsafe { *libc::__errno_location() }
}

/// Sets it.
pub(crate) fn set(value: i32) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value }
}

/// Does what neither side knows of: waiting for a lock that another thread holds sets `errno`, and
/// so do system calls, even if nothing is wrong.
#[inline]
pub(crate) fn keep<T>(work: impl FnOnce() -> T) -> T {
    let before = get();
    let result = work();
    set(before);
    result
}
