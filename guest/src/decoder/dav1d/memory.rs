//! Picture memory for dav1d: its allocator, and slots behind it.

use super::api::{ALIGNMENT, BLOCK, MATRIX_IDENTITY, NO_MEMORY, Parameters, Picture, layout};
use crate::slots::{Lease, SlotPool};
use iotdec_wire::picture::{MAX_DIMENSION, PictureRecord, PixelFormat, arrange};
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where dav1d's pictures get their memory. Lives as long as the decoder context.
pub struct Allocator {
    pub slots: Arc<dyn SlotPool>,
    /// Pictures that dav1d may hold at once.
    pub depth: u32,
    /// A picture found no slot since this was last asked: it is being flushed.
    pub starved: AtomicBool,
}

/// A picture's memory; dav1d carries a pointer to it.
pub struct Memory {
    pub lease: Lease,
    pub format: PixelFormat,
    /// Size and planes; nothing of how to show it.
    pub record: PictureRecord,
    /// It came out already. A slot can be handed over only once.
    pub shown: AtomicBool,
}

/// How the samples of a picture lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub format: PixelFormat,
    /// Planes that dav1d fills; those beyond are [`neutral`].
    pub planes: usize,
}

impl Form {
    /// Where there is no name for luma alone (10 and 12 bits), chroma planes
    /// without colour go with it.
    pub fn of(parameters: &Parameters, matrix: c_int) -> Option<Self> {
        let depth = parameters.depth as u32;
        let (shift_x, shift_y, planes) = match parameters.layout {
            layout::I400 if depth == 8 => {
                return Some(Self {
                    format: PixelFormat::Gray8,
                    planes: 1,
                });
            }
            layout::I400 => (1, 1, 1),
            layout::I420 => (1, 1, 3),
            layout::I422 => (1, 0, 3),
            layout::I444 => (0, 0, 3),
            _ => return None,
        };
        let format = match (parameters.layout, matrix) {
            (layout::I444, MATRIX_IDENTITY) => PixelFormat::gbr(depth),
            _ => PixelFormat::planar(false, shift_x, shift_y, depth),
        };
        Some(Self {
            format: format?,
            planes,
        })
    }
}

/// Where the planes of a picture go, and how many bytes they take: as much room as
/// dav1d writes to, and chroma rows that are exactly their share of a luma row.
pub fn place(format: PixelFormat, width: u32, height: u32) -> ([u32; 4], [u32; 4], u32) {
    /// Rows at multiples of it fall into the same places of a cache; dav1d's own
    /// allocator avoids that too.
    const UNLUCKY: u32 = 1024;
    let mut width = width.next_multiple_of(BLOCK);
    if format.row_bytes(0, width).is_multiple_of(UNLUCKY) {
        width += BLOCK;
    }
    arrange(format, width, height.next_multiple_of(BLOCK), ALIGNMENT)
}

/// Writes planes without colour: the middle of the range.
fn neutral(bytes: &mut [u8], depth: u32) {
    let middle = (1u16 << (depth - 1)).to_le_bytes();
    let (samples, _) = bytes.as_chunks_mut::<2>();
    samples.fill(middle);
}

/// `alloc_picture_callback`. Runs on the thread that decodes.
pub unsafe extern "C" fn alloc(picture: *mut Picture, cookie: *mut c_void) -> c_int {
    // SAFETY: the settings carry an `Allocator` that outlives the context; there
    // are only shared references to it.
    let allocator = unsafe { &*cookie.cast::<Allocator>() };
    // SAFETY: dav1d passes a picture of its own whose description is complete;
    // nobody else looks at it meanwhile.
    let picture = unsafe { &mut *picture };
    // SAFETY: a picture that is to be decoded has a sequence header, or null.
    let matrix = unsafe { picture.sequence.as_ref() }.map_or(-1, |sequence| sequence.matrix);
    let parameters = picture.parameters;
    let Some(form) = Form::of(&parameters, matrix) else {
        return NO_MEMORY;
    };
    let (width, height) = (parameters.width as u32, parameters.height as u32);
    if width.max(height) > MAX_DIMENSION {
        return NO_MEMORY;
    }
    let (offset, stride, size) = place(form.format, width, height);
    let size = u64::from(size) + u64::from(ALIGNMENT);
    let Some(mut lease) = allocator.slots.clone().acquire(size, allocator.depth) else {
        allocator.starved.store(true, Ordering::Relaxed);
        return NO_MEMORY;
    };
    if form.planes < form.format.planes().len() {
        let first = offset[form.planes] as usize;
        neutral(&mut lease.bytes_mut()[first..], parameters.depth as u32);
    }
    let start = lease.start().as_ptr();
    for (plane, data) in picture.data.iter_mut().enumerate() {
        *data = match plane < form.planes {
            // SAFETY: inside the slot, which is at least `size` bytes long.
            true => unsafe { start.add(offset[plane] as usize) },
            false => std::ptr::null_mut(),
        };
    }
    let chroma = if form.planes > 1 { stride[1] } else { 0 };
    picture.stride = [stride[0] as isize, chroma as isize];
    let record = PictureRecord::new(form.format, (width, height), offset, stride);
    let memory = Memory {
        lease,
        format: form.format,
        record,
        shown: AtomicBool::new(false),
    };
    picture.allocator_data = Box::into_raw(Box::new(memory)).cast();
    0
}

/// `release_picture_callback`. May run on any of dav1d's threads.
pub unsafe extern "C" fn release(picture: *mut Picture, _cookie: *mut c_void) {
    // SAFETY: `alloc` made it, and dav1d releases each picture once.
    drop(unsafe { Box::from_raw((*picture).allocator_data.cast::<Memory>()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(layout: c_int, depth: c_int, matrix: c_int) -> Option<Form> {
        let parameters = Parameters {
            width: 16,
            height: 16,
            layout,
            depth,
        };
        Form::of(&parameters, matrix)
    }

    #[test]
    fn every_layout_has_a_format() {
        let known = |layout, depth, matrix| {
            let form = form(layout, depth, matrix).unwrap();
            (form.format, form.planes)
        };
        assert_eq!(known(layout::I400, 8, 1), (PixelFormat::Gray8, 1));
        assert_eq!(known(layout::I400, 12, 1), (PixelFormat::I420P12, 1));
        assert_eq!(known(layout::I420, 8, 0), (PixelFormat::I420, 3));
        assert_eq!(known(layout::I422, 10, 1), (PixelFormat::I422P10, 3));
        assert_eq!(known(layout::I444, 12, 9), (PixelFormat::I444P12, 3));
        assert_eq!(known(layout::I444, 10, 0), (PixelFormat::GbrP10, 3));
        assert_eq!(form(7, 8, 1), None);
        assert_eq!(form(layout::I420, 9, 1), None);
    }

    #[test]
    fn planes_are_aligned_and_lie_in_proportion() {
        for (format, width, height) in [
            (PixelFormat::I420, 1, 1),
            (PixelFormat::I420, 1024, 576),
            (PixelFormat::I420P10, 512, 300),
            (PixelFormat::I444P12, 4096, 17),
            (PixelFormat::Gray8, 352, 288),
        ] {
            let (offset, stride, _) = place(format, width, height);
            assert!(!stride[0].is_multiple_of(1024), "{format:?} {width}");
            for plane in 0..format.planes().len() {
                assert!(offset[plane].is_multiple_of(ALIGNMENT));
                assert!(stride[plane].is_multiple_of(ALIGNMENT));
                let share = format.row_bytes(plane, stride[0] / format.row_bytes(0, 1));
                assert_eq!(stride[plane], share, "{format:?} {width}");
            }
        }
    }
}
