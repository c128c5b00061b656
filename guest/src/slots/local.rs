//! Slots of the worker's own, for decoding without a host.

use super::{Lease, SlotPool, pick};
use crate::mapping::Mapping;
use iotdec_wire::layout::Slots;
use iotdec_wire::slots::{MAX_SLOTS, Slot};
use std::sync::{Arc, Mutex};

/// As many anonymous slots as the decoder turns out to need.
#[derive(Debug)]
pub struct LocalSlots {
    table: Slots,
    memory: Mutex<[Option<Mapping>; MAX_SLOTS]>,
}

impl LocalSlots {
    /// An empty pool.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            table: Slots::default(),
            memory: Mutex::new([const { None }; MAX_SLOTS]),
        })
    }
}

impl SlotPool for LocalSlots {
    fn acquire(self: Arc<Self>, size: u64, _depth: u32) -> Option<Lease> {
        let mut memory = self.memory.lock().expect("no panic is survived");
        let (index, generation) = pick(&self.table.0, size).or_else(|| {
            let unused = self.table.0.iter().position(|slot| {
                // Never announced, or free but too small.
                let state = slot.state();
                !state.is_present() || state.is_free()
            })?;
            self.table.0[unused].retire();
            memory[unused] = Some(Mapping::anonymous(size as usize).ok()?);
            self.table.0[unused].announce(size);
            pick(&self.table.0, size)
        })?;
        let mapping = memory[index].as_ref()?;
        let (start, len) = (mapping.start(), mapping.len());
        drop(memory);
        // SAFETY: a mapping is replaced only while its slot is free, and lives as
        // long as the pool.
        Some(unsafe { Lease::new(self, index as u32, generation, start, len) })
    }

    fn slot(&self, index: u32) -> &Slot {
        &self.table.0[index as usize]
    }

    fn released(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_recycled_and_replaced_by_larger_ones() {
        let pool = LocalSlots::new();
        let first = pool.clone().acquire(1000, 1).unwrap();
        let second = pool.clone().acquire(1000, 1).unwrap();
        assert_ne!(first.index(), second.index());
        let (index, generation) = (first.index(), first.generation());
        drop(first);
        let again = pool.clone().acquire(500, 1).unwrap();
        assert_eq!(again.index(), index);
        assert_ne!(again.generation(), generation);
        drop(again);
        let mut large = pool.clone().acquire(100_000, 1).unwrap();
        assert_eq!(large.index(), index);
        large.bytes_mut()[99_999] = 1;
    }

    #[test]
    fn downstream_keeps_a_slot_that_the_decoder_let_go() {
        let pool = LocalSlots::new();
        let lease = pool.clone().acquire(1000, 1).unwrap();
        let (index, generation) = (lease.index(), lease.generation());
        assert!(lease.hand_over());
        assert!(!lease.hand_over(), "only once");
        drop(lease);
        assert_ne!(pool.clone().acquire(1000, 1).unwrap().index(), index);
        assert!(pool.slot(index).release_downstream(generation));
        assert_eq!(pool.acquire(1000, 1).unwrap().index(), index);
    }
}
