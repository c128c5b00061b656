//! Decoded frames on their way out of libavcodec.

use super::api::{AvFrame, DATA_POINTERS, FRAME_CORRUPT};
use super::format::Pixels;
use super::layout::{FRAME_DATA, FRAME_FORMAT, FRAME_HEIGHT, FRAME_LINESIZE, FRAME_WIDTH, Field};
use super::light::LightKinds;
use super::memory::Hooks;
use crate::decoder::copy::place;
use crate::decoder::damage::Damage;
use crate::decoder::{Frame, Output};
use crate::slots::Lease;
use iotdec_wire::msg::frame_flags;
use iotdec_wire::picture::{Colour, MAX_PLANES, PictureRecord, PixelFormat, scan};
use std::ffi::c_int;
use std::sync::atomic::Ordering;

/// `AVCOL_PRI_UNSPECIFIED` and the like.
const UNSPECIFIED: c_int = 2;
/// `AVCOL_RANGE_JPEG`.
const FULL_RANGE: c_int = 2;
/// Bytes of a palette's colour: blue, green, red, alpha.
const COLOUR_BYTES: usize = 4;

/// A frame of the library, filled by it.
pub struct Shown<'a> {
    hooks: &'a Hooks,
    frame: *const AvFrame,
    pixels: Pixels,
    width: u32,
    height: u32,
    data: [*const u8; DATA_POINTERS],
    linesize: [c_int; DATA_POINTERS],
}

impl<'a> Shown<'a> {
    /// Looks at a frame; why it can't be shown, if so.
    ///
    /// # Safety
    /// The library filled `frame`, and it is left alone while this lives.
    pub unsafe fn new(hooks: &'a Hooks, frame: *const AvFrame) -> Result<Self, String> {
        // SAFETY: the head of a frame, which was checked to be there.
        let (format, width, height, data, linesize) = unsafe {
            (
                FRAME_FORMAT.read::<c_int>(frame),
                FRAME_WIDTH.read::<c_int>(frame),
                FRAME_HEIGHT.read::<c_int>(frame),
                FRAME_DATA.read(frame),
                FRAME_LINESIZE.read(frame),
            )
        };
        let pixels = hooks
            .pixels(format)
            .map_err(|name| format!("pictures of pixel format {name} can't be shown"))?;
        Ok(Self {
            hooks,
            frame,
            pixels,
            width: width as u32,
            height: height as u32,
            data,
            linesize,
        })
    }

    /// Gives the picture out.
    pub fn give_out(&self, light: &LightKinds, damage: &mut Damage, output: &mut dyn Output) {
        let layout = &self.hooks.layout;
        let number = self.read::<i64>(layout.pts) as u64;
        let mut flags = 0;
        let is_corrupt = self.read::<c_int>(layout.flags) & FRAME_CORRUPT != 0;
        if is_corrupt || self.read::<c_int>(layout.errors) != 0 {
            damage.notice(number);
        }
        if damage.is_damaged(number) {
            flags |= frame_flags::CORRUPT;
        }
        let describe = |record: PictureRecord| {
            let aspect = self.read::<[c_int; 2]>(layout.aspect);
            PictureRecord {
                colour: self.colour(),
                // AVChromaLocation counts from 1 as well.
                chroma_site: self.read::<u32>(layout.colour.at(4)),
                par: aspect.map(|part| u32::try_from(part).unwrap_or(0)),
                scan: self.scan(),
                light: light.of(&self.hooks.api, self.frame),
                ..record
            }
        };
        let picture = self.hooks.picture_at(self.data[0].addr());
        let in_slot = picture.as_deref().and_then(|picture| {
            let record = self.in_slot(picture.lease.start().addr().get())?;
            (!picture.shown.swap(true, Ordering::Relaxed)).then_some((&picture.lease, record))
        });
        if let Some((lease, record)) = in_slot {
            let picture = describe(record);
            let frame = Frame {
                number,
                flags,
                picture,
            };
            output.picture(&frame, lease);
        } else if let Some((lease, record)) = self.copy() {
            let frame = Frame {
                number,
                flags: flags | frame_flags::COPIED,
                picture: describe(record),
            };
            output.picture(&frame, &lease);
        }
    }

    /// Where the planes lie in the slot that starts there, if they can be told so.
    fn in_slot(&self, start: usize) -> Option<PictureRecord> {
        let format = match self.pixels {
            Pixels::Same(format) | Pixels::Full(format) => format,
            Pixels::Palette => return None,
        };
        let (mut offset, mut stride) = ([0; MAX_PLANES], [0; MAX_PLANES]);
        for plane in 0..format.planes().len() {
            let at = self.data[plane].addr().checked_sub(start)?;
            offset[plane] = u32::try_from(at).ok()?;
            stride[plane] = u32::try_from(self.linesize[plane]).ok()?;
        }
        let size = (self.width, self.height);
        Some(PictureRecord::new(format, size, offset, stride))
    }

    /// A copy in a slot: of a picture in memory of the library's own, one that is shown
    /// for the second time, lies upside down, or has a palette.
    fn copy(&self) -> Option<(Lease, PictureRecord)> {
        let format = self.pixels.format();
        let (width, height) = (self.width, self.height);
        let (offset, stride, size) = place(format, width, height);
        let mut lease = self.hooks.slots.clone().acquire(size.into(), 1)?;
        let target = lease.bytes_mut();
        for plane in 0..format.planes().len() {
            let (_, rows) = format.plane_size(plane, width, height);
            let len = format.row_bytes(plane, width) as usize;
            for row in 0..rows {
                let start = (offset[plane] + row * stride[plane]) as usize;
                self.copy_row(format, plane, row, &mut target[start..][..len]);
            }
        }
        let record = PictureRecord::new(format, (width, height), offset, stride);
        Some((lease, record))
    }

    fn copy_row(&self, format: PixelFormat, plane: usize, row: u32, target: &mut [u8]) {
        let step = self.linesize[plane] as isize;
        let indexed = self.pixels == Pixels::Palette;
        let len = match indexed {
            true => self.width as usize,
            false => format.row_bytes(plane, self.width) as usize,
        };
        // SAFETY: the library's planes have the size and the strides that it told, and
        // are not written to while the frame is ours.
        let source = unsafe {
            let start = self.data[plane].offset(row as isize * step);
            std::slice::from_raw_parts(start, len)
        };
        if !indexed {
            target.copy_from_slice(source);
            return;
        }
        // SAFETY: the second plane of a paletted picture: 256 colours, as 32-bit words
        // of alpha, red, green, blue.
        let palette =
            unsafe { std::slice::from_raw_parts(self.data[1].cast::<[u8; COLOUR_BYTES]>(), 256) };
        for (pixel, index) in target.chunks_exact_mut(COLOUR_BYTES).zip(source) {
            pixel.copy_from_slice(&palette[usize::from(*index)]);
        }
    }

    fn colour(&self) -> Colour {
        let layout = &self.hooks.layout;
        let code = |at| {
            let code = self.read::<c_int>(layout.colour.at(at));
            u8::try_from(code).ok().filter(|_| code != UNSPECIFIED)
        };
        let range = match self.pixels {
            Pixels::Full(_) => FULL_RANGE as u8,
            _ => code_of_range(self.read::<c_int>(layout.colour)),
        };
        Colour {
            primaries: code(1).unwrap_or(0),
            transfer: code(2).unwrap_or(0),
            matrix_plus_1: code(3).and_then(|code| code.checked_add(1)).unwrap_or(0),
            range,
        }
    }

    fn scan(&self) -> u32 {
        let layout = &self.hooks.layout;
        // SAFETY: the frame is valid, see `new`, and the bits are where they were found.
        let (interlaced, top) = unsafe {
            (
                layout.interlaced.is_set(self.frame),
                layout.top_field_first.is_set(self.frame),
            )
        };
        match (interlaced, top) {
            (false, _) => 0,
            (true, false) => scan::INTERLACED,
            (true, true) => scan::INTERLACED | scan::TOP_FIELD_FIRST,
        }
    }

    fn read<T: Copy>(&self, field: Field) -> T {
        // SAFETY: the frame is valid, see `new`, and the field is where it was found.
        unsafe { field.read(self.frame) }
    }
}

/// `AVColorRange` counts as the wire does: unknown, limited, full.
fn code_of_range(range: c_int) -> u8 {
    u8::try_from(range)
        .ok()
        .filter(|code| *code <= 2)
        .unwrap_or(0)
}
