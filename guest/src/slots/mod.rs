//! Picture memory: slots that decoders render into.

pub mod local;
pub mod shared;

use iotdec_wire::slots::Slot;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where pictures go. Decoders call it from their allocation hooks, possibly from
/// threads of their own.
pub trait SlotPool: Send + Sync + fmt::Debug {
    /// Takes a free slot of at least `size` bytes for the decoder, waiting until
    /// there is one. `depth` tells how many such pictures the decoder may hold at
    /// once, this one included. `None`: the packet is being flushed, or nobody is
    /// left to decode for.
    fn acquire(self: Arc<Self>, size: u64, depth: u32) -> Option<Lease>;

    /// A slot's shared state.
    fn slot(&self, index: u32) -> &Slot;

    /// A slot may have become free.
    fn released(&self);
}

/// The decoder's hold on a slot; dropping it ends it. The memory stays mapped and
/// nobody else writes to it in the meantime.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<dyn SlotPool>,
    index: u32,
    generation: u32,
    start: NonNull<u8>,
    len: usize,
    handed_over: AtomicBool,
    let_go: AtomicBool,
}

// SAFETY: the memory is the process's and reached through methods that say who may
// use it; the other fields are Send and Sync.
unsafe impl Send for Lease {}
// SAFETY: as above.
unsafe impl Sync for Lease {}

impl Lease {
    /// A hold on slot `index`, just acquired as `generation`.
    ///
    /// # Safety
    /// `len` bytes at `start` are mapped for as long as `pool` lives and the slot
    /// is held by the decoder.
    unsafe fn new(
        pool: Arc<dyn SlotPool>,
        index: u32,
        generation: u32,
        start: NonNull<u8>,
        len: usize,
    ) -> Self {
        Self {
            pool,
            index,
            generation,
            start,
            len,
            handed_over: AtomicBool::new(false),
            let_go: AtomicBool::new(false),
        }
    }

    /// Index in the slot table.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Which acquisition of the slot this is.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The memory, for a decoder to write to and read from while the lease lives.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The memory, before anyone else knows of it.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(!*self.handed_over.get_mut(), "the slot is downstream's");
        // SAFETY: mapped while the lease lives; exclusive because of `&mut`, and
        // the host reads a slot only after it was handed over.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// The picture that was rendered.
    ///
    /// # Safety
    /// No decoder writes to the slot while the slice lives.
    pub unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: mapped while the lease lives, unchanged by the caller's promise;
        // downstream only reads.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Hands the picture over, once. A decoder that shows a picture twice needs a
    /// second slot for it: downstream has one bit per slot.
    pub fn hand_over(&self) -> bool {
        let first = !self.handed_over.swap(true, Ordering::Relaxed);
        if first {
            self.pool.slot(self.index).hand_over();
        }
        first
    }

    /// Undoes a hand-over that nobody was told of.
    pub fn take_back(&self) {
        self.pool
            .slot(self.index)
            .release_downstream(self.generation);
        self.handed_over.store(false, Ordering::Relaxed);
    }

    /// Ends the decoder's hold before the lease is dropped: nothing will read the
    /// picture any more, so downstream may write to it.
    pub fn let_go(&self) {
        if !self.let_go.swap(true, Ordering::Relaxed) {
            self.pool.slot(self.index).release_decoder();
            self.pool.released();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Acquires the smallest free slot that is large enough: its index and generation.
fn pick(slots: &[Slot], size: u64) -> Option<(usize, u32)> {
    loop {
        let (index, slot) = slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.state().is_free() && slot.size() >= size)
            .min_by_key(|(_, slot)| slot.size())?;
        // The host may have retired it meanwhile: then look again.
        if let Some(generation) = slot.acquire() {
            return Some((index, generation));
        }
    }
}
