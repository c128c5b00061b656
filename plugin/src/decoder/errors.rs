//! Damaged input: counted, told upstream, and an error when it becomes too much.

use super::imp::{ForeignDecoder, lock};
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoCodecFrame, VideoCodecFrameFlags, VideoDecoderRequestSyncPointFlags};
use iotdec_bridge::PacketDone;

impl ForeignDecoder {
    /// Looks at a packet before it goes to the worker: damage that shows already.
    pub(super) fn check_packet(
        &self,
        frame: &mut VideoCodecFrame<'_>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some(buffer) = frame.input_buffer_owned() else {
            return Ok(gst::FlowSuccess::Ok);
        };
        if buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            frame.set_flags(VideoCodecFrameFlags::CORRUPTED);
        }
        if !self.is_cut(&buffer) {
            return Ok(gst::FlowSuccess::Ok);
        }
        frame.set_flags(VideoCodecFrameFlags::CORRUPTED);
        self.ask_for_key_frame(frame);
        let number = frame.system_frame_number();
        self.count_error(number, "the lengths of its NAL units exceed it")
    }

    /// Whether a packet ends within a NAL unit. One that cannot be mapped is an error later.
    fn is_cut(&self, buffer: &gst::Buffer) -> bool {
        let bitstream = &lock(&self.input).bitstream;
        bitstream.has_lengths()
            && buffer
                .map_readable()
                .is_ok_and(|map| !bitstream.is_whole(&map))
    }

    /// The decoder complained about a packet. What it made of it all the same comes
    /// as a corrupt picture.
    pub(super) fn packet_refused(&self, done: &PacketDone) {
        let number = done.number as u32;
        let cause = match std::mem::take(&mut lock(&self.output).complaint) {
            text if text.is_empty() => format!("error {}", done.error),
            text => format!("{text} ({})", done.error),
        };
        let result = self.with_stream_lock(|| {
            if let Some(frame) = self.obj().frame(number as i32) {
                self.ask_for_key_frame(&frame);
            }
            self.count_error(number, &cause)
        });
        if result.is_err() {
            lock(&self.progress).flow = result;
            self.progressed.notify_all();
        }
    }

    /// Asks upstream for a key frame; the base class sees to it that it does not
    /// happen too often. Until it comes, frames are decoded and shown as well as it
    /// goes, unless the properties say otherwise.
    pub(super) fn ask_for_key_frame(&self, frame: &VideoCodecFrame<'_>) {
        let obj = self.obj();
        let flags = match obj.is_automatic_request_sync_points() {
            true => obj.automatic_request_sync_point_flags(),
            false => VideoDecoderRequestSyncPointFlags::empty(),
        };
        obj.request_sync_point(frame, flags);
    }

    /// Counts one error. The base class resets its count with every frame that is
    /// shown, and makes an error of more than `max-errors`.
    fn count_error(&self, number: u32, cause: &str) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.stats.decode_errors.add(1);
        let library = self.library();
        gst_video::video_decoder_error!(
            self.obj(),
            1,
            gst::StreamError::Decode,
            ("{library} could not decode packet {number}: {cause}")
        )
    }
}
