//! Forks of a process with threads in turbo.

use super::{CODE, CURRENT, PROCESSOR, Processor, THREADS, Thread, lock, watch};
use crate::code::Code;
use std::cell::RefCell;
use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{MutexGuard, Once};

/// What a thread that forks holds meanwhile.
type Held = (
    MutexGuard<'static, Code>,
    MutexGuard<'static, Vec<&'static Thread>>,
    MutexGuard<'static, Processor>,
);

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// Has the child of a fork find everything in order: no lock is held by a thread that
/// did not come along, and no translator belongs to one.
pub fn survive() {
    unsafe extern "C" fn prepare() {
        let held = (lock(&CODE), lock(&THREADS), lock(&PROCESSOR));
        HELD.set(Some(held));
    }
    unsafe extern "C" fn parent() {
        HELD.take();
    }
    unsafe extern "C" fn child() {
        watch::forget();
        if let Some((_, threads, _)) = HELD.take() {
            let own = CURRENT.get();
            for thread in threads.iter().filter(|thread| !ptr::eq(**thread, own)) {
                thread.running.store(false, Relaxed);
                thread.taken.store(false, Release);
            }
        }
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handlers are functions of this plugin, which is never unloaded.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(Some(prepare), Some(parent), Some(child));
    });
}
