//! A mutex that needs no memory of its own, no thread-local state and no initialisation.

use crate::os;
use core::sync::atomic::{AtomicU32, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
const HELD_AND_WAITED_FOR: u32 = 2;

/// How often is looked before the thread sleeps. Critical sections take tens of nanoseconds.
const SPINS: u32 = 100;

/// All zeroes is a free lock.
#[repr(transparent)]
pub(crate) struct Lock(AtomicU32);

/// The lock is held as long as this lives.
pub(crate) struct Guard<'a>(&'a Lock);

impl Lock {
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_> {
        self.acquire();
        Guard(self)
    }

    /// Without a guard: around fork, the lock is taken in one function and released in another.
    #[inline]
    pub(crate) fn acquire(&self) {
        if self
            .0
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.acquire_slowly();
        }
    }

    /// Only for who holds it, or in the child for who held it when it forked.
    #[inline]
    pub(crate) fn release(&self) {
        if self.0.swap(FREE, Ordering::Release) == HELD_AND_WAITED_FOR {
            os::wake_one(&self.0);
        }
    }

    #[cold]
    fn acquire_slowly(&self) {
        for _ in 0..SPINS {
            core::hint::spin_loop();
            if self.0.load(Ordering::Relaxed) == FREE
                && self
                    .0
                    .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return;
            }
        }
        while self.0.swap(HELD_AND_WAITED_FOR, Ordering::Acquire) != FREE {
            os::wait(&self.0, HELD_AND_WAITED_FOR);
        }
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.release();
    }
}
