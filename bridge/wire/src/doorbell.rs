//! Waking a peer without a syscall while it is awake.
//!
//! The one who waits spins for a while, then raises its *asleep* flag and sleeps
//! on it; the one who rings looks at the flag and calls the kernel only when it
//! is up. The two meet like Dekker's algorithm: each side writes its own word,
//! passes a sequentially consistent fence, then reads the other's, so at least
//! one of them sees the other. Fences that belong together are marked `(D)`.

use crate::futex::Futex;
use crate::sync::{Ordering, full_fence};
use core::time::Duration;

/// One sleeper's flag in shared memory. At most one thread waits on a doorbell.
///
/// The other side may write any value at any time: it can make the waiter wake
/// early or sleep its whole timeout, nothing else. Waiters therefore always pass
/// a timeout and look again.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Doorbell {
    asleep: Futex,
}

impl Doorbell {
    /// Wakes the waiter if it sleeps. Call it after publishing what it waits for.
    pub fn ring(&self) {
        full_fence(); // (D)
        // The load keeps the busy path free of a read-modify-write.
        if self.asleep.0.load(Ordering::Relaxed) != 0
            && self.asleep.0.swap(0, Ordering::Relaxed) != 0
        {
            self.asleep.wake();
        }
    }

    /// Whether somebody sleeps on it now, for who only watches.
    pub fn has_sleeper(&self) -> bool {
        self.asleep.0.load(Ordering::Relaxed) != 0
    }

    /// Waits until `ready` holds, spinning first, then sleeping once for at most
    /// `timeout`. Returns whether it held when last asked.
    ///
    /// `ready` must also become true for every reason to stop waiting (the peer
    /// died, a flush), and whoever makes it true must then [`ring`](Self::ring).
    pub fn wait(
        &self,
        spin: &mut Spin,
        timeout: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> bool {
        for _ in 0..spin.budget {
            if ready() {
                spin.hit();
                return true;
            }
            core::hint::spin_loop();
        }
        spin.miss();
        self.sleep(timeout, ready)
    }

    /// Sleeps until rung, at most `timeout`, unless `ready` holds already. Returns whether
    /// it held when last asked; as for [`wait`](Self::wait).
    pub fn sleep(&self, timeout: Duration, mut ready: impl FnMut() -> bool) -> bool {
        self.asleep.0.store(1, Ordering::Relaxed);
        full_fence(); // (D)
        let already = ready();
        if !already {
            self.asleep.wait(1, timeout);
        }
        self.asleep.0.store(0, Ordering::Relaxed);
        already || ready()
    }
}

/// How long a waiter spins before it sleeps: longer while spinning pays, shorter
/// while it does not. Private to one side.
///
/// A spin that never hits costs a core that the decoder needs (the machines this
/// runs on may have two); one that always sleeps costs 5 to 60 µs a wake-up
/// (measured, host and QEMU guest).
#[derive(Debug)]
pub struct Spin {
    budget: u32,
}

impl Spin {
    /// Iterations to begin with and never to fall below: about half a microsecond.
    const MIN: u32 = if cfg!(loom) { 0 } else { 16 };
    /// Never more than this: about 50 µs, the price of the sleep it replaces.
    const MAX: u32 = if cfg!(loom) { 0 } else { 2048 };

    fn hit(&mut self) {
        self.budget = (self.budget * 2).min(Self::MAX);
    }

    fn miss(&mut self) {
        self.budget = (self.budget / 2).max(Self::MIN);
    }
}

impl Default for Spin {
    fn default() -> Self {
        Self { budget: Self::MIN }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn ring_before_wait_is_not_lost() {
        let bell = Doorbell::default();
        let ready = AtomicBool::new(true);
        bell.ring();
        assert!(
            bell.wait(&mut Spin::default(), Duration::from_secs(10), || ready
                .load(Ordering::Acquire))
        );
    }

    #[test]
    fn a_sleeper_is_woken_long_before_its_timeout() {
        let bell = Arc::new(Doorbell::default());
        let ready = Arc::new(AtomicBool::new(false));
        let (b, r) = (bell.clone(), ready.clone());
        let waiter = std::thread::spawn(move || {
            let mut spin = Spin::default();
            let start = std::time::Instant::now();
            while !b.wait(&mut spin, Duration::from_secs(60), || {
                r.load(Ordering::Acquire)
            }) {}
            start.elapsed()
        });
        while bell.asleep.0.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        ready.store(true, Ordering::Release);
        bell.ring();
        assert!(waiter.join().unwrap() < Duration::from_secs(30));
    }

    #[test]
    fn spinning_adapts_within_its_bounds() {
        let mut spin = Spin::default();
        for _ in 0..40 {
            spin.hit();
        }
        assert_eq!(spin.budget, Spin::MAX);
        for _ in 0..40 {
            spin.miss();
        }
        assert_eq!(spin.budget, Spin::MIN);
    }
}
