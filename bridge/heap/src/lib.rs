//! An allocator over a range of addresses that an untrusted process can read and write as well.
//!
//! Nothing that lies in the range is ever read by the allocator: its tables are in private memory of the process
//! ([`meta`](self)). So whatever the other process writes, no two allocations overlap, none leaves the range, and
//! `free` of any pointer at all either takes back exactly what was handed out or says what is wrong with it. (What the
//! other process can spoil is the contents, which is what sharing them means.)
//!
//! The range is divided into blocks of 64 KiB. Small objects come from slabs, a block each, with a bit for every
//! object (`slab`); the rest are runs of blocks (`run`). Slabs belong to one of a few shards, each with a lock of its
//! own; a thread always takes from the same shard. There are no caches of threads: two uncontended locks cost less
//! than what has to be kept right when threads end.
//!
//! [`process`] makes malloc and its family of it, [`Segment`] is shared memory to be used with it. Nothing here
//! allocates memory by other means than mmap, so that it can be the malloc of a process.

#![no_std]

#[cfg(test)]
extern crate std;

mod class;
mod family;
mod fork;
mod lock;
mod meta;
mod os;
pub mod process;
mod run;
mod segment;
mod slab;
mod slot;

use core::ptr::NonNull;
use meta::{Kind, Meta};
pub use segment::Segment;

/// The unit of the range, in bytes.
pub const BLOCK: usize = 64 << 10;

/// Sizes of large allocations are kept in these, in bytes.
const PAGE: usize = 4 << 10;

/// What the memory of a range is, which decides how memory is given back to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A shared mapping of a memfd, on a kernel: madvise punches holes.
    Shared,
    /// The same, where madvise might be an emulator's (QEMU's says yes to MADV_REMOVE and does nothing, measured with
    /// 7.2): holes are punched by way of the file.
    File(File),
    /// A private anonymous mapping.
    Private,
    /// Anything else, not known to be zero at first; nothing is given back.
    Other,
}

/// A file whose holes can be punched, as long as its descriptor is what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    fd: i32,
    identity: (u64, u64),
    /// The address at which the file's first byte is mapped.
    start: usize,
}

impl File {
    /// The file behind a descriptor that stays open, whose first byte is mapped at `start`.
    pub fn new(fd: i32, start: NonNull<u8>) -> Result<Self, Error> {
        let identity = segment::identity(fd).map_err(Error::Kernel)?;
        Ok(Self {
            fd,
            identity,
            start: start.as_ptr() as usize,
        })
    }

    /// Makes a hole where `len` bytes from `address` are mapped; false if that is not possible.
    fn punch(&self, address: usize, len: usize) -> bool {
        // A library may have closed the descriptor and opened another file under its number.
        segment::identity(self.fd) == Ok(self.identity)
            && os::punch(self.fd, address - self.start, len)
    }
}

/// Why a heap could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The range holds no whole block, or 2^28 or more.
    Length,
    /// The kernel gave no memory, with this error number.
    Kernel(i32),
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length => f.write_str("the memory is too small or too large for a heap"),
            Self::Kernel(number) => {
                write!(f, "the system gave no memory for a heap (error {number})")
            }
        }
    }
}

impl core::error::Error for Error {}

/// What is wrong with a pointer that was to be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not in the heap's range.
    Outside,
    /// Nothing is allocated there.
    NotAllocated,
    /// It points into an allocation, or at least not to where one could begin.
    Inside,
    /// What was there is free already, or never was handed out.
    Free,
}

impl Fault {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Outside => "the pointer is not of this heap",
            Self::NotAllocated => "nothing is allocated at the pointer",
            Self::Inside => "the pointer is not the beginning of an allocation",
            Self::Free => "the memory is free already",
        }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Fault {}

/// How much of a heap is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the range.
    pub size: usize,
    /// Bytes of blocks in use: slabs as a whole, and large allocations.
    pub used: usize,
    /// Bytes of free blocks that were written to and not given back to the system.
    pub kept: usize,
}

/// The allocator of a range.
///
/// All methods may be called from all threads. They are as safe in signal handlers as malloc: not, if the signal
/// interrupted one of them.
pub struct Heap {
    first: NonNull<u8>,
    len: usize,
    backing: Backing,
    meta: Meta,
}

// SAFETY: the range is only handed out, never looked at; the tables are atomics under locks.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

impl Heap {
    /// A heap over `len` bytes from `start`, all of them free. What does not fill blocks at multiples of [`BLOCK`] is
    /// left alone.
    ///
    /// # Safety
    /// The range is mapped readable and writable for as long as the heap lives, is what `backing` says, and nothing
    /// else in this process hands it out or keeps anything there. A range that is not [`Backing::Other`] is zero.
    pub unsafe fn new(start: NonNull<u8>, len: usize, backing: Backing) -> Result<Self, Error> {
        let skipped = start.as_ptr().align_offset(BLOCK);
        let blocks = len.saturating_sub(skipped) / BLOCK;
        if blocks == 0 || blocks >= 1 << 28 {
            return Err(Error::Length);
        }
        let meta = Meta::new(blocks).map_err(Error::Kernel)?;
        // SAFETY: skipped < len, for there is at least one block behind.
        let first = unsafe { start.add(skipped) };
        let heap = Self {
            first,
            len: blocks * BLOCK,
            backing,
            meta,
        };
        heap.meta.header().runs.dirty_limit.set(run::DIRTY_LIMIT);
        heap.runs().join(0, blocks as u32);
        Ok(heap)
    }

    /// Whether the address is in the heap's range, allocated or not.
    #[inline]
    pub fn contains(&self, pointer: *const u8) -> bool {
        self.offset(pointer).is_some()
    }

    /// `size` bytes (0 is as good as 1) at a multiple of `align`, a power of two. None if there is no room.
    #[inline]
    pub fn allocate(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        debug_assert!(align.is_power_of_two());
        if let Some(class) = class::aligned(size, align) {
            let (block, offset) = self.take_object(class)?;
            return Some(self.pointer(block, offset));
        }
        self.allocate_run(size, align)
            .map(|block| self.pointer(block, 0))
    }

    /// The same, filled with zeroes. Memory that nothing was written to since the system gave it is not touched.
    pub fn allocate_zeroed(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        if class::aligned(size, align).is_some() {
            let pointer = self.allocate(size, align)?;
            // SAFETY: just allocated with at least so many bytes.
            unsafe { pointer.write_bytes(0, size) };
            return Some(pointer);
        }
        let first = self.allocate_run(size, align)?;
        for (i, at) in (first..).zip((0..size).step_by(BLOCK)) {
            if self.backing == Backing::Other || self.meta.blocks()[i as usize].dirty.get() != 0 {
                // SAFETY: inside of the run that was just allocated; it has at least `size` bytes.
                unsafe { self.at(first).add(at).write_bytes(0, BLOCK.min(size - at)) };
            }
        }
        Some(self.pointer(first, 0))
    }

    /// Takes an allocation back. The pointer may be any.
    ///
    /// Not `unsafe`, because the heap does not look at the memory; who still uses it after that is in the wrong.
    #[inline]
    pub fn free(&self, pointer: *const u8) -> Result<(), Fault> {
        let (block, offset) = self.offset(pointer).ok_or(Fault::Outside)?;
        if self.meta.blocks()[block as usize].kind() == Kind::Slab {
            return self.give_object(block, offset);
        }
        self.free_run(block, offset)
    }

    /// How many bytes an allocation has, at least as many as were asked for.
    #[inline]
    pub fn usable_size(&self, pointer: *const u8) -> Result<usize, Fault> {
        let (block, offset) = self.offset(pointer).ok_or(Fault::Outside)?;
        let entry = &self.meta.blocks()[block as usize];
        match entry.kind() {
            Kind::Slab => self.object_size(block, offset),
            Kind::Large(_) if offset == 0 => Ok(entry.next.get() as usize * PAGE),
            Kind::Large(_) => Err(Fault::Inside),
            Kind::Free(_) | Kind::FreeEnd(_) => Err(Fault::Free),
            Kind::Inside => Err(Fault::NotAllocated),
        }
    }

    /// Makes an allocation have `size` bytes; it may move. None if there is no room: it is then as it was.
    ///
    /// # Safety
    /// Nobody else frees or resizes the allocation meanwhile.
    pub unsafe fn resize(
        &self,
        pointer: NonNull<u8>,
        size: usize,
    ) -> Result<Option<NonNull<u8>>, Fault> {
        let now = self.usable_size(pointer.as_ptr())?;
        if self.resize_in_place(pointer, now, size) {
            return Ok(Some(pointer));
        }
        let Some(moved) = self.allocate(size, 16) else {
            return Ok(None);
        };
        // SAFETY: both are allocations of this heap, the old one not freed yet, with at least so many bytes.
        unsafe { moved.copy_from_nonoverlapping(pointer, now.min(size)) };
        self.free(pointer.as_ptr())?;
        Ok(Some(moved))
    }

    /// How much is in use.
    pub fn usage(&self) -> Usage {
        let runs = &self.meta.header().runs;
        let bytes = |blocks: u32| blocks as usize * BLOCK;
        Usage {
            size: self.len,
            used: bytes(runs.used.get()),
            kept: bytes(runs.dirty.get()),
        }
    }

    /// The address where the memory in use ends: nothing behind was ever handed out.
    pub fn end_of_used(&self) -> usize {
        self.at(self.meta.header().runs.fresh.get()) as usize
    }

    /// Before fork: waits until no other thread is inside of the heap, and keeps them out.
    pub fn lock(&self) {
        let header = self.meta.header();
        header.shards.iter().for_each(|shard| shard.lock.acquire());
        header.runs.lock.acquire();
    }

    /// After [`lock`](Self::lock): in the process itself, and in a child that was forked between.
    pub fn unlock(&self) {
        let header = self.meta.header();
        header.runs.lock.release();
        header.shards.iter().for_each(|shard| shard.lock.release());
    }

    /// The block of an address and the offset there.
    #[inline]
    fn offset(&self, pointer: *const u8) -> Option<(u32, usize)> {
        let offset = (pointer as usize).wrapping_sub(self.first.as_ptr() as usize);
        (offset < self.len).then_some(((offset / BLOCK) as u32, offset % BLOCK))
    }

    /// The address of a block.
    #[inline]
    fn at(&self, block: u32) -> *mut u8 {
        self.first.as_ptr().wrapping_add(block as usize * BLOCK)
    }

    #[inline]
    fn pointer(&self, block: u32, offset: usize) -> NonNull<u8> {
        // SAFETY: who calls has block and offset out of the tables: inside of the range, which does not wrap.
        unsafe { self.first.add(block as usize * BLOCK + offset) }
    }

    fn allocate_run(&self, size: usize, align: usize) -> Option<u32> {
        if size > self.len || align > self.len {
            return None;
        }
        let blocks = size.div_ceil(BLOCK).max(1) as u32;
        let first = self.take_run(blocks, align, Kind::Large(blocks))?;
        self.meta.blocks()[first as usize].next.set(pages(size));
        Some(first)
    }

    fn free_run(&self, block: u32, offset: usize) -> Result<(), Fault> {
        let entry = &self.meta.blocks()[block as usize];
        let blocks = {
            let _held = self.runs();
            match entry.kind() {
                Kind::Large(blocks) if offset == 0 => {
                    entry.set_kind(Kind::Inside);
                    blocks
                }
                Kind::Large(_) => return Err(Fault::Inside),
                Kind::Free(_) | Kind::FreeEnd(_) => return Err(Fault::Free),
                Kind::Inside | Kind::Slab => return Err(Fault::NotAllocated),
            }
        };
        self.give_run(block, blocks);
        Ok(())
    }

    /// `now` is the usable size.
    fn resize_in_place(&self, pointer: NonNull<u8>, now: usize, size: usize) -> bool {
        let Some((block, _)) = self.offset(pointer.as_ptr()) else {
            return false;
        };
        let entry = &self.meta.blocks()[block as usize];
        let Kind::Large(from) = entry.kind() else {
            // Moving to save less than half is not worth it.
            return size <= now
                && (size > now / 2 || class::CLASSES[class::of(size)].size as usize == now);
        };
        if size <= class::LARGEST || size > self.len {
            return false;
        }
        let to = size.div_ceil(BLOCK) as u32;
        if to > from {
            let held = self.runs();
            if !held.extend(block, from, to) {
                return false;
            }
            entry.set_kind(Kind::Large(to));
        } else if to < from {
            {
                let _held = self.runs();
                entry.set_kind(Kind::Large(to));
            }
            self.give_run(block + to, from - to);
        }
        entry.next.set(pages(size));
        true
    }
}

fn pages(size: usize) -> u32 {
    size.div_ceil(PAGE).max(1) as u32
}

#[cfg(test)]
mod tests;
