//! Functions on memory give what the library's own give.

use super::{Guarded, Random, accelerated, native_calls};
use crate::native::memory as own;
use std::ffi::{c_int, c_void};

/// Sizes around every limit, and larger.
fn size(random: &mut Random) -> usize {
    match random.below(8) {
        0 => random.below(4),
        1..=4 => random.below(300),
        5 | 6 => random.below(2000),
        _ => random.below(Guarded::SIZE / 2),
    }
}

/// Compares two functions on equal memory: `marks` random bytes in zeros. They are called
/// for where it starts, two places in it and a size; the result is a number or a place.
fn compare(
    marks: usize,
    ours: impl Fn(*mut u8, usize, usize, usize) -> isize,
    theirs: impl Fn(*mut u8, usize, usize, usize) -> isize,
) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut memory, mut expected) = (Guarded::new(), Guarded::new());
    let before = native_calls();
    for round in 0..20_000 {
        if round % 500 == 0 {
            memory.bytes().fill(0);
            for _ in 0..marks {
                memory.bytes()[random.below(Guarded::SIZE)] = random.next() as u8;
            }
            expected.bytes().copy_from_slice(memory.bytes());
        }
        let size = size(&mut random);
        // Many end where the memory does.
        let mut place = || match random.below(3) {
            0 => Guarded::SIZE - size,
            _ => random.below(Guarded::SIZE - size + 1),
        };
        let (a, b) = (place(), place());
        let result = ours(memory.start, a, b, size);
        let right = theirs(expected.start, a, b, size);
        assert_eq!(result, right, "{round}: {a} {b} {size}");
        assert!(
            memory.bytes() == expected.bytes(),
            "{round}: {a} {b} {size}"
        );
    }
    assert!(
        native_calls() - before > 1000,
        "{}",
        native_calls() - before
    );
}

type Copy = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void;
type Fill = unsafe extern "C" fn(*mut c_void, c_int, usize) -> *mut c_void;
type Compare = unsafe extern "C" fn(*const c_void, *const c_void, usize) -> c_int;
type Search = unsafe extern "C" fn(*const c_void, c_int, usize) -> *mut c_void;

/// An address as its distance from `start`.
fn distance(address: *mut c_void, start: *mut u8) -> isize {
    if address.is_null() {
        return -1;
    }
    // SAFETY: what these functions return is in the memory that they were given.
    unsafe { address.cast::<u8>().offset_from(start) }
}

#[test]
fn copies_are_equal() {
    // SAFETY: `compare` gives pieces of memory; so below. For `memcpy` too, they overlap.
    let call = |function: Copy| unsafe {
        move |at: *mut u8, to, from, size| {
            distance(function(at.add(to).cast(), at.add(from).cast(), size), at)
        }
    };
    accelerated(|| {
        compare(5000, call(own::memcpy::memcpy), call(own::memcpy::next));
        compare(5000, call(own::memmove::memmove), call(own::memmove::next));
    });
}

#[test]
fn fillings_are_equal() {
    // SAFETY: see above. What is more than a byte is nothing.
    let call = |function: Fill| unsafe {
        move |at: *mut u8, to, byte, size| {
            distance(function(at.add(to).cast(), byte as c_int - 5000, size), at)
        }
    };
    accelerated(|| compare(5000, call(own::memset::memset), call(own::memset::next)));
}

#[test]
fn checked_functions_are_equal() {
    accelerated(|| {
        let room = |size| size + size % 2;
        // SAFETY: see above.
        let call = |ours: bool| unsafe {
            move |at: *mut u8, to, from, size| {
                let [copy, shift] = if ours {
                    [
                        own::__memcpy_chk::__memcpy_chk,
                        own::__memmove_chk::__memmove_chk,
                    ]
                } else {
                    [own::__memcpy_chk::next, own::__memmove_chk::next]
                };
                let fill = if ours {
                    own::__memset_chk::__memset_chk
                } else {
                    own::__memset_chk::next
                };
                fill(at.add(from).cast(), to as c_int, size, room(size));
                shift(at.add(to).cast(), at.add(from).cast(), size, room(size));
                distance(
                    copy(at.add(from).cast(), at.add(to).cast(), size, room(size)),
                    at,
                )
            }
        };
        compare(5000, call(true), call(false));
    });
}

#[test]
fn comparisons_are_equal() {
    // SAFETY: see above.
    let call = |function: Compare| unsafe {
        move |at: *mut u8, a, b, size| function(at.add(a).cast(), at.add(b).cast(), size) as isize
    };
    accelerated(|| {
        compare(10, call(own::memcmp::memcmp), call(own::memcmp::next));
        compare(10, call(own::bcmp::bcmp), call(own::bcmp::next));
    });
}

#[test]
fn searches_are_equal() {
    // SAFETY: see above.
    let call = |function: Search| unsafe {
        move |at: *mut u8, start, byte, size| {
            distance(function(at.add(start).cast(), byte as c_int, size), at)
        }
    };
    accelerated(|| compare(10, call(own::memchr::memchr), call(own::memchr::next)));
}

/// The end of what may be searched can be nowhere.
#[test]
fn a_search_ends_where_it_finds() {
    accelerated(|| {
        let mut memory = Guarded::new();
        memory.bytes()[Guarded::SIZE - 1] = 1;
        for length in 1..300 {
            for size in [length, length + 1, length + 5000, 1 << 47, usize::MAX] {
                // SAFETY: what is found is there.
                let found = unsafe { own::memchr::memchr(memory.end(length).cast(), 1, size) };
                assert_eq!(found.cast(), memory.end(1));
            }
        }
    });
}
