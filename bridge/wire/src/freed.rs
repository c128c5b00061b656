//! What one side frees of the other's memory, on its way there: addresses in a queue, so that it
//! takes no round trip. Whose memory it is looks into the queue when a call begins or ends, and
//! when it has no memory left.
//!
//! The other side is not trusted with more than addresses: each side knows for itself how many
//! it has put there or taken, and who frees looks at what it is told to free.

use crate::ring::Line;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Addresses in a queue at most. Who finds it full asks over a control lane.
pub const CAPACITY: usize = 4096;

/// The shared part. All-zero is empty.
#[repr(C)]
#[derive(Debug)]
pub struct Queue {
    /// How many were ever put there; wraps.
    put: Line<AtomicU32>,
    /// How many were ever taken; wraps.
    taken: Line<AtomicU32>,
    blocks: [AtomicU64; CAPACITY],
}

/// The other side says that there is what cannot be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense;

impl Queue {
    /// Makes it empty, while nobody uses it.
    pub fn reset(&self) {
        self.put.0.store(0, Ordering::Relaxed);
        self.taken.0.store(0, Ordering::Relaxed);
    }
}

/// The end of who frees. One thread at a time.
#[derive(Debug)]
pub struct Giver {
    queue: &'static Queue,
    put: u32,
}

impl Giver {
    /// Of an empty queue.
    pub fn new(queue: &'static Queue) -> Self {
        Self { queue, put: 0 }
    }

    /// Puts an address there; false if there is no room.
    #[inline]
    pub fn give(&mut self, address: u64) -> bool {
        let taken = self.queue.taken.0.load(Ordering::Acquire);
        if self.put.wrapping_sub(taken) as usize >= CAPACITY {
            return false;
        }
        self.queue.blocks[self.put as usize % CAPACITY].store(address, Ordering::Relaxed);
        self.put = self.put.wrapping_add(1);
        self.queue.put.0.store(self.put, Ordering::Release);
        true
    }
}

/// The end of whose memory it is.
#[derive(Debug)]
pub struct Taker {
    queue: &'static Queue,
    taken: AtomicU32,
    is_busy: AtomicBool,
}

impl Taker {
    /// Of an empty queue.
    pub const fn new(queue: &'static Queue) -> Self {
        Self {
            queue,
            taken: AtomicU32::new(0),
            is_busy: AtomicBool::new(false),
        }
    }

    /// Whether nothing is there.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.put.0.load(Ordering::Relaxed) == self.taken.load(Ordering::Relaxed)
    }

    /// Takes all that is there, unless another thread is doing so.
    pub fn take(&self, mut free: impl FnMut(u64)) -> Result<(), Nonsense> {
        if self.is_busy.swap(true, Ordering::Acquire) {
            return Ok(());
        }
        let mut taken = self.taken.load(Ordering::Relaxed);
        let put = self.queue.put.0.load(Ordering::Acquire);
        let is_possible = put.wrapping_sub(taken) as usize <= CAPACITY;
        while is_possible && taken != put {
            free(self.queue.blocks[taken as usize % CAPACITY].load(Ordering::Relaxed));
            taken = taken.wrapping_add(1);
        }
        self.taken.store(taken, Ordering::Relaxed);
        self.queue.taken.0.store(taken, Ordering::Release);
        self.is_busy.store(false, Ordering::Release);
        if is_possible { Ok(()) } else { Err(Nonsense) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> &'static Queue {
        let zero = || Line(AtomicU32::new(0));
        Box::leak(Box::new(Queue {
            put: zero(),
            taken: zero(),
            blocks: [const { AtomicU64::new(0) }; CAPACITY],
        }))
    }

    fn taken(taker: &Taker) -> Vec<u64> {
        let mut all = Vec::new();
        taker.take(|address| all.push(address)).expect("sane");
        all
    }

    #[test]
    fn all_that_is_given_is_taken_once() {
        let queue = queue();
        let (mut giver, taker) = (Giver::new(queue), Taker::new(queue));
        assert!(taker.is_empty());
        let mut next = 0;
        for round in 0..50 {
            let first = next;
            while giver.give(next) && next - first < 999 * round {
                next += 1;
            }
            let full = first + CAPACITY as u64;
            next = full.min(next + 1);
            assert!(!taker.is_empty());
            assert!(taken(&taker).into_iter().eq(first..next), "round {round}");
            assert!(taker.is_empty());
        }
    }

    #[test]
    fn threads_lose_nothing() {
        const COUNT: u64 = 200_000;
        let queue = queue();
        let (mut giver, taker) = (Giver::new(queue), Taker::new(queue));
        let writer = std::thread::spawn(move || {
            for number in 0..COUNT {
                while !giver.give(number) {
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < COUNT {
            for number in taken(&taker) {
                assert_eq!(number, expected);
                expected += 1;
            }
        }
        writer.join().expect("no panic");
    }

    #[test]
    fn nobody_believes_impossible_numbers() {
        let queue = queue();
        let (mut giver, taker) = (Giver::new(queue), Taker::new(queue));
        for wrong in [CAPACITY as u32 + 1, u32::MAX, 1 << 31] {
            queue.put.0.store(wrong, Ordering::Relaxed);
            assert_eq!(taker.take(|_| panic!("nothing is there")), Err(Nonsense));
            queue.taken.0.store(wrong, Ordering::Relaxed);
            assert!(!giver.give(1) || wrong == u32::MAX);
        }
        // While it runs, too, it takes no more than it has seen at first.
        queue.put.0.store(2, Ordering::Relaxed);
        let mut count = 0;
        let result = taker.take(|_| {
            queue.put.0.store(1000, Ordering::Relaxed);
            count += 1;
        });
        assert_eq!((result, count), (Ok(()), 2));
    }
}
