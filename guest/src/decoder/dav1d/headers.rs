//! What a packet holds, as far as its headers say without decoding: AV1 bitstream
//! specification, 5.3 (OBUs), 5.9.2 (frame headers).

use super::api::{Api, SequenceHeader};
use std::mem::MaybeUninit;

/// `obu_type`.
mod kind {
    pub const SEQUENCE_HEADER: u8 = 1;
    pub const FRAME_HEADER: u8 = 3;
    pub const FRAME: u8 = 6;
}

/// An open bitstream unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Obu<'a> {
    kind: u8,
    temporal_layer: u8,
    spatial_layer: u8,
    payload: &'a [u8],
}

/// Cuts a packet of OBUs with sizes into its OBUs; ends where it makes no sense.
fn obus(mut rest: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    std::iter::from_fn(move || {
        let (&header, mut after) = rest.split_first()?;
        let mut layers = 0;
        if header & 4 != 0 {
            (layers, after) = after.split_first().map(|(byte, after)| (*byte, after))?;
        }
        let size = match header & 2 != 0 {
            true => leb128(&mut after)?,
            false => after.len(),
        };
        let (payload, next) = after.split_at_checked(size)?;
        rest = next;
        Some(Obu {
            kind: header >> 3 & 15,
            temporal_layer: layers >> 5,
            spatial_layer: layers >> 3 & 3,
            payload,
        })
    })
}

fn leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for at in 0..8 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return value.try_into().ok();
        }
    }
    None
}

/// Reads bits, the highest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u32::from(bit))
        })
    }

    fn flag(&mut self) -> Option<bool> {
        self.read(1).map(|bit| bit == 1)
    }
}

/// Follows the headers of a stream.
#[derive(Debug, Default)]
pub struct Headers {
    sequence: Option<SequenceHeader>,
    /// Sequence header OBU from beside the packets, due before the next of them.
    beside: Vec<u8>,
    /// `beside` was not given to the decoder since it last forgot.
    due: bool,
}

impl Headers {
    /// Takes what containers keep apart: an AV1CodecConfigurationRecord, four bytes
    /// and then OBUs (AV1 in ISO base media files, 2.3).
    pub fn begin(&mut self, codec_data: &[u8]) {
        const MARKER_AND_VERSION: u8 = 0x81;
        self.beside = match codec_data {
            [MARKER_AND_VERSION, _, _, _, obus @ ..] => obus.to_vec(),
            _ => Vec::new(),
        };
        self.forget();
    }

    /// The decoder knows no sequence header any more.
    pub fn forget(&mut self) {
        self.due = !self.beside.is_empty();
    }

    /// What the decoder has to get before this packet, if the packet lacks it.
    pub fn missing(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let is_due = std::mem::take(&mut self.due);
        let has_own = || obus(packet).any(|obu| obu.kind == kind::SEQUENCE_HEADER);
        (is_due && !has_own()).then(|| self.beside.clone())
    }

    /// Looks at a packet that is going to be decoded or skipped.
    pub fn read(&mut self, api: &Api, packet: &[u8]) -> Contents {
        if obus(packet).any(|obu| obu.kind == kind::SEQUENCE_HEADER) {
            let mut header = MaybeUninit::uninit();
            // SAFETY: reads `packet` during the call, and fills the header if it
            // returns 0.
            self.sequence = unsafe {
                let parsed = (api.dav1d_parse_sequence_header)(
                    header.as_mut_ptr(),
                    packet.as_ptr(),
                    packet.len(),
                );
                (parsed == 0).then(|| header.assume_init())
            };
        }
        let mut contents = Contents::default();
        for obu in obus(packet) {
            if matches!(obu.kind, kind::FRAME_HEADER | kind::FRAME) {
                contents.frames += 1;
                let sequence = self.sequence.as_ref();
                let frame = sequence.and_then(|sequence| FrameStart::read(sequence, &obu));
                contents.shown |= frame.is_none_or(|frame| frame.shown);
                contents.referred |= frame.is_none_or(|frame| frame.referred);
            }
        }
        contents
    }
}

/// What is in a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Frame headers.
    pub frames: u32,
    /// A frame is shown, or might be.
    pub shown: bool,
    /// A later frame may refer to one of these, or it is not known.
    pub referred: bool,
}

/// The first fields of a frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FrameStart {
    shown: bool,
    referred: bool,
}

impl FrameStart {
    /// `uncompressed_header()` as far as `refresh_frame_flags`; `None` if it is cut
    /// short.
    fn read(sequence: &SequenceHeader, obu: &Obu<'_>) -> Option<Self> {
        const KEY: u32 = 0;
        const INTRA_ONLY: u32 = 2;
        const SWITCH: u32 = 3;
        /// `SELECT_SCREEN_CONTENT_TOOLS`, `SELECT_INTEGER_MV`.
        const SELECT: i32 = 2;
        let mut bits = Bits {
            bytes: obu.payload,
            at: 0,
        };
        let kept = Self {
            shown: true,
            referred: true,
        };
        if sequence.reduced_still_picture_header != 0 || bits.flag()? {
            // A still picture, or one that was decoded earlier. The latter costs
            // nothing, and if it is a key frame it replaces all references.
            return Some(kept);
        }
        let frame_type = bits.read(2)?;
        let shown = bits.flag()?;
        let has_model = sequence.decoder_model_info_present != 0;
        if shown && has_model && sequence.equal_picture_interval == 0 {
            bits.read(sequence.frame_presentation_delay_length as usize)?;
        }
        if !shown {
            bits.flag()?;
        }
        let resilient = frame_type == SWITCH || (frame_type == KEY && shown) || bits.flag()?;
        bits.flag()?;
        let screen_content = match sequence.screen_content_tools {
            SELECT => bits.flag()?,
            tools => tools != 0,
        };
        if screen_content && sequence.force_integer_mv == SELECT {
            bits.flag()?;
        }
        if sequence.frame_id_numbers_present != 0 {
            bits.read(sequence.frame_id_bits as usize)?;
        }
        if frame_type != SWITCH {
            bits.flag()?;
        }
        bits.read(sequence.order_hint_bits as usize)?;
        if !matches!(frame_type, KEY | INTRA_ONLY) && !resilient {
            bits.read(3)?;
        }
        if has_model && bits.flag()? {
            let count = sequence.operating_points_count.clamp(0, 32) as usize;
            for point in &sequence.operating_points[..count] {
                let layers = 1 << obu.temporal_layer | 1 << (obu.spatial_layer + 8);
                let concerned = point.idc == 0 || point.idc & layers == layers;
                if point.decoder_model_param_present != 0 && concerned {
                    bits.read(sequence.buffer_removal_delay_length as usize)?;
                }
            }
        }
        if frame_type == SWITCH || (frame_type == KEY && shown) {
            return Some(kept);
        }
        Some(Self {
            shown,
            referred: bits.read(8)? != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With order hints of 7 bits, as libaom writes them.
    fn sequence() -> SequenceHeader {
        // SAFETY: a struct of numbers.
        let mut header: SequenceHeader = unsafe { MaybeUninit::zeroed().assume_init() };
        header.screen_content_tools = 2;
        header.force_integer_mv = 2;
        header.order_hint_bits = 7;
        header
    }

    /// Joins fields of `(value, bits)`.
    fn frame(fields: &[(u32, usize)]) -> Option<FrameStart> {
        let bits = fields
            .iter()
            .flat_map(|(value, count)| (0..*count).rev().map(move |at| (value >> at & 1) as u8));
        let bits: Vec<_> = bits.collect();
        let bytes: Vec<_> = bits
            .chunks(8)
            .map(|chunk| (0..8).fold(0, |byte, at| byte << 1 | chunk.get(at).unwrap_or(&0)))
            .collect();
        let obu = Obu {
            kind: kind::FRAME,
            temporal_layer: 0,
            spatial_layer: 0,
            payload: &bytes,
        };
        FrameStart::read(&sequence(), &obu)
    }

    /// show_existing_frame, frame_type, show_frame, [showable_frame,]
    /// error_resilient_mode, disable_cdf_update, allow_screen_content_tools,
    /// frame_size_override, order_hint, primary_ref_frame, refresh_frame_flags.
    #[test]
    fn a_frame_tells_whether_it_is_shown_and_referred_to() {
        let start = |shown, referred| Some(FrameStart { shown, referred });
        let inter = |refresh| {
            frame(&[
                (0, 1),
                (1, 2),
                (1, 1),
                (0, 1),
                (0, 1),
                (0, 1),
                (0, 1),
                (5, 7),
                (0, 3),
                (refresh, 8),
            ])
        };
        assert_eq!(inter(0), start(true, false));
        assert_eq!(inter(0x40), start(true, true));
        let hidden = frame(&[
            (0, 1),
            (1, 2),
            (0, 1),
            (1, 1),
            (0, 1),
            (0, 1),
            (0, 1),
            (0, 1),
            (5, 7),
            (0, 3),
            (2, 8),
        ]);
        assert_eq!(hidden, start(false, true));
        assert_eq!(frame(&[(1, 1), (3, 3)]), start(true, true), "existing");
        assert_eq!(frame(&[(0, 1), (1, 2)]), None, "cut short");
    }

    #[test]
    fn packets_are_cut_at_sizes() {
        let packet = [0x12, 0, 0x36, 0x28, 2, 7, 8, 0x30, 9];
        let found: Vec<_> = obus(&packet).collect();
        let kinds: Vec<_> = found.iter().map(|obu| obu.kind).collect();
        assert_eq!(kinds, [2, 6, 6]);
        assert_eq!((found[1].temporal_layer, found[1].spatial_layer), (1, 1));
        assert_eq!(found[1].payload, [7, 8]);
        assert_eq!(found[2].payload, [9], "without a size to the end");
        assert_eq!(obus(&[0x12, 5, 1]).count(), 0, "cut short");
    }

    #[test]
    fn headers_from_the_container_are_due_once() {
        let mut headers = Headers::default();
        headers.begin(&[0x81, 0, 12, 0, 0x0a, 1, 42]);
        assert_eq!(headers.missing(&[0x32, 0]), Some(vec![0x0a, 1, 42]));
        assert_eq!(headers.missing(&[0x32, 0]), None);
        headers.forget();
        assert_eq!(headers.missing(&[0x0a, 0]), None, "has its own");
        headers.begin(&[]);
        assert_eq!(headers.missing(&[0x32, 0]), None);
    }
}
