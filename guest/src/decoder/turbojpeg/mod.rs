//! libturbojpeg, a decoder of JPEG and Motion JPEG: it decodes into slots, without a
//! conversion where the picture is luma and chroma or luma alone.
//!
//! Facts from turbojpeg.h and the source of 2.1.5:
//! * Where an image has no Huffman tables, those that the decompressor has seen before
//!   are used, and in a new one the standard's typical ones, which is what cameras
//!   leave out. So images without tables have a decompressor to themselves.
//! * Planes are written in the size that `tjPlaneWidth` and `tjPlaneHeight` tell:
//!   as many luma samples as make whole chroma samples.
//! * After an error in a header it goes on where it was, whatever it is given next: then
//!   only another decompressor helps.
//! * A warning is an error whose code is `TJERR_WARNING`; the picture is there.

mod api;
mod markers;

use super::copy::place;
use super::{
    Adapter, DecodeError, Decoded, Decoder, Frame, OpenError, Opened, Options, Output, Packet,
};
use crate::library::Library;
use crate::slots::{Lease, SlotPool};
use api::{Api, Handle, colour_space, pixels, sampling};
use iotdec_wire::msg::frame_flags;
use iotdec_wire::picture::{Colour, MAX_DIMENSION, PictureRecord, PixelFormat, Rect, scan};
use markers::{Field, Image};
use std::ffi::{CStr, c_int, c_uchar, c_ulong};
use std::sync::Arc;

/// In the table of adapters.
pub const ADAPTER: Adapter = Adapter {
    name: "turbojpeg",
    open,
};

/// JFIF: matrix of BT.601, full range (as GStreamer's "1:4:0:0").
const COLOUR: Colour = Colour {
    primaries: 0,
    transfer: 0,
    matrix_plus_1: 7,
    range: 2,
};
/// JFIF: chroma samples lie between luma samples. ChromaSampleLocType 1, plus one.
const CHROMA_SITE: u32 = 2;
/// Cameras pad their data, and libjpeg-turbo warns of it in these words; the picture
/// is whole.
const HARMLESS_WARNING: &str = "extraneous bytes before marker";

/// Two decompressors. Never freed: the worker decodes one stream, and exits.
struct TurboJpeg {
    api: Api,
    with_tables: Handle,
    without_tables: Handle,
    slots: Arc<dyn SlotPool>,
    /// Chroma on its way to a format that GStreamer has.
    scratch: Vec<u8>,
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    width: u32,
    height: u32,
    sampling: c_int,
    colour_space: c_int,
}

/// How an image gets into a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As it is.
    Planes(PixelFormat),
    /// 4:4:0, which GStreamer does not have: each row of chroma twice makes 4:4:4.
    DoubledChroma,
    /// Red, green and blue.
    Rgb,
    /// The inverted ink of which Adobe's programs write.
    Cmyk,
}

fn open(library: &Library, slots: Arc<dyn SlotPool>, options: &Options) -> Opened {
    options.only(&[])?;
    let api = Api::load(library).map_err(OpenError::symbol)?;
    // SAFETY: no preconditions.
    let [with_tables, without_tables] = [(); 2].map(|()| unsafe { (api.tjInitDecompress)() });
    if with_tables.is_null() || without_tables.is_null() {
        return Err(OpenError::decoder("tjInitDecompress failed"));
    }
    Ok(Box::new(TurboJpeg {
        api,
        with_tables,
        without_tables,
        slots,
        scratch: Vec::new(),
    }))
}

impl Header {
    fn way(&self) -> Way {
        let planes = match (self.colour_space, self.sampling) {
            (colour_space::GRAY, _) | (_, sampling::GRAY) => PixelFormat::Gray8,
            (colour_space::CMYK | colour_space::YCCK, _) => return Way::Cmyk,
            (colour_space::YCBCR, sampling::S444) => PixelFormat::I444,
            (colour_space::YCBCR, sampling::S422) => PixelFormat::I422,
            (colour_space::YCBCR, sampling::S420) => PixelFormat::I420,
            (colour_space::YCBCR, sampling::S411) => PixelFormat::I411,
            (colour_space::YCBCR, sampling::S440) => return Way::DoubledChroma,
            _ => return Way::Rgb,
        };
        Way::Planes(planes)
    }
}

impl Way {
    fn format(self) -> PixelFormat {
        match self {
            Self::Planes(format) => format,
            Self::DoubledChroma => PixelFormat::I444,
            Self::Rgb | Self::Cmyk => PixelFormat::Rgbx,
        }
    }

    /// The size of a frame of so many `fields` (1: none) in whole chroma samples.
    fn coded_size(self, field: &Header, fields: u32) -> (u32, u32) {
        let (mut columns, mut rows) = (1, 1);
        for plane in self.format().planes() {
            columns = columns.max(1 << plane.shift_x);
            rows = rows.max(1 << plane.shift_y);
        }
        if self == Self::DoubledChroma {
            rows = 2;
        }
        let height = field.height.next_multiple_of(rows);
        (field.width.next_multiple_of(columns), height * fields)
    }
}

impl TurboJpeg {
    fn handle(&self, image: &Image<'_>) -> Handle {
        match image.has_tables {
            true => self.with_tables,
            false => self.without_tables,
        }
    }

    /// What a call's result means: nothing, damage, or why there is no picture.
    fn judge(&mut self, handle: Handle, result: c_int) -> Result<Option<DecodeError>, DecodeError> {
        if result == 0 {
            return Ok(None);
        }
        let text = self.api.tjGetErrorStr2.map(|function| {
            // SAFETY: the handle lives as long as the process; the text is copied
            // before the next call.
            unsafe { CStr::from_ptr(function(handle)) }
                .to_string_lossy()
                .into_owned()
        });
        let text = text.unwrap_or_else(|| "the image is damaged".to_owned());
        // SAFETY: as above.
        let code = (self.api.tjGetErrorCode).map(|function| unsafe { function(handle) });
        let is_warning = code == Some(api::WARNING);
        if is_warning && text.contains(HARMLESS_WARNING) {
            return Ok(None);
        }
        let error = DecodeError {
            code: result,
            text,
            fatal: false,
        };
        if is_warning {
            return Ok(Some(error));
        }
        self.replace(handle);
        Err(error)
    }

    /// Makes another decompressor in place of one that failed.
    fn replace(&mut self, failed: Handle) {
        // SAFETY: no preconditions.
        let fresh = unsafe { (self.api.tjInitDecompress)() };
        let handles = [&mut self.with_tables, &mut self.without_tables];
        let place = handles.into_iter().find(|handle| **handle == failed);
        if let Some(place) = place.filter(|_| !fresh.is_null()) {
            *place = fresh;
            // SAFETY: nobody has it any more.
            unsafe { (self.api.tjDestroy)(failed) };
        }
    }

    fn header(&mut self, image: &Image<'_>) -> Result<Header, DecodeError> {
        let (mut width, mut height, mut sampling, mut colour_space) = (0, 0, -1, -1);
        let handle = self.handle(image);
        // SAFETY: the data is read, and the numbers are written, during the call only.
        let result = unsafe {
            (self.api.tjDecompressHeader3)(
                handle,
                image.data.as_ptr(),
                image.data.len() as c_ulong,
                &mut width,
                &mut height,
                &mut sampling,
                &mut colour_space,
            )
        };
        // A sampling that it has no name for is an error too; RGB can be had of it.
        let judged = self.judge(handle, result);
        if width <= 0 || height <= 0 {
            let damage = judged?;
            return Err(damage.unwrap_or_else(|| refused("an image without a size")));
        }
        Ok(Header {
            width: width as u32,
            height: height as u32,
            sampling,
            colour_space,
        })
    }

    /// Decodes an image into every `step`th row of a slot, from row `first` on; what
    /// is damaged, if anything is.
    fn decode_into(
        &mut self,
        image: &Image<'_>,
        header: &Header,
        (lease, record): (&mut Lease, &PictureRecord),
        (first, step): (u32, u32),
    ) -> Result<Option<DecodeError>, DecodeError> {
        let handle = self.handle(image);
        let (data, len) = (image.data.as_ptr(), image.data.len() as c_ulong);
        let way = header.way();
        let (width, height) = (header.width as c_int, header.height as c_int);
        let target = lease.bytes_mut();
        let mut strides = [0, 1, 2].map(|plane| (record.stride[plane] * step) as c_int);
        let mut planes = [0, 1, 2].map(|plane| {
            let start = record.offset[plane] + first * record.stride[plane];
            target[start as usize..].as_mut_ptr()
        });
        let result = match way {
            Way::Planes(_) => self.planes(handle, (data, len), header, &mut planes, &mut strides),
            Way::DoubledChroma => {
                let [luma, targets @ ..] = planes;
                let row = header.width.next_multiple_of(8) as usize;
                let rows = header.height.div_ceil(2) as usize;
                self.scratch.resize(2 * row * rows, 0);
                let (cb, cr) = self.scratch.split_at_mut(row * rows);
                let mut planes = [luma, cb.as_mut_ptr(), cr.as_mut_ptr()];
                let mut narrow = [strides[0], row as c_int, row as c_int];
                let result = self.planes(handle, (data, len), header, &mut planes, &mut narrow);
                for (plane, (chroma, _)) in self.scratch.chunks(row * rows).zip(targets).enumerate()
                {
                    let start =
                        (record.offset[1 + plane] + first * record.stride[1 + plane]) as usize;
                    let starts = (start..).step_by(strides[1 + plane] as usize);
                    for (index, start) in starts.take(header.height as usize).enumerate() {
                        let source = &chroma[index / 2 * row..][..header.width as usize];
                        target[start..][..source.len()].copy_from_slice(source);
                    }
                }
                result
            }
            Way::Rgb | Way::Cmyk => {
                let pixels = match way {
                    Way::Cmyk => pixels::CMYK,
                    _ => pixels::RGBX,
                };
                // SAFETY: as in `planes`, with four bytes a pixel in one plane.
                unsafe {
                    (self.api.tjDecompress2)(
                        handle,
                        data,
                        len,
                        planes[0],
                        width,
                        strides[0],
                        height,
                        pixels,
                        api::LIMIT_SCANS,
                    )
                }
            }
        };
        if way == Way::Cmyk {
            let start = (record.offset[0] + first * record.stride[0]) as usize;
            let starts = (start..).step_by(strides[0] as usize);
            for start in starts.take(header.height as usize) {
                let (inked, _) = target[start..][..4 * width as usize].as_chunks_mut();
                inked.iter_mut().for_each(to_rgb);
            }
        }
        self.judge(handle, result)
    }

    fn planes(
        &self,
        handle: Handle,
        (data, len): (*const c_uchar, c_ulong),
        header: &Header,
        planes: &mut [*mut c_uchar; 3],
        strides: &mut [c_int; 3],
    ) -> c_int {
        let (width, height) = (header.width as c_int, header.height as c_int);
        // SAFETY: the data is read during the call only. The planes belong to a slot
        // that was laid out for this width, height and sampling, or to memory of at
        // least that size.
        unsafe {
            (self.api.tjDecompressToYUVPlanes)(
                handle,
                data,
                len,
                planes.as_mut_ptr(),
                width,
                strides.as_mut_ptr(),
                height,
                api::LIMIT_SCANS,
            )
        }
    }
}

/// Inverted ink to light: more of each byte is less ink.
fn to_rgb(pixel: &mut [u8; 4]) {
    let [cyan, magenta, yellow, black] = pixel.map(u32::from);
    let light = |colour| (colour * black / 255) as u8;
    *pixel = [light(cyan), light(magenta), light(yellow), 0xff];
}

impl Decoder for TurboJpeg {
    fn version(&self) -> String {
        "libjpeg-turbo".to_owned()
    }

    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError> {
        // No picture refers to another.
        if packet.may_be_skipped() {
            return Ok(Decoded::Nothing);
        }
        let images = markers::images(packet.data);
        let Some(first) = images.first() else {
            return Err(refused("no JPEG image in it"));
        };
        let header = self.header(first)?;
        // Of fields that do not fit together the first one is shown, as a frame.
        let mut fields = vec![*first];
        if let Some(second) = images.get(1)
            && self.header(second).is_ok_and(|second| second == header)
        {
            fields.push(*second);
        }
        let step = fields.len() as u32;
        let (width, height) = (header.width, header.height * step);
        if width.max(height) > MAX_DIMENSION {
            return Err(refused(format!("{width}x{height} is too large")));
        }
        let format = header.way().format();
        let coded = header.way().coded_size(&header, step);
        let (offset, stride, size) = place(format, coded.0, coded.1);
        let is_rgb = format == PixelFormat::Rgbx;
        let upper_is_first = first.field != Some(Field::Lower);
        let record = PictureRecord {
            crop: Rect {
                x: 0,
                y: 0,
                width,
                height,
            },
            colour: if is_rgb { Colour::default() } else { COLOUR },
            chroma_site: if format == PixelFormat::I420 {
                CHROMA_SITE
            } else {
                0
            },
            scan: match (step, upper_is_first) {
                (1, _) => 0,
                (_, true) => scan::INTERLACED | scan::TOP_FIELD_FIRST,
                (_, false) => scan::INTERLACED,
            },
            ..PictureRecord::new(format, coded, offset, stride)
        };
        let Some(mut lease) = self.slots.clone().acquire(size.into(), 1) else {
            return Ok(Decoded::Picture); // It is being flushed.
        };
        let mut damage = None;
        for (index, field) in (0..).zip(&fields) {
            let first = if upper_is_first {
                index
            } else {
                step - 1 - index
            };
            let found = self.decode_into(field, &header, (&mut lease, &record), (first, step))?;
            damage = damage.or(found);
        }
        let corrupt = if damage.is_some() {
            frame_flags::CORRUPT
        } else {
            0
        };
        let frame = Frame {
            number: packet.number,
            flags: corrupt,
            picture: record,
        };
        output.picture(&frame, &lease);
        damage.map_or(Ok(Decoded::Picture), Err)
    }

    fn drain(&mut self, _output: &mut dyn Output) -> Result<(), DecodeError> {
        Ok(())
    }

    fn flush(&mut self) {}
}

fn refused(text: impl Into<String>) -> DecodeError {
    DecodeError {
        code: -1,
        text: text.into(),
        fatal: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_becomes_light() {
        let convert = |mut pixel: [u8; 4]| {
            to_rgb(&mut pixel);
            pixel
        };
        assert_eq!(convert([255, 255, 255, 255]), [255, 255, 255, 255]);
        assert_eq!(convert([255, 0, 128, 255]), [255, 0, 128, 255]);
        assert_eq!(convert([200, 100, 50, 0]), [0, 0, 0, 255]);
    }

    #[test]
    fn each_image_has_its_way() {
        let way = |colour_space, sampling| {
            let header = Header {
                width: 8,
                height: 8,
                sampling,
                colour_space,
            };
            header.way()
        };
        assert_eq!(way(1, 2), Way::Planes(PixelFormat::I420));
        assert_eq!(way(2, 3), Way::Planes(PixelFormat::Gray8));
        assert_eq!(way(1, 4), Way::DoubledChroma);
        assert_eq!(way(1, -1), Way::Rgb);
        assert_eq!(way(0, 0), Way::Rgb);
        assert_eq!(way(4, 0), Way::Cmyk);
    }
}
