//! The worker's life as the element sees it: started, kept warm, replaced.

use super::imp::{ForeignDecoder, lock};
use crate::memory::SlotMemories;
use crate::{CAT, CAT_WORKER};
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use iotdec_bridge::supervisor::LogSink;
use iotdec_bridge::{Feeder, Launch, LaunchError, Loss, Receiver, SlotPolicy, StartError, Worker};
use std::sync::Arc;

/// A running worker and what belongs to it alone.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) worker: Arc<Worker>,
    memories: Arc<SlotMemories>,
    launch: Launch,
    slots: SlotPolicy,
}

impl Session {
    /// What only a running worker knows, for the statistics.
    pub(super) fn running(&self) -> (u64, usize) {
        (self.worker.ring_full_waits(), self.worker.slot_count())
    }
}

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

    fn start_worker(
        &self,
        launch: Launch,
        slots: SlotPolicy,
    ) -> Result<(Session, Feeder, Receiver), StartError> {
        let (worker, feeder, receiver) = iotdec_bridge::start(&launch, slots, self.log_sink())?;
        gst::info!(
            CAT,
            imp = self,
            "{} in process {}, CPU model {}",
            worker.library_version(),
            worker.pid(),
            launch.cpu
        );
        let session = Session {
            worker,
            memories: SlotMemories::new(),
            launch,
            slots,
        };
        Ok((session, feeder, receiver))
    }

    fn install(&self, (session, feeder, receiver): (Session, Feeder, Receiver)) {
        *lock(&self.session) = Some(session);
        lock(&self.input).begin(feeder);
        *lock(&self.receiver) = Some(receiver);
    }

    /// Ends the worker, if one runs.
    pub(super) fn end_session(&self) {
        lock(&self.input).end();
        *lock(&self.receiver) = None;
        if let Some(session) = lock(&self.session).take() {
            self.stats
                .ring_full_waits
                .add(session.worker.ring_full_waits());
            session.worker.kill();
        }
    }

    /// Replaces a lost worker, on the task's thread: what it had is lost, and
    /// decoding goes on at the next key frame. Returns false when there is nothing
    /// more to try; the error is posted then.
    pub(super) fn recover(&self, loss: &Loss) -> bool {
        gst::warning!(CAT, imp = self, "Worker lost: {loss}");
        let limit = lock(&self.settings).restart_limit;
        let losses = lock(&self.output).count_loss();
        let lost = lock(&self.session).take();
        let Some(lost) = lost else { return false };
        self.stats
            .ring_full_waits
            .add(lost.worker.ring_full_waits());
        if losses > limit {
            gst::element_imp_error!(
                self,
                gst::StreamError::Decode,
                ("The decoder was lost {losses} times in a row without decoding a frame: {loss}. \
                     The library may not suit this stream; GST_DEBUG=iotdec-worker:6 shows what it says")
            );
            return self.give_up(gst::FlowError::Error);
        }
        let (launch, slots) = (lost.launch.clone(), lost.slots);
        drop(lost);
        let fresh = match self.start_worker(launch, slots) {
            Ok(fresh) => fresh,
            Err(error) => {
                self.post_error_message(error_message(&error));
                return self.give_up(gst::FlowError::Error);
            }
        };
        self.stats.worker_restarts.add(1);
        // In one step as the streaming thread sees it: a frame went either to the
        // lost worker, and is dropped, or goes to the new one.
        self.with_stream_lock(|| {
            self.drop_pending_frames();
            self.install(fresh);
            lock(&self.input).resync();
        });
        self.finish_drains();
        true
    }

    /// The running worker, and the memories of its slots.
    pub(super) fn worker_and_memories(&self) -> Option<(Arc<Worker>, Arc<SlotMemories>)> {
        let session = lock(&self.session);
        let session = session.as_ref()?;
        Some((session.worker.clone(), session.memories.clone()))
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

    /// Counts every frame that the worker had as dropped.
    pub(super) fn drop_pending_frames(&self) {
        let obj = self.obj();
        for frame in obj.frames() {
            self.stats.frames_dropped.add(1);
            let _ = obj.drop_frame(frame);
        }
    }

    fn log_sink(&self) -> LogSink {
        let element = self.obj().downgrade();
        Box::new(move |line| match element.upgrade() {
            Some(element) => gst::debug!(CAT_WORKER, obj = element, "{line}"),
            None => gst::debug!(CAT_WORKER, "{line}"),
        })
    }
}

/// A start-up failure as GStreamer classifies it.
fn error_message(error: &StartError) -> gst::ErrorMessage {
    match error {
        StartError::Launch(
            LaunchError::Library(_)
            | LaunchError::LibraryNotFound { .. }
            | LaunchError::QemuMissing(_)
            | LaunchError::WorkerMissing(_)
            | LaunchError::SysrootMissing(_),
        ) => gst::error_msg!(gst::ResourceError::NotFound, ("{error}")),
        StartError::Refused(..) => gst::error_msg!(gst::LibraryError::Init, ("{error}")),
        _ => gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")),
    }
}
