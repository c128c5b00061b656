//! The source pad's task: from the event ring to downstream.

use super::allocation::Downstream;
use super::imp::{ForeignDecoder, lock};
use super::picture::{self, Shape};
use super::timing::{Timing, frame_duration};
use crate::CAT;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::video_codec_state::{Readable, VideoCodecState};
use gst_video::{VideoCodecFrame, VideoCodecFrameFlags, VideoInfo};
use iotdec_bridge::{Event, Frame, PacketDone, Picture, Worker, done_flags, is_before};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Refused packets that are remembered: more than frames wait for their pictures.
const MOST_REFUSED: usize = 64;

/// The base class's description of the input.
type InputState = VideoCodecState<'static, Readable>;

/// What the task knows of the pictures it delivers.
#[derive(Debug, Default)]
pub(super) struct Output {
    input: Option<InputState>,
    negotiated: Option<Negotiated>,
    pub(super) downstream: Downstream,
    /// What is being negotiated for: a picture, and the bytes of its slot.
    pub(super) expected: Option<(Picture, usize)>,
    pub(super) timing: Timing,
    /// Packets that the decoder complained about, of which a picture may still come.
    refused: VecDeque<u32>,
    /// What the decoder last said of a packet.
    pub(super) complaint: String,
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

    pub(super) fn count_loss(&mut self) -> u32 {
        self.losses += 1;
        self.losses
    }

    /// Whether a worker has decoded the packet of this number.
    pub(super) fn is_done(&self, number: u32) -> bool {
        self.newest_done
            .is_some_and(|newest| !is_before(newest, number))
    }

    /// Notes that the decoder complained about a packet.
    fn note_refused(&mut self, number: u32) {
        if self.refused.len() == MOST_REFUSED {
            self.refused.pop_front();
        }
        self.refused.push_back(number);
    }

    /// Frames a second: as negotiated, or `fallback`.
    pub(super) fn rate(&self, fallback: gst::Fraction) -> gst::Fraction {
        let negotiated = self.negotiated.as_ref().map(|n| n.info.fps());
        negotiated
            .filter(|rate| rate.numer() > 0)
            .unwrap_or(fallback)
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
            Ok(Some(Event::Complaint(text))) => lock(&self.output).complaint = text,
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
        let Some(worker) = self.worker() else {
            return;
        };
        if done.epoch != worker.epoch() {
            return;
        }
        self.stats.decoded_in(done.decode_us);
        let number = done.number as u32;
        let mut progress = lock(&self.progress);
        let time = Duration::from_micros(done.decode_us.into());
        let now = Instant::now();
        progress.workload.decoded(number, time, now);
        if progress.turn_awaited && progress.workload.wait(now).is_none() {
            self.progressed.notify_all();
        }
        drop(progress);
        let mut output = lock(&self.output);
        output.newest_done = Some(number);
        if done.error != 0 {
            output.note_refused(number);
        }
        let no_picture = done.flags & done_flags::NO_PICTURE != 0;
        let delay = match no_picture {
            true => None,
            false => output.timing.decoded(number, done.delay as usize),
        };
        drop(output);
        if done.error != 0 {
            self.packet_refused(done);
        }
        if no_picture {
            self.drop_hidden_frame(number);
        }
        if delay.is_some() {
            self.report_latency();
        }
        self.drop_overdue_frames();
    }

    /// Lets go of a frame that its decoder says is never shown, or that it left out
    /// because it was late.
    fn drop_hidden_frame(&self, number: u32) {
        let skipped = lock(&self.qos).was_skipped(number);
        let obj = self.obj();
        let Some(frame) = obj.frame(number as i32) else {
            return;
        };
        if skipped {
            self.stats.frames_skipped.add(1);
            self.lose_frame(frame);
        } else {
            obj.release_frame(frame);
        }
    }

    /// Drops frames of which no picture can come any more, so that a stream with
    /// losses does not pile them up.
    fn drop_overdue_frames(&self) {
        let obj = self.obj();
        while let Some(frame) = obj.oldest_frame() {
            let number = frame.system_frame_number();
            let mut output = lock(&self.output);
            if !output.timing.is_overdue(number) {
                break;
            }
            let refused = output.refused.contains(&number);
            output.refused.retain(|refused| is_before(number, *refused));
            drop(output);
            if refused {
                self.lose_frame(frame);
            } else {
                // The second field of a picture, or parameter sets alone.
                obj.release_frame(frame);
            }
        }
    }

    /// Gives up a frame whose picture is lost. Its time passes all the same. The base
    /// class's way of dropping would do for a frame that is next in order; after it,
    /// no earlier one would keep its time stamp.
    pub(super) fn lose_frame(&self, frame: VideoCodecFrame<'_>) {
        self.stats.frames_dropped.add(1);
        let obj = self.obj();
        let number = frame.system_frame_number();
        let pts = frame.pts();
        lock(&self.output).timing.lose(number);
        obj.release_frame(frame);
        let segment = obj.input_segment();
        let time = segment.downcast_ref::<gst::ClockTime>();
        let (processed, dropped) = (self.stats.frames_out.get(), self.stats.frames_dropped.get());
        let message = gst::message::Qos::builder(false)
            .running_time_if_some(time.and_then(|segment| segment.to_running_time(pts)))
            .stream_time_if_some(time.and_then(|segment| segment.to_stream_time(pts)))
            .timestamp_if_some(pts)
            .stats(
                gst::GenericFormattedValue::Buffers(Some(gst::format::Buffers::from_u64(
                    processed,
                ))),
                gst::format::Buffers::from_u64(dropped),
            )
            .src(&*obj)
            .build();
        // Without a bus nobody wants to know.
        let _ = obj.post_message(message);
    }

    /// A frame's time stamp, made up for streams without timing.
    fn pts_of(&self, frame: &VideoCodecFrame<'_>) -> Option<gst::ClockTime> {
        let segment = self.obj().input_segment();
        let start = || segment.downcast_ref::<gst::ClockTime>()?.start();
        let fallback = lock(&self.settings).framerate;
        let mut output = lock(&self.output);
        let duration = frame_duration(output.rate(fallback));
        let number = frame.system_frame_number();
        output.timing.pts(number, frame.pts(), start(), duration)
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
        let Some(worker) = self.worker() else {
            return;
        };
        if frame.epoch != worker.epoch() {
            gst::trace!(CAT, imp = self, "Frame {} is stale", frame.number);
            return;
        }
        let mut output = lock(&self.output);
        output.losses = 0;
        output.any_frame = true;
        let delay = output.timing.came_out(frame.number as u32);
        drop(output);
        if delay.is_some() {
            self.report_latency();
        }
        let flow = self.push(frame, codec_frame, &worker);
        if let Err(error) = flow {
            gst::debug!(CAT, imp = self, "Pushing returned {error:?}");
        }
        // A flush while pushing has already cleared the way for what follows it.
        if flow != Err(gst::FlowError::Flushing) {
            let mut progress = lock(&self.progress);
            // After an error nothing is well until the next flush.
            if progress.flow != Err(gst::FlowError::Error) {
                progress.flow = flow;
            }
        }
    }

    fn push(
        &self,
        frame: Frame,
        mut codec_frame: VideoCodecFrame<'_>,
        worker: &Worker,
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
            self.ask_for_key_frame(&codec_frame);
            codec_frame.set_flags(VideoCodecFrameFlags::CORRUPTED);
        }
        let buffer = self.wrap(frame, &info, worker).map_err(|error| {
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
        let mut output = lock(&self.output);
        if let Some(negotiated) = &output.negotiated
            && negotiated.shape == shape
            && !self.obj().src_pad().check_reconfigure()
        {
            return Ok(negotiated.info.clone());
        }
        let input = output.input.clone();
        output.expected = Some((frame.picture, frame.lease.size() as usize));
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
        let mut caps = info.to_caps().map_err(|_| gst::FlowError::NotNegotiated)?;
        picture::add_light(caps.make_mut(), input_caps, &shape.light);
        let caps = self.choose_memory(caps)?;
        state.set_info(info.clone());
        state.set_caps(&caps);
        obj.negotiate(state).map_err(|error| {
            // In a flush, or while the pipeline stops, it fails for no other reason.
            match obj.src_pad().pad_flags().contains(gst::PadFlags::FLUSHING) {
                true => gst::FlowError::Flushing,
                false => error,
            }
        })?;
        gst::debug!(CAT, imp = self, "Output is {info:?}");
        let negotiated = Negotiated { shape, info };
        lock(&self.output).negotiated = Some(negotiated.clone());
        self.report_latency();
        Ok(negotiated.info)
    }
}
