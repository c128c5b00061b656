//! The heap against a model, under attack, and from many threads.

use crate::{BLOCK, Backing, Fault, Heap, Segment, os};
use core::ptr::NonNull;
use proptest::prelude::*;
use std::vec::Vec;

/// What the heaps under test begin at a multiple of: the largest alignment that tests ask for, so that two heaps
/// answer alike.
const START: usize = 1 << 20;

/// A heap over private memory, with the memory.
struct Fixture {
    heap: Heap,
    start: NonNull<u8>,
    len: usize,
}

impl Fixture {
    fn new(blocks: usize) -> Self {
        let len = blocks * BLOCK + START;
        let start = os::map_private(len).unwrap();
        // Miri has no madvise.
        let backing = if cfg!(miri) {
            Backing::Other
        } else {
            Backing::Private
        };
        // SAFETY: new memory, unmapped by `drop` alone.
        let heap = unsafe {
            let skipped = start.as_ptr().align_offset(START);
            Heap::new(start.add(skipped), blocks * BLOCK, backing)
        }
        .unwrap();
        Self { heap, start, len }
    }

    fn offset(&self, pointer: Option<NonNull<u8>>) -> Option<usize> {
        pointer.map(|pointer| pointer.as_ptr() as usize - self.heap.first.as_ptr() as usize)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // SAFETY: the tests have no pointer into it any more.
        unsafe { os::unmap(self.start, self.len) };
    }
}

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        size: usize,
        align: u32,
        zeroed: bool,
    },
    Free(usize),
    Resize(usize, usize),
    /// Frees an address that may be anything.
    Wild(usize),
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..300usize, 2 => 0..40_000usize, 1 => 0..400_000usize, 1 => 0..3_000_000usize]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (size(), 0..21u32, any::<bool>()).prop_map(|(size, align, zeroed)| Step::Allocate { size, align: align.saturating_sub(8), zeroed }),
        1 => (0..300usize, 13..21u32).prop_map(|(size, align)| Step::Allocate { size, align, zeroed: false }),
        4 => any::<usize>().prop_map(Step::Free),
        2 => (any::<usize>(), size()).prop_map(|(which, size)| Step::Resize(which, size)),
        1 => any::<usize>().prop_map(Step::Wild),
    ]
}

struct Allocation {
    pointer: NonNull<u8>,
    size: usize,
    mark: u8,
}

impl Allocation {
    /// The bytes that are looked at: the first and last few.
    fn marked(&self) -> impl Iterator<Item = usize> + use<> {
        let size = self.size;
        (0..size.min(32)).chain(size.saturating_sub(32)..size)
    }

    fn fill(&self) {
        // SAFETY: allocated with so many bytes.
        self.marked()
            .for_each(|i| unsafe { self.pointer.add(i).write(self.mark) });
    }

    fn check(&self, size: usize) {
        for i in self
            .marked()
            .filter(|&i| i < size.min(32) || self.size <= size)
        {
            // SAFETY: allocated with so many bytes.
            assert_eq!(unsafe { self.pointer.add(i).read() }, self.mark);
        }
    }
}

/// Takes the steps, checks everything that the interface promises, and answers what happened.
fn run(fixture: &Fixture, steps: &[Step], attack: impl Fn(&[Allocation])) -> Vec<Option<usize>> {
    let heap = &fixture.heap;
    let mut live: Vec<Allocation> = Vec::new();
    let mut log = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        attack(&live);
        match *step {
            Step::Allocate {
                size,
                align,
                zeroed,
            } => {
                let align = 1 << align;
                let pointer = if zeroed {
                    heap.allocate_zeroed(size, align)
                } else {
                    heap.allocate(size, align)
                };
                log.push(fixture.offset(pointer));
                let Some(pointer) = pointer else { continue };
                let new = Allocation {
                    pointer,
                    size,
                    mark: number as u8 | 1,
                };
                assert_eq!(
                    pointer.as_ptr() as usize % align.max(16.min(size.next_power_of_two())),
                    0
                );
                let usable = heap.usable_size(pointer.as_ptr()).unwrap();
                assert!(usable >= size);
                assert!(
                    heap.contains(pointer.as_ptr())
                        && heap.contains(pointer.as_ptr().wrapping_add(usable - 1))
                );
                for old in &live {
                    let (a, b) = (pointer.as_ptr() as usize, old.pointer.as_ptr() as usize);
                    assert!(a + usable <= b || b + old.size.max(1) <= a, "overlap");
                }
                if zeroed {
                    // SAFETY: allocated with so many bytes.
                    assert!(new.marked().all(|i| unsafe { pointer.add(i).read() } == 0));
                }
                new.fill();
                live.push(new);
            }
            Step::Free(which) if !live.is_empty() => {
                let old = live.swap_remove(which % live.len());
                old.check(old.size);
                assert_eq!(
                    heap.free(old.pointer.as_ptr().wrapping_add(1)),
                    Err(Fault::Inside)
                );
                assert_eq!(heap.free(old.pointer.as_ptr()), Ok(()));
                assert!(heap.free(old.pointer.as_ptr()).is_err(), "freed twice");
                assert!(heap.usable_size(old.pointer.as_ptr()).is_err());
            }
            Step::Resize(which, size) if !live.is_empty() => {
                let which = which % live.len();
                // SAFETY: one thread.
                let moved = unsafe { heap.resize(live[which].pointer, size) }.unwrap();
                log.push(fixture.offset(moved));
                let Some(pointer) = moved else { continue };
                let old = &mut live[which];
                let kept = Allocation {
                    pointer,
                    size: old.size,
                    mark: old.mark,
                };
                if size < old.size {
                    kept.check(size)
                } else {
                    kept.check(old.size)
                }
                *old = Allocation {
                    pointer,
                    size,
                    mark: old.mark,
                };
                old.fill();
            }
            Step::Wild(address) => {
                let near = fixture.start.as_ptr().wrapping_add(address % fixture.len);
                if !live.iter().any(|old| old.pointer.as_ptr() == near) {
                    assert!(heap.free(near).is_err());
                }
                assert!(
                    heap.free(address as *const u8).is_err() || heap.contains(address as *const u8)
                );
            }
            _ => {}
        }
    }
    for old in live.drain(..) {
        old.check(old.size);
        heap.free(old.pointer.as_ptr()).unwrap();
    }
    let usage = heap.usage();
    // A slab may remain for each class.
    assert!(usage.used <= crate::class::COUNT * BLOCK);
    log
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else if cfg!(target_arch = "aarch64") { 20 } else { 100 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_the_model_says(steps in prop::collection::vec(step(), 1..if cfg!(miri) { 20 } else { 400 })) {
        run(&Fixture::new(400), &steps, |_| {});
    }

    /// Two heaps take the same steps. Somebody else writes into all memory of one of them that is not in use, and
    /// behind what is: nothing that the heap answers may differ.
    #[test]
    fn what_others_write_changes_nothing(
        steps in prop::collection::vec(step(), 1..if cfg!(miri) { 10 } else { 60 }),
        garbage in any::<u8>(),
    ) {
        // Zeroed memory that others write to is not zero.
        let steps: Vec<_> = steps.into_iter().map(|step| match step {
            Step::Allocate { size, align, .. } => Step::Allocate { size, align, zeroed: false },
            other => other,
        }).collect();
        let (quiet, loud) = (Fixture::new(120), Fixture::new(120));
        let expected = run(&quiet, &steps, |_| {});
        let attacked = run(&loud, &steps, |live| {
            // SAFETY: all of it is mapped; what is in use is written again.
            unsafe { loud.start.write_bytes(garbage, loud.len) };
            live.iter().for_each(Allocation::fill);
        });
        prop_assert_eq!(expected, attacked);
    }
}

#[test]
fn large_runs_grow_where_they_are() {
    let fixture = Fixture::new(64);
    let heap = &fixture.heap;
    let first = heap.allocate(3 * BLOCK, 16).unwrap();
    // SAFETY: one thread.
    let resize = |pointer, size| unsafe { heap.resize(pointer, size) }.unwrap();
    assert_eq!(resize(first, 10 * BLOCK), Some(first));
    assert_eq!(resize(first, 2 * BLOCK), Some(first));
    assert_eq!(heap.usage().used, 2 * BLOCK);
    let next = heap.allocate(BLOCK, 16).unwrap();
    let moved = resize(first, 4 * BLOCK).unwrap();
    assert_ne!(moved, first);
    heap.free(next.as_ptr()).unwrap();
    heap.free(moved.as_ptr()).unwrap();
    assert_eq!(heap.usage().used, 0);
    // In one piece again.
    let all = heap.allocate(heap.usage().size, 16).unwrap();
    assert_eq!(heap.allocate(1, 1), None);
    assert_eq!(resize(all, heap.usage().size + 1), None);
    heap.free(all.as_ptr()).unwrap();
}

#[test]
fn a_full_heap_uses_the_room_that_is_left() {
    let fixture = Fixture::new(2);
    let heap = &fixture.heap;
    let objects: Vec<_> = std::iter::from_fn(|| heap.allocate(16, 16)).collect();
    assert!(objects.len() >= 2 * BLOCK / 16);
    heap.free(objects[5].as_ptr()).unwrap();
    assert_eq!(heap.allocate(10, 8), Some(objects[5]));
    assert_eq!(heap.allocate(17, 8), None);
    objects
        .iter()
        .for_each(|object| heap.free(object.as_ptr()).unwrap());
    assert!(heap.allocate(17, 8).is_some());
}

#[test]
fn absurd_sizes_are_refused() {
    let fixture = Fixture::new(4);
    for size in [
        usize::MAX,
        usize::MAX / 2,
        isize::MAX as usize + 1,
        fixture.len * 2,
    ] {
        assert_eq!(fixture.heap.allocate(size, 16), None);
        assert_eq!(fixture.heap.allocate_zeroed(size, 16), None);
    }
    assert_eq!(fixture.heap.allocate(1, 1 << 62), None);
}

#[test]
#[cfg_attr(
    miri,
    ignore = "asks the kernel what is resident, which Miri does not know"
)]
fn memory_goes_back_to_the_system() {
    // Guests cannot ask for holes by madvise.
    if cfg!(target_arch = "x86_64") {
        memory_goes_back(|_| Backing::Shared);
    }
    memory_goes_back(|segment| {
        Backing::File(crate::File::new(segment.fd().unwrap(), segment.start()).unwrap())
    });
}

fn memory_goes_back(backing: impl FnOnce(&Segment) -> Backing) {
    let segment = Segment::create(c"iotdec-test", 1 << 30).unwrap();
    // SAFETY: the segment is new and outlives the heap.
    let heap = unsafe { Heap::new(segment.start(), segment.len(), backing(&segment)) }.unwrap();
    let fd = segment.fd().unwrap();
    let resident = || {
        // SAFETY: zeroes are valid for this structure.
        let mut status: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: fills the structure.
        assert_eq!(unsafe { libc::fstat(fd, &mut status) }, 0);
        status.st_blocks as usize * 512
    };
    let big = heap.allocate(100 << 20, 16).unwrap();
    // SAFETY: allocated with so many bytes.
    unsafe { big.write_bytes(1, 100 << 20) };
    assert!(resident() >= 100 << 20);
    heap.free(big.as_ptr()).unwrap();
    assert_eq!(resident(), 0);
    // Smaller ones are kept up to a limit, and given back together.
    let many: Vec<_> = (0..100)
        .map(|_| heap.allocate(1 << 20, 16).unwrap())
        .collect();
    // SAFETY: allocated with so many bytes.
    many.iter()
        .for_each(|one| unsafe { one.write_bytes(1, 1 << 20) });
    many.iter().for_each(|one| heap.free(one.as_ptr()).unwrap());
    assert!(resident() <= 64 << 20, "{}", resident());
    assert_eq!(resident(), heap.usage().kept);
    let zeroed = heap.allocate_zeroed(100 << 20, 16).unwrap();
    for at in (0..100 << 20).step_by(4096) {
        // SAFETY: allocated with so many bytes.
        assert_eq!(unsafe { zeroed.add(at).read() }, 0);
    }
}

#[test]
fn threads_do_not_get_in_each_others_way() {
    let fixture = Fixture::new(if cfg!(miri) { 100 } else { 10_000 });
    let heap = &fixture.heap;
    let (threads, rounds) = if cfg!(miri) {
        (3, 30)
    } else {
        (
            8,
            if cfg!(target_arch = "aarch64") {
                500
            } else {
                10_000
            },
        )
    };
    // Every allocation is freed by the next thread, which checks what the one before wrote.
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..threads)
        .map(|_| std::sync::mpsc::channel::<(usize, usize, u8)>())
        .unzip();
    std::thread::scope(|scope| {
        for (index, receiver) in receivers.into_iter().enumerate() {
            let next = senders[(index + 1) % threads].clone();
            scope.spawn(move || {
                let mut random = index as u64 + 1;
                let check = |(address, size, mark): (usize, usize, u8)| {
                    let pointer = heap.first.as_ptr().with_addr(address);
                    // SAFETY: allocated with so many bytes by the other thread, which handed it over.
                    assert!((0..size).all(|i| unsafe { pointer.add(i).read() } == mark));
                    heap.free(pointer).unwrap();
                };
                for round in 0..rounds {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let size = if random >> 60 == 0 {
                        (random >> 40) as usize % 100_000
                    } else {
                        (random >> 40) as usize % 500
                    };
                    let mark = (round + index) as u8;
                    let pointer = heap.allocate(size, 16).unwrap();
                    // SAFETY: allocated with so many bytes.
                    unsafe { pointer.write_bytes(mark, size) };
                    next.send((pointer.as_ptr() as usize, size, mark)).unwrap();
                    if round > 10 {
                        receiver.try_iter().take(3).for_each(check);
                    }
                }
                drop(next);
                // Ends when the thread before has dropped its end.
                receiver.iter().for_each(check);
            });
        }
        drop(senders);
    });
}

/// `cargo test --release -p iotdec-heap speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let fixture = Fixture::new(2000);
    let heap = &fixture.heap;
    let pairs = 20_000_000u32;
    let time = |threads: usize| {
        let start = std::time::Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let kept: Vec<_> = (0..100).map(|_| heap.allocate(48, 16).unwrap()).collect();
                    for _ in 0..pairs {
                        let pointer = heap.allocate(core::hint::black_box(48), 16).unwrap();
                        heap.free(core::hint::black_box(pointer).as_ptr()).unwrap();
                    }
                    kept.iter().for_each(|old| heap.free(old.as_ptr()).unwrap());
                });
            }
        });
        start.elapsed() / pairs
    };
    for threads in [1, 2, 4] {
        std::println!(
            "{threads} threads: {:?} per pair of allocate and free",
            time(threads)
        );
    }
}
