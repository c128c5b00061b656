//! A single-producer single-consumer ring of variable-size records.
//!
//! Both cursors run freely over `u32` and are reduced by a mask; each stands in a
//! cache line of its own, and each side keeps a private copy of the other's that
//! it renews only when it seems to have run out. The capacity, the own cursor and
//! the pointers live in private memory: nothing a peer writes can move an access
//! outside the ring.
//!
//! A record is an 8-byte header and a payload, padded to 8 bytes, never wrapped:
//! when the rest of the ring is too short, a padding record fills it.
//!
//! Orderings that belong together: `(T)` publishes records, `(H)` gives space back.

use crate::doorbell::{Doorbell, Spin};
use crate::sync::{AtomicU32, Ordering};
use core::ptr::NonNull;
use core::time::Duration;

/// A value alone in its cache line, so that the two sides do not slow each other.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Line<T>(pub T);

/// The shared part of a ring, apart from its bytes.
#[repr(C)]
#[derive(Debug, Default)]
pub struct RingHeader {
    /// Bytes ever written; only the producer stores it.
    tail: Line<AtomicU32>,
    /// Bytes ever consumed; only the consumer stores it.
    head: Line<AtomicU32>,
    /// Rung by the producer when there is data; the consumer sleeps on it.
    pub data: Line<Doorbell>,
    /// Rung by the consumer when there is space; the producer sleeps on it.
    pub space: Line<Doorbell>,
}

impl RingHeader {
    /// What the consumer has in hand, for who only watches: bytes that were consumed before
    /// it; `None` if everything was.
    pub fn in_hand(&self) -> Option<u32> {
        let head = self.head.0.load(Ordering::Relaxed);
        (head != self.tail.0.load(Ordering::Relaxed)).then_some(head)
    }
}

/// The 8 bytes before each payload, read and written as one word.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
struct RecordHeader {
    /// Payload bytes, before padding.
    len: u32,
    /// What the payload is; [`PAD`] for filler.
    kind: u32,
}

const HEADER: u32 = 8;
const PAD: u32 = u32::MAX;
/// Smallest ring that is useful, and the unit both cursors stay aligned to.
const MIN_CAPACITY: u32 = 64;
/// Largest ring: cursors are compared by wrapping subtraction.
const MAX_CAPACITY: u32 = 1 << 30;

/// The peer wrote something that no correct peer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// Its cursor is misaligned, or further away than the ring is large.
    Cursor(u32),
    /// A record claims more bytes than were published or than fit before the end.
    Length(u32),
}

impl core::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Cursor(value) => write!(f, "ring cursor {value:#x} is impossible"),
            Self::Length(value) => write!(f, "ring record length {value} is impossible"),
        }
    }
}

impl core::error::Error for Corrupt {}

/// Why a record was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// No room now; [wait](Producer::wait_for_room) and try again.
    Full,
    /// Longer than [`Producer::max_payload`]; it will never fit.
    TooLong,
    /// The consumer's cursor is impossible.
    Corrupt(Corrupt),
}

/// Where a ring lies. `K` keeps the memory mapped for as long as the value lives.
#[derive(Debug)]
struct Place<K> {
    header: NonNull<RingHeader>,
    data: NonNull<u8>,
    capacity: u32,
    _keep: K,
}

// SAFETY: the pointers are to shared memory that `_keep` keeps mapped, not to
// anything bound to a thread; all access goes through `&mut` on one end's cursor.
unsafe impl<K: Send> Send for Place<K> {}

impl<K> Place<K> {
    /// # Safety
    /// `header` and `data` (`capacity` bytes, 8-byte aligned) are valid while `keep`
    /// lives.
    unsafe fn new(header: NonNull<RingHeader>, data: NonNull<u8>, capacity: u32, keep: K) -> Self {
        assert!(
            capacity.is_power_of_two() && (MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity),
            "ring capacity {capacity} is not a power of two within bounds"
        );
        Self {
            header,
            data,
            capacity,
            _keep: keep,
        }
    }

    fn header(&self) -> &RingHeader {
        // SAFETY: valid and aligned for as long as `_keep` lives (promised by the
        // caller of `new`), and made of atomics, so other processes may write it.
        unsafe { self.header.as_ref() }
    }

    fn offset(&self, cursor: u32) -> u32 {
        cursor & (self.capacity - 1)
    }

    /// The byte at `cursor`. Callers access at most up to the end of the ring.
    fn at(&self, cursor: u32) -> NonNull<u8> {
        // SAFETY: the offset is masked by the private capacity, which is the size
        // of the memory behind `data`.
        unsafe { self.data.add(self.offset(cursor) as usize) }
    }
}

/// Checks a peer's cursor against ours: `newer` may be at most `capacity` ahead.
fn distance(newer: u32, older: u32, capacity: u32, peer: u32) -> Result<u32, Corrupt> {
    let distance = newer.wrapping_sub(older);
    if distance > capacity || !peer.is_multiple_of(HEADER) {
        return Err(Corrupt::Cursor(peer));
    }
    Ok(distance)
}

/// The writing end.
#[derive(Debug)]
pub struct Producer<K> {
    place: Place<K>,
    tail: u32,
    cached_head: u32,
    spin: Spin,
}

impl<K> Producer<K> {
    /// Attaches to the writing end of a ring of `capacity` bytes.
    ///
    /// # Safety
    /// `header` and `data` (`capacity` bytes, 8-byte aligned) are valid while
    /// `keep` lives, and this process creates no second producer for the ring.
    ///
    /// # Panics
    /// If `capacity` is not a power of two within bounds.
    pub unsafe fn new(
        header: NonNull<RingHeader>,
        data: NonNull<u8>,
        capacity: u32,
        keep: K,
    ) -> Self {
        // SAFETY: passed on from our caller.
        let place = unsafe { Place::new(header, data, capacity, keep) };
        let tail = place.header().tail.0.load(Ordering::Relaxed);
        let cached_head = place.header().head.0.load(Ordering::Acquire); // (H)
        Self {
            place,
            tail,
            cached_head,
            spin: Spin::default(),
        }
    }

    /// The longest payload that fits: with its padding record it never needs more
    /// than the whole ring.
    pub fn max_payload(&self) -> usize {
        (self.place.capacity / 2 - HEADER) as usize
    }

    /// Waits at most `timeout` until a payload of `len` bytes fits or `stop`
    /// holds; whoever makes `stop` hold rings [`RingHeader::space`]. Returns
    /// whether there is room. An impossible cursor counts as room: the push
    /// reports it.
    pub fn wait_for_room(
        &mut self,
        len: usize,
        timeout: Duration,
        mut stop: impl FnMut() -> bool,
    ) -> bool {
        let mut spin = core::mem::take(&mut self.spin);
        let bell = &self.place.header().space.0;
        bell.wait(&mut spin, timeout, || self.has_room(len) || stop());
        self.spin = spin;
        self.has_room(len)
    }

    fn has_room(&self, len: usize) -> bool {
        let head = self.place.header().head.0.load(Ordering::Acquire); // (H)
        !matches!(self.plan(len, head), Err(PushError::Full))
    }

    /// Writes one record made of `parts` in sequence and wakes the consumer.
    pub fn push(&mut self, kind: u32, parts: &[&[u8]]) -> Result<(), PushError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let plan = self
            .plan(len, self.cached_head)
            .or_else(|error| match error {
                PushError::Full => {
                    self.cached_head = self.place.header().head.0.load(Ordering::Acquire); // (H)
                    self.plan(len, self.cached_head)
                }
                error => Err(error),
            });
        let (padding, total) = plan?;
        if padding > 0 {
            let len = padding - HEADER;
            self.write_header(self.tail, RecordHeader { len, kind: PAD });
            self.tail = self.tail.wrapping_add(padding);
        }
        let mut cursor = self.tail.wrapping_add(HEADER);
        let header = RecordHeader {
            len: len as u32,
            kind,
        };
        self.write_header(self.tail, header);
        for part in parts {
            // SAFETY: `plan` found `total` contiguous bytes from `tail` that the
            // consumer has given back; it does not read them before (T).
            unsafe {
                self.place
                    .at(cursor)
                    .as_ptr()
                    .copy_from_nonoverlapping(part.as_ptr(), part.len());
            }
            cursor = cursor.wrapping_add(part.len() as u32);
        }
        self.tail = self.tail.wrapping_add(total);
        self.place
            .header()
            .tail
            .0
            .store(self.tail, Ordering::Release); // (T)
        self.place.header().data.0.ring();
        Ok(())
    }

    /// The padding before a record of `len` payload bytes, and the record's size,
    /// if the consumer has come as far as `head`.
    fn plan(&self, len: usize, head: u32) -> Result<(u32, u32), PushError> {
        if len > self.max_payload() {
            return Err(PushError::TooLong);
        }
        let capacity = self.place.capacity;
        let total = HEADER + (len as u32).next_multiple_of(HEADER);
        let rest = capacity - self.place.offset(self.tail);
        let padding = if total > rest { rest } else { 0 };
        let used = distance(self.tail, head, capacity, head).map_err(PushError::Corrupt)?;
        if capacity - used < padding + total {
            return Err(PushError::Full);
        }
        Ok((padding, total))
    }

    fn write_header(&self, cursor: u32, header: RecordHeader) {
        // SAFETY: cursors are multiples of 8 and the ring's end is too, so 8
        // aligned bytes follow; `plan` found them given back.
        unsafe {
            self.place
                .at(cursor)
                .cast::<RecordHeader>()
                .as_ptr()
                .write(header);
        }
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Consumer<K> {
    place: Place<K>,
    head: u32,
    cached_tail: u32,
    spin: Spin,
}

impl<K> Consumer<K> {
    /// Attaches to the reading end of a ring of `capacity` bytes.
    ///
    /// # Safety
    /// As for [`Producer::new`], with "consumer" for "producer".
    ///
    /// # Panics
    /// If `capacity` is not a power of two within bounds.
    pub unsafe fn new(
        header: NonNull<RingHeader>,
        data: NonNull<u8>,
        capacity: u32,
        keep: K,
    ) -> Self {
        // SAFETY: passed on from our caller.
        let place = unsafe { Place::new(header, data, capacity, keep) };
        let head = place.header().head.0.load(Ordering::Relaxed);
        Self {
            place,
            head,
            cached_tail: head,
            spin: Spin::default(),
        }
    }

    /// Waits at most `timeout` until a record can be read or `stop` holds; whoever
    /// makes `stop` hold rings [`RingHeader::data`]. Returns whether there is one.
    /// An impossible cursor counts as one: [`next`](Self::next) reports it.
    pub fn wait_for_data(&mut self, timeout: Duration, mut stop: impl FnMut() -> bool) -> bool {
        let mut spin = core::mem::take(&mut self.spin);
        let bell = &self.place.header().data.0;
        bell.wait(&mut spin, timeout, || self.has_data() || stop());
        self.spin = spin;
        self.has_data()
    }

    fn has_data(&self) -> bool {
        self.place.header().tail.0.load(Ordering::Acquire) != self.head // (T)
    }

    /// The oldest record, if there is one. It stays the oldest until
    /// [`Record::release`].
    // Not an iterator: a record borrows the ring.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Record<'_, K>>, Corrupt> {
        let mut is_padded = false;
        loop {
            let published = self.published()?;
            if published == 0 {
                return Ok(None);
            }
            let header = self.read_header();
            let rest = self.place.capacity - self.place.offset(self.head);
            let total = header
                .len
                .checked_next_multiple_of(HEADER)
                .and_then(|len| len.checked_add(HEADER))
                .filter(|total| *total <= published.min(rest))
                .ok_or(Corrupt::Length(header.len))?;
            if header.kind == PAD {
                // One, up to the end: a peer could have us skip filler for ever.
                if is_padded || total != rest {
                    return Err(Corrupt::Length(header.len));
                }
                is_padded = true;
                self.consume(total);
                continue;
            }
            return Ok(Some(Record {
                header,
                total,
                ring: self,
            }));
        }
    }

    fn published(&mut self) -> Result<u32, Corrupt> {
        if self.cached_tail == self.head {
            self.cached_tail = self.place.header().tail.0.load(Ordering::Acquire); // (T)
        }
        let (tail, head) = (self.cached_tail, self.head);
        distance(tail, head, self.place.capacity, tail)
    }

    fn read_header(&self) -> RecordHeader {
        // SAFETY: at least 8 published bytes are there (cursors are multiples of
        // 8); volatile, so a peer that changes them meanwhile is read only once.
        unsafe {
            self.place
                .at(self.head)
                .cast::<RecordHeader>()
                .as_ptr()
                .read_volatile()
        }
    }

    fn consume(&mut self, total: u32) {
        self.head = self.head.wrapping_add(total);
        self.place
            .header()
            .head
            .0
            .store(self.head, Ordering::Release); // (H)
        self.place.header().space.0.ring();
    }
}

/// One record, still in the ring.
#[derive(Debug)]
pub struct Record<'a, K> {
    header: RecordHeader,
    total: u32,
    ring: &'a mut Consumer<K>,
}

impl<K> Record<'_, K> {
    /// What the payload is. From the peer: any value.
    pub fn kind(&self) -> u32 {
        self.header.kind
    }

    /// Payload bytes; validated to lie inside the ring.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.header.len as usize
    }

    /// Copies the payload's beginning into `target`, reading each byte once, and
    /// returns how many bytes were there to copy.
    pub fn copy_to(&self, target: &mut [u8]) -> usize {
        let len = self.len().min(target.len());
        let source = self.payload();
        for (index, byte) in target[..len].iter_mut().enumerate() {
            // SAFETY: `index < len`, and `next` validated `len` bytes.
            *byte = unsafe { source.add(index).as_ptr().read_volatile() };
        }
        len
    }

    /// The payload where it lies.
    ///
    /// # Safety
    /// The producer does not write to records that it has published and that were
    /// not released. The guest may rely on that of its host; the host must not
    /// rely on it of a guest, and copies.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: `next` validated the length; immutable by the caller's promise.
        unsafe { core::slice::from_raw_parts(self.payload().as_ptr(), self.len()) }
    }

    /// Gives the record's space back to the producer.
    pub fn release(self) {
        self.ring.consume(self.total);
    }

    fn payload(&self) -> NonNull<u8> {
        // SAFETY: `next` checked that header and payload lie before the ring's end.
        unsafe { self.ring.place.at(self.ring.head).add(HEADER as usize) }
    }
}

#[cfg(test)]
mod tests;
