//! What the pictures of a sequence look like.

use super::api::{self, Sequence, picture_flags, sequence_flags};
use crate::decoder::copy::place;
use iotdec_wire::picture::{Colour, PictureRecord, PixelFormat, Rect, scan};

/// Of all pictures of a sequence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Geometry {
    /// Where the planes lie, and what the sequence header says of them. Chroma rows
    /// are half as long as luma rows, or as long in 4:4:4: libmpeg2 takes that for
    /// granted.
    record: Option<PictureRecord>,
    /// Bytes of a picture.
    pub size: u32,
    /// Rows of macroblocks in a frame.
    pub rows: u32,
    /// Not MPEG-1.
    pub is_mpeg2: bool,
    /// Every frame is one.
    is_progressive: bool,
    /// There are no B pictures.
    pub is_low_delay: bool,
}

impl Geometry {
    /// Reads libmpeg2's description.
    pub fn of(sequence: &Sequence) -> Self {
        let has = |flag| sequence.flags & flag != 0;
        let (width, height) = (sequence.width, sequence.height);
        let narrow = u32::from(sequence.chroma_width < width);
        let low = u32::from(sequence.chroma_height < height);
        let format = PixelFormat::planar(false, narrow, low, 8).unwrap_or(PixelFormat::I420);
        let (offset, stride, size) = place(format, width, height);
        let is_mpeg2 = has(sequence_flags::MPEG2);
        let colour = match has(sequence_flags::COLOUR_DESCRIPTION) {
            true => Colour {
                primaries: sequence.colour_primaries,
                transfer: sequence.transfer_characteristics,
                matrix_plus_1: sequence.matrix_coefficients.saturating_add(1),
                range: 1,
            },
            false => Colour::default(),
        };
        let record = PictureRecord {
            crop: Rect {
                x: 0,
                y: 0,
                width: sequence.picture_width,
                height: sequence.picture_height,
            },
            colour,
            // ISO 13818-2, figure 6-1: beside the left luma sample; in MPEG-1 between
            // four (ISO 11172-2, figure 2-D.3).
            chroma_site: match (format, is_mpeg2) {
                (PixelFormat::I420, true) => 1,
                (PixelFormat::I420, false) => 2,
                _ => 0,
            },
            par: [sequence.pixel_width, sequence.pixel_height],
            ..PictureRecord::new(format, (width, height), offset, stride)
        };
        Self {
            record: Some(record),
            size,
            rows: height / 16,
            is_mpeg2,
            is_progressive: has(sequence_flags::PROGRESSIVE),
            is_low_delay: has(sequence_flags::LOW_DELAY),
        }
    }

    /// From luma row to luma row, in bytes; 0 before there is a sequence.
    pub fn stride(&self) -> u32 {
        self.record.map_or(0, |record| record.stride[0])
    }

    /// Where each plane starts in the memory at `start`.
    pub fn planes(&self, start: *mut u8) -> [*mut u8; 3] {
        let offset = self.record.map_or([0; 4], |record| record.offset);
        [0, 1, 2].map(|plane| start.wrapping_add(offset[plane] as usize))
    }

    /// The description of one picture.
    pub fn picture(&self, picture: &api::Picture) -> Option<PictureRecord> {
        let has = |flag| picture.flags & flag != 0;
        let mut bits = 0;
        if !self.is_progressive {
            bits |= match has(picture_flags::PROGRESSIVE_FRAME) {
                true => scan::MIXED,
                false => scan::INTERLACED,
            };
            if has(picture_flags::TOP_FIELD_FIRST) {
                bits |= scan::TOP_FIELD_FIRST;
            }
            if has(picture_flags::REPEAT_FIRST_FIELD) {
                bits |= scan::REPEAT_FIRST_FIELD;
            }
        }
        self.record.map(|record| PictureRecord {
            scan: bits,
            ..record
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: Sequence = Sequence {
        width: 720,
        height: 576,
        chroma_width: 360,
        chroma_height: 288,
        byte_rate: 0,
        vbv_buffer_size: 0,
        flags: sequence_flags::MPEG2,
        picture_width: 714,
        picture_height: 570,
        display_width: 540,
        display_height: 576,
        pixel_width: 16,
        pixel_height: 15,
        frame_period: 1_080_000,
        profile_level_id: 0x48,
        colour_primaries: 5,
        transfer_characteristics: 5,
        matrix_coefficients: 5,
    };

    #[test]
    fn pictures_are_described_as_the_sequence_says() {
        let geometry = Geometry::of(&SEQUENCE);
        let interlaced = api::Picture {
            flags: picture_flags::TOP_FIELD_FIRST,
            ..Default::default()
        };
        let record = geometry.picture(&interlaced).unwrap();
        assert!(record.validate(geometry.size.into()).is_ok());
        assert_eq!((record.width, record.height), (720, 576));
        assert_eq!((record.crop.width, record.crop.height), (714, 570));
        assert_eq!(record.par, [16, 15]);
        assert_eq!(record.scan, scan::INTERLACED | scan::TOP_FIELD_FIRST);
        assert_eq!(record.colour, Colour::default(), "no description");
        assert_eq!(record.chroma_site, 1);
        assert_eq!(record.stride[1], record.stride[0] / 2);
        let described = Sequence {
            flags: SEQUENCE.flags | sequence_flags::COLOUR_DESCRIPTION,
            ..SEQUENCE
        };
        let film = api::Picture {
            flags: picture_flags::PROGRESSIVE_FRAME | picture_flags::REPEAT_FIRST_FIELD,
            ..Default::default()
        };
        let record = Geometry::of(&described).picture(&film).unwrap();
        assert_eq!(record.scan, scan::MIXED | scan::REPEAT_FIRST_FIELD);
        assert_eq!((record.colour.matrix_plus_1, record.colour.range), (6, 1));
    }

    #[test]
    fn chroma_formats_are_told_by_their_size() {
        let format = |chroma_width, chroma_height| {
            let sequence = Sequence {
                chroma_width,
                chroma_height,
                ..SEQUENCE
            };
            let record = Geometry::of(&sequence).picture(&Default::default());
            PixelFormat::from_code(record.unwrap().format)
        };
        assert_eq!(format(360, 288), Some(PixelFormat::I420));
        assert_eq!(format(360, 576), Some(PixelFormat::I422));
        assert_eq!(format(720, 576), Some(PixelFormat::I444));
    }
}
