//! Pipelines that end: in EOS, in an error, or in a failed test with a picture of
//! what they were doing.

use crate::environment;
use crate::frames::{Checksum, Frame};
use gst::prelude::*;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a pipeline may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long one look for a sample takes before errors and the deadline are looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// How long after an error a second one may follow that belongs to it.
const AFTERMATH: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// An error or a warning as the application sees it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the element it comes from.
    pub source: String,
    /// What a player shows.
    pub text: String,
    /// What only a log shows.
    pub debug: String,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.source, self.text)
    }
}

/// How a pipeline ended.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// The end of the stream came through.
    pub eos: bool,
    /// Errors on the bus, in order.
    pub errors: Vec<Report>,
    /// Warnings on the bus, in order.
    pub warnings: Vec<Report>,
}

impl End {
    /// The only error.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[track_caller]
    pub fn only_error(&self) -> &Report {
        match &self.errors[..] {
            [error] => error,
            [] => panic!("no error; eos: {}, warnings: {:?}", self.eos, self.warnings),
            errors => {
                let lines: Vec<_> = errors
                    .iter()
                    .map(|e| format!("  {e} [{}]", e.debug))
                    .collect();
                panic!(
                    "{} errors instead of one:\n{}",
                    errors.len(),
                    lines.join("\n")
                )
            }
        }
    }

    /// Fails unless the stream came to its end without an error.
    #[track_caller]
    pub fn assert_eos(&self) {
        assert!(
            self.eos && self.errors.is_empty(),
            "not a clean end: eos: {}, errors: {:#?}",
            self.eos,
            self.errors
        );
    }
}

/// A playing pipeline.
#[derive(Debug)]
pub struct Playing {
    pipeline: gst::Pipeline,
    deadline: Instant,
    end: End,
}

impl Playing {
    /// Starts the pipeline of a gst-launch description, which may take `limit`.
    pub fn start(description: &str, limit: Duration) -> Self {
        let playing = Self::prepare(description, limit);
        playing.play();
        playing
    }

    /// The same, not yet started.
    pub fn prepare(description: &str, limit: Duration) -> Self {
        environment::prepare();
        let pipeline = gst::parse::launch(description)
            .unwrap_or_else(|error| panic!("{description}: {error}"))
            .downcast::<gst::Pipeline>()
            .expect("more than one element");
        // Errors that come while it stops count too.
        pipeline.set_auto_flush_bus(false);
        if let Some(threads) = environment::decoder_threads()
            && let Some(decoder) = pipeline.by_name("decoder")
            && decoder.has_property("threads")
        {
            decoder.set_property("threads", threads);
        }
        Self {
            pipeline,
            deadline: Instant::now() + limit,
            end: End::default(),
        }
    }

    /// Makes the element `sink` say that it understands GstVideoMeta, as sinks that
    /// show video do and an appsink does not.
    pub fn understand_video_meta(&self) {
        let pad = self.element("sink").static_pad("sink").expect("a sink");
        pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
            let query = info.query_mut().map(|query| query.view_mut());
            let Some(gst::QueryViewMut::Allocation(allocation)) = query else {
                return gst::PadProbeReturn::Ok;
            };
            allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
            gst::PadProbeReturn::Handled
        });
    }

    /// Goes to PLAYING. A failure shows as an error on the bus.
    pub fn play(&self) {
        let _ = self.pipeline.set_state(gst::State::Playing);
    }

    /// The pipeline itself.
    pub fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }

    /// An element by its name in the description.
    pub fn element(&self, name: &str) -> gst::Element {
        self.pipeline
            .by_name(name)
            .unwrap_or_else(|| panic!("no element {name}"))
    }

    /// The appsink of that name.
    pub fn app_sink(&self, name: &str) -> gst_app::AppSink {
        self.element(name).downcast().expect("an appsink")
    }

    /// The statistics of the element named `decoder`.
    pub fn stats(&self) -> gst::Structure {
        self.element("decoder")
            .property::<Option<gst::Structure>>("stats")
            .expect("a decoder was chosen")
    }

    /// The next frame of the appsink `sink`; `None` at the end or after an error.
    pub fn next_sample(&mut self) -> Option<gst::Sample> {
        let sink = self.app_sink("sink");
        loop {
            let glance = gst::ClockTime::from_mseconds(GLANCE.as_millis() as u64);
            if let Some(sample) = sink.try_pull_sample(glance) {
                return Some(sample);
            }
            self.read_bus();
            if sink.is_eos() || !self.end.errors.is_empty() {
                self.wait_for_end();
                return None;
            }
            self.check_deadline();
        }
    }

    /// The frame with which the appsink `sink` waits while the pipeline is paused.
    pub fn preroll(&mut self) -> gst::Sample {
        let sink = self.app_sink("sink");
        loop {
            let glance = gst::ClockTime::from_mseconds(GLANCE.as_millis() as u64);
            if let Some(sample) = sink.try_pull_preroll(glance) {
                return sample;
            }
            self.read_bus();
            if sink.is_eos() || !self.end.errors.is_empty() {
                self.fail("no frame to wait with");
            }
            self.check_deadline();
        }
    }

    /// Waits for the end of the stream, or an error.
    pub fn wait_for_end(&mut self) {
        while !self.end.eos && self.end.errors.is_empty() {
            self.check_deadline();
            let bus = self.pipeline.bus().expect("pipelines have one");
            let glance = gst::ClockTime::from_mseconds(GLANCE.as_millis() as u64);
            if let Some(message) = bus.timed_pop(glance) {
                self.note(&message);
            }
        }
    }

    /// Waits for a message of this kind.
    pub fn wait_for(&mut self, kind: gst::MessageType) {
        let bus = self.pipeline.bus().expect("pipelines have one");
        loop {
            self.check_deadline();
            let glance = gst::ClockTime::from_mseconds(GLANCE.as_millis() as u64);
            let Some(message) = bus.timed_pop(glance) else {
                continue;
            };
            self.note(&message);
            if message.type_() == kind {
                return;
            }
            if !self.end.errors.is_empty() {
                self.fail(&format!("an error instead of {kind:?}"));
            }
        }
    }

    /// The video decoder, which may be inside of a bin.
    pub fn video_decoder(&self) -> gst::Element {
        let mut elements = self.pipeline.iterate_recurse();
        let found = elements.find(|element| element.is::<gst_video::VideoDecoder>());
        found.expect("a decoder was chosen")
    }

    /// Tells whenever the end of the stream reaches a video decoder. To be called
    /// before there is one.
    pub fn ends_at_decoder(&self) -> mpsc::Receiver<()> {
        let (tell, told) = mpsc::channel();
        self.pipeline
            .connect_deep_element_added(move |_, _, element| {
                if !element.is::<gst_video::VideoDecoder>() {
                    return;
                }
                let pad = element.static_pad("sink").expect("decoders have one");
                let tell = tell.clone();
                pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                    if info
                        .event()
                        .is_some_and(|e| e.type_() == gst::EventType::Eos)
                    {
                        // Nobody may be interested any more.
                        let _ = tell.send(());
                    }
                    gst::PadProbeReturn::Ok
                });
            });
        told
    }

    /// Goes to NULL and tells how it went.
    pub fn stop(mut self) -> End {
        let bus = self.pipeline.bus().expect("pipelines have one");
        self.read_bus();
        let mut aftermath = !self.end.errors.is_empty();
        while aftermath {
            let message = bus.timed_pop_filtered(AFTERMATH, &[gst::MessageType::Error]);
            aftermath = message.is_some();
            message.iter().for_each(|message| self.note(message));
        }
        self.set_state_within(gst::State::Null, STOP_LIMIT);
        self.read_bus();
        std::mem::take(&mut self.end)
    }

    /// Changes the state on another thread, so that a hang becomes a failed test.
    pub fn set_state_within(&self, state: gst::State, limit: Duration) {
        let change = move |pipeline: &gst::Pipeline| pipeline.set_state(state);
        let _ = self.within(limit, &format!("{state:?}"), change);
    }

    /// Does something with the pipeline on another thread, for the same reason.
    pub fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        what: &str,
        action: impl FnOnce(&gst::Pipeline) -> T + Send + 'static,
    ) -> T {
        let (done, wait) = mpsc::channel();
        let pipeline = self.pipeline.clone();
        std::thread::spawn(move || {
            let result = action(&pipeline);
            // Who waits may be about to look what is left of it.
            drop(pipeline);
            done.send(result)
        });
        wait.recv_timeout(limit)
            .unwrap_or_else(|_| self.fail(&format!("still not {what} after {limit:?}")))
    }

    /// Fails the test if the pipeline had its time.
    pub fn check_deadline(&self) {
        if Instant::now() > self.deadline {
            self.fail("neither a frame nor an end within the time limit");
        }
    }

    fn read_bus(&mut self) {
        let bus = self.pipeline.bus().expect("pipelines have one");
        while let Some(message) = bus.pop() {
            self.note(&message);
        }
    }

    fn note(&mut self, message: &gst::Message) {
        let source = message
            .src()
            .map(|s| s.name().to_string())
            .unwrap_or_default();
        let report = |text: String, debug: Option<gst::glib::GString>| Report {
            source: source.clone(),
            text,
            debug: debug.map(|d| d.to_string()).unwrap_or_default(),
        };
        match message.view() {
            gst::MessageView::Eos(_) => self.end.eos = true,
            gst::MessageView::Error(error) => {
                let report = report(error.error().message().into(), error.debug());
                self.end.errors.push(report);
            }
            gst::MessageView::Warning(warning) => {
                let report = report(warning.error().message().into(), warning.debug());
                self.end.warnings.push(report);
            }
            _ => {}
        }
    }

    fn fail(&self, why: &str) -> ! {
        let graph = self
            .pipeline
            .debug_to_dot_data(gst::DebugGraphDetails::STATES);
        let stats = self.pipeline.by_name("decoder").map(|decoder| {
            let stats = decoder.property::<Option<gst::Structure>>("stats");
            stats.map(|stats| stats.to_string())
        });
        panic!("{why}\nnoted: {:#?}\nstats: {stats:?}\n{graph}", self.end);
    }
}

impl Drop for Playing {
    /// After a failed test too nothing goes on playing. What hangs is left alone: the
    /// test has failed already.
    fn drop(&mut self) {
        let (done, wait) = mpsc::channel();
        let pipeline = self.pipeline.clone();
        std::thread::spawn(move || {
            let _ = pipeline.set_state(gst::State::Null);
            // Freed here, not by the test, which would wait with it.
            drop(pipeline);
            let _ = done.send(());
        });
        if wait.recv_timeout(STOP_LIMIT).is_err() {
            std::mem::forget(self.pipeline.clone());
        }
    }
}

/// Everything that came out of a pipeline.
#[derive(Debug)]
pub struct Decoded {
    /// The frames of the appsink, in order.
    pub frames: Vec<Frame>,
    /// How it ended.
    pub end: End,
    /// The statistics at the end; `None` if no decoder was chosen.
    pub stats: Option<gst::Structure>,
}

/// `filesrc ! MIDDLE ! appsink` of a file to its end. The element in `middle`
/// whose statistics count is called `decoder`.
pub fn decode(file: &std::path::Path, middle: &str, limit: Duration) -> Decoded {
    decode_summing(file, middle, limit, None)
}

/// The same; `sum` gets the visible samples of all frames.
pub fn decode_summing(
    file: &std::path::Path,
    middle: &str,
    limit: Duration,
    mut sum: Option<&mut Checksum>,
) -> Decoded {
    let description = format!(
        "filesrc location=\"{}\" ! {middle} ! appsink name=sink sync=false max-buffers=4",
        file.display()
    );
    let mut playing = Playing::start(&description, limit);
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, sum.as_deref_mut()));
    }
    let decoder = playing.pipeline().by_name("decoder");
    let stats = decoder.and_then(|d| d.property::<Option<gst::Structure>>("stats"));
    stats.iter().for_each(assert_accelerated_as_told);
    Decoded {
        frames,
        end: playing.stop(),
        stats,
    }
}

/// Fails if the environment asks for a mode of the accelerator, and another was on.
#[track_caller]
fn assert_accelerated_as_told(stats: &gst::Structure) {
    let told = std::env::var("IOTDEC_ACCEL_MODE").unwrap_or_else(|_| "auto".into());
    // Before the first worker there is none.
    if let Ok(mode) = stats.get::<&str>("accel")
        && told != "auto"
        && count(stats, "frames-out") > 0
    {
        assert_eq!(mode, told, "{stats}");
    }
}

/// A count in the `stats` of a decoder.
#[track_caller]
pub fn count(stats: &gst::StructureRef, field: &str) -> u64 {
    stats.get(field).unwrap_or_else(|error| panic!("{error}"))
}
