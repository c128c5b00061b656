//! Playing at the stream's own pace, to see how much processor time our side of
//! it takes.

use super::subject::Subject;
use crate::failure::Failure;
use crate::interrupt;
use crate::meter::Meter;
use crate::pipeline::{self, Running};
use crate::usage;
use serde::Serialize;
use std::time::Duration;

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
}

impl Paced {
    /// Plays at most `seconds` of a file.
    pub fn measure(subject: &Subject, seconds: u32) -> Result<Self, Failure> {
        let children = usage::children_cpu();
        let sink = pipeline::nowhere(true)?;
        let (pipeline, _) = pipeline::decoding(&subject.file, &subject.decoder, &sink)?;
        let meter = Meter::attach(&pipeline, &sink);
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
        })
    }
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
