//! What a stream is: told to the worker before its first packet, and its latency.

use super::bitstream::Bitstream;
use super::imp::{ForeignDecoder, lock};
use super::timing::frame_duration;
use super::workload::MAX_IN_FLIGHT;
use crate::CAT;
use crate::settings::LowDelay;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::video_codec_state::{Readable, VideoCodecState};
use iotdec_bridge::{StreamHead, stream_flags};

/// The format of a stream as the worker is told.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamSetup {
    pub(super) head: StreamHead,
    pub(super) codec_data: Vec<u8>,
}

impl ForeignDecoder {
    /// What to tell the worker of input of these caps.
    pub(super) fn stream_setup(
        &self,
        state: &VideoCodecState<'static, Readable>,
        bitstream: &Bitstream,
    ) -> StreamSetup {
        let caps = state.caps();
        let structure = caps.and_then(|caps| caps.structure(0));
        let depth = structure.and_then(|s| s.get::<i32>("depth").ok());
        let fourcc = structure.and_then(variant_of);
        let low_delay = match lock(&self.settings).low_delay {
            LowDelay::Auto => self.input_is_live(),
            LowDelay::Off => false,
            LowDelay::On => true,
        };
        let head = StreamHead {
            flags: if low_delay {
                stream_flags::LOW_DELAY
            } else {
                0
            },
            width: state.info().width(),
            height: state.info().height(),
            depth: depth.and_then(|depth| depth.try_into().ok()).unwrap_or(0),
            fourcc: fourcc.map_or(0, fourcc_code),
            codec_data: 0,
        };
        gst::debug!(CAT, imp = self, "Stream {head:?}");
        let codec_data = state.codec_data().filter(|_| bitstream.passes_codec_data());
        let codec_data = codec_data.and_then(|buffer| buffer.map_readable().ok());
        StreamSetup {
            head,
            codec_data: codec_data.map_or_else(Vec::new, |map| map.to_vec()),
        }
    }

    /// Whether upstream cannot wait.
    fn input_is_live(&self) -> bool {
        let mut query = gst::query::Latency::new();
        self.obj().sink_pad().peer_query(&mut query) && query.result().0
    }

    /// Tells the pipeline how long frames stay here: as many frames as the decoder
    /// holds, and one that is being decoded. At most, a full command ring besides.
    pub(super) fn report_latency(&self) {
        let fallback = lock(&self.settings).framerate;
        let output = lock(&self.output);
        let delay = output.timing.delay();
        let duration = frame_duration(output.rate(fallback));
        drop(output);
        let Some(duration) = duration else { return };
        let min = duration * (delay + 1) as u64;
        let max = duration * (delay + 1 + MAX_IN_FLIGHT) as u64;
        gst::debug!(CAT, imp = self, "Latency {min}, {delay} frames held back");
        self.obj().set_latency(min, max);
    }
}

/// The variant of a format, as caps name it.
fn variant_of(structure: &gst::StructureRef) -> Option<&str> {
    let variant = structure.get("variant").ok();
    if structure.name() != "video/x-prores" {
        return structure.get("format").ok().or(variant);
    }
    // As QuickTime files call what GStreamer has words for.
    Some(match variant? {
        "proxy" => "apco",
        "lt" => "apcs",
        "standard" => "apcn",
        "hq" => "apch",
        "4444" => "ap4h",
        "4444xq" => "ap4x",
        _ => return None,
    })
}

/// A four-character code as a number, its first character in the low byte.
fn fourcc_code(text: &str) -> u32 {
    <[u8; 4]>::try_from(text.as_bytes()).map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::{fourcc_code, variant_of};

    #[test]
    fn variants_have_fourccs() {
        gst::init().unwrap();
        let variant = |text: &str| {
            let structure: gst::Structure = text.parse().unwrap();
            variant_of(&structure).map_or(0, fourcc_code)
        };
        let code = |text: &[u8; 4]| u32::from_le_bytes(*text);
        assert_eq!(variant("video/x-wmv, format=(string)WVC1"), code(b"WVC1"));
        assert_eq!(
            variant("video/x-speedhq, variant=(string)SHQ2"),
            code(b"SHQ2")
        );
        assert_eq!(
            variant("video/x-prores, variant=(string)4444"),
            code(b"ap4h")
        );
        assert_eq!(variant("video/x-h263, variant=(string)itu"), 0);
    }

    #[test]
    fn fourccs_are_little_endian() {
        assert_eq!(fourcc_code("WMV3"), 0x3356_4d57);
        assert_eq!(fourcc_code("I420_10LE"), 0);
    }
}
