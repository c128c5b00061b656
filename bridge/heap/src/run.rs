//! Runs of blocks: free ones are found by their length, and joined with free neighbours when they come back.

use crate::lock::Guard;
use crate::meta::{BINS, Block, Kind, NONE, Runs};
use crate::{BLOCK, Backing, Heap, os};

/// Written free memory is kept for the next allocation up to this many blocks (64 MiB); beyond, all of it is given
/// back.
pub(crate) const DIRTY_LIMIT: u32 = (64 << 20) / BLOCK as u32;

/// A run of this many blocks (32 MiB) is given back at once.
const GIVEN_BACK: u32 = (32 << 20) / BLOCK as u32;

/// The bin of free runs of `blocks` blocks.
fn bin(blocks: u32) -> usize {
    if blocks < 16 {
        return blocks as usize;
    }
    let top = blocks.ilog2();
    (16 + (top - 4) * 8 + ((blocks >> (top - 3)) & 7)) as usize
}

/// The runs while their lock is held.
pub(crate) struct Held<'a> {
    heap: &'a Heap,
    runs: &'a Runs,
    blocks: &'a [Block],
    _guard: Guard<'a>,
}

impl Heap {
    pub(crate) fn runs(&self) -> Held<'_> {
        let runs = &self.meta.header().runs;
        Held {
            heap: self,
            runs,
            blocks: self.meta.blocks(),
            _guard: runs.lock.lock(),
        }
    }

    /// A run whose first block lies at a multiple of `align` bytes, which is a power of two. Its blocks are
    /// [`Kind::Inside`], except that the first is what `kind` says.
    pub(crate) fn take_run(&self, blocks: u32, align: usize, kind: Kind) -> Option<u32> {
        self.runs().take(blocks, align, kind)
    }

    /// Takes a run back whose blocks are all [`Kind::Inside`].
    pub(crate) fn give_run(&self, first: u32, blocks: u32) {
        // Giving back takes the kernel a while; the run is nobody's meanwhile.
        let clean = blocks >= GIVEN_BACK && self.discard(first, blocks);
        self.runs().give(first, blocks, !clean);
    }

    /// Gives the memory of a run to the system; false if that is not possible.
    fn discard(&self, first: u32, blocks: u32) -> bool {
        let advice = match self.backing {
            Backing::Shared => libc::MADV_REMOVE,
            Backing::File(file) => {
                return file.punch(self.at(first) as usize, blocks as usize * BLOCK);
            }
            Backing::Private => libc::MADV_DONTNEED,
            Backing::Other => return false,
        };
        // SAFETY: the blocks belong to this heap (who calls has them out of its tables), and nobody uses them.
        unsafe { os::discard(self.at(first), blocks as usize * BLOCK, advice) }
    }
}

impl Held<'_> {
    fn block(&self, block: u32) -> &Block {
        &self.blocks[block as usize]
    }

    pub(crate) fn take(&self, blocks: u32, align: usize, kind: Kind) -> Option<u32> {
        let spare = (align / BLOCK).saturating_sub(1) as u32;
        let (found, len) = self.find(blocks.checked_add(spare)?)?;
        self.unlink(found, len);
        let address = self.heap.at(found) as usize;
        let before = ((address.next_multiple_of(align.max(BLOCK)) - address) / BLOCK) as u32;
        let first = found + before;
        let after = len - before - blocks;
        // Neighbours of a free run are never free, so nothing is to be joined.
        if before > 0 {
            self.link(found, before);
        }
        if after > 0 {
            self.link(first + blocks, after);
        }
        self.block(first).set_kind(kind);
        self.runs.used.set(self.runs.used.get() + blocks);
        self.runs
            .dirty
            .set(self.runs.dirty.get() - self.count_dirty(first, blocks));
        self.runs
            .fresh
            .set(self.runs.fresh.get().max(first + blocks));
        Some(first)
    }

    pub(crate) fn give(&self, first: u32, blocks: u32, dirty: bool) {
        for block in first..first + blocks {
            self.block(block).dirty.set(u32::from(dirty));
        }
        self.runs.used.set(self.runs.used.get() - blocks);
        if dirty {
            self.runs.dirty.set(self.runs.dirty.get() + blocks);
        }
        self.join(first, blocks);
        if self.runs.dirty.get() > self.runs.dirty_limit.get() {
            self.give_back_dirty();
        }
    }

    /// Makes a run longer by the free blocks behind it, if there are enough.
    pub(crate) fn extend(&self, first: u32, from: u32, to: u32) -> bool {
        let next = first + from;
        let more = to - from;
        if next as usize >= self.blocks.len() {
            return false;
        }
        let Kind::Free(len) = self.block(next).kind() else {
            return false;
        };
        if len < more {
            return false;
        }
        self.unlink(next, len);
        if len > more {
            self.link(next + more, len - more);
        }
        self.runs.used.set(self.runs.used.get() + more);
        self.runs
            .dirty
            .set(self.runs.dirty.get() - self.count_dirty(next, more));
        self.runs.fresh.set(self.runs.fresh.get().max(next + more));
        true
    }

    /// Adds a free run and joins it with its neighbours. Its blocks are [`Kind::Inside`].
    pub(crate) fn join(&self, mut first: u32, mut blocks: u32) {
        let end = first + blocks;
        if first > 0
            && let Kind::FreeEnd(len) | Kind::Free(len) = self.block(first - 1).kind()
        {
            first -= len;
            blocks += len;
            self.unlink(first, len);
        }
        if (end as usize) < self.blocks.len()
            && let Kind::Free(len) = self.block(end).kind()
        {
            blocks += len;
            self.unlink(end, len);
        }
        self.link(first, blocks);
    }

    fn count_dirty(&self, first: u32, blocks: u32) -> u32 {
        // Nothing is dirty where nothing ever was.
        let end = (first + blocks).min(self.runs.fresh.get());
        (first..end)
            .filter(|&block| self.block(block).dirty.get() != 0)
            .count() as u32
    }

    /// A free run of at least `blocks` blocks, and its length.
    fn find(&self, blocks: u32) -> Option<(u32, u32)> {
        let own = bin(blocks);
        let mut run = self.runs.bins[own].get();
        while run != NONE {
            if let Kind::Free(len) = self.block(run).kind()
                && len >= blocks
            {
                return Some((run, len));
            }
            run = self.block(run).next.get();
        }
        let larger = self.filled_from(own + 1)?;
        let run = self.runs.bins[larger].get();
        let Kind::Free(len) = self.block(run).kind() else {
            return None;
        };
        Some((run, len))
    }

    /// The first bin from `bin` on that has a run.
    fn filled_from(&self, bin: usize) -> Option<usize> {
        let mut mask = u64::MAX << (bin % 64);
        for word in bin / 64..BINS / 64 {
            let filled = self.runs.filled[word].get() & mask;
            if filled != 0 {
                return Some(word * 64 + filled.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    fn link(&self, first: u32, blocks: u32) {
        let bin = bin(blocks);
        let head = &self.runs.bins[bin];
        let next = head.get();
        let block = self.block(first);
        block.next.set(next);
        block.previous.set(NONE);
        if next != NONE {
            self.block(next).previous.set(first);
        }
        head.set(first);
        let filled = &self.runs.filled[bin / 64];
        filled.set(filled.get() | 1 << (bin % 64));
        if blocks > 1 {
            self.block(first + blocks - 1)
                .set_kind(Kind::FreeEnd(blocks));
        }
        block.set_kind(Kind::Free(blocks));
    }

    fn unlink(&self, first: u32, blocks: u32) {
        let bin = bin(blocks);
        let block = self.block(first);
        let (next, previous) = (block.next.get(), block.previous.get());
        if next != NONE {
            self.block(next).previous.set(previous);
        }
        if previous != NONE {
            self.block(previous).next.set(next);
        } else {
            self.runs.bins[bin].set(next);
            if next == NONE {
                let filled = &self.runs.filled[bin / 64];
                filled.set(filled.get() & !(1 << (bin % 64)));
            }
        }
        self.block(first + blocks - 1).set_kind(Kind::Inside);
        block.set_kind(Kind::Inside);
    }

    /// Gives all memory of free runs back that was written to.
    #[cold]
    fn give_back_dirty(&self) {
        let mut remaining = 0;
        for bin in 0..BINS {
            let mut run = self.runs.bins[bin].get();
            while run != NONE {
                let Kind::Free(len) = self.block(run).kind() else {
                    break;
                };
                remaining += self.give_back_run(run, len);
                run = self.block(run).next.get();
            }
        }
        self.runs.dirty.set(remaining);
        // What the system does not take would be offered again by every free.
        self.runs
            .dirty_limit
            .set(remaining.saturating_add(DIRTY_LIMIT));
    }

    /// The dirty stretches of one run; answers how many blocks remain dirty.
    fn give_back_run(&self, first: u32, blocks: u32) -> u32 {
        let end = (first + blocks).min(self.runs.fresh.get());
        let is_dirty = |block: &u32| self.block(*block).dirty.get() != 0;
        let (mut at, mut remaining) = (first, 0);
        while let Some(start) = (at..end).find(is_dirty) {
            let stop = (start..end).find(|block| !is_dirty(block)).unwrap_or(end);
            if self.heap.discard(start, stop - start) {
                (start..stop).for_each(|block| self.block(block).dirty.set(0));
            } else {
                remaining += stop - start;
            }
            at = stop;
        }
        remaining
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_ascend_and_fit() {
        let mut last = 0;
        for blocks in 1..(1 << 20) {
            let bin = bin(blocks);
            assert!(bin == last || bin == last + 1, "{blocks}");
            last = bin;
        }
        assert!(bin((1 << 29) - 1) < BINS);
    }
}
