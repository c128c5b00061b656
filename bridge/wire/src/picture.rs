//! What a decoded picture looks like: format, planes, visible part, colour.

use crate::codes::wire_enum;
use bytemuck::{Pod, Zeroable};

/// Largest width or height of a picture, in pixels.
pub const MAX_DIMENSION: u32 = 16384;
/// Most planes a picture has.
pub const MAX_PLANES: usize = 4;

wire_enum! {
    /// Sample formats. Samples deeper than 8 bits are 16-bit little-endian words
    /// with the value in the low bits, unless said otherwise. Packed and
    /// semi-planar formats name their components in the order of memory.
    PixelFormat {
        /// Luma only, 8 bits.
        Gray8 = 1,
        /// 4:2:0, 8 bits.
        I420 = 2,
        /// 4:2:2, 8 bits.
        I422 = 3,
        /// 4:4:4, 8 bits.
        I444 = 4,
        /// Luma only, 10 bits.
        Gray10 = 5,
        /// 4:2:0, 10 bits.
        I420P10 = 6,
        /// 4:2:2, 10 bits.
        I422P10 = 7,
        /// 4:4:4, 10 bits.
        I444P10 = 8,
        /// Luma only, 12 bits.
        Gray12 = 9,
        /// 4:2:0, 12 bits.
        I420P12 = 10,
        /// 4:2:2, 12 bits.
        I422P12 = 11,
        /// 4:4:4, 12 bits.
        I444P12 = 12,
        /// Planes of green, blue and red, 8 bits.
        Gbr8 = 13,
        /// Planes of green, blue and red, 10 bits.
        GbrP10 = 14,
        /// Planes of green, blue and red, 12 bits.
        GbrP12 = 15,
        /// Planes of green, blue, red and alpha, 8 bits.
        Gbra8 = 16,
        /// 4:2:0, 8 bits: luma, and a plane of Cb and Cr in turn.
        Nv12 = 17,
        /// 4:2:0, 8 bits: luma, and a plane of Cr and Cb in turn.
        Nv21 = 18,
        /// As NV12 with 10 bits, which are the high bits of 16-bit words.
        P010 = 19,
        /// 4:1:1, 8 bits.
        I411 = 20,
        /// 4:1:0, 8 bits: a chroma sample for 4 x 4 pixels.
        I410 = 21,
        /// 4:2:0 with a plane of alpha, 8 bits.
        I420A = 22,
        /// Luma only, 16 bits.
        Gray16 = 23,
        /// 4:4:4, 16 bits.
        I444P16 = 24,
        /// 4:2:2 in one plane.
        Yuy2 = 25,
        /// 4:2:2 in one plane.
        Uyvy = 26,
        /// 24 bits a pixel.
        Rgb = 27,
        /// 24 bits a pixel.
        Bgr = 28,
        /// 32 bits a pixel.
        Rgba = 29,
        /// 32 bits a pixel.
        Bgra = 30,
        /// 32 bits a pixel.
        Argb = 31,
        /// 32 bits a pixel.
        Abgr = 32,
        /// 32 bits a pixel, the last 8 without meaning.
        Rgbx = 33,
        /// 32 bits a pixel, the last 8 without meaning.
        Bgrx = 34,
        /// 32 bits a pixel, the first 8 without meaning.
        Xrgb = 35,
        /// 32 bits a pixel, the first 8 without meaning.
        Xbgr = 36,
        /// A 16-bit little-endian word a pixel: 5 bits red (high), 6 green, 5 blue.
        Rgb16 = 37,
        /// A 16-bit little-endian word a pixel: 1 unused bit, 5 red, 5 green, 5 blue.
        Rgb15 = 38,
    }
}

/// The geometry of one plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// By which power of two it is narrower than the picture.
    pub shift_x: u32,
    /// By which power of two it is shorter.
    pub shift_y: u32,
    /// Bytes of one of its columns: a sample, or as many as are interleaved.
    pub bytes: u32,
}

const fn plane(shift_x: u32, shift_y: u32, bytes: u32) -> Plane {
    Plane {
        shift_x,
        shift_y,
        bytes,
    }
}

impl PixelFormat {
    /// The format of `planes` subsampled by these shifts at `depth` bits.
    pub fn planar(gray: bool, shift_x: u32, shift_y: u32, depth: u32) -> Option<Self> {
        let chroma = match (gray, shift_x, shift_y) {
            (true, ..) => 0,
            (false, 1, 1) => 1,
            (false, 1, 0) => 2,
            (false, 0, 0) => 3,
            _ => return None,
        };
        let base = match depth {
            8 => 1,
            10 => 5,
            12 => 9,
            _ => return None,
        };
        Self::from_code(base + chroma)
    }

    /// The format of planes of green, blue and red at `depth` bits.
    pub fn gbr(depth: u32) -> Option<Self> {
        match depth {
            8 => Some(Self::Gbr8),
            10 => Some(Self::GbrP10),
            12 => Some(Self::GbrP12),
            _ => None,
        }
    }

    /// Its planes, in the order in which they lie in a slot.
    pub const fn planes(self) -> &'static [Plane] {
        const fn yuv(shift_x: u32, shift_y: u32, bytes: u32) -> [Plane; 3] {
            let chroma = plane(shift_x, shift_y, bytes);
            [plane(0, 0, bytes), chroma, chroma]
        }
        const ONE: Plane = plane(0, 0, 1);
        match self {
            Self::Gray8 => const { &[ONE] },
            Self::Gray10 | Self::Gray12 | Self::Gray16 | Self::Rgb16 | Self::Rgb15 => {
                const { &[plane(0, 0, 2)] }
            }
            Self::I420 => const { &yuv(1, 1, 1) },
            Self::I422 => const { &yuv(1, 0, 1) },
            Self::I444 | Self::Gbr8 => const { &yuv(0, 0, 1) },
            Self::I411 => const { &yuv(2, 0, 1) },
            Self::I410 => const { &yuv(2, 2, 1) },
            Self::I420P10 | Self::I420P12 => const { &yuv(1, 1, 2) },
            Self::I422P10 | Self::I422P12 => const { &yuv(1, 0, 2) },
            Self::I444P10 | Self::I444P12 | Self::I444P16 | Self::GbrP10 | Self::GbrP12 => {
                const { &yuv(0, 0, 2) }
            }
            Self::Gbra8 => const { &[ONE; 4] },
            Self::I420A => const { &[ONE, plane(1, 1, 1), plane(1, 1, 1), ONE] },
            Self::Nv12 | Self::Nv21 => const { &[ONE, plane(1, 1, 2)] },
            Self::P010 => const { &[plane(0, 0, 2), plane(1, 1, 4)] },
            Self::Yuy2 | Self::Uyvy => const { &[plane(1, 0, 4)] },
            Self::Rgb | Self::Bgr => const { &[plane(0, 0, 3)] },
            Self::Rgba
            | Self::Bgra
            | Self::Argb
            | Self::Abgr
            | Self::Rgbx
            | Self::Bgrx
            | Self::Xrgb
            | Self::Xbgr => const { &[plane(0, 0, 4)] },
        }
    }

    /// Width in columns and height in rows of `plane` of a picture of that size.
    pub fn plane_size(self, plane: usize, width: u32, height: u32) -> (u32, u32) {
        let plane = self.planes()[plane];
        (
            width.div_ceil(1 << plane.shift_x),
            height.div_ceil(1 << plane.shift_y),
        )
    }

    /// Bytes of one row of `plane` of a picture of that width, without padding.
    pub fn row_bytes(self, plane: usize, width: u32) -> u32 {
        self.plane_size(plane, width, 1).0 * self.planes()[plane].bytes
    }
}

/// A picture's description as it travels.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct PictureRecord {
    /// A [`PixelFormat`].
    pub format: u32,
    /// Decoded width in pixels; the visible part may be smaller.
    pub width: u32,
    /// Decoded height in pixels.
    pub height: u32,
    /// The visible part, in pixels of the decoded picture.
    pub crop: Rect,
    /// Where each plane starts in the slot, in bytes.
    pub offset: [u32; MAX_PLANES],
    /// From row to row of each plane, in bytes.
    pub stride: [u32; MAX_PLANES],
    /// How to show it.
    pub colour: Colour,
    /// Where chroma samples lie: ChromaSampleLocType (H.273) plus one, or 0 if the
    /// decoder does not know.
    pub chroma_site: u32,
    /// Width of a pixel in terms of its height: `par[0] / par[1]`; 0 in either if
    /// the decoder does not know.
    pub par: [u32; 2],
    /// Bits of [`scan`].
    pub scan: u32,
    /// Light that the picture was made for.
    pub light: Light,
}

impl PictureRecord {
    /// A picture that is seen whole; of its colour, shape and light nothing is
    /// known.
    pub fn new(
        format: PixelFormat,
        (width, height): (u32, u32),
        offset: [u32; MAX_PLANES],
        stride: [u32; MAX_PLANES],
    ) -> Self {
        Self {
            format: format.code(),
            width,
            height,
            crop: Rect {
                x: 0,
                y: 0,
                width,
                height,
            },
            offset,
            stride,
            ..Self::zeroed()
        }
    }
}

/// Bits of [`PictureRecord::scan`]; none: a progressive picture.
pub mod scan {
    /// The rows of two fields in turn.
    pub const INTERLACED: u32 = 1;
    /// The field of the upper row is earlier.
    pub const TOP_FIELD_FIRST: u32 = 1 << 1;
    /// The first field is shown once more after the second.
    pub const REPEAT_FIRST_FIELD: u32 = 1 << 2;
    /// Only one of the fields was coded.
    pub const ONE_FIELD: u32 = 1 << 3;
    /// The stream may have interlaced pictures, this one is progressive.
    pub const MIXED: u32 = 1 << 4;
}

/// Static HDR metadata in the units of H.265, D.2.28 and D.2.35; all zero where
/// the decoder has none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Light {
    /// Of the mastering display: x and y of red, green, blue and white, in
    /// 0.00002.
    pub primaries: [[u16; 2]; 4],
    /// Of the mastering display, in 0.0001 cd/m²; 0: no mastering display is told.
    pub max_luminance: u32,
    /// Of the mastering display, in 0.0001 cd/m².
    pub min_luminance: u32,
    /// MaxCLL in cd/m², or 0.
    pub max_content: u16,
    /// MaxFALL in cd/m², or 0.
    pub max_average: u16,
}

/// A rectangle of pixels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// Colour description as code points of ITU-T H.273; 0 in any field says that
/// the decoder does not know and the container or the caps decide.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Colour {
    /// ColourPrimaries; 2 is "unspecified" too.
    pub primaries: u8,
    /// TransferCharacteristics; 2 is "unspecified" too.
    pub transfer: u8,
    /// MatrixCoefficients plus one, because 0 is RGB there.
    pub matrix_plus_1: u8,
    /// 1 limited, 2 full.
    pub range: u8,
}

/// A description that was checked against the slot it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The sample format.
    pub format: PixelFormat,
    /// The visible part, in pixels of the decoded picture. Its origin is on a
    /// chroma sample.
    pub crop: Rect,
    /// Where the visible part of each plane starts, in bytes.
    pub offset: [u32; MAX_PLANES],
    /// From row to row of each plane, in bytes.
    pub stride: [u32; MAX_PLANES],
    /// Decoded size, of which `crop` is the visible part.
    pub coded: (u32, u32),
    /// How to show it.
    pub colour: Colour,
    /// ChromaSampleLocType (H.273) plus one, or 0.
    pub chroma_site: u32,
    /// Width of a pixel in terms of its height, if the decoder knows.
    pub par: Option<(u32, u32)>,
    /// Bits of [`scan`].
    pub scan: u32,
    /// Light that the picture was made for.
    pub light: Light,
}

impl Picture {
    /// Bytes of the decoded picture, of which the visible part may be less.
    pub fn coded_bytes(&self) -> u64 {
        let (width, height) = self.coded;
        let plane = |plane: usize| {
            let (_, rows) = self.format.plane_size(plane, width, height);
            u64::from(self.stride[plane]) * u64::from(rows)
        };
        (0..self.format.planes().len()).map(plane).sum()
    }

    /// The decoded picture without a crop, if all of it lies in a slot of `slot_size`
    /// bytes and not just the visible part.
    pub fn uncropped(&self, slot_size: u64) -> Option<Self> {
        let (width, height) = self.coded;
        let mut offset = self.offset;
        for (plane, shape) in self.format.planes().iter().enumerate() {
            let stride = u64::from(self.stride[plane]);
            let inset = u64::from(self.crop.y >> shape.shift_y) * stride
                + u64::from(self.crop.x >> shape.shift_x) * u64::from(shape.bytes);
            let start = u64::from(offset[plane]).checked_sub(inset)?;
            let (_, rows) = self.format.plane_size(plane, width, height);
            let row = u64::from(self.format.row_bytes(plane, width));
            if start + u64::from(rows - 1) * stride + row > slot_size {
                return None;
            }
            offset[plane] = start as u32;
        }
        let crop = Rect {
            x: 0,
            y: 0,
            width,
            height,
        };
        Some(Self {
            crop,
            offset,
            ..*self
        })
    }
}

/// What is wrong with a [`PictureRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPicture {
    /// Unknown format number.
    Format(u32),
    /// Zero or beyond [`MAX_DIMENSION`].
    Dimensions(u32, u32),
    /// The visible part is empty or reaches beyond the picture.
    Crop(Rect),
    /// This plane's rows overlap or reach beyond the slot.
    Plane(usize),
}

impl core::fmt::Display for BadPicture {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Format(code) => write!(f, "unknown pixel format {code}"),
            Self::Dimensions(width, height) => write!(f, "impossible size {width}x{height}"),
            Self::Crop(rect) => write!(f, "visible part {rect:?} is outside the picture"),
            Self::Plane(plane) => write!(f, "plane {plane} is outside its slot"),
        }
    }
}

impl core::error::Error for BadPicture {}

impl PictureRecord {
    /// Checks the description against a slot of `slot_size` bytes: every visible
    /// sample of every plane lies inside it.
    pub fn validate(&self, slot_size: u64) -> Result<Picture, BadPicture> {
        let format = PixelFormat::from_code(self.format).ok_or(BadPicture::Format(self.format))?;
        let dimension = 1..=MAX_DIMENSION;
        if !dimension.contains(&self.width) || !dimension.contains(&self.height) {
            return Err(BadPicture::Dimensions(self.width, self.height));
        }
        let crop = self.crop;
        let inside = |start: u32, length: u32, whole: u32| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= whole)
        };
        let on_chroma = format.planes().iter().all(|plane| {
            crop.x.is_multiple_of(1 << plane.shift_x) && crop.y.is_multiple_of(1 << plane.shift_y)
        });
        if !inside(crop.x, crop.width, self.width)
            || !inside(crop.y, crop.height, self.height)
            || !on_chroma
        {
            return Err(BadPicture::Crop(crop));
        }
        let mut offset = [0; MAX_PLANES];
        for (plane, start) in offset.iter_mut().enumerate().take(format.planes().len()) {
            *start = self
                .visible_start(format, plane, slot_size)
                .ok_or(BadPicture::Plane(plane))?;
        }
        Ok(Picture {
            format,
            crop,
            offset,
            stride: self.stride,
            coded: (self.width, self.height),
            colour: self.colour,
            chroma_site: self.chroma_site,
            par: (!self.par.contains(&0)).then_some((self.par[0], self.par[1])),
            scan: self.scan,
            light: self.light,
        })
    }

    fn visible_start(&self, format: PixelFormat, plane: usize, slot_size: u64) -> Option<u32> {
        let shape = format.planes()[plane];
        let stride = u64::from(self.stride[plane]);
        let (_, rows) = format.plane_size(plane, self.crop.width, self.crop.height);
        let start = u64::from(self.offset[plane])
            + u64::from(self.crop.y >> shape.shift_y) * stride
            + u64::from(self.crop.x >> shape.shift_x) * u64::from(shape.bytes);
        let row = u64::from(format.row_bytes(plane, self.crop.width));
        let end = start + u64::from(rows - 1) * stride + row;
        if stride < u64::from(format.row_bytes(plane, self.width)) || end > slot_size {
            return None;
        }
        start.try_into().ok()
    }
}

/// Places the planes of a picture one after the other, and says how many bytes
/// they take: strides are multiples of `align` bytes, a power of two.
pub fn arrange(
    format: PixelFormat,
    width: u32,
    height: u32,
    align: u32,
) -> ([u32; MAX_PLANES], [u32; MAX_PLANES], u32) {
    let (mut offset, mut stride, mut end) = ([0; MAX_PLANES], [0; MAX_PLANES], 0);
    for plane in 0..format.planes().len() {
        let (_, rows) = format.plane_size(plane, width, height);
        offset[plane] = end;
        stride[plane] = format.row_bytes(plane, width).next_multiple_of(align);
        end += stride[plane] * rows;
    }
    (offset, stride, end)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(format: PixelFormat, width: u32, height: u32) -> (PictureRecord, u64) {
        let (offset, stride, size) = arrange(format, width, height, 16);
        let record = PictureRecord::new(format, (width, height), offset, stride);
        (record, size.into())
    }

    #[test]
    fn formats_know_their_shape() {
        assert_eq!(
            PixelFormat::planar(false, 1, 1, 10),
            Some(PixelFormat::I420P10)
        );
        assert_eq!(
            PixelFormat::planar(true, 1, 1, 12),
            Some(PixelFormat::Gray12)
        );
        assert_eq!(PixelFormat::planar(false, 0, 1, 8), None);
        assert_eq!(PixelFormat::I422.plane_size(1, 7, 5), (4, 5));
        assert_eq!(PixelFormat::Gray10.planes(), [plane(0, 0, 2)]);
        assert_eq!(PixelFormat::Nv12.row_bytes(1, 7), 8);
        assert_eq!(PixelFormat::Yuy2.row_bytes(0, 7), 16);
        assert_eq!(PixelFormat::Gbra8.planes().len(), MAX_PLANES);
    }

    #[test]
    fn an_honest_picture_passes_and_a_smaller_slot_fails() {
        for format in (0..100).filter_map(PixelFormat::from_code) {
            let (record, size) = record(format, 33, 17);
            assert!(record.validate(size).is_ok(), "{format:?}");
            let slack = 16;
            assert!(record.validate(size - slack).is_err(), "{format:?}");
        }
    }

    #[test]
    fn cropping_moves_the_planes() {
        let (mut record, size) = record(PixelFormat::I420, 64, 64);
        record.crop = Rect {
            x: 8,
            y: 4,
            width: 32,
            height: 16,
        };
        let picture = record.validate(size).unwrap();
        assert_eq!(picture.offset[0], 4 * 64 + 8);
        assert_eq!(picture.offset[1], 64 * 64 + 2 * 32 + 4);
        let whole = picture.uncropped(size).expect("it lies in the slot");
        assert_eq!(whole.offset, record.offset);
        assert_eq!((whole.crop.width, whole.crop.height), (64, 64));
        assert!(picture.uncropped(size - 1).is_none());
        record.crop.x = 7;
        assert!(matches!(record.validate(size), Err(BadPicture::Crop(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 16 } else { 2000 }))]

        /// Whatever a guest writes, an accepted picture never leaves its slot.
        #[test]
        fn accepted_pictures_stay_inside(
            words in prop::collection::vec(prop_oneof![0u32..64, any::<u32>()], 15),
            format in 0u32..40,
            slot_size in prop_oneof![0u64..20_000, any::<u64>()],
        ) {
            let mut record = PictureRecord::zeroed();
            record.format = format;
            (record.width, record.height) = (words[0], words[1]);
            record.crop = Rect { x: words[2], y: words[3], width: words[4], height: words[5] };
            record.offset.copy_from_slice(&words[6..10]);
            record.stride.copy_from_slice(&words[10..14]);
            if let Ok(picture) = record.validate(slot_size) {
                for plane in 0..picture.format.planes().len() {
                    let (_, rows) = picture.format
                        .plane_size(plane, picture.crop.width, picture.crop.height);
                    let end = u128::from(picture.offset[plane])
                        + u128::from(rows - 1) * u128::from(picture.stride[plane])
                        + u128::from(picture.format.row_bytes(plane, picture.crop.width));
                    prop_assert!(end <= u128::from(slot_size));
                }
                if let Some(whole) = picture.uncropped(slot_size) {
                    prop_assert_eq!(whole.offset[0], record.offset[0]);
                    record.crop = whole.crop;
                    prop_assert_eq!(record.validate(slot_size), Ok(whole));
                }
            }
        }
    }
}
