//! Small objects: a block cut into objects of one class, with a bit for each elsewhere.

use crate::class::{CLASSES, Class};
use crate::meta::{Kind, NONE, SHARDS, Shard, Slab};
use crate::{BLOCK, Fault, Heap, os};

impl Heap {
    fn shard(&self, shard: usize) -> &Shard {
        &self.meta.header().shards[shard]
    }

    fn slab(&self, block: u32) -> &Slab {
        &self.meta.slabs()[block as usize]
    }

    /// An object of this class; its block and its offset there.
    pub(crate) fn take_object(&self, class: usize) -> Option<(u32, usize)> {
        // Thread pointers are pages apart or more; what is above them decides.
        let own = ((os::thread() >> 12).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) % SHARDS;
        if let Some(object) = self.take_object_from(own, class, true) {
            return Some(object);
        }
        // The range is full, except for the room that others have left.
        (0..SHARDS).find_map(|shard| self.take_object_from(shard, class, false))
    }

    fn take_object_from(&self, index: usize, class: usize, grow: bool) -> Option<(u32, usize)> {
        let shard = self.shard(index);
        let _guard = shard.lock.lock();
        let mut block = shard.roomy[class].get();
        if block == NONE {
            if !grow {
                return None;
            }
            block = self.new_slab(index, class)?;
        }
        let slab = self.slab(block);
        let Class { size, capacity, .. } = CLASSES[class];
        let start = slab.hint.get() as usize;
        let (word, bits) = slab
            .taken
            .iter()
            .enumerate()
            .skip(start)
            .map(|(i, bits)| (i, bits.get()))
            .find(|&(_, b)| b != u64::MAX)?;
        let bit = bits.trailing_ones();
        slab.taken[word].set(bits | 1 << bit);
        slab.hint.set(word as u32);
        let used = slab.used.get() + 1;
        slab.used.set(used);
        if used == capacity {
            self.leave_list(shard, slab, class);
        }
        Some((block, (word * 64 + bit as usize) * size as usize))
    }

    /// Takes an object back. `offset` is in the slab; the caller saw that the block is one.
    pub(crate) fn give_object(&self, block: u32, offset: usize) -> Result<(), Fault> {
        let slab = self.slab(block);
        let index = slab.shard.get() as usize % SHARDS;
        let shard = self.shard(index);
        let guard = shard.lock.lock();
        // Only for a pointer that is not to be freed can the block have become something else until here.
        if self.meta.blocks()[block as usize].kind() != Kind::Slab
            || slab.shard.get() as usize != index
        {
            return Err(Fault::NotAllocated);
        }
        let class = slab.class.get() as usize;
        let object = CLASSES[class].index(offset).ok_or(Fault::Inside)?;
        let (word, mask) = (object / 64, 1 << (object % 64));
        let taken = &slab.taken[word as usize];
        if taken.get() & mask == 0 {
            return Err(Fault::Free);
        }
        taken.set(taken.get() & !mask);
        slab.hint.set(slab.hint.get().min(word));
        let used = slab.used.get() - 1;
        slab.used.set(used);
        if used + 1 == CLASSES[class].capacity {
            self.enter_list(shard, block, class);
        }
        // The last one with room stays: or else a single object that comes and goes would take a block each time.
        if used == 0 && (slab.next.get() != NONE || slab.previous.get() != NONE) {
            self.leave_list(shard, slab, class);
            self.meta.blocks()[block as usize].set_kind(Kind::Inside);
            drop(guard);
            self.give_run(block, 1);
        }
        Ok(())
    }

    /// The size of the object at an offset of a block that is a slab, if one is handed out there.
    pub(crate) fn object_size(&self, block: u32, offset: usize) -> Result<usize, Fault> {
        // Without the lock: whoever owns the object keeps the slab as it is, and for anybody else any answer is right.
        let slab = self.slab(block);
        let class = CLASSES
            .get(slab.class.get() as usize)
            .ok_or(Fault::NotAllocated)?;
        let object = class.index(offset).ok_or(Fault::Inside)?;
        if slab.taken[object as usize / 64].get() & 1 << (object % 64) == 0 {
            return Err(Fault::Free);
        }
        Ok(class.size as usize)
    }

    /// A slab without objects, first of the shard's list. The shard is locked.
    #[cold]
    fn new_slab(&self, shard: usize, class: usize) -> Option<u32> {
        let block = self.take_run(1, BLOCK, Kind::Inside)?;
        let slab = self.slab(block);
        slab.shard.set(shard as u32);
        slab.class.set(class as u32);
        slab.used.set(0);
        slab.hint.set(0);
        let capacity = CLASSES[class].capacity as usize;
        for (i, taken) in slab.taken.iter().enumerate() {
            let objects = capacity.saturating_sub(i * 64);
            taken.set(if objects >= 64 {
                0
            } else {
                u64::MAX << objects
            });
        }
        self.enter_list(self.shard(shard), block, class);
        // From here on, objects of it can be freed.
        self.meta.blocks()[block as usize].set_kind(Kind::Slab);
        Some(block)
    }

    fn enter_list(&self, shard: &Shard, block: u32, class: usize) {
        let first = &shard.roomy[class];
        let slab = self.slab(block);
        slab.previous.set(NONE);
        slab.next.set(first.get());
        if first.get() != NONE {
            self.slab(first.get()).previous.set(block);
        }
        first.set(block);
    }

    fn leave_list(&self, shard: &Shard, slab: &Slab, class: usize) {
        let (next, previous) = (slab.next.get(), slab.previous.get());
        if next != NONE {
            self.slab(next).previous.set(previous);
        }
        if previous != NONE {
            self.slab(previous).next.set(next);
        } else {
            shard.roomy[class].set(next);
        }
        slab.next.set(NONE);
        slab.previous.set(NONE);
    }
}
