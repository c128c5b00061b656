//! Finished pictures on their way out of libvpx.

use super::Vpx;
use super::api::{self, Image, colour_space, format};
use super::memory::Memory;
use crate::decoder::copy::{Foreign, place};
use crate::decoder::shape::pixel_shape;
use crate::decoder::{DecodeError, Frame, Output};
use crate::slots::{Lease, SlotPool};
use iotdec_wire::msg::frame_flags;
use iotdec_wire::picture::{Colour, MAX_PLANES, PictureRecord, PixelFormat};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Vpx {
    /// Gives one picture, which is libvpx's until it is called again, to `output`.
    pub fn show(
        &self,
        image: &Image,
        number: u64,
        flags: u32,
        output: &mut dyn Output,
    ) -> Result<(), DecodeError> {
        let format = format_of(image)?;
        let stride = image.stride.map(|stride| stride as u32);
        let size = (image.width, image.height);
        let described = PictureRecord {
            colour: if self.is_vp9 {
                colour(image)
            } else {
                Colour::default()
            },
            par: pixel_shape(size, (image.render_size[0], image.render_size[1])),
            ..PictureRecord::new(format, size, [0; MAX_PLANES], stride)
        };
        // SAFETY: all frame buffers of VP9 are of `memory::get`, and live while the
        // picture does.
        let memory = unsafe { image.frame_buffer.cast::<Memory>().as_ref() };
        if let Some(memory) = memory.filter(|_| self.is_vp9 && !is_440(image))
            && !memory.shown.swap(true, Ordering::Relaxed)
        {
            let start = memory.lease.start().as_ptr().addr();
            let distance = |plane: *mut u8| plane.addr().wrapping_sub(start);
            let picture = PictureRecord {
                offset: image
                    .planes
                    .map(|p| u32::try_from(distance(p)).unwrap_or(u32::MAX)),
                ..described
            };
            if let Err(bad) = picture.validate(memory.size as u64) {
                return Err(unsupported(format!("{bad}")));
            }
            let frame = Frame {
                number,
                flags,
                picture,
            };
            output.picture(&frame, &memory.lease);
            return Ok(());
        }
        // Of VP8, of a form that has to be changed, or an existing frame that is shown
        // once more.
        // SAFETY: libvpx's planes have the size that it told, and it leaves them
        // alone until it is called again.
        let copied = unsafe {
            match is_440(image) {
                true => copy_440(image, format, &self.buffers.slots),
                false => copy(image, format, &self.buffers.slots),
            }
        };
        let Some((copied, lease)) = copied else {
            return Ok(());
        };
        let frame = Frame {
            number,
            flags: flags | frame_flags::COPIED,
            picture: PictureRecord {
                offset: copied.offset,
                stride: copied.stride,
                ..described
            },
        };
        output.picture(&frame, &lease);
        Ok(())
    }
}

fn is_440(image: &Image) -> bool {
    image.format & !format::HIGH_DEPTH == format::I440
}

/// Copies a picture into a slot.
///
/// # Safety
/// The planes of `image` can be read in the size that it tells.
unsafe fn copy(
    image: &Image,
    format: PixelFormat,
    slots: &Arc<dyn SlotPool>,
) -> Option<(PictureRecord, Lease)> {
    let foreign = Foreign {
        format,
        width: image.width,
        height: image.height,
        planes: image.planes.map(|plane| plane.cast_const()),
        stride: image.stride.map(|stride| stride as usize),
        colour: Colour::default(),
    };
    // SAFETY: as the caller promises.
    unsafe { foreign.copy(slots) }
}

/// Copies a picture in 4:4:0 into a slot, as 4:4:4: its chroma rows each twice.
///
/// # Safety
/// As of [`copy`].
unsafe fn copy_440(
    image: &Image,
    format: PixelFormat,
    slots: &Arc<dyn SlotPool>,
) -> Option<(PictureRecord, Lease)> {
    let (width, height) = (image.width, image.height);
    let (offset, stride, size) = place(format, width, height);
    let mut lease = slots.clone().acquire(size.into(), 1)?;
    let target = lease.bytes_mut();
    for plane in 0..3 {
        let len = format.row_bytes(plane, width) as usize;
        for row in 0..height as usize {
            let source_row = if plane == 0 { row } else { row / 2 };
            // SAFETY: a row of the plane, by the caller's promise.
            let source = unsafe {
                let start = image.planes[plane].add(source_row * image.stride[plane] as usize);
                std::slice::from_raw_parts(start, len)
            };
            let start = offset[plane] as usize + row * stride[plane] as usize;
            target[start..][..len].copy_from_slice(source);
        }
    }
    Some((
        PictureRecord::new(format, (width, height), offset, stride),
        lease,
    ))
}

fn unsupported(text: String) -> DecodeError {
    DecodeError {
        code: api::UNSUPPORTED_FEATURE,
        text,
        fatal: false,
    }
}

/// How the samples lie in memory.
fn format_of(image: &Image) -> Result<PixelFormat, DecodeError> {
    let depth = match image.format & format::HIGH_DEPTH {
        0 => 8,
        _ => image.depth,
    };
    let is_rgb = image.colour_space == colour_space::SRGB;
    let found = match image.format & !format::HIGH_DEPTH {
        format::I420 => PixelFormat::planar(false, 1, 1, depth),
        format::I422 => PixelFormat::planar(false, 1, 0, depth),
        format::I444 if is_rgb => PixelFormat::gbr(depth),
        format::I444 => PixelFormat::planar(false, 0, 0, depth),
        // For which GStreamer has no format: `copy_440` makes 4:4:4 of it.
        format::I440 => PixelFormat::planar(false, 0, 0, depth),
        _ => None,
    };
    found.ok_or_else(|| {
        unsupported(format!(
            "pictures of the unknown format {:#x}, {depth} bits",
            image.format
        ))
    })
}

/// VP9's colour spaces (7.2.2) as code points of H.273.
fn colour(image: &Image) -> Colour {
    let (primaries, transfer, matrix) = match image.colour_space {
        colour_space::BT601 | colour_space::SMPTE170 => (6, 6, 6),
        colour_space::BT709 => (1, 1, 1),
        colour_space::SMPTE240 => (7, 7, 7),
        colour_space::BT2020 if image.depth == 12 => (9, 15, 9),
        colour_space::BT2020 => (9, 14, 9),
        colour_space::SRGB => (1, 13, 0),
        _ => (2, 2, 2),
    };
    Colour {
        primaries,
        transfer,
        matrix_plus_1: matrix + 1,
        range: if image.full_range != 0 { 2 } else { 1 },
    }
}
