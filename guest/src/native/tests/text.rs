//! Functions on strings give what the library's own give.

use super::{Guarded, Random, accelerated, native_calls};
use crate::native::text as own;
use std::ffi::c_char;

/// A string in memory, with nothing behind its zero.
fn write(memory: &Guarded, text: &[u8], gap: usize) -> *const c_char {
    let start = memory.end(text.len() + 1 + gap);
    // SAFETY: as many bytes as there are.
    unsafe {
        start.copy_from_nonoverlapping(text.as_ptr(), text.len());
        start.add(text.len()).write(0);
    }
    start.cast()
}

fn text(random: &mut Random) -> Vec<u8> {
    let length = match random.below(4) {
        0 => random.below(8),
        1 | 2 => random.below(200),
        _ => random.below(9000),
    };
    (0..length).map(|_| 1 + random.below(255) as u8).collect()
}

#[test]
fn strings_are_equal() {
    accelerated(|| {
        let mut random = Random(7);
        let (one, other) = (Guarded::new(), Guarded::new());
        let before = native_calls();
        for round in 0..5000 {
            let a = text(&mut random);
            let mut b = if random.below(4) == 0 {
                text(&mut random)
            } else {
                a.clone()
            };
            if random.below(3) == 0 {
                b.truncate(random.below(b.len() + 1));
            }
            if !b.is_empty() && random.below(3) == 0 {
                let at = random.below(b.len());
                b[at] = b[at] % 255 + 1;
            }
            let (gap, other_gap) = (
                random.below(3) * random.below(64),
                random.below(3) * random.below(64),
            );
            let byte = random.next() as i32;
            let some = a
                .get(random.below(a.len() + 1))
                .map_or(0, |byte| i32::from(*byte) - 256);
            let prefix = if random.below(4) == 0 {
                usize::MAX
            } else {
                random.below(a.len() + 20)
            };
            let (first, second) = (write(&one, &a, gap), write(&other, &b, other_gap));
            // SAFETY: both are strings.
            unsafe {
                assert_eq!(own::strlen::strlen(first), a.len(), "{round}");
                for byte in [byte, some, 0] {
                    let found = own::strchr::strchr(first, byte);
                    assert_eq!(found, own::strchr::next(first, byte), "{round}");
                }
                let order = own::strcmp::strcmp(first, second);
                assert_eq!(order, own::strcmp::next(first, second), "{round}");
                let order = own::strncmp::strncmp(first, second, prefix);
                assert_eq!(order, own::strncmp::next(first, second, prefix), "{round}");
            }
        }
        assert!(native_calls() - before > 20_000);
    });
}

#[test]
fn a_prefix_needs_no_end() {
    accelerated(|| {
        let mut memory = Guarded::new();
        memory.bytes().fill(7);
        for length in 1..200 {
            let (a, b) = (memory.end(length).cast(), memory.end(length + 64).cast());
            // SAFETY: so many bytes are there.
            unsafe {
                assert_eq!(own::strncmp::strncmp(a, b, length), 0);
                assert_eq!(own::strncmp::strncmp(b, a, length), 0);
            }
        }
    });
}
