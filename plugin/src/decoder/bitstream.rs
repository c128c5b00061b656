//! The form that packets come in, and the one that decoders get.
//!
//! H.264 and H.265 come as byte streams, or with a length before each NAL unit and
//! the parameter sets apart. Decoders get byte streams only. Start codes take the
//! place of lengths while a packet is copied into the ring, so it costs no copy of
//! its own.

use super::imp::ForeignDecoder;
use crate::CAT;
use gst::subclass::prelude::*;
use gst_video::video_codec_state::{Readable, VideoCodecState};
use iotdec_nal::config::Configuration;
use iotdec_nal::{Codec, ParameterSets, START_CODE, annexb, lengths};
use std::ops::Range;

/// Bytes of a length where no codec_data tells: GStreamer's parsers give none with
/// single NAL units, and write lengths of this size.
const USUAL_LENGTH: usize = 4;

/// How NAL units are told from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    StartCodes,
    /// A length of so many bytes precedes each.
    Lengths(usize),
}

/// Packets of one format.
#[derive(Debug, Default)]
pub(super) struct Bitstream {
    /// `None` for formats whose packets go on as they are.
    nal: Option<NalStream>,
}

#[derive(Debug)]
struct NalStream {
    codec: Codec,
    framing: Framing,
    /// Packets are single NAL units, not access units.
    single: bool,
    sets: ParameterSets,
    /// The worker has not seen the parameter sets.
    due: bool,
}

impl Bitstream {
    /// What caps tell. The error is for people.
    pub(super) fn of_caps(caps: &gst::CapsRef) -> Result<Self, String> {
        let structure = caps.structure(0).ok_or("caps without a format")?;
        let codec = match structure.name().as_str() {
            "video/x-h264" => Codec::H264,
            "video/x-h265" => Codec::H265,
            _ => return Ok(Self::default()),
        };
        let mut sets = ParameterSets::new(codec);
        let mut framing = Framing::StartCodes;
        let format = structure
            .get::<&str>("stream-format")
            .unwrap_or("byte-stream");
        if format != "byte-stream" {
            framing = Framing::Lengths(USUAL_LENGTH);
        }
        let record = structure.get::<gst::Buffer>("codec_data");
        if let (Ok(record), Framing::Lengths(size)) = (record, &mut framing) {
            let record = record.map_readable().map_err(|error| error.to_string())?;
            let configuration = Configuration::parse(codec, &record)
                .map_err(|_| format!("codec_data of the {format} stream is malformed"))?;
            *size = configuration.length_size;
            for nal in configuration.nal_units {
                sets.note(nal);
            }
        }
        let single = structure.get::<&str>("alignment") == Ok("nal");
        Ok(Self {
            nal: Some(NalStream {
                codec,
                framing,
                single,
                due: framing != Framing::StartCodes,
                sets,
            }),
        })
    }

    /// How to join packets to access units, if they are not: the codec, how NAL
    /// units are told from each other, and the parameter sets known beforehand.
    pub(super) fn to_be_joined(&self) -> Option<(Codec, Framing, &ParameterSets)> {
        let nal = self.nal.as_ref().filter(|nal| nal.single)?;
        Some((nal.codec, nal.framing, &nal.sets))
    }

    /// Whether the worker gets the container's `codec_data`; that of NAL streams
    /// belongs to a form in which it does not get them.
    pub(super) fn passes_codec_data(&self) -> bool {
        self.nal.is_none()
    }

    /// Whether a packet can end within a NAL unit.
    pub(super) fn has_lengths(&self) -> bool {
        let framing = self.nal.as_ref().map(|nal| nal.framing);
        matches!(framing, Some(Framing::Lengths(_)))
    }

    /// Whether a packet can be taken apart to its end.
    pub(super) fn is_whole(&self, packet: &[u8]) -> bool {
        let Some(nal) = &self.nal else { return true };
        match nal.framing {
            Framing::StartCodes => true,
            Framing::Lengths(size) => lengths::nal_units(packet, size).all(|nal| nal.is_ok()),
        }
    }

    /// The worker is another one, and knows nothing.
    pub(super) fn worker_is_new(&mut self) {
        if let Some(nal) = &mut self.nal {
            nal.due = true;
        }
    }

    /// Remembers what later packets need.
    pub(super) fn note(&mut self, packet: &[u8]) {
        if let Some(nal) = &mut self.nal {
            for unit in nal.framing.nal_units(packet) {
                nal.sets.note(unit);
            }
        }
    }

    /// A packet in pieces, as the decoder gets it: a byte stream, after the parameter
    /// sets if they are due.
    pub(super) fn parts<'a>(&'a self, packet: &'a [u8]) -> Vec<&'a [u8]> {
        let Some(nal) = &self.nal else {
            return vec![packet];
        };
        let due = nal.sets.iter().filter(|_| nal.due);
        let mut parts: Vec<_> = due.flat_map(|nal| [START_CODE, nal]).collect();
        match nal.framing {
            Framing::StartCodes => parts.push(packet),
            Framing::Lengths(_) => {
                let units = nal.framing.nal_units(packet);
                parts.extend(units.flat_map(|nal| [START_CODE, nal]));
            }
        }
        parts
    }

    /// The parts went to the worker.
    pub(super) fn sent(&mut self) {
        if let Some(nal) = &mut self.nal {
            nal.due = false;
        }
    }
}

impl ForeignDecoder {
    /// The form of packets with these caps, or an error that says what is wrong with
    /// them.
    pub(super) fn bitstream_of(
        &self,
        state: &VideoCodecState<'static, Readable>,
    ) -> Result<Bitstream, gst::LoggableError> {
        let caps = state.caps().ok_or(gst::loggable_error!(CAT, "No caps"))?;
        Bitstream::of_caps(caps).map_err(|problem| {
            gst::element_imp_error!(self, gst::StreamError::Format, ("{problem}"), ["{caps}"]);
            gst::loggable_error!(CAT, "{problem}")
        })
    }
}

impl Framing {
    /// The NAL units of a packet, as far as it is whole.
    fn nal_units(self, packet: &[u8]) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        match self {
            Self::StartCodes => Box::new(annexb::nal_units(packet)),
            Self::Lengths(size) => Box::new(lengths::nal_units(packet, size).flatten()),
        }
    }

    /// The NAL units of a packet, each with its place and that of what precedes it.
    pub(super) fn places(self, packet: &[u8]) -> impl Iterator<Item = (Range<usize>, &[u8])> {
        self.nal_units(packet).map(move |nal| {
            let start = nal.as_ptr().addr() - packet.as_ptr().addr();
            let before = match self {
                // The longer start code has one more zero.
                Self::StartCodes if start > 3 && packet[start - 4] == 0 => 4,
                Self::StartCodes => 3,
                Self::Lengths(size) => size,
            };
            (start - before..start + nal.len(), nal)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[0x67, 1, 2, 3];
    const PPS: &[u8] = &[0x68, 4];
    const SLICE: &[u8] = &[0x65, 9, 9];

    fn bitstream(format: &str, codec_data: Option<&[u8]>) -> Result<Bitstream, String> {
        gst::init().unwrap();
        let mut caps = gst::Caps::builder("video/x-h264")
            .field("stream-format", format)
            .field("alignment", "au");
        if let Some(data) = codec_data {
            caps = caps.field("codec_data", gst::Buffer::from_slice(data.to_vec()));
        }
        Bitstream::of_caps(&caps.build())
    }

    /// An avcC of SPS and PPS, with lengths of so many bytes.
    fn record(length_size: u8) -> Vec<u8> {
        let head = [1, 0x42, 0, 30, 0xfc | (length_size - 1), 0xe1, 0, 4];
        [&head[..], SPS, &[1, 0, 2], PPS].concat()
    }

    fn with_start_codes(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter()
            .flat_map(|nal| [START_CODE, nal].concat())
            .collect()
    }

    #[test]
    fn start_codes_replace_lengths_of_every_size() {
        for size in 1..=4u8 {
            let mut stream = bitstream("avc", Some(&record(size))).unwrap();
            let length = |nal: &[u8]| [0, 0, 0, nal.len() as u8][4 - usize::from(size)..].to_vec();
            let packet = [&length(SLICE)[..], SLICE, &length(PPS), PPS].concat();
            assert!(stream.is_whole(&packet));
            let first = stream.parts(&packet).concat();
            assert_eq!(first, with_start_codes(&[SPS, PPS, SLICE, PPS]));
            stream.sent();
            let second = stream.parts(&packet).concat();
            assert_eq!(second, with_start_codes(&[SLICE, PPS]));
        }
    }

    #[test]
    fn a_new_worker_gets_the_parameter_sets_that_came_last() {
        let mut stream = bitstream("byte-stream", None).unwrap();
        let packet = with_start_codes(&[SPS, PPS, SLICE]);
        stream.note(&packet);
        assert_eq!(stream.parts(&packet), [&packet], "it has them itself");
        stream.note(&with_start_codes(&[&[0x67, 7], SLICE]));
        stream.worker_is_new();
        let slice = with_start_codes(&[SLICE]);
        let expected = with_start_codes(&[SPS, &[0x67, 7], PPS, SLICE]);
        assert_eq!(stream.parts(&slice).concat(), expected);
        stream.sent();
        assert_eq!(stream.parts(&slice), [&slice]);
    }

    #[test]
    fn of_a_packet_with_a_broken_length_the_beginning_is_kept() {
        let mut stream = bitstream("avc", Some(&record(1))).unwrap();
        stream.sent();
        let packet = [&[3], SLICE, &[9, 1]].concat();
        assert!(!stream.is_whole(&packet));
        assert_eq!(stream.parts(&packet).concat(), with_start_codes(&[SLICE]));
        assert!(stream.parts(&[200, 1]).is_empty());
    }

    #[test]
    fn caps_that_say_too_little_are_refused() {
        let refused = bitstream("avc", Some(&record(4)[..9])).unwrap_err();
        assert!(refused.contains("malformed"));
        let stream = bitstream("avc", None).unwrap();
        let packet = [&[0, 0, 0, 3], SLICE].concat();
        assert_eq!(stream.parts(&packet).concat(), with_start_codes(&[SLICE]));
        let other = gst::Caps::new_empty_simple("video/x-vp8");
        let stream = Bitstream::of_caps(&other).unwrap();
        assert_eq!(stream.parts(&[1, 2]), [[1, 2]]);
        assert!(stream.passes_codec_data());
    }
}
