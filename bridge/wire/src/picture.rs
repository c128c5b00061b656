//! What a decoded picture looks like: format, planes, visible part, colour.

use crate::codes::wire_enum;
use bytemuck::{Pod, Zeroable};

/// Largest width or height of a picture, in pixels.
pub const MAX_DIMENSION: u32 = 16384;
/// Most planes a picture has.
pub const MAX_PLANES: usize = 4;

wire_enum! {
    /// Sample formats. All are planar; samples deeper than 8 bits are 16-bit
    /// little-endian words with the value in the low bits.
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

    /// Number of planes.
    pub fn planes(self) -> usize {
        if (self.code() - 1).is_multiple_of(4) {
            1
        } else {
            3
        }
    }

    /// Significant bits of a sample.
    pub fn depth(self) -> u32 {
        8 + 2 * ((self.code() - 1) / 4)
    }

    /// Bytes of a sample.
    pub fn sample_bytes(self) -> u32 {
        if self.depth() > 8 { 2 } else { 1 }
    }

    /// By which powers of two `plane` is narrower and shorter than the picture.
    pub fn shifts(self, plane: usize) -> (u32, u32) {
        match (plane, (self.code() - 1) % 4) {
            (0, _) => (0, 0),
            (_, 1) => (1, 1),
            (_, 2) => (1, 0),
            _ => (0, 0),
        }
    }

    /// Width in samples and height in rows of `plane` of a picture of that size.
    pub fn plane_size(self, plane: usize, width: u32, height: u32) -> (u32, u32) {
        let (x, y) = self.shifts(plane);
        (width.div_ceil(1 << x), height.div_ceil(1 << y))
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
    /// How to show it.
    pub colour: Colour,
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
        let on_chroma = (0..format.planes()).all(|plane| {
            let (x, y) = format.shifts(plane);
            crop.x.is_multiple_of(1 << x) && crop.y.is_multiple_of(1 << y)
        });
        if !inside(crop.x, crop.width, self.width)
            || !inside(crop.y, crop.height, self.height)
            || !on_chroma
        {
            return Err(BadPicture::Crop(crop));
        }
        let mut offset = [0; MAX_PLANES];
        for (plane, start) in offset.iter_mut().enumerate().take(format.planes()) {
            *start = self
                .visible_start(format, plane, slot_size)
                .ok_or(BadPicture::Plane(plane))?;
        }
        Ok(Picture {
            format,
            crop,
            offset,
            stride: self.stride,
            colour: self.colour,
        })
    }

    fn visible_start(&self, format: PixelFormat, plane: usize, slot_size: u64) -> Option<u32> {
        let bytes = u64::from(format.sample_bytes());
        let stride = u64::from(self.stride[plane]);
        let (columns, rows) = format.plane_size(plane, self.crop.width, self.crop.height);
        let (full_columns, _) = format.plane_size(plane, self.width, self.height);
        let (shift_x, shift_y) = format.shifts(plane);
        let start = u64::from(self.offset[plane])
            + u64::from(self.crop.y >> shift_y) * stride
            + u64::from(self.crop.x >> shift_x) * bytes;
        let end = start + u64::from(rows - 1) * stride + u64::from(columns) * bytes;
        if stride < u64::from(full_columns) * bytes || end > slot_size {
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
    for plane in 0..format.planes() {
        let (columns, rows) = format.plane_size(plane, width, height);
        offset[plane] = end;
        stride[plane] = (columns * format.sample_bytes()).next_multiple_of(align);
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
        let crop = Rect {
            x: 0,
            y: 0,
            width,
            height,
        };
        let colour = Colour::default();
        let format = format.code();
        let record = PictureRecord {
            format,
            width,
            height,
            crop,
            offset,
            stride,
            colour,
        };
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
        assert_eq!(PixelFormat::I444P12.depth(), 12);
        assert_eq!(PixelFormat::Gray10.planes(), 1);
    }

    #[test]
    fn an_honest_picture_passes_and_a_smaller_slot_fails() {
        for code in 1..=12 {
            let format = PixelFormat::from_code(code).unwrap();
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
        record.crop.x = 7;
        assert!(matches!(record.validate(size), Err(BadPicture::Crop(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 16 } else { 2000 }))]

        /// Whatever a guest writes, an accepted picture never leaves its slot.
        #[test]
        fn accepted_pictures_stay_inside(
            words in prop::collection::vec(prop_oneof![0u32..64, any::<u32>()], 15),
            format in 0u32..14,
            slot_size in prop_oneof![0u64..20_000, any::<u64>()],
        ) {
            let mut record = PictureRecord::zeroed();
            record.format = format;
            (record.width, record.height) = (words[0], words[1]);
            record.crop = Rect { x: words[2], y: words[3], width: words[4], height: words[5] };
            record.offset.copy_from_slice(&words[6..10]);
            record.stride.copy_from_slice(&words[10..14]);
            if let Ok(picture) = record.validate(slot_size) {
                for plane in 0..picture.format.planes() {
                    let (columns, rows) = picture.format
                        .plane_size(plane, picture.crop.width, picture.crop.height);
                    let end = u128::from(picture.offset[plane])
                        + u128::from(rows - 1) * u128::from(picture.stride[plane])
                        + u128::from(columns * picture.format.sample_bytes());
                    prop_assert!(end <= u128::from(slot_size));
                }
            }
        }
    }
}
