//! Copying a picture into a slot, for libraries that keep theirs.

use crate::slots::{Lease, SlotPool};
use iotdec_wire::picture::{Colour, MAX_PLANES, PictureRecord, PixelFormat, arrange};
use std::sync::Arc;

/// Rows begin at multiples of this many bytes, which SIMD code likes.
const ALIGNMENT: u32 = 16;

/// The visible part of a picture in a library's memory.
#[derive(Clone, Copy, Debug)]
pub struct Foreign {
    pub format: PixelFormat,
    pub width: u32,
    pub height: u32,
    /// Where each plane of the visible part starts.
    pub planes: [*const u8; MAX_PLANES],
    /// From row to row, in bytes.
    pub stride: [usize; MAX_PLANES],
    pub colour: Colour,
}

impl Foreign {
    /// Copies the picture into a slot, if there is one to be had.
    ///
    /// # Safety
    /// The planes can be read for as long as this takes, in the size and with the
    /// strides that are told.
    pub unsafe fn copy(&self, slots: &Arc<dyn SlotPool>) -> Option<(PictureRecord, Lease)> {
        let (width, height) = (self.width, self.height);
        let (offset, stride, size) = place(self.format, width, height);
        let mut lease = slots.clone().acquire(size.into(), 1)?;
        let target = lease.bytes_mut();
        for plane in 0..self.format.planes().len() {
            let (_, rows) = self.format.plane_size(plane, width, height);
            let len = self.format.row_bytes(plane, width) as usize;
            let starts = (offset[plane] as usize..).step_by(stride[plane] as usize);
            for (row, start) in (0..rows as usize).zip(starts) {
                // SAFETY: a row of the plane, by the caller's promise.
                let source = unsafe {
                    let row = self.planes[plane].add(row * self.stride[plane]);
                    std::slice::from_raw_parts(row, len)
                };
                target[start..][..len].copy_from_slice(source);
            }
        }
        let picture = PictureRecord {
            colour: self.colour,
            ..PictureRecord::new(self.format, (width, height), offset, stride)
        };
        Some((picture, lease))
    }
}

/// Where the planes of a picture go in a slot: one right after the other, and
/// chroma rows exactly as long as their share of a luma row, since some consumers
/// of shared memory are only told the latter.
pub fn place(format: PixelFormat, width: u32, height: u32) -> ([u32; 4], [u32; 4], u32) {
    let width = width.next_multiple_of(2 * ALIGNMENT);
    arrange(format, width, height, ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::local::LocalSlots;

    #[test]
    fn only_the_visible_part_is_copied() {
        let memory: Vec<u8> = (0..=255).collect();
        let foreign = Foreign {
            format: PixelFormat::I420,
            width: 5,
            height: 3,
            planes: [0, 64, 128, 0].map(|start| memory[start..].as_ptr()),
            stride: [16, 8, 8, 0],
            colour: Colour::default(),
        };
        let slots: Arc<dyn SlotPool> = LocalSlots::new();
        // SAFETY: 3 rows of 16 and twice 2 of 8 bytes lie in `memory`.
        let (picture, lease) = unsafe { foreign.copy(&slots) }.unwrap();
        // SAFETY: nobody writes to it.
        let bytes = unsafe { lease.bytes() };
        assert!(picture.validate(bytes.len() as u64).is_ok());
        assert_eq!(picture.stride[..3], [32, 16, 16], "chroma is half of luma");
        let row = |plane: usize, row: usize| {
            let start = picture.offset[plane] + picture.stride[plane] * row as u32;
            &bytes[start as usize..][..3]
        };
        assert_eq!(row(0, 2), [32, 33, 34]);
        assert_eq!(row(1, 1), [72, 73, 74]);
        assert_eq!(row(2, 0), [128, 129, 130]);
    }
}
