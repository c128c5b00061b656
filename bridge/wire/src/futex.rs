//! Sleep on a 32-bit word of shared memory, and wake who sleeps on it.
//!
//! Not `FUTEX_PRIVATE_FLAG`: the two sides are different processes. QEMU 7.2
//! passes both operations through to the host's kernel (measured).

#[cfg(not(loom))]
pub(crate) use kernel::Futex;
#[cfg(loom)]
pub(crate) use model::Futex;

#[cfg(not(loom))]
mod kernel {
    use crate::sync::AtomicU32;
    use core::time::Duration;

    /// A futex word. `repr(transparent)`, so it is the 32-bit word itself.
    #[repr(transparent)]
    #[derive(Debug, Default)]
    pub(crate) struct Futex(pub(crate) AtomicU32);

    impl Futex {
        /// Sleeps while the word is `expected`, at most `timeout`. May return
        /// early for any reason; the caller looks again.
        pub(crate) fn wait(&self, expected: u32, timeout: Duration) {
            let timeout = libc::timespec {
                tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
                tv_nsec: timeout.subsec_nanos() as libc::c_long,
            };
            // SAFETY: the word outlives the call because `self` is borrowed, and
            // the kernel only reads it and the timespec, which is on our stack.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.0.as_ptr(),
                    libc::FUTEX_WAIT,
                    expected,
                    &timeout,
                );
            }
        }

        /// Wakes one sleeper.
        pub(crate) fn wake(&self) {
            // SAFETY: FUTEX_WAKE takes the word only as an address.
            unsafe {
                libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, 1);
            }
        }
    }
}

#[cfg(loom)]
mod model {
    use crate::sync::{AtomicU32, Ordering};
    use core::time::Duration;
    use loom::sync::{Condvar, Mutex};

    /// What the kernel promises of a futex: comparing and falling asleep are one
    /// step for whoever wakes. Time never passes, so a lost wake-up is a deadlock
    /// that loom reports.
    #[derive(Debug)]
    pub(crate) struct Futex(pub(crate) AtomicU32, Mutex<()>, Condvar);

    impl Default for Futex {
        fn default() -> Self {
            Self(AtomicU32::new(0), Mutex::new(()), Condvar::new())
        }
    }

    impl Futex {
        pub(crate) fn wait(&self, expected: u32, _timeout: Duration) {
            let guard = self.1.lock().unwrap();
            if self.0.load(Ordering::Relaxed) == expected {
                drop(self.2.wait(guard).unwrap());
            }
        }

        pub(crate) fn wake(&self) {
            let _guard = self.1.lock().unwrap();
            self.2.notify_one();
        }
    }
}
