//! The table of frame slots: who holds which picture buffer.
//!
//! The host allocates slots, one memfd each, and announces them here; the guest
//! picks a free one, renders into it, and hands it over. The decoder and the
//! downstream elements hold a slot independently, one bit each, because a decoder
//! goes on reading pictures that were already shown. A slot is free when both
//! bits are clear. Every acquisition and every announcement counts the generation
//! up, so a release that names an old one changes nothing, and a guest that sees
//! it jump by two knows that the entry stands for another memfd.

use crate::sync::{AtomicU64, Ordering};

/// Most slots a session can have: up to half of them for pictures of one size, the
/// others for those of the size before, which may still be held.
pub const MAX_SLOTS: usize = 128;

/// The announced slot exists: its memfd is on the socket or already mapped.
const PRESENT: u64 = 1;
/// The decoder renders into it or may still refer to it.
const DECODER: u64 = 1 << 1;
/// It is on its way to, or at, a downstream element.
const DOWNSTREAM: u64 = 1 << 2;
/// The host wants its memory back: never acquire it again.
const RETIRED: u64 = 1 << 3;
const GENERATION_SHIFT: u32 = 32;

/// One slot's entry in shared memory.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Slot {
    /// Bits above, and the generation in the upper half.
    state: AtomicU64,
    /// Bytes of the slot's memfd; stored by the host before PRESENT.
    size: AtomicU64,
}

/// A slot's state at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotState(u64);

impl SlotState {
    /// Counts acquisitions, wrapping.
    pub fn generation(self) -> u32 {
        (self.0 >> GENERATION_SHIFT) as u32
    }
    /// The host has announced the slot.
    pub fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }
    /// The decoder may still read or write the picture.
    pub fn held_by_decoder(self) -> bool {
        self.0 & DECODER != 0
    }
    /// The picture was handed over and not yet released.
    pub fn held_by_downstream(self) -> bool {
        self.0 & DOWNSTREAM != 0
    }
    /// The host has withdrawn the slot.
    pub fn is_retired(self) -> bool {
        self.0 & RETIRED != 0
    }
    /// Announced, held by nobody, not withdrawn.
    pub fn is_free(self) -> bool {
        self.0 & (PRESENT | DECODER | DOWNSTREAM | RETIRED) == PRESENT
    }
}

impl Slot {
    /// The state now. The other side may change it at once.
    pub fn state(&self) -> SlotState {
        SlotState(self.state.load(Ordering::Acquire)) // (S)
    }

    /// Bytes of the slot's memfd, as announced.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Host: announces a new slot of `size` bytes in this entry, which must be
    /// unused. Counts the generation too, so that a guest which mapped an earlier
    /// slot of this entry notices that its memfd is another one.
    pub fn announce(&self, size: u64) {
        self.size.store(size, Ordering::Relaxed);
        let generation = SlotState(self.state.load(Ordering::Relaxed)).generation();
        let state = u64::from(generation.wrapping_add(1)) << GENERATION_SHIFT | PRESENT;
        self.state.store(state, Ordering::Release); // (S)
    }

    /// Host: forbids further acquisition. The slot's memory can be given back once
    /// neither bit is set.
    pub fn retire(&self) {
        self.state.fetch_or(RETIRED, Ordering::AcqRel); // (S)
    }

    /// Guest: takes the slot for the decoder if it is free; the new generation.
    pub fn acquire(&self) -> Option<u32> {
        self.update(|state| {
            let generation = state.generation().wrapping_add(1);
            state
                .is_free()
                .then_some(u64::from(generation) << GENERATION_SHIFT | PRESENT | DECODER)
        })
        .map(SlotState::generation)
    }

    /// Guest: hands the picture over; downstream holds it besides the decoder.
    pub fn hand_over(&self) {
        self.state.fetch_or(DOWNSTREAM, Ordering::AcqRel); // (S)
    }

    /// Guest: the decoder no longer refers to the picture.
    pub fn release_decoder(&self) {
        self.state.fetch_and(!DECODER, Ordering::AcqRel); // (S)
    }

    /// Host: downstream no longer holds the picture of `generation`. Returns
    /// whether it did; a stale generation changes nothing.
    pub fn release_downstream(&self, generation: u32) -> bool {
        self.update(|state| {
            (state.generation() == generation && state.held_by_downstream())
                .then_some(state.0 & !DOWNSTREAM)
        })
        .is_some()
    }

    /// Atomically replaces the state by `next` of it, unless that is `None`.
    fn update(&self, mut next: impl FnMut(SlotState) -> Option<u64>) -> Option<SlotState> {
        let mut old = self.state.load(Ordering::Acquire); // (S)
        loop {
            let new = next(SlotState(old))?;
            let swapped =
                self.state
                    .compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Acquire); // (S)
            match swapped {
                Ok(_) => return Some(SlotState(new)),
                Err(current) => old = current,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_only_when_both_holders_let_go() {
        let slot = Slot::default();
        assert_eq!(slot.acquire(), None, "not announced yet");
        slot.announce(4096);
        let generation = slot.acquire().unwrap();
        assert_eq!(slot.acquire(), None, "held by the decoder");
        slot.hand_over();
        slot.release_decoder();
        assert_eq!(slot.acquire(), None, "held downstream");
        assert!(slot.release_downstream(generation));
        assert_eq!(slot.acquire(), Some(generation + 1));
    }

    #[test]
    fn a_stale_release_does_not_free_a_new_frame() {
        let slot = Slot::default();
        slot.announce(4096);
        let old = slot.acquire().unwrap();
        slot.hand_over();
        slot.release_decoder();
        assert!(slot.release_downstream(old));
        let new = slot.acquire().unwrap();
        slot.hand_over();
        assert!(!slot.release_downstream(old));
        assert!(slot.state().held_by_downstream());
        assert!(slot.release_downstream(new));
    }

    #[test]
    fn a_retired_slot_is_never_acquired_again() {
        let slot = Slot::default();
        slot.announce(4096);
        let generation = slot.acquire().unwrap();
        slot.release_decoder();
        slot.retire();
        assert_eq!(slot.acquire(), None);
        slot.announce(8192);
        assert_eq!(slot.acquire(), Some(generation + 2), "a slot anew");
        assert_eq!(slot.size(), 8192);
    }
}
