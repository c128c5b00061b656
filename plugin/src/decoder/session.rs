//! The worker's life as the element sees it: started, kept warm, replaced.

use super::imp::{ForeignDecoder, lock};
use super::submit::{Input, flags_of};
use crate::{CAT, CAT_WORKER};
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoCodecFrame, VideoCodecFrameFlags};
use iotdec_bridge::supervisor::LogSink;
use iotdec_bridge::{
    Feeder, Launch, Loss, Obstacle, Receiver, Report, SlotPolicy, StartError, StartProblem, Worker,
    is_before,
};
use std::sync::Arc;
use std::time::Instant;

/// A running worker and what belongs to it alone.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) worker: Arc<Worker>,
    launch: Launch,
    slots: SlotPolicy,
}

/// A worker that was just started.
type Fresh = (Session, Feeder, Receiver);

impl ForeignDecoder {
    /// Starts a worker unless one runs that suits the settings.
    pub(super) fn ensure_session(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let manifest = &self.registered().manifest;
        let launch = Launch::resolve(manifest, &settings.overrides)
            .map_err(|error| error_message(&error.into()))?;
        let suits = |session: &Session| session.launch == launch && session.slots == settings.slots;
        if lock(&self.session).as_ref().is_some_and(suits) {
            return Ok(());
        }
        self.end_session();
        let fresh = self
            .start_worker(launch, settings.slots)
            .map_err(|error| error_message(&error))?;
        self.install(fresh);
        Ok(())
    }

    fn start_worker(&self, launch: Launch, slots: SlotPolicy) -> Result<Fresh, StartError> {
        let (worker, feeder, receiver) = iotdec_bridge::start(&launch, slots, self.log_sink())?;
        self.tell_of(&worker, &launch);
        self.stats.note_worker(&worker);
        let session = Session {
            worker,
            launch,
            slots,
        };
        Ok((session, feeder, receiver))
    }

    /// What runs, for the log; and what does not run as it should.
    fn tell_of(&self, worker: &Worker, launch: &Launch) {
        let Report {
            mode,
            reason,
            disappoints,
        } = worker.accelerator();
        let mode = mode.name();
        let because = match reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        gst::info!(
            CAT,
            imp = self,
            "{} in process {}, CPU model {}, accelerator {mode}{because}",
            worker.library_version(),
            worker.pid(),
            launch.cpu_model(),
        );
        if *disappoints {
            let library = self.library();
            gst::warning!(CAT, imp = self, "{library}: accelerator {mode}{because}");
        }
    }

    fn install(&self, (session, feeder, receiver): Fresh) {
        *lock(&self.session) = Some(session);
        lock(&self.input).begin(feeder);
        *lock(&self.receiver) = Some(receiver);
    }

    /// Ends the worker, if one runs.
    pub(super) fn end_session(&self) {
        lock(&self.input).end();
        *lock(&self.receiver) = None;
        if let Some(session) = lock(&self.session).take() {
            self.stats.keep_counts(&session.worker);
            session.worker.kill();
        }
    }

    /// Replaces a lost worker, on the task's thread. What it was decoding is lost, and
    /// what refers to that: decoding goes on at the next key frame, which may already
    /// be here. Returns false when there is nothing more to try; the error is posted
    /// then.
    pub(super) fn recover(&self, loss: &Loss) -> bool {
        let library = self.library();
        let lost = lock(&self.session).take();
        let Some(lost) = lost else { return false };
        self.stats.keep_counts(&lost.worker);
        let (mut launch, slots) = (lost.launch.clone(), lost.slots);
        drop(lost);
        let mut cause = loss.to_string();
        let fresh = loop {
            gst::warning!(CAT, imp = self, "{library}: {cause}");
            let losses = lock(&self.output).count_loss();
            if losses > lock(&self.settings).restart_limit {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Decode,
                    ("{library} was lost {losses} times in a row without decoding a frame: \
                         {cause}. It may not suit this stream; GST_DEBUG=iotdec-worker:5 shows \
                         what it says")
                );
                return self.give_up(gst::FlowError::Error);
            }
            // Nobody insists on the accelerator, and it may be to blame.
            if losses > 1 && launch.accelerator.as_ref().is_ok_and(|it| it.is_optional()) {
                launch = launch.without_accelerator(Obstacle::Died(cause.clone()));
            }
            match self.start_worker(launch.clone(), slots) {
                Ok(fresh) => break fresh,
                Err(StartError::Failed {
                    problem: StartProblem::Died { obituary, .. },
                    ..
                }) => cause = format!("the worker {obituary}"),
                Err(error) => {
                    self.post_error_message(error_message(&error));
                    return self.give_up(gst::FlowError::Error);
                }
            }
        };
        self.stats.worker_restarts.add(1);
        // In one step as the streaming thread sees it: each frame went to the lost
        // worker, or goes to the new one.
        self.with_stream_lock(|| {
            let obj = self.obj();
            let lost = self.hand_over_to(fresh, obj.frames());
            for frame in lost {
                self.lose_frame(frame);
            }
        });
        true
    }

    /// Installs a new worker, sends it the `pending` frames that the lost one had from
    /// the next key frame on, and returns those before.
    fn hand_over_to<'a>(
        &self,
        (session, feeder, receiver): Fresh,
        pending: Vec<VideoCodecFrame<'a>>,
    ) -> Vec<VideoCodecFrame<'a>> {
        let mut current = lock(&self.session);
        let mut input = lock(&self.input);
        let output = lock(&self.output);
        // A frame that waits for its turn comes by itself.
        let last_sent = input.last_sent;
        let was_sent = |number: u32| last_sent.is_some_and(|last| !is_before(last, number));
        let frames = pending.into_iter();
        let frames = frames.filter(|frame| was_sent(frame.system_frame_number()));
        // The first that was not decoded may be what the worker died of.
        let mut undecoded = 0;
        let (lost, again): (Vec<_>, Vec<_>) = {
            let mut keyed = false;
            frames.partition(|frame| {
                undecoded += usize::from(!output.is_done(frame.system_frame_number()));
                keyed |= undecoded > 1 && frame.flags().contains(VideoCodecFrameFlags::SYNC_POINT);
                !keyed
            })
        };
        output.downstream.serve(&session.worker);
        drop(output);
        *current = Some(session);
        input.begin(feeder);
        input.resync();
        let mut progress = lock(&self.progress);
        progress.workload.forget_sent();
        let now = Instant::now();
        for frame in &again {
            progress
                .workload
                .sent(frame.system_frame_number(), false, now);
        }
        let drain = (progress.drained != progress.drain_serial).then_some(progress.drain_serial);
        drop(progress);
        for frame in &again {
            self.send_again(&mut input, frame);
        }
        if let Some(serial) = drain {
            // The order went to the lost worker.
            if let Err(error) = input.drain(serial, &mut || true) {
                gst::debug!(CAT, imp = self, "Drain {serial} not sent again: {error}");
            }
        }
        drop(input);
        *lock(&self.receiver) = Some(receiver);
        self.progressed.notify_all();
        lost
    }

    /// Sends a frame to the new worker. All of them fit into its empty ring, as they
    /// fitted into the lost one's; should one not, it is dropped as overdue.
    fn send_again(&self, input: &mut Input, frame: &VideoCodecFrame<'_>) {
        let Some(buffer) = frame.input_buffer() else {
            return;
        };
        if let Ok(map) = buffer.map_readable() {
            let number = frame.system_frame_number();
            let last_sent = input.last_sent;
            let sent = input.send(number, &map, flags_of(frame), &mut || true);
            gst::debug!(CAT, imp = self, "Frame {number} sent again: {sent:?}");
            input.last_sent = last_sent;
        }
    }

    /// The decoder library in use, for messages.
    pub(super) fn library(&self) -> String {
        match &*lock(&self.session) {
            Some(session) => session.launch.library.display().to_string(),
            None => self.registered().manifest.library.display().to_string(),
        }
    }

    /// The running worker.
    pub(super) fn worker(&self) -> Option<Arc<Worker>> {
        Some(lock(&self.session).as_ref()?.worker.clone())
    }

    /// Nothing will come out any more: tells whoever waits.
    fn give_up(&self, error: gst::FlowError) -> bool {
        lock(&self.input).end();
        lock(&self.progress).flow = Err(error);
        self.finish_drains();
        false
    }

    /// Answers every drain that was asked for.
    fn finish_drains(&self) {
        let mut progress = lock(&self.progress);
        progress.drained = progress.drain_serial;
        self.progressed.notify_all();
    }

    fn log_sink(&self) -> LogSink {
        let element = self.obj().downgrade();
        Arc::new(move |line: &str| match element.upgrade() {
            Some(element) => gst::debug!(CAT_WORKER, obj = element, "{line}"),
            None => gst::debug!(CAT_WORKER, "{line}"),
        })
    }
}

/// A start-up failure as GStreamer classifies it.
fn error_message(error: &StartError) -> gst::ErrorMessage {
    match error {
        StartError::Launch(_) => gst::error_msg!(gst::ResourceError::NotFound, ("{error}")),
        StartError::Failed { problem, .. } => match problem {
            StartProblem::Refused(..) => gst::error_msg!(gst::LibraryError::Init, ("{error}")),
            _ => gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")),
        },
    }
}
