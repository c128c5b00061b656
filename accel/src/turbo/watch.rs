//! No thread stays in turbo for long: QEMU is to get to look for signals.

use super::{MOST_THREADS, THREADS, lock};
use crate::fault;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How long code runs before QEMU may look for signals. Shorter than anyone notices,
/// and so long that coming back costs nothing.
const PATIENCE: Duration = Duration::from_millis(10);
/// Whether a thread of this process watches the others.
static WATCHES: AtomicBool = AtomicBool::new(false);

/// Stops every thread that has been running for long.
pub fn begin() {
    if WATCHES.swap(true, Relaxed) {
        return;
    }
    // QEMU's threads handle the guest's signals; this is none of them.
    let _ = fault::without_signals(|| {
        std::thread::Builder::new()
            .name("iotdec-pause".into())
            .spawn(|| {
                let mut before = [0; MOST_THREADS];
                loop {
                    std::thread::sleep(PATIENCE);
                    for (thread, before) in lock(&THREADS).iter().zip(&mut before) {
                        let entries = thread.entries.load(Relaxed);
                        if std::mem::replace(before, entries) == entries
                            && thread.running.load(Relaxed)
                        {
                            thread.translator().stop();
                        }
                    }
                }
            })
    });
}

/// In the child of a fork, which has no such thread.
pub fn forget() {
    WATCHES.store(false, Relaxed);
}
