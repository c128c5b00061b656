//! When a lane's thread goes over to turbo: not for a few calls, as to get turbo going, and to
//! translate a library anew, takes as long as emulating does for a while.

use crate::accel::{self, Mode};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Processor time after which a thread goes over. To get turbo going takes 0.1 s (measured).
const WARM: Duration = Duration::from_millis(300);
/// Calls after which a thread that does not sleep looks at its processor time.
const LOOK: u32 = 1024;
/// So many calls more than it stayed in QEMU before are a long time in turbo.
const LONG: u32 = 8;
/// Most calls that a thread makes in QEMU before it tries turbo again.
const LONGEST: u32 = 4096;

/// What becomes of the worker's threads.
#[repr(u8)]
enum Policy {
    /// They stay in QEMU.
    Stay,
    /// They go over to turbo when they are warm.
    Warm,
    /// They go over to turbo with their first call.
    AtOnce,
}

static POLICY: AtomicU8 = AtomicU8::new(Policy::Stay as u8);

/// Opens the accelerator: with `at_once`, turbo is on before the first call, or the report says
/// why it is not.
pub fn open(wanted: Mode, at_once: bool) -> accel::Report {
    let is_later = wanted == Mode::Turbo && !at_once;
    let report = accel::open(if is_later { Mode::Native } else { wanted });
    let policy = match report.mode {
        Mode::Turbo => Policy::AtOnce,
        Mode::Native if is_later => Policy::Warm,
        _ => Policy::Stay,
    };
    POLICY.store(policy as u8, Ordering::Relaxed);
    report
}

/// A lane's own.
#[derive(Debug, Default)]
pub struct Gear {
    calls: u32,
    is_warm: bool,
    /// Calls to make in QEMU before turbo is tried again, where something took the thread out of
    /// it, and so many as there were the last time.
    stay: u32,
    last_stay: u32,
}

impl Gear {
    /// For a new thread.
    pub fn new() -> Self {
        Self {
            is_warm: POLICY.load(Ordering::Relaxed) == Policy::AtOnce as u8,
            ..Self::default()
        }
    }

    /// Looks whether the thread is warm; before it sleeps, when that costs nothing.
    pub fn rest(&mut self) {
        if !self.is_warm && POLICY.load(Ordering::Relaxed) == Policy::Warm as u8 {
            self.is_warm = processor_time() >= WARM;
            if self.is_warm {
                accel::warm_up();
            }
        }
    }

    /// After a call: whether the thread is to come out of its loop, and go into turbo.
    #[inline]
    pub fn is_to_shift(&mut self) -> bool {
        self.calls = self.calls.wrapping_add(1);
        if !self.is_warm {
            if self.calls.is_multiple_of(LOOK) {
                self.rest();
            }
            return false;
        }
        !accel::is_well_placed() && self.is_tired_of_qemu()
    }

    /// What makes a thread leave turbo, such as creating threads, may come with every call.
    #[cold]
    fn is_tired_of_qemu(&mut self) -> bool {
        if self.stay > 0 {
            self.stay -= 1;
            return false;
        }
        // In QEMU and then in turbo.
        let calls = std::mem::take(&mut self.calls);
        self.last_stay = match calls > self.last_stay * 2 + LONG {
            true => self.last_stay / 2,
            false => LONGEST.min(self.last_stay * 2 + 1),
        };
        self.stay = self.last_stay;
        true
    }
}

/// That of the calling thread.
fn processor_time() -> Duration {
    let mut time = MaybeUninit::zeroed();
    // SAFETY: writes a timespec, for which zeros are a value.
    let time: libc::timespec = unsafe {
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr());
        time.assume_init()
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
