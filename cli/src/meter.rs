//! When frames pass, noted by pad probes: how fast a pipeline decodes.

use crate::usage::process_cpu;
use gst::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The measure of one run of one pipeline.
///
/// Speed is taken between the moment the first packet enters the decoder and the
/// moment the sink sees the end of the stream: starting GStreamer, the emulator
/// and the library belongs to neither.
#[derive(Debug, Default)]
pub struct Meter {
    decoder: OnceLock<gst::Element>,
    first_packet: OnceLock<Stamp>,
    first_frame: OnceLock<Stamp>,
    end: OnceLock<Stamp>,
    frames: AtomicU64,
}

/// A moment, and the processor time that this process had used until then.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    at: Instant,
    cpu: Duration,
}

impl Stamp {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            cpu: process_cpu(),
        }
    }
}

impl Meter {
    /// Watches a pipeline that contains an `iotdec` and ends in `sink`.
    pub fn attach(pipeline: &gst::Pipeline, sink: &gst::Element) -> Arc<Self> {
        let meter = Arc::new(Self::default());
        let watcher = meter.clone();
        when_decoder_comes(pipeline, move |decoder| {
            // Only the first counts; a second would be of a second stream.
            let _ = watcher.decoder.set(decoder.clone());
            let pad = decoder.static_pad("sink").expect("every decoder has one");
            let watcher = watcher.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                watcher.begin();
                gst::PadProbeReturn::Remove
            });
        });
        meter.watch_sink(sink);
        meter
    }

    /// Notes that decoding begins, where no pipeline shows it.
    pub fn begin(&self) {
        let _ = self.first_packet.set(Stamp::now());
    }

    /// Counts what arrives at `sink`.
    pub fn watch_sink(self: &Arc<Self>, sink: &gst::Element) {
        let pad = sink.static_pad("sink").expect("every sink has one");
        let meter = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let _ = meter.first_frame.set(Stamp::now());
            meter.frames.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
        let meter = self.clone();
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if info
                .event()
                .is_some_and(|e| e.type_() == gst::EventType::Eos)
            {
                let _ = meter.end.set(Stamp::now());
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// When the first frame arrived.
    pub fn first_frame(&self) -> Option<Instant> {
        self.first_frame.get().map(|stamp| stamp.at)
    }

    /// From the first packet to the end of the stream, or until now.
    pub fn elapsed(&self) -> Option<Duration> {
        let start = self.first_packet.get()?;
        Some(self.end().at.saturating_duration_since(start.at))
    }

    /// Processor time that this process, the emulator apart, used meanwhile.
    pub fn cpu(&self) -> Option<Duration> {
        let start = self.first_packet.get()?;
        Some(self.end().cpu.saturating_sub(start.cpu))
    }

    fn end(&self) -> Stamp {
        self.end.get().copied().unwrap_or_else(Stamp::now)
    }

    /// Frames a second so far.
    pub fn fps(&self) -> Option<f64> {
        let seconds = self.elapsed()?.as_secs_f64();
        (seconds > 0.0).then(|| self.frames() as f64 / seconds)
    }

    /// The decoder that was chosen, as `iotdec list` names it.
    pub fn decoder_name(&self) -> Option<String> {
        let factory = self.decoder.get()?.factory()?;
        Some(factory.name().strip_prefix(PREFIX)?.to_owned())
    }
}

/// What the names of all foreign decoders' elements begin with.
const PREFIX: &str = "iotdec_";

/// Calls `f` with each foreign decoder that comes into a pipeline.
pub fn when_decoder_comes(
    pipeline: &gst::Pipeline,
    f: impl Fn(&gst::Element) + Send + Sync + 'static,
) {
    pipeline.connect_deep_element_added(move |_, _, element| {
        let factory = element.factory();
        if factory.is_some_and(|factory| factory.name().starts_with(PREFIX)) {
            f(element);
        }
    });
}
