//! The element as GStreamer's base class sees it.

use crate::register::Registered;
use crate::settings::{self, Settings};
use crate::stats::{Running, Stats};
use crate::{CAT, register};
use gst::glib;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoCodecFrame, VideoCodecState, video_codec_state::Readable};
use iotdec_bridge::Receiver;
use once_cell::sync::Lazy;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::gather::Gather;
use super::output::Output;
use super::qos::Qos;
use super::session::Session;
use super::submit::Input;
use super::workload::Workload;

/// The element's instance data. Locks are taken in the order of the fields, the
/// base class's stream lock before all of them; none is held while pushing.
#[derive(Default)]
pub(crate) struct ForeignDecoder {
    pub(super) settings: Mutex<Settings>,
    /// The running worker; replaced when it is lost.
    pub(super) session: Mutex<Option<Session>>,
    /// Packets that are being joined to access units, if they have to be.
    pub(super) gather: Mutex<Option<Gather>>,
    /// How often the streaming thread holds the stream lock besides once.
    pub(super) nested_locks: AtomicUsize,
    /// What the streaming thread needs; held while it waits for the worker.
    pub(super) input: Mutex<Input>,
    /// Where the source pad's task reads; held by it while it waits for the worker.
    pub(super) receiver: Mutex<Option<Receiver>>,
    /// What the task knows of the pictures it delivers.
    pub(super) output: Mutex<Output>,
    /// What of the input is not worth decoding.
    pub(super) qos: Mutex<Qos>,
    /// What the task tells the streaming thread, which waits on `progressed`.
    pub(super) progress: Mutex<Progress>,
    pub(super) progressed: Condvar,
    /// Upstream or the application flushes: the streaming thread must not wait.
    pub(super) flushing: AtomicBool,
    /// The element leaves PAUSED: the task must not wait either.
    pub(super) stopping: AtomicBool,
    /// An error was posted since the element was last started.
    failed: AtomicBool,
    pub(super) stats: Stats,
}

/// How far the output side has come.
#[derive(Debug)]
pub(super) struct Progress {
    /// What pushing the last frame returned.
    pub(super) flow: Result<gst::FlowSuccess, gst::FlowError>,
    /// The last drain that was answered, and the last that was asked for.
    pub(super) drained: u32,
    pub(super) drain_serial: u32,
    /// What the worker has to do.
    pub(super) workload: Workload,
    /// The streaming thread waits for its turn to send a packet.
    pub(super) turn_awaited: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            flow: Ok(gst::FlowSuccess::Ok),
            drained: 0,
            drain_serial: 0,
            workload: Workload::default(),
            turn_awaited: false,
        }
    }
}

/// Locks that no panic poisons, because no code under them panics.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("never poisoned")
}

impl ForeignDecoder {
    /// The manifest this element was made from.
    pub(super) fn registered(&self) -> Arc<Registered> {
        register::of_type(self.obj().type_()).expect("types are derived by `register` only")
    }

    /// Whether the streaming thread must stop waiting.
    pub(super) fn interrupted(&self) -> bool {
        self.flushing.load(Ordering::Acquire) || self.stopping.load(Ordering::Acquire)
    }

    fn interrupt(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
        if let Some(session) = &*lock(&self.session) {
            session.worker.wake();
        }
        // Under the lock, so that a waiter is either before its check or asleep.
        let _progress = lock(&self.progress);
        self.progressed.notify_all();
    }

    /// Runs `f` without the stream lock, so that the task can push frames meanwhile
    /// and a flush can get through. The caller holds the lock once, and as often as
    /// `nested_locks` says besides.
    pub(super) fn without_stream_lock<R>(&self, f: impl FnOnce() -> R) -> R {
        let obj = self.obj();
        let decoder: *mut gst_video::ffi::GstVideoDecoder =
            obj.upcast_ref::<gst_video::VideoDecoder>().as_ptr();
        let times = 1 + self.nested_locks.load(Ordering::Relaxed);
        for _ in 0..times {
            // SAFETY: the base class calls the virtual functions that use this with
            // its recursive stream lock held by this thread so many times; it is taken
            // again before returning, so the base class finds it as it left it.
            unsafe { glib::ffi::g_rec_mutex_unlock(&raw mut (*decoder).stream_lock) };
        }
        let result = f();
        for _ in 0..times {
            // SAFETY: as above.
            unsafe { glib::ffi::g_rec_mutex_lock(&raw mut (*decoder).stream_lock) };
        }
        result
    }

    /// Runs `f` with the stream lock, so that the base class handles no frame and
    /// no flush meanwhile.
    pub(super) fn with_stream_lock<R>(&self, f: impl FnOnce() -> R) -> R {
        let obj = self.obj();
        let decoder: *mut gst_video::ffi::GstVideoDecoder =
            obj.upcast_ref::<gst_video::VideoDecoder>().as_ptr();
        // SAFETY: the lock is recursive, lives as long as the element, and is
        // released below by the thread that took it.
        unsafe { glib::ffi::g_rec_mutex_lock(&raw mut (*decoder).stream_lock) };
        let result = f();
        // SAFETY: as above.
        unsafe { glib::ffi::g_rec_mutex_unlock(&raw mut (*decoder).stream_lock) };
        result
    }

    /// What downstream returned for the last frames of a stream is told upstream with the
    /// next frame, of which there is none; queues post an error then too.
    fn tell_of_failed_flow(&self, error: gst::FlowError) {
        use gst::FlowError::{Error, NotNegotiated, NotSupported};
        if matches!(error, Error | NotNegotiated | NotSupported) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("Internal data stream error."),
                ["downstream returned {error:?} for the last frames"]
            );
        }
    }

    /// Drops what is under way without waiting for anyone.
    fn discard(&self) {
        if let Some(session) = &*lock(&self.session) {
            session.worker.flush();
        }
        lock(&self.output).timing.flush();
        lock(&self.qos).forget();
        if let Some(gather) = &mut *lock(&self.gather) {
            gather.forget();
        }
        let mut progress = lock(&self.progress);
        progress.flow = Ok(gst::FlowSuccess::Ok);
        progress.workload.forget_sent();
    }
}

#[glib::object_subclass]
impl ObjectSubclass for ForeignDecoder {
    const NAME: &'static str = "GstIotdecDecoder";
    const ABSTRACT: bool = true;
    type Type = super::ForeignDecoder;
    type ParentType = gst_video::VideoDecoder;
}

impl ObjectImpl for ForeignDecoder {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: Lazy<Vec<glib::ParamSpec>> = Lazy::new(settings::property_specs);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        lock(&self.settings).set(spec.name(), value);
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "stats" => {
                let session = lock(&self.session);
                let running = session.as_ref().map(|it| Running::of(&it.worker));
                self.stats.structure(running).to_value()
            }
            name => lock(&self.settings).get(name),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_packetized(true);
        obj.set_needs_format(true);
    }
}

impl GstObjectImpl for ForeignDecoder {}

impl ElementImpl for ForeignDecoder {
    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady | gst::StateChange::ReadyToPaused => {
                self.failed.store(false, Ordering::Relaxed);
            }
            // Before the base class deactivates the pads, which waits for both
            // threads to leave.
            gst::StateChange::PausedToReady => self.interrupt(&self.stopping),
            gst::StateChange::PlayingToPaused => lock(&self.qos).pause(),
            _ => {}
        }
        self.parent_change_state(transition)
    }

    /// One failure is one error: what the base class adds to it ("Failed to open
    /// decoder") would hide the cause.
    fn post_message(&self, message: gst::Message) -> bool {
        let is_error = message.type_() == gst::MessageType::Error;
        if is_error && self.failed.swap(true, Ordering::Relaxed) {
            gst::debug!(CAT, imp = self, "Not posted, a consequence: {message:?}");
            return true;
        }
        self.parent_post_message(message)
    }
}

impl VideoDecoderImpl for ForeignDecoder {
    /// The template says what it decodes well; other profiles may work, and who links
    /// it by hand wants to see.
    fn caps(&self, filter: Option<&gst::Caps>) -> gst::Caps {
        let tried = &self.registered().tried;
        self.obj().proxy_getcaps(Some(tried), filter)
    }

    fn sink_query(&self, query: &mut gst::QueryRef) -> bool {
        // Not against a caps query: the base class answers that with a frame rate,
        // which parsers of untimed streams do not give.
        if let gst::QueryViewMut::AcceptCaps(query) = query.view_mut() {
            let accepted = query.caps().is_subset(&self.registered().tried);
            query.set_result(accepted);
            return true;
        }
        self.parent_sink_query(query)
    }

    fn open(&self) -> Result<(), gst::ErrorMessage> {
        self.ensure_session()
    }

    fn close(&self) -> Result<(), gst::ErrorMessage> {
        // For whoever has only the log of a player.
        gst::info!(CAT, imp = self, "{}", self.stats.structure(None));
        self.end_session();
        Ok(())
    }

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.stopping.store(false, Ordering::Release);
        self.flushing.store(false, Ordering::Release);
        *lock(&self.progress) = Progress::default();
        // The properties may have been changed in READY.
        self.ensure_session()
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        // It fails only if there is no task.
        let _ = self.obj().src_pad().stop_task();
        self.discard();
        if let Some(worker) = self.worker() {
            worker.release_slots();
        }
        lock(&self.input).forget_stream();
        lock(&self.output).forget_stream();
        Ok(())
    }

    fn set_format(
        &self,
        state: &VideoCodecState<'static, Readable>,
    ) -> Result<(), gst::LoggableError> {
        // What is still inside belongs to the old caps.
        self.join_rest();
        let _ = self.drain_worker();
        gst::debug!(CAT, imp = self, "Input caps {:?}", state.caps());
        let bitstream = self.bitstream_of(state)?;
        let setup = self.stream_setup(state, &bitstream);
        let gather = Gather::of(&bitstream);
        self.obj().set_packetized(gather.is_none());
        *lock(&self.gather) = gather;
        let mut input = lock(&self.input);
        input.bitstream = bitstream;
        input.announce(setup);
        drop(input);
        lock(&self.output).begin_stream(state.clone());
        Ok(())
    }

    fn parse(
        &self,
        frame: &VideoCodecFrame,
        adapter: &gst_base::Adapter,
        at_eos: bool,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.join(frame, adapter, at_eos)
    }

    fn handle_frame(&self, mut frame: VideoCodecFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        // Parsers give the first NAL unit of an access unit no time at all.
        if frame.duration() == Some(gst::ClockTime::ZERO) {
            frame.set_duration(gst::ClockTime::NONE);
        }
        self.submit(frame)
    }

    fn finish(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        if let Err(error) = self.drain() {
            self.tell_of_failed_flow(error);
            return Err(error);
        }
        self.check_that_something_came()
    }

    fn drain(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.drain_entirely()
    }

    fn flush(&self) -> bool {
        gst::debug!(CAT, imp = self, "Flushing");
        self.discard();
        true
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::FlushStart => self.interrupt(&self.flushing),
            gst::EventType::FlushStop => self.flushing.store(false, Ordering::Release),
            // The end of the last segment is not the end of this one.
            gst::EventType::Segment => {
                let mut progress = lock(&self.progress);
                if progress.flow == Err(gst::FlowError::Eos) {
                    progress.flow = Ok(gst::FlowSuccess::Ok);
                }
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            self.note_qos(qos);
            // The base class would throw away pictures that are decoded already, for twice
            // as long as this one is late; the sink knows better what it can show.
            return self.obj().sink_pad().push_event(event);
        }
        self.parent_src_event(event)
    }

    fn decide_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.plan_memory(query);
        self.parent_decide_allocation(query)
    }
}
