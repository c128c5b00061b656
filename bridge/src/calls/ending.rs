//! When a thread ends, and when the program does: as late as can be, for handlers of the
//! program that run then (`atexit`, destructors, keys of threads) may still call.

use super::process::workers;
use super::worker::is_forked;
use nix::libc;
use std::ffi::c_void;
use std::ptr::without_provenance;
use std::sync::OnceLock;

/// A thread's handlers run in up to four rounds (PTHREAD_DESTRUCTOR_ITERATIONS). Ours waits
/// for this one: others may call in the rounds before.
const ROUND: usize = 3;

static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
static CLOSE: OnceLock<fn()> = OnceLock::new();

/// Has `close`, which is always the same, run when the calling thread ends; not when the
/// program exits on it.
pub(super) fn close_with_thread(close: fn()) {
    CLOSE.get_or_init(|| close);
    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: a function of the right type that stays loaded.
        let error = unsafe { libc::pthread_key_create(&mut key, Some(round)) };
        (error == 0).then_some(key)
    });
    // Without a key, lanes stay until their worker ends.
    if let Some(key) = key {
        wait(*key, ROUND);
    }
}

fn wait(key: libc::pthread_key_t, rounds: usize) {
    // SAFETY: a key that is never deleted; the value is a number.
    unsafe { libc::pthread_setspecific(key, without_provenance::<c_void>(rounds)) };
}

unsafe extern "C" fn round(left: *mut c_void) {
    let left = left.addr();
    if let Some(Some(key)) = KEY.get()
        && left > 1
    {
        wait(*key, left - 1);
    } else if let Some(close) = CLOSE.get() {
        close();
    }
}

/// Runs after all `atexit` handlers and after destructors of what depends on this library;
/// before the C library writes out its streams.
#[used]
#[unsafe(link_section = ".fini_array")]
static WITH_PROGRAM: extern "C" fn() = end_workers;

extern "C" fn end_workers() {
    if !is_forked() {
        for worker in workers() {
            worker.exit();
        }
    }
}
