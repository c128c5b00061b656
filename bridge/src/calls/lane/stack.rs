//! Memory that lasts as long as a call.

use crate::calls::heap::heap;
use iotdec_wire::exchange::Range;
use std::ffi::c_void;

/// A lane's message stack, in the exchange, and what was too large for it.
#[derive(Debug)]
pub(crate) struct MessageStack {
    range: Range,
    /// The first free address.
    top: u64,
    /// Allocations of the exchange's heap.
    large: Vec<u64>,
}

/// What there was on a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    top: u64,
    large: usize,
}

impl MessageStack {
    pub(super) fn new(range: Range) -> Self {
        Self {
            range,
            top: range.start,
            large: Vec::new(),
        }
    }

    /// Where nothing is on it.
    pub(super) fn bottom(&self) -> Mark {
        Mark {
            top: self.range.start,
            large: 0,
        }
    }

    #[inline]
    pub(super) fn mark(&self) -> Mark {
        Mark {
            top: self.top,
            large: self.large.len(),
        }
    }

    /// Gives back what was pushed since.
    #[inline]
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.top = mark.top;
        if self.large.len() > mark.large {
            self.free(mark.large);
        }
    }

    #[cold]
    fn free(&mut self, first: usize) {
        for address in self.large.drain(first..) {
            // The library may have freed it, though it should not.
            (heap().try_free)(address as *mut c_void);
        }
    }

    /// Room on the stack, 16-byte aligned.
    #[inline]
    pub(super) fn push(&mut self, size: usize) -> Option<u64> {
        let address = self.top;
        let room = self.range.end() - address;
        let size = size.checked_next_multiple_of(16)? as u64;
        if size > room {
            return None;
        }
        self.top = address + size;
        Some(address)
    }

    /// Room wherever there is some, aligned to a power of two that is at least 16.
    #[inline]
    pub(crate) fn push_any(&mut self, size: usize, alignment: usize) -> Option<u64> {
        let room = size.saturating_add(alignment.saturating_sub(16));
        match self.push(room) {
            Some(address) => Some(address.next_multiple_of(alignment as u64)),
            None => self.allocate(size, alignment),
        }
    }

    #[cold]
    fn allocate(&mut self, size: usize, alignment: usize) -> Option<u64> {
        let address = (heap().memalign)(alignment, size) as u64;
        if address == 0 {
            return None;
        }
        self.large.push(address);
        Some(address)
    }
}

impl Drop for MessageStack {
    fn drop(&mut self) {
        self.free(0);
    }
}
