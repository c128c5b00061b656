//! All that the allocator knows, in private memory: one sparse mapping of a header and two tables.
//!
//! Every field is an atomic, read and written `Relaxed` under the lock that its comment names; so there is no data
//! race to be had, however wild a pointer somebody frees. Zero is a valid value of everything, for that is what fresh
//! memory holds.

use crate::lock::Lock;
use crate::{class, os};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// No block: ends a list.
pub(crate) const NONE: u32 = u32::MAX;

/// Slabs and their lists exist this often, each under a lock of its own, so that threads seldom meet.
pub(crate) const SHARDS: usize = 8;

/// Lists of free runs: 16 exact lengths, then 8 for each doubling.
pub(crate) const BINS: usize = 256;

/// A 32-bit value. Whoever shares one holds the lock that orders it.
#[repr(transparent)]
pub(crate) struct Word(AtomicU32);

impl Word {
    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Relaxed);
    }
}

/// 64 flags.
#[repr(transparent)]
pub(crate) struct Bits(AtomicU64);

impl Bits {
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// What a block is. Changed under the lock of the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In a run but not its first block (nor, of a free one, its last); or on the way from used to free.
    Inside,
    /// The first of a free run of so many blocks.
    Free(u32),
    /// The last of a free run of so many blocks, if they are two or more.
    FreeEnd(u32),
    /// The first of a run of so many blocks that is one allocation.
    Large(u32),
    /// A slab of small objects.
    Slab,
}

/// A block's entry in the table.
#[repr(C)]
pub(crate) struct Block {
    /// A [`Kind`]: number in the lowest three bits, length above.
    kind: Word,
    /// Free: the next of its bin, or [`NONE`]. Large: how many pages of 4 KiB were asked for.
    pub(crate) next: Word,
    /// Free: the one before it in its bin, or [`NONE`].
    pub(crate) previous: Word,
    /// Not 0 in a free block: something was written there since the system gave the memory.
    pub(crate) dirty: Word,
}

impl Block {
    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        let value = self.kind.get();
        match value & 7 {
            1 => Kind::Free(value >> 3),
            2 => Kind::FreeEnd(value >> 3),
            3 => Kind::Large(value >> 3),
            4 => Kind::Slab,
            _ => Kind::Inside,
        }
    }

    #[inline]
    pub(crate) fn set_kind(&self, kind: Kind) {
        self.kind.set(match kind {
            Kind::Inside => 0,
            Kind::Free(blocks) => blocks << 3 | 1,
            Kind::FreeEnd(blocks) => blocks << 3 | 2,
            Kind::Large(blocks) => blocks << 3 | 3,
            Kind::Slab => 4,
        });
    }
}

/// What is known of the slab in a block. Valid while the block's kind says that it is one; changed under its shard's
/// lock.
#[repr(C, align(64))]
pub(crate) struct Slab {
    /// Whose it is.
    pub(crate) shard: Word,
    pub(crate) class: Word,
    /// Objects handed out.
    pub(crate) used: Word,
    /// No word of `taken` before this one has a free bit.
    pub(crate) hint: Word,
    /// Neighbours in the shard's list of slabs of this class that have room, or [`NONE`].
    pub(crate) next: Word,
    pub(crate) previous: Word,
    /// A bit for each object, set if it is handed out; set too behind the last object.
    pub(crate) taken: [Bits; crate::BLOCK / 16 / 64],
}

/// A part of the slabs.
#[repr(C, align(64))]
pub(crate) struct Shard {
    pub(crate) lock: Lock,
    /// The first slab with room of each class, or [`NONE`].
    pub(crate) roomy: [Word; class::COUNT],
}

/// The runs of blocks.
#[repr(C, align(64))]
pub(crate) struct Runs {
    /// Taken after a shard's, never before.
    pub(crate) lock: Lock,
    /// Free blocks that are dirty.
    pub(crate) dirty: Word,
    /// How many of them are too many.
    pub(crate) dirty_limit: Word,
    /// No block from here on was ever handed out.
    pub(crate) fresh: Word,
    /// Blocks handed out.
    pub(crate) used: Word,
    /// A bit for each bin that is not empty.
    pub(crate) filled: [Bits; BINS / 64],
    /// The first free run of each bin, or [`NONE`].
    pub(crate) bins: [Word; BINS],
}

#[repr(C, align(64))]
pub(crate) struct Header {
    pub(crate) runs: Runs,
    pub(crate) shards: [Shard; SHARDS],
}

/// The mapping: a header, a table of blocks, a table of slabs.
pub(crate) struct Meta {
    map: NonNull<u8>,
    len: usize,
    blocks: usize,
}

// SAFETY: the mapping belongs to this alone, and everything in it is atomic.
unsafe impl Send for Meta {}
// SAFETY: as above.
unsafe impl Sync for Meta {}

impl Meta {
    /// Maps the tables for so many blocks. The error is the kernel's number.
    pub(crate) fn new(blocks: usize) -> Result<Self, i32> {
        let len = Self::slabs_at(blocks) + blocks * size_of::<Slab>();
        let map = os::map_private(len)?;
        let meta = Self { map, len, blocks };
        for shard in &meta.header().shards {
            shard.roomy.iter().for_each(|first| first.set(NONE));
        }
        meta.header()
            .runs
            .bins
            .iter()
            .for_each(|first| first.set(NONE));
        Ok(meta)
    }

    fn slabs_at(blocks: usize) -> usize {
        (size_of::<Header>() + blocks * size_of::<Block>()).next_multiple_of(align_of::<Slab>())
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the mapping begins with a header, page-aligned, for which zeroes are valid, and lives as long as self.
        unsafe { self.map.cast().as_ref() }
    }

    #[inline]
    pub(crate) fn blocks(&self) -> &[Block] {
        // SAFETY: `new` mapped so many behind the header, whose size is a multiple of its alignment of 64; zeroes are
        // valid; it lives as long as self.
        unsafe {
            let first = self.map.add(size_of::<Header>()).cast::<Block>();
            core::slice::from_raw_parts(first.as_ptr(), self.blocks)
        }
    }

    #[inline]
    pub(crate) fn slabs(&self) -> &[Slab] {
        // SAFETY: as for `blocks`; `slabs_at` aligned it.
        unsafe {
            let first = self.map.add(Self::slabs_at(self.blocks)).cast::<Slab>();
            core::slice::from_raw_parts(first.as_ptr(), self.blocks)
        }
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        // SAFETY: all references into the mapping borrow self.
        unsafe { os::unmap(self.map, self.len) };
    }
}
