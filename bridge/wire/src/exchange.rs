//! The memory that calls share, which lies at the same address on both sides.
//!
//! The *exchange* is the host's: a header, lanes, their message stacks, then the program's
//! shared heap. There is one per program, and every worker maps it. *Guest memory* is a
//! worker's: the stacks of the threads that serve lanes, then the library's heap.
//!
//! Both are as sparse as their file: pages that nobody touches cost nothing, but QEMU 7.2
//! takes 9 ms and 7 MB of its own for each GiB that its guest maps (measured).

use crate::freed::Queue;
use crate::lane::Lane;
use crate::ring::Line;
use core::ptr::NonNull;

/// First word of an exchange: "iotxchng".
pub const MAGIC: u64 = u64::from_le_bytes(*b"iotxchng");
/// Counted up whenever [`lane`](crate::lane), [`freed`](crate::freed) or this module changes.
pub const VERSION: u32 = 5;

/// Lanes of an exchange, control lanes included.
pub const LANES: usize = 256;
/// Bytes of a lane's message stack that the host allocates from.
pub const HOST_STACK: usize = 768 << 10;
/// Bytes that the guest allocates from, behind the host's.
pub const GUEST_STACK: usize = 256 << 10;
/// Largest message. Every message has as many bytes of shared memory behind its address.
pub const MAX_MESSAGE: usize = 64 << 10;
/// Where the message stacks begin.
const STACKS: usize = 1 << 20;
/// Where the program's shared heap begins; it ends [`MAX_MESSAGE`] before the exchange does.
pub const HEAP: usize = STACKS + LANES * (HOST_STACK + GUEST_STACK);
/// Bytes of an exchange, unless the user says otherwise.
pub const EXCHANGE_SIZE: usize = 2 << 30;

/// Bytes of a serving thread's stack.
pub const THREAD_STACK: usize = 8 << 20;
/// Where in guest memory there is room for what libraries have in their files.
pub const GUEST_DATA: usize = LANES * THREAD_STACK;
/// Bytes of that room.
pub const GUEST_DATA_SIZE: usize = 256 << 20;
/// Where the library's heap begins in guest memory; it ends [`MAX_MESSAGE`] before that does.
pub const GUEST_HEAP: usize = GUEST_DATA + GUEST_DATA_SIZE;
/// Bytes of guest memory, unless the user says otherwise.
pub const GUEST_MEMORY_SIZE: usize = 4 << 30;

/// A segment of a loaded library's file, or of the program's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Image {
    /// Where its owner has it.
    pub address: u64,
    /// Bytes, whole pages.
    pub size: u64,
    /// Where its contents are in guest memory; those of the program's, in the exchange.
    pub offset: u64,
    /// 1 if the owner has those very pages, 0 if they are a copy of what does not change.
    pub is_writable: u64,
}

impl Image {
    /// Where its owner has it.
    pub fn range(&self) -> Range {
        Range {
            start: self.address,
            size: self.size,
        }
    }
}

/// What a thread of a library did that the processor forbids. Written by the guest's
/// signal handler, read by the host once the process has ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Fault {
    /// The signal's number; 0 if there was no fault.
    pub signal: u32,
    /// Zero.
    pub reserved: u32,
    /// The instruction's address.
    pub pc: u64,
    /// The address that it accessed.
    pub address: u64,
    /// The library's file name, padded with zeros.
    pub library: [u8; 128],
    /// The nearest exported symbol before `pc`, padded with zeros.
    pub symbol: [u8; 128],
}

/// The start of an exchange.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Zero.
    pub reserved: u32,
}

/// The fixed part of an exchange. All-zero but for the header is its initial state.
#[repr(C)]
#[derive(Debug)]
pub struct Fixed {
    /// Written once by the host.
    pub header: Line<Header>,
    /// Each thread's lane.
    pub lanes: [Lane; LANES],
    /// By number of the worker's control lane.
    pub faults: [Fault; LANES],
}

const _: () = assert!(size_of::<Fixed>() <= STACKS);

/// A range of addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl Range {
    /// Whether all `size` bytes at `address` are in the range.
    #[inline]
    pub fn contains(&self, address: u64, size: u64) -> bool {
        let offset = address.wrapping_sub(self.start);
        offset <= self.size && size <= self.size - offset
    }

    /// The first address behind it.
    pub fn end(&self) -> u64 {
        self.start + self.size
    }
}

/// A mapped exchange.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    base: NonNull<Fixed>,
    size: usize,
}

// SAFETY: the memory belongs to the process and stays mapped; what is shared in it is
// atomic, or reached through pointers whose users answer for their accesses.
unsafe impl Send for Exchange {}
// SAFETY: as above.
unsafe impl Sync for Exchange {}

impl Exchange {
    /// # Safety
    /// `size` bytes, at least [`HEAP`] + [`MAX_MESSAGE`], of zeros or of an exchange are mapped at
    /// `base`, page-aligned, for as long as the process runs.
    pub unsafe fn new(base: NonNull<u8>, size: usize) -> Self {
        debug_assert!(size >= HEAP + MAX_MESSAGE);
        Self {
            base: base.cast(),
            size,
        }
    }

    /// Makes zeros an exchange. By the host, before anyone else sees it.
    pub fn initialise(&self) {
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            reserved: 0,
        };
        // SAFETY: mapped and aligned (`new`), and not shared yet.
        unsafe { (&raw mut (*self.base.as_ptr()).header.0).write(header) };
    }

    /// Whether it is an exchange of this version; for the guest.
    pub fn is_known(&self) -> bool {
        // SAFETY: mapped and aligned (`new`).
        let header = unsafe { (&raw const (*self.base.as_ptr()).header.0).read_volatile() };
        (header.magic, header.version) == (MAGIC, VERSION)
    }

    /// Its addresses.
    pub fn range(&self) -> Range {
        Range {
            start: self.base.as_ptr() as u64,
            size: self.size as u64,
        }
    }

    /// The addresses of the program's shared heap.
    pub fn heap(&self) -> Range {
        Range {
            start: self.range().start + HEAP as u64,
            size: (self.size - HEAP - MAX_MESSAGE) as u64,
        }
    }

    /// A lane.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn lane(&self, number: usize) -> &'static Lane {
        assert!(number < LANES);
        // SAFETY: mapped for ever (`new`), inside `Fixed`; a lane is made of atomics.
        unsafe { &(&(*self.base.as_ptr()).lanes)[number] }
    }

    /// Where a worker with this control lane tells of its fault.
    ///
    /// # Panics
    /// If there is no lane of that number.
    pub fn fault(&self, number: usize) -> NonNull<Fault> {
        assert!(number < LANES);
        // SAFETY: inside `Fixed`, which is mapped.
        unsafe { NonNull::new_unchecked(&raw mut (*self.base.as_ptr()).faults[number]) }
    }

    /// The host's part of a lane's message stack.
    pub fn host_stack(&self, number: usize) -> Range {
        assert!(number < LANES);
        let offset = STACKS + number * (HOST_STACK + GUEST_STACK);
        Range {
            start: self.range().start + offset as u64,
            size: HOST_STACK as u64,
        }
    }

    /// What is freed over a worker's reverse lane, which has no messages: by the program, and by
    /// the library.
    pub fn freed(&self, reverse: usize) -> [&'static Queue; 2] {
        const { assert!(size_of::<Queue>() <= GUEST_STACK && GUEST_STACK <= HOST_STACK) };
        [self.host_stack(reverse), self.guest_stack(reverse)].map(|stack| {
            // SAFETY: mapped for ever (`new`), page-aligned, and a queue is made of atomics.
            unsafe { &*(stack.start as *const Queue) }
        })
    }

    /// The guest's part of a lane's message stack.
    pub fn guest_stack(&self, number: usize) -> Range {
        Range {
            start: self.host_stack(number).end(),
            size: GUEST_STACK as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_lies_in_them() {
        let range = Range {
            start: 4096,
            size: 100,
        };
        assert!(range.contains(4096, 100) && range.contains(4196, 0));
        for (address, size) in [
            (4095, 1),
            (4096, 101),
            (4197, 0),
            (0, u64::MAX),
            (u64::MAX, 2),
        ] {
            assert!(!range.contains(address, size), "{address} {size}");
        }
    }

    #[test]
    fn nothing_overlaps() {
        let memory = NonNull::<u64>::dangling();
        // SAFETY: only addresses are calculated.
        let exchange = unsafe { Exchange::new(memory.cast(), EXCHANGE_SIZE) };
        let last = exchange.guest_stack(LANES - 1);
        assert_eq!(last.end(), exchange.heap().start);
        assert_eq!(
            exchange.heap().end() + MAX_MESSAGE as u64,
            exchange.range().end()
        );
        assert_eq!(exchange.guest_stack(0).end(), exchange.host_stack(1).start);
    }
}
