//! The streaming thread: from upstream into the command ring.

use super::bitstream::Bitstream;
use super::imp::{ForeignDecoder, lock};
use super::qos::Verdict;
use super::stream::StreamSetup;
use crate::CAT;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoCodecFrame, VideoCodecFrameFlags};
use iotdec_bridge::{FeedError, Feeder, Packet, packet_flags};
use std::time::Instant;

/// What the streaming thread needs.
#[derive(Debug, Default)]
pub(super) struct Input {
    feeder: Option<Feeder>,
    pub(super) bitstream: Bitstream,
    /// The worker is new: it has not seen the parameter sets, and nothing but a key
    /// frame makes sense to it.
    resync: bool,
    /// The format of the stream, and whether the worker is still to be told.
    stream: StreamSetup,
    stream_due: bool,
    /// The last frame that was handed to a worker.
    pub(super) last_sent: Option<u32>,
}

impl Input {
    pub(super) fn begin(&mut self, feeder: Feeder) {
        self.feeder = Some(feeder);
    }

    pub(super) fn end(&mut self) {
        self.feeder = None;
    }

    /// Starts again at the next key frame.
    pub(super) fn resync(&mut self) {
        self.resync = true;
        self.bitstream.worker_is_new();
        self.stream_due = true;
    }

    /// Packets of this format follow.
    pub(super) fn announce(&mut self, stream: StreamSetup) {
        self.stream = stream;
        self.stream_due = true;
    }

    pub(super) fn forget_stream(&mut self) {
        *self = Self {
            feeder: self.feeder.take(),
            ..Self::default()
        };
    }

    /// Sends one access unit, preceded by the parameter sets where they are due.
    /// `false`: the worker is new, and waits for a key frame.
    pub(super) fn send(
        &mut self,
        number: u32,
        data: &[u8],
        flags: u32,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<bool, FeedError> {
        self.last_sent = Some(number);
        self.bitstream.note(data);
        if self.resync && flags & packet_flags::SYNC_POINT == 0 {
            return Ok(false);
        }
        let Some(feeder) = &mut self.feeder else {
            return Err(FeedError::Stopped);
        };
        if self.stream_due {
            feeder.stream(self.stream.head, &self.stream.codec_data, stop)?;
            self.stream_due = false;
        }
        let packet = Packet {
            number: number.into(),
            flags,
            parts: &self.bitstream.parts(data),
        };
        feeder.send(packet, stop)?;
        self.bitstream.sent();
        self.resync = false;
        Ok(true)
    }

    /// Orders the worker to deliver everything it holds.
    pub(super) fn drain(
        &mut self,
        serial: u32,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<(), FeedError> {
        match &mut self.feeder {
            Some(feeder) => feeder.drain(serial, stop),
            None => Err(FeedError::Stopped),
        }
    }
}

/// What the worker is told of a frame.
pub(super) fn flags_of(frame: &VideoCodecFrame<'_>) -> u32 {
    match frame.flags().contains(VideoCodecFrameFlags::SYNC_POINT) {
        true => packet_flags::SYNC_POINT,
        false => 0,
    }
}

impl ForeignDecoder {
    /// Takes a frame from the base class, which keeps it until its picture comes.
    pub(super) fn submit(
        &self,
        frame: VideoCodecFrame,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        lock(&self.progress).flow?;
        let number = frame.system_frame_number();
        let obj = self.obj();
        let Some(mut frame) = self.at_its_turn(&obj, frame)? else {
            return Ok(gst::FlowSuccess::Ok);
        };
        self.check_packet(&mut frame)?;
        let mut flags = flags_of(&frame);
        if flags & packet_flags::SYNC_POINT == 0 && lock(&self.input).resync {
            self.ask_for_key_frame(&frame);
            self.lose_frame(frame);
            return Ok(gst::FlowSuccess::Ok);
        }
        match self.judge(&frame) {
            Verdict::Decode => {}
            Verdict::Resume => flags |= packet_flags::AFTER_GAP,
            Verdict::MaySkip => flags |= packet_flags::MAY_SKIP,
            Verdict::Skip => {
                self.stats.frames_skipped.add(1);
                self.lose_frame(frame);
                return Ok(gst::FlowSuccess::Ok);
            }
        }
        let buffer = frame.input_buffer_owned();
        drop(frame);
        let Some(buffer) = buffer else {
            return Ok(gst::FlowSuccess::Ok);
        };
        self.run_task()?;
        self.without_stream_lock(|| self.send(number, &buffer, flags))
    }

    fn send(
        &self,
        number: u32,
        buffer: &gst::Buffer,
        flags: u32,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let map = buffer.map_readable().map_err(|_| {
            gst::element_imp_error!(self, gst::ResourceError::Read, ("Cannot map input buffer"));
            gst::FlowError::Error
        })?;
        self.stats.frames_in.add(1);
        self.stats.bytes_in.add(map.len() as u64);
        let may_skip = flags & packet_flags::MAY_SKIP != 0;
        let mut input = lock(&self.input);
        lock(&self.progress)
            .workload
            .sent(number, may_skip, Instant::now());
        let sent = input.send(number, &map, flags, &mut || self.interrupted());
        drop(input);
        match sent {
            Err(FeedError::Stopped) if self.interrupted() => return Err(gst::FlowError::Flushing),
            // The worker was replaced while this frame was on its way.
            Ok(false) => {
                lock(&self.progress).workload.not_sent(number);
                if let Some(frame) = self.obj().frame(number as i32) {
                    self.lose_frame(frame);
                }
            }
            // The task notices a loss too, and replaces the worker.
            Ok(true) | Err(FeedError::Lost(_) | FeedError::Stopped) => {}
        }
        lock(&self.progress).flow
    }

    /// The frame, when the worker can have one more packet: whether it is worth decoding
    /// is not known before. `None` if the base class has let go of it.
    fn at_its_turn<'a>(
        &self,
        decoder: &'a super::ForeignDecoder,
        frame: VideoCodecFrame<'a>,
    ) -> Result<Option<VideoCodecFrame<'a>>, gst::FlowError> {
        if !lock(&self.progress).workload.is_full(Instant::now()) {
            return Ok(Some(frame));
        }
        let number = frame.system_frame_number();
        // It holds the stream lock.
        drop(frame);
        self.without_stream_lock(|| self.wait_for_turn())?;
        Ok(decoder.frame(number as i32))
    }

    /// Waits until the worker has few packets left.
    fn wait_for_turn(&self) -> Result<(), gst::FlowError> {
        let mut progress = lock(&self.progress);
        progress.turn_awaited = true;
        while progress.flow.is_ok()
            && !self.interrupted()
            && let Some(wait) = progress.workload.wait(Instant::now())
        {
            let woken = self.progressed.wait_timeout(progress, wait);
            (progress, _) = woken.expect("never poisoned");
        }
        progress.turn_awaited = false;
        match self.interrupted() {
            true => Err(gst::FlowError::Flushing),
            false => progress.flow.map(|_| ()),
        }
    }

    /// Waits until every frame that was sent has come out, and lets go of those of
    /// which none did: packets that made no picture of their own.
    pub(super) fn drain_entirely(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let result = self.drain_worker()?;
        for frame in self.obj().frames() {
            self.obj().release_frame(frame);
        }
        Ok(result)
    }

    /// Waits until every picture that the decoder can give out has come out. Of a
    /// damaged stream it may still keep one.
    pub(super) fn drain_worker(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.obj().frames().is_empty() {
            return lock(&self.progress).flow;
        }
        self.run_task()?;
        self.without_stream_lock(|| self.wait_for_drain())
    }

    fn wait_for_drain(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let serial = {
            let mut progress = lock(&self.progress);
            progress.drain_serial = progress.drain_serial.wrapping_add(1);
            progress.drain_serial
        };
        gst::debug!(CAT, imp = self, "Draining, {serial}");
        let sent = lock(&self.input).drain(serial, &mut || self.interrupted());
        if matches!(sent, Err(FeedError::Stopped)) {
            lock(&self.progress).flow?;
            return Err(gst::FlowError::Flushing);
        }
        let mut progress = lock(&self.progress);
        while progress.drained != serial && !self.interrupted() {
            progress = self.progressed.wait(progress).expect("never poisoned");
        }
        if progress.drained != serial {
            return Err(gst::FlowError::Flushing);
        }
        progress.flow
    }

    /// Starts the source pad's task if it does not run.
    fn run_task(&self) -> Result<(), gst::FlowError> {
        let obj = self.obj();
        let pad = obj.src_pad();
        if pad.task_state() == gst::TaskState::Started {
            return Ok(());
        }
        let element = obj.downgrade();
        let started = pad.start_task(move || {
            if let Some(element) = element.upgrade() {
                element.imp().output_one();
            }
        });
        started.map_err(|_| gst::FlowError::Flushing)
    }
}
