//! Sizes of small objects.
//!
//! Multiples of 16 up to 128, then four steps to each doubling: at most a fifth is lost. Every power of two is
//! among them, and an object's place in its slab is a multiple of its size, so an alignment is a choice of class.

use crate::BLOCK;

/// Sizes up to this come from slabs, larger ones are runs of blocks.
pub(crate) const LARGEST: usize = 32 << 10;

/// How many classes there are.
pub(crate) const COUNT: usize = 40;

/// What is needed of a class on every call.
#[derive(Clone, Copy)]
pub(crate) struct Class {
    /// Bytes of an object.
    pub(crate) size: u32,
    /// Objects of a slab.
    pub(crate) capacity: u32,
    /// 2^32 / `size`, rounded up: divides by multiplying.
    reciprocal: u32,
}

impl Class {
    /// The number of the object that begins at `offset` of a slab, if one does.
    #[inline]
    pub(crate) fn index(&self, offset: usize) -> Option<u32> {
        debug_assert!(offset < BLOCK);
        // Exact: the reciprocal is too large by less than 1, so the product by less than 2^16, and two quotients are
        // 2^32 / size, at least 2^17, apart.
        let index = ((offset as u64 * u64::from(self.reciprocal)) >> 32) as u32;
        (index * self.size == offset as u32 && index < self.capacity).then_some(index)
    }
}

const fn size_of(class: usize) -> usize {
    if class < 8 {
        16 * (class + 1)
    } else {
        let (doubling, step) = ((class - 8) / 4, (class - 8) % 4);
        (128 << doubling) / 4 * (5 + step)
    }
}

/// All of them, ascending.
pub(crate) static CLASSES: [Class; COUNT] = {
    let mut classes = [Class {
        size: 0,
        capacity: 0,
        reciprocal: 0,
    }; COUNT];
    let mut i = 0;
    while i < COUNT {
        let size = size_of(i);
        classes[i] = Class {
            size: size as u32,
            capacity: (BLOCK / size) as u32,
            reciprocal: (1u64 << 32).div_ceil(size as u64) as u32,
        };
        i += 1;
    }
    assert!(size_of(COUNT - 1) == LARGEST);
    classes
};

/// The smallest class for `size` bytes; `size` is at most [`LARGEST`].
#[inline]
pub(crate) fn of(size: usize) -> usize {
    debug_assert!(size <= LARGEST);
    if size <= 128 {
        size.saturating_sub(1) / 16
    } else {
        let top = (size - 1).ilog2() as usize;
        8 + (top - 7) * 4 + (((size - 1) >> (top - 2)) & 3)
    }
}

/// The smallest class for `size` bytes at a multiple of `align`, if slabs have one.
#[inline]
pub(crate) fn aligned(size: usize, align: usize) -> Option<usize> {
    if size > LARGEST || align > LARGEST {
        return None;
    }
    let first = of(size.max(align));
    if align <= 16 {
        return Some(first);
    }
    (first..COUNT).find(|&class| (CLASSES[class].size as usize).is_multiple_of(align))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for size in 0..=LARGEST {
            let expected = CLASSES
                .iter()
                .position(|class| class.size as usize >= size)
                .unwrap();
            assert_eq!(of(size), expected, "{size}");
        }
    }

    #[test]
    fn alignments_are_kept() {
        for shift in 0..=15 {
            for size in [0, 1, 15, 16, 17, 100, 129, 1000, 4097, 20_000, LARGEST] {
                let class = &CLASSES[aligned(size, 1 << shift).unwrap()];
                assert!(class.size as usize >= size);
                assert_eq!(class.size.trailing_zeros().min(shift), shift);
            }
        }
        assert_eq!(aligned(1, 2 * LARGEST), None);
    }

    #[test]
    fn only_beginnings_of_objects_have_a_number() {
        for class in &CLASSES {
            for offset in 0..BLOCK {
                let index = offset as u32 / class.size;
                let expected = (class.size * index == offset as u32 && index < class.capacity)
                    .then_some(index);
                assert_eq!(class.index(offset), expected);
            }
        }
    }
}
