//! Places for the heaps of a process, which are there from start to end and filled once.

use crate::{Heap, Segment};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::*};

/// A heap, and the segment that it is in.
pub(crate) struct Area {
    pub(crate) heap: Heap,
    pub(crate) segment: Option<Segment>,
    /// Between the two halves of a fork: the child's copy of the segment, or a negative error number.
    pub(crate) copy: AtomicI32,
}

const EMPTY: u32 = 0;
const BUSY: u32 = 1;
const READY: u32 = 2;

/// A place for an [`Area`] that is filled once.
pub(crate) struct Slot {
    state: AtomicU32,
    pub(crate) area: UnsafeCell<MaybeUninit<Area>>,
}

// SAFETY: written once, by who changed the state from EMPTY to BUSY; read only when it is READY. (The exception is a
// child of fork, see `fork`, which has one thread.)
unsafe impl Sync for Slot {}

impl Slot {
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU32::new(EMPTY),
            area: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&Area> {
        // SAFETY: READY is set after the area was written, and never unset.
        (self.state.load(Acquire) == READY).then(|| unsafe { (*self.area.get()).assume_init_ref() })
    }

    /// Fills the slot if it is empty; true if this call did.
    pub(crate) fn fill(&self, make: impl FnOnce() -> Option<Area>) -> bool {
        if let Err(state) = self.state.compare_exchange(EMPTY, BUSY, Acquire, Acquire) {
            // Another thread makes it: soon done, and rare.
            while state == BUSY && self.state.load(Acquire) == BUSY {
                core::hint::spin_loop();
            }
            return false;
        }
        let Some(area) = make() else {
            self.state.store(EMPTY, Release);
            return false;
        };
        // SAFETY: BUSY keeps all others away.
        unsafe { (*self.area.get()).write(area) };
        self.state.store(READY, Release);
        true
    }
}
