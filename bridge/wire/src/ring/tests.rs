//! The ring against a model queue, and with a peer that lies. Under loom: the
//! wake-up protocol, every interleaving.

use super::*;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// A ring on the heap instead of in a memfd.
struct Heap {
    header: RingHeader,
    data: Vec<core::cell::UnsafeCell<u64>>,
}

// SAFETY: the cells are accessed only through one producer and one consumer.
unsafe impl Sync for Heap {}
// SAFETY: as above; nothing in it is bound to a thread.
unsafe impl Send for Heap {}

fn heap_ring(capacity: u32) -> (Arc<Heap>, Producer<Arc<Heap>>, Consumer<Arc<Heap>>) {
    let heap = Arc::new(Heap {
        header: RingHeader::default(),
        data: (0..capacity / 8).map(|_| 0.into()).collect(),
    });
    let header = NonNull::from(&heap.header);
    let data = NonNull::new(core::cell::UnsafeCell::raw_get(heap.data.as_ptr()).cast()).unwrap();
    // SAFETY: `heap` is kept by both ends and holds `capacity` aligned bytes.
    let ends = unsafe {
        (
            Producer::new(header, data, capacity, heap.clone()),
            Consumer::new(header, data, capacity, heap.clone()),
        )
    };
    (heap, ends.0, ends.1)
}

fn pop<K>(consumer: &mut Consumer<K>) -> Option<(u32, Vec<u8>)> {
    let record = consumer.next().unwrap()?;
    let mut payload = vec![0; record.len()];
    assert_eq!(record.copy_to(&mut payload), payload.len());
    let kind = record.kind();
    record.release();
    Some((kind, payload))
}

#[cfg(not(loom))]
mod native {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::time::Duration;

    /// Puts both cursors just before the wrap of `u32`.
    fn ring_near_the_wrap(capacity: u32) -> (Arc<Heap>, Producer<Arc<Heap>>, Consumer<Arc<Heap>>) {
        let (heap, mut producer, mut consumer) = heap_ring(capacity);
        let start = 0u32.wrapping_sub(capacity / 2);
        heap.header.tail.0.store(start, Ordering::Relaxed);
        heap.header.head.0.store(start, Ordering::Relaxed);
        (producer.tail, producer.cached_head) = (start, start);
        (consumer.head, consumer.cached_tail) = (start, start);
        (heap, producer, consumer)
    }

    #[test]
    fn full_and_empty() {
        let (_heap, mut producer, mut consumer) = heap_ring(64);
        assert!(pop(&mut consumer).is_none());
        for kind in 0..4 {
            producer.push(kind, &[&[kind as u8; 8]]).unwrap();
        }
        assert_eq!(producer.push(9, &[&[0; 8]]), Err(PushError::Full));
        assert!(!producer.has_room(0));
        assert_eq!(pop(&mut consumer), Some((0, vec![0; 8])));
        assert!(producer.has_room(8));
        producer.push(4, &[&[4; 8]]).unwrap();
        for kind in 1..5 {
            assert_eq!(pop(&mut consumer), Some((kind, vec![kind as u8; 8])));
        }
        assert!(pop(&mut consumer).is_none());
    }

    #[test]
    fn a_record_is_in_hand_until_it_is_released() {
        let (heap, mut producer, mut consumer) = heap_ring(64);
        assert_eq!(heap.header.in_hand(), None);
        producer.push(1, &[b"one"]).unwrap();
        producer.push(2, &[b"two"]).unwrap();
        assert_eq!(heap.header.in_hand(), Some(0));
        let record = consumer.next().unwrap().unwrap();
        assert_eq!(heap.header.in_hand(), Some(0));
        record.release();
        assert_eq!(heap.header.in_hand(), Some(16));
        pop(&mut consumer).unwrap();
        assert_eq!(heap.header.in_hand(), None);
    }

    #[test]
    fn the_longest_payload_fits_at_any_offset() {
        let (_heap, mut producer, mut consumer) = ring_near_the_wrap(256);
        let longest = producer.max_payload();
        for step in 0..100 {
            producer.push(1, &[&vec![step; longest]]).unwrap();
            assert_eq!(pop(&mut consumer), Some((1, vec![step; longest])));
            producer.push(2, &[&[step; 3]]).unwrap();
            assert_eq!(pop(&mut consumer), Some((2, vec![step; 3])));
        }
        assert_eq!(
            producer.push(1, &[&vec![0; longest + 1]]),
            Err(PushError::TooLong)
        );
    }

    #[test]
    fn parts_are_joined() {
        let (_heap, mut producer, mut consumer) = heap_ring(256);
        producer.push(7, &[b"abc", b"", b"defgh"]).unwrap();
        assert_eq!(pop(&mut consumer), Some((7, b"abcdefgh".to_vec())));
    }

    #[test]
    fn impossible_cursors_are_reported() {
        let (heap, mut producer, mut consumer) = heap_ring(64);
        for tail in [72, 0u32.wrapping_sub(8), 4] {
            heap.header.tail.0.store(tail, Ordering::Relaxed);
            consumer.cached_tail = consumer.head;
            assert!(consumer.has_data(), "a waiter must wake up to see it");
            assert_eq!(consumer.next().err(), Some(Corrupt::Cursor(tail)));
        }
        for _ in 0..4 {
            producer.push(1, &[&[0; 8]]).unwrap();
        }
        for head in [72, 0u32.wrapping_sub(64), 12] {
            heap.header.head.0.store(head, Ordering::Relaxed);
            assert!(producer.has_room(8), "a waiter must wake up to see it");
            assert_eq!(
                producer.push(1, &[&[0; 8]]),
                Err(PushError::Corrupt(Corrupt::Cursor(head)))
            );
            producer.cached_head = 0;
        }
    }

    #[test]
    fn impossible_lengths_are_reported() {
        for len in [9, 64, u32::MAX, u32::MAX - 7] {
            let (heap, mut producer, mut consumer) = heap_ring(64);
            producer.push(1, &[&[0; 8]]).unwrap();
            // SAFETY: the first word of the ring is the record's header.
            unsafe { *heap.data[0].get() = u64::from(len) };
            assert_eq!(consumer.next().err(), Some(Corrupt::Length(len)));
        }
    }

    #[test]
    fn filler_is_skipped_up_to_the_end_only() {
        let filler = u64::from(PAD) << 32 | 24;
        let two_records = || {
            let (heap, mut producer, consumer) = heap_ring(64);
            for _ in 0..2 {
                producer.push(1, &[&[0; 24]]).unwrap();
            }
            (heap, consumer)
        };
        let (heap, mut consumer) = two_records();
        // SAFETY: the header of the first record; nobody else uses it now.
        unsafe { *heap.data[0].get() = filler };
        assert_eq!(consumer.next().err(), Some(Corrupt::Length(24)));
        let (heap, mut consumer) = two_records();
        assert!(pop(&mut consumer).is_some());
        // SAFETY: that of the second, as above.
        unsafe { *heap.data[4].get() = filler };
        assert!(matches!(consumer.next(), Ok(None)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 256 }))]

        /// Any sequence of pushes and pops behaves like a queue.
        #[test]
        fn behaves_like_a_queue(
            operations in prop::collection::vec(prop::option::of((0u32..9, 0usize..130)), 1..200),
        ) {
            let (_heap, mut producer, mut consumer) = ring_near_the_wrap(256);
            let mut model = VecDeque::new();
            for (step, operation) in operations.into_iter().enumerate() {
                match operation {
                    None => prop_assert_eq!(pop(&mut consumer), model.pop_front()),
                    Some((kind, len)) => {
                        let payload = vec![step as u8; len];
                        match producer.push(kind, &[&payload]) {
                            Ok(()) => model.push_back((kind, payload)),
                            Err(PushError::TooLong) => prop_assert!(len > producer.max_payload()),
                            Err(error) => {
                                prop_assert_eq!(error, PushError::Full);
                                let used: usize = model.iter()
                                    .map(|(_, payload): &(u32, Vec<u8>)| {
                                        8 + payload.len().next_multiple_of(8)
                                    })
                                    .sum();
                                // At most one padding record lies among those
                                // in the ring, and at most one before the new one.
                                let padded = if model.is_empty() { 0 } else { 128 };
                                let new = 8 + len.next_multiple_of(8);
                                prop_assert!(used + padded + 2 * new > 256);
                            }
                        }
                    }
                }
            }
            for expected in model {
                prop_assert_eq!(pop(&mut consumer), Some(expected));
            }
            prop_assert_eq!(pop(&mut consumer), None);
        }

        /// Whatever a hostile producer leaves in the ring, reading it ends.
        #[test]
        fn garbage_is_survived(
            words in prop::collection::vec(any::<u64>(), 32),
            small in prop::collection::vec(0u64..40, 32),
            tail in 0u32..40,
        ) {
            let (heap, _producer, mut consumer) = heap_ring(256);
            for (index, cell) in heap.data.iter().enumerate() {
                let word = if words[index] & 1 == 0 { words[index] } else { small[index] };
                // SAFETY: no other access is under way.
                unsafe { *cell.get() = word };
            }
            heap.header.tail.0.store(tail * 8, Ordering::Relaxed);
            let mut sink = [0; 256];
            for _ in 0..64 {
                match consumer.next() {
                    Ok(Some(record)) => {
                        record.copy_to(&mut sink);
                        record.release();
                    }
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }

    #[test]
    fn two_threads_pass_everything_in_order() {
        let count = if cfg!(miri) { 300 } else { 200_000u32 };
        let (_heap, mut producer, mut consumer) = heap_ring(1024);
        let writer = std::thread::spawn(move || {
            for index in 0..count {
                let payload = index.to_le_bytes().repeat(1 + (index % 40) as usize);
                while producer.push(index, &[&payload]) == Err(PushError::Full) {
                    producer.wait_for_room(payload.len(), Duration::from_secs(5), || false);
                }
            }
        });
        for index in 0..count {
            let (kind, payload) = loop {
                if let Some(record) = pop(&mut consumer) {
                    break record;
                }
                consumer.wait_for_data(Duration::from_secs(5), || false);
            };
            assert_eq!(kind, index);
            assert_eq!(
                payload,
                index.to_le_bytes().repeat(1 + (index % 40) as usize)
            );
        }
        writer.join().unwrap();
    }
}

#[cfg(loom)]
mod model {
    use super::*;
    use std::time::Duration;

    /// Every interleaving with at most three forced switches of thread, which is
    /// more than any of the races between a waiter and a ringer needs.
    fn explore(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    /// A lost wake-up leaves both threads asleep, which loom reports as a deadlock:
    /// modelled time never passes, so no timeout comes to the rescue.
    #[test]
    fn loom_no_wake_up_is_lost() {
        explore(|| {
            // One record of 24 payload bytes fits, the second has to wait.
            let (_heap, mut producer, mut consumer) = heap_ring(64);
            let writer = loom::thread::spawn(move || {
                for kind in 0..3 {
                    while producer.push(kind, &[&[kind as u8; 24]]).is_err() {
                        producer.wait_for_room(24, Duration::MAX, || false);
                    }
                }
            });
            for kind in 0..3 {
                let record = loop {
                    if let Some(record) = pop(&mut consumer) {
                        break record;
                    }
                    consumer.wait_for_data(Duration::MAX, || false);
                };
                assert_eq!(record, (kind, vec![kind as u8; 24]));
            }
            writer.join().unwrap();
        });
    }

    /// Whoever stops a waiter from outside wakes it too.
    #[test]
    fn loom_a_stopped_waiter_wakes() {
        use loom::sync::atomic::AtomicBool;
        explore(|| {
            let (heap, _producer, mut consumer) = heap_ring(64);
            let stop = Arc::new(AtomicBool::new(false));
            let stopper = {
                let stop = stop.clone();
                loom::thread::spawn(move || {
                    stop.store(true, Ordering::Release);
                    heap.header.data.0.ring();
                })
            };
            while !stop.load(Ordering::Acquire) {
                consumer.wait_for_data(Duration::MAX, || stop.load(Ordering::Acquire));
            }
            stopper.join().unwrap();
        });
    }
}
