//! A slot that is lent out.

use super::SlotPool;
use crate::memory::SlotMemory;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};

/// A decoded picture's memory, lent by its session. Dropping it gives the slot
/// back to the guest.
#[derive(Debug)]
pub struct Lease {
    /// Weak: a frame that somebody keeps keeps no other frame's memory.
    pub(super) pool: Weak<SlotPool>,
    pub(super) index: usize,
    pub(super) generation: u32,
    pub(super) memory: Arc<SlotMemory>,
}

impl Lease {
    /// The slot's memory: the same for all frames that lie in it one after the other.
    pub fn memory(&self) -> &Arc<SlotMemory> {
        &self.memory
    }

    /// The slot's file, the picture at offset 0.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.fd()
    }

    /// Bytes of the slot at least.
    pub fn size(&self) -> u64 {
        self.memory.size()
    }

    /// Whether the decoder may still refer to the picture, which must then not be
    /// written to. Once it does not, it does not until the lease is dropped: the guest
    /// acquires only slots that are free.
    pub fn held_by_decoder(&self) -> bool {
        self.pool.upgrade().is_some_and(|pool| {
            let slot = &pool.table()[self.index];
            slot.state().held_by_decoder()
        })
    }

    /// No other picture comes into this memory.
    pub fn withdraw(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.withdraw(self.memory.id());
        }
    }

    /// Maps the picture for reading.
    pub fn map(&self) -> io::Result<memmap2::MmapRaw> {
        memmap2::MmapOptions::new().map_raw_read_only(&self.fd())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.give_back(self.index, self.generation);
        }
    }
}
