//! Playing at the stream's own pace, to see how much processor time our side of
//! it takes.

use super::subject::Subject;
use crate::failure::Failure;
use crate::interrupt;
use crate::meter::Meter;
use crate::pipeline::{self, Running};
use crate::usage;
use gst::prelude::*;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Video sinks leave out frames that are later than this (`GstVideoSink`'s default for
/// `max-lateness`).
const TOO_LATE: gst::ClockTime = gst::ClockTime::from_mseconds(20);

/// The pace that processor time is told for.
pub const FPS: f64 = 25.0;

/// Processor time of a playback.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Paced {
    /// Frames shown.
    pub frames: u64,
    /// How long that took.
    pub seconds: f64,
    /// Processor time outside the emulator.
    pub host_cpu_seconds: f64,
    /// Processor time of the emulator, from its start to its end.
    pub worker_cpu_seconds: f64,
    /// Share of one processor core, in percent, outside the emulator, at 25 frames
    /// a second: if the stream has another pace, or the decoder cannot keep it, as
    /// much more or less.
    pub host_cpu_percent: f64,
    /// Frames that came to the sink so late that one with a screen would leave them out.
    pub late: u64,
    /// Milliseconds that the latest of all came after its time; 0 if none did.
    pub latest_ms: f64,
}

impl Paced {
    /// Plays at most `seconds` of a file.
    pub fn measure(subject: &Subject, seconds: u32) -> Result<Self, Failure> {
        let children = usage::children_cpu();
        let sink = pipeline::nowhere(true)?;
        let (pipeline, _) = pipeline::decoding(&subject.file, &subject.decoder, &sink)?;
        let meter = Meter::attach(&pipeline, &sink);
        let lateness = Lateness::watch(&sink);
        let running = Running::start(pipeline)?;
        let limit = Duration::from_secs(seconds.into());
        let is_over = || meter.elapsed().is_some_and(|elapsed| elapsed >= limit);
        running.wait_unless(is_over)?;
        interrupt::check()?;
        let (frames, time) = (meter.frames(), meter.elapsed().unwrap_or_default());
        let host = meter.cpu().unwrap_or_default();
        drop(running);
        Ok(Self {
            frames,
            seconds: time.as_secs_f64(),
            host_cpu_seconds: host.as_secs_f64(),
            worker_cpu_seconds: (usage::children_cpu() - children).as_secs_f64(),
            host_cpu_percent: percent(host, frames),
            late: lateness.late.load(Relaxed),
            latest_ms: lateness.latest_us.load(Relaxed) as f64 / 1e3,
        })
    }
}

/// How late frames come to a sink.
#[derive(Debug, Default)]
struct Lateness {
    late: AtomicU64,
    latest_us: AtomicU64,
}

impl Lateness {
    fn watch(sink: &gst::Element) -> Arc<Self> {
        let lateness = Arc::new(Self::default());
        let watcher = lateness.clone();
        let pad = sink.static_pad("sink").expect("every sink has one");
        let sink = sink.downgrade();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let late = info
                .buffer()
                .and_then(|buffer| late_by(&sink.upgrade()?, pad, buffer));
            if let Some(late) = late {
                watcher.latest_us.fetch_max(late.useconds(), Relaxed);
                watcher.late.fetch_add((late > TOO_LATE).into(), Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
        lateness
    }
}

/// How long after its time a buffer comes; `None` if it is in time, or has none.
fn late_by(sink: &gst::Element, pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    let due = segment.to_running_time(buffer.pts()?)?;
    // None before the clock runs: the first frame is waited for.
    sink.current_running_time()?.checked_sub(due)
}

/// Share of a core that so much time for so many frames is at 25 frames a second.
pub fn percent(cpu: Duration, frames: u64) -> f64 {
    100.0 * FPS * cpu.as_secs_f64() / frames.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_millisecond_a_frame_is_two_and_a_half_percent() {
        let share = percent(Duration::from_millis(100), 100);
        assert!((share - 2.5).abs() < 1e-9, "{share}");
    }
}
