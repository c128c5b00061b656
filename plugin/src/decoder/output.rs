//! The source pad's task: from the event ring to downstream.

use super::allocation::Downstream;
use super::imp::{ForeignDecoder, lock};
use super::picture::{self, Shape};
use super::submit::LOW_WATER;
use crate::CAT;
use crate::memory::SlotMemories;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::video_codec_state::{Readable, VideoCodecState};
use gst_video::{VideoCodecFrame, VideoCodecFrameFlags, VideoInfo};
use iotdec_bridge::{Event, Frame, PacketDone, Worker};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Packets that a picture may stay behind the newest one: twice the largest
/// reorder depth of any supported format (16 pictures).
const MAX_DELAY: u32 = 32;

/// The base class's description of the input.
type InputState = VideoCodecState<'static, Readable>;

/// What the task knows of the pictures it delivers.
#[derive(Debug, Default)]
pub(super) struct Output {
    input: Option<InputState>,
    negotiated: Option<Negotiated>,
    pub(super) downstream: Downstream,
    /// Where the next frame without a time stamp goes, if one went before.
    next_pts: Option<gst::ClockTime>,
    /// The newest packet that a worker has decoded.
    newest_done: Option<u32>,
    /// A frame was pushed since the stream began.
    any_frame: bool,
    /// Workers lost since the last frame.
    losses: u32,
}

#[derive(Clone, Debug)]
struct Negotiated {
    shape: Shape,
    info: VideoInfo,
}

impl Output {
    /// Input of these caps follows.
    pub(super) fn begin_stream(&mut self, input: InputState) {
        self.input = Some(input);
        self.negotiated = None;
    }

    pub(super) fn forget_stream(&mut self) {
        *self = Self::default();
    }

    /// What follows is from elsewhere in the stream.
    pub(super) fn flush(&mut self) {
        self.next_pts = None;
    }

    pub(super) fn count_loss(&mut self) -> u32 {
        self.losses += 1;
        self.losses
    }

    /// Whether a worker has decoded the packet of this number.
    pub(super) fn is_done(&self, number: u32) -> bool {
        let behind = |newest: u32| newest.wrapping_sub(number) <= u32::MAX / 2;
        self.newest_done.is_some_and(behind)
    }

    /// A time for a frame that has none: one frame, at `rate` a second, after the
    /// one before it, or the start of the `segment`.
    fn pts(
        &mut self,
        pts: Option<gst::ClockTime>,
        segment: &gst::Segment,
        rate: gst::Fraction,
    ) -> Option<gst::ClockTime> {
        let start = || segment.downcast_ref::<gst::ClockTime>()?.start();
        let pts = pts.or(self.next_pts).or_else(start)?;
        let (numer, denom) = (rate.numer() as u64, rate.denom() as u64);
        let duration = gst::ClockTime::SECOND.mul_div_floor(denom, numer);
        self.next_pts = duration.map(|duration| pts + duration);
        Some(pts)
    }
}

impl ForeignDecoder {
    /// One round of the task.
    pub(super) fn output_one(&self) {
        let mut receiver = lock(&self.receiver);
        let event = match &mut *receiver {
            Some(receiver) => receiver.next(&mut || self.stopping.load(Ordering::Acquire)),
            None => Ok(None),
        };
        drop(receiver);
        match event {
            Ok(Some(Event::Frame(frame))) => self.deliver(frame),
            Ok(Some(Event::PacketDone(done))) => self.note_packet(&done),
            Ok(Some(Event::Drained(drain))) => {
                lock(&self.progress).drained = drain.serial;
                self.progressed.notify_all();
            }
            Ok(None) => self.pause_task(),
            Err(_) if self.stopping.load(Ordering::Acquire) => self.pause_task(),
            Err(loss) => {
                if !self.recover(&loss) {
                    self.pause_task();
                }
            }
        }
    }

    fn pause_task(&self) {
        // It fails only if there is no task.
        let _ = self.obj().src_pad().pause_task();
    }

    fn note_packet(&self, done: &PacketDone) {
        self.stats.decoded_in(done.decode_us);
        let number = done.number as u32;
        lock(&self.output).newest_done = Some(number);
        let mut progress = lock(&self.progress);
        progress.in_flight = progress.in_flight.saturating_sub(1);
        if progress.in_flight == LOW_WATER {
            self.progressed.notify_all();
        }
        drop(progress);
        if done.error != 0 {
            self.stats.decode_errors.add(1);
            gst::warning!(
                CAT,
                imp = self,
                "Packet {number} could not be decoded: error {}",
                done.error
            );
        }
        self.drop_overdue_frames(number);
    }

    /// Drops frames of which no picture can come any more, so that a stream with
    /// losses does not pile them up.
    fn drop_overdue_frames(&self, newest: u32) {
        let obj = self.obj();
        while let Some(frame) = obj.oldest_frame() {
            let behind = newest.wrapping_sub(frame.system_frame_number());
            if behind <= MAX_DELAY || behind > u32::MAX / 2 {
                break;
            }
            self.drop_frames(vec![frame]);
        }
    }

    /// Gives up frames whose pictures are lost. Their time passes all the same.
    pub(super) fn drop_frames(&self, frames: Vec<VideoCodecFrame<'_>>) {
        for mut frame in frames {
            self.stats.frames_dropped.add(1);
            frame.set_pts(self.pts_of(&frame));
            // It only tells upstream and the application.
            let _ = self.obj().drop_frame(frame);
        }
    }

    /// A frame's time stamp, made up for streams without timing.
    fn pts_of(&self, frame: &VideoCodecFrame<'_>) -> Option<gst::ClockTime> {
        let segment = self.obj().input_segment();
        let fallback = lock(&self.settings).framerate;
        let mut output = lock(&self.output);
        let negotiated = output.negotiated.as_ref().map(|n| n.info.fps());
        let rate = negotiated
            .filter(|rate| rate.numer() > 0)
            .unwrap_or(fallback);
        output.pts(frame.pts(), &segment, rate)
    }

    /// Pushes a picture downstream.
    fn deliver(&self, frame: Frame) {
        let obj = self.obj();
        // With the codec frame comes the stream lock, so no flush can come between
        // the check of the epoch and the push. A decoder that conceals a loss may put
        // an old number on a picture: it stands for the packet that made none.
        let own = obj.frame(frame.number as i32);
        let Some(codec_frame) = own.or_else(|| obj.oldest_frame()) else {
            gst::trace!(
                CAT,
                imp = self,
                "Frame {} is not wanted any more",
                frame.number
            );
            return;
        };
        let Some((worker, memories)) = self.worker_and_memories() else {
            return;
        };
        if frame.epoch != worker.epoch() {
            gst::trace!(CAT, imp = self, "Frame {} is stale", frame.number);
            return;
        }
        let mut output = lock(&self.output);
        output.losses = 0;
        output.any_frame = true;
        drop(output);
        let flow = self.push(frame, codec_frame, &worker, &memories);
        if let Err(error) = flow {
            gst::debug!(CAT, imp = self, "Pushing returned {error:?}");
        }
        // A flush while pushing has already cleared the way for what follows it.
        if flow != Err(gst::FlowError::Flushing) {
            lock(&self.progress).flow = flow;
        }
    }

    fn push(
        &self,
        frame: Frame,
        mut codec_frame: VideoCodecFrame<'_>,
        worker: &Worker,
        memories: &Arc<SlotMemories>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let obj = self.obj();
        let info = match self.negotiate_for(&frame) {
            Ok(info) => info,
            Err(error) => {
                obj.release_frame(codec_frame);
                return Err(error);
            }
        };
        self.count_frame(&frame);
        if frame.corrupt {
            codec_frame.set_flags(VideoCodecFrameFlags::CORRUPTED);
        }
        let buffer = self.wrap(frame, &info, worker, memories).map_err(|error| {
            gst::element_imp_error!(self, gst::ResourceError::Failed, ("{error}"));
            gst::FlowError::Error
        });
        let buffer = match buffer {
            Ok(buffer) => buffer,
            Err(error) => {
                obj.release_frame(codec_frame);
                return Err(error);
            }
        };
        codec_frame.set_pts(self.pts_of(&codec_frame));
        codec_frame.set_output_buffer(buffer);
        obj.finish_frame(codec_frame)
    }

    fn count_frame(&self, frame: &Frame) {
        self.stats.frames_out.add(1);
        self.stats.frames_corrupt.add(frame.corrupt.into());
        let copied = frame.copied_by_guest;
        self.stats.frames_copied_by_guest.add(copied.into());
    }

    /// At the end of a stream: that workers were lost and nothing ever came is an
    /// error, not an empty video.
    pub(super) fn check_that_something_came(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let output = lock(&self.output);
        let (losses, any_frame) = (output.losses, output.any_frame);
        drop(output);
        if losses == 0 || any_frame {
            return Ok(gst::FlowSuccess::Ok);
        }
        let library = self.library();
        gst::element_imp_error!(
            self,
            gst::StreamError::Decode,
            ("No frame was decoded, and {library} was lost {losses} times. It may not suit this \
                 stream; GST_DEBUG=iotdec:4,iotdec-worker:5 shows what happened")
        );
        Err(gst::FlowError::Error)
    }

    /// Makes the caps fit the frame.
    fn negotiate_for(&self, frame: &Frame) -> Result<VideoInfo, gst::FlowError> {
        let shape = Shape::from(&frame.picture);
        let output = lock(&self.output);
        if let Some(negotiated) = &output.negotiated
            && negotiated.shape == shape
            && !self.obj().src_pad().check_reconfigure()
        {
            return Ok(negotiated.info.clone());
        }
        let input = output.input.clone();
        drop(output);
        let Some(format) = picture::video_format(shape.format) else {
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                [
                    "GStreamer has no video format for {:?} pictures",
                    shape.format
                ]
            );
            return Err(gst::FlowError::NotNegotiated);
        };
        let obj = self.obj();
        let mut state = obj.set_output_state(format, shape.width, shape.height, input.as_ref())?;
        let framerate = lock(&self.settings).framerate;
        let input_caps = input.as_ref().and_then(VideoCodecState::caps);
        let info = picture::complete_info(state.info(), input_caps, &shape, framerate)
            .map_err(|_| gst::FlowError::NotNegotiated)?;
        state.set_info(info.clone());
        obj.negotiate(state)?;
        gst::debug!(CAT, imp = self, "Output is {info:?}");
        let negotiated = Negotiated { shape, info };
        lock(&self.output).negotiated = Some(negotiated.clone());
        Ok(negotiated.info)
    }
}
