//! The simple scheme that benchmarks compare the rings with: one block of shared
//! memory, one flag that says whose turn it is, one packet copied in, one picture
//! copied out.
//!
//! Both sides take turns strictly. The side whose turn it is owns everything but
//! the flag; it ends its turn by storing the other's number with release ordering,
//! and waits for its own by loading with acquire ordering and yielding.

use crate::picture::PictureRecord;
use crate::sync::{AtomicU32, Ordering};
use core::cell::UnsafeCell;

/// Offset of the packet's bytes in the block.
pub const PACKET_OFFSET: usize = 4096;
/// Most bytes of a packet.
pub const PACKET_CAPACITY: usize = 4 << 20;
/// Offset of the picture's bytes in the block; they reach to its end.
pub const PICTURE_OFFSET: usize = PACKET_OFFSET + PACKET_CAPACITY;

/// The value of the turn word: the host may write the next request.
pub const HOST: u32 = 0;
/// The value of the turn word: the guest is to answer it.
pub const GUEST: u32 = 1;

/// Values of [`Exchange::request`].
pub mod request {
    /// Decode the packet; answer with its first picture, if it has one.
    pub const DECODE: u32 = 1;
    /// Answer with the next picture that is ready already.
    pub const MORE: u32 = 2;
    /// Deliver what is inside the decoder; answer with the first such picture.
    pub const DRAIN: u32 = 3;
    /// Leave; there is no answer.
    pub const STOP: u32 = 4;
}

/// What one side tells the other at the end of its turn.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Exchange {
    /// Host: one of [`request`].
    pub request: u32,
    /// Host: bytes of the packet.
    pub packet_len: u32,
    /// Host: the packet's number.
    pub packet: u64,
    /// Guest: the packet that the picture was decoded from.
    pub number: u64,
    /// Guest: 1 if there is a picture.
    pub has_picture: u32,
    /// Guest: pictures that are ready besides: ask for more.
    pub ready: u32,
    /// Guest: bytes of the picture.
    pub picture_len: u32,
    /// Guest: 0, or the decoder's error number.
    pub error: i32,
    /// Guest: what the picture looks like; its planes are where it says, from
    /// [`PICTURE_OFFSET`] on.
    pub picture: PictureRecord,
    /// Zero.
    pub reserved: u32,
}

/// The beginning of the block. All-zero is its initial state: the host's turn.
#[repr(C)]
#[derive(Debug)]
pub struct TurnFlag {
    turn: AtomicU32,
    /// Zero.
    reserved: u32,
    exchange: UnsafeCell<Exchange>,
}

// SAFETY: `exchange` is accessed only through `exchange` and `end_turn`, whose
// callers hold the turn; the flag's orderings make the turns happen one after the
// other.
unsafe impl Sync for TurnFlag {}

const _: () = assert!(size_of::<TurnFlag>() <= PACKET_OFFSET);

impl TurnFlag {
    /// Waits for a turn, yielding the processor between looks, as long as `go_on`.
    /// Returns whether the turn came.
    pub fn wait(&self, turn: u32, mut go_on: impl FnMut() -> bool) -> bool {
        loop {
            // A look costs little and yielding a syscall, so look some times first.
            for _ in 0..64 {
                if self.turn.load(Ordering::Acquire) == turn {
                    return true;
                }
                core::hint::spin_loop();
            }
            if !go_on() {
                return false;
            }
            // SAFETY: takes nothing and touches no memory.
            unsafe { libc::sched_yield() };
        }
    }

    /// What the other side told.
    ///
    /// # Safety
    /// It is the caller's turn.
    pub unsafe fn exchange(&self) -> Exchange {
        // SAFETY: the other side does not write during our turn, by the caller's
        // word and its own; volatile, so an unfaithful one is read only once.
        unsafe { self.exchange.get().read_volatile() }
    }

    /// Tells the other side something, and gives it the turn.
    ///
    /// # Safety
    /// It is the caller's turn.
    pub unsafe fn end_turn(&self, exchange: Exchange, next: u32) {
        // SAFETY: as for `exchange`.
        unsafe { self.exchange.get().write_volatile(exchange) };
        self.turn.store(next, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use std::sync::Arc;

    #[test]
    fn turns_alternate() {
        let flag = Arc::new(TurnFlag {
            turn: AtomicU32::new(HOST),
            reserved: 0,
            exchange: UnsafeCell::new(Exchange::zeroed()),
        });
        let guest = flag.clone();
        let rounds = if cfg!(miri) { 20 } else { 2000 };
        let answerer = std::thread::spawn(move || {
            for _ in 0..rounds {
                assert!(guest.wait(GUEST, || true));
                // SAFETY: our turn came.
                unsafe {
                    let mut exchange = guest.exchange();
                    exchange.number = exchange.packet * 2;
                    guest.end_turn(exchange, HOST);
                }
            }
        });
        for packet in 0..rounds {
            assert!(flag.wait(HOST, || true));
            // SAFETY: our turn came, twice.
            unsafe {
                let mut exchange = Exchange::zeroed();
                exchange.packet = packet;
                flag.end_turn(exchange, GUEST);
                assert!(flag.wait(HOST, || true));
                assert_eq!(flag.exchange().number, packet * 2);
            }
        }
        answerer.join().unwrap();
        assert!(!flag.wait(GUEST, || false));
    }
}
