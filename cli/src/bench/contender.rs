//! The ways to decode that are compared.

use super::subject::{Native, Subject};
use super::worker::Worker;
use super::{pipes, turnflag};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::pipeline::{self, Running};
use crate::usage;
use serde::Serialize;
use std::time::Duration;

/// One way to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    /// The library built for this machine, alone.
    Native,
    /// The foreign library under the emulator, alone.
    Bare,
    /// `filesrc ! iotdec ! fakesink sync=false`.
    Iotdec,
    /// The emulated worker writes frames into a pipe, which GStreamer reads.
    Pipes,
    /// The emulated worker and we take turns at one block of shared memory.
    TurnFlag,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// The round it was taken in.
    pub round: u32,
    /// Frames that came out.
    pub frames: u64,
    /// From the first packet to the last frame.
    pub seconds: f64,
    /// Processor time of this process meanwhile; none where it only waited.
    pub host_cpu_seconds: Option<f64>,
    /// Processor time of the worker, from its start to its end.
    pub worker_cpu_seconds: f64,
}

impl Sample {
    /// Frames a second.
    pub fn fps(&self) -> f64 {
        self.frames as f64 / self.seconds
    }
}

/// Frames, the time they took, and our own processor time in it.
pub type Measure = (u64, Duration, Option<Duration>);

impl Contender {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 5] = [
        Self::Native,
        Self::Bare,
        Self::Iotdec,
        Self::Pipes,
        Self::TurnFlag,
    ];

    /// As people and programs know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Bare => "bare",
            Self::Iotdec => "iotdec",
            Self::Pipes => "pipes",
            Self::TurnFlag => "turnflag",
        }
    }

    /// Decodes once.
    pub fn run(self, subject: &Subject, round: u32) -> Result<Sample, Failure> {
        let children = usage::children_cpu();
        let (frames, time, host) = match self {
            Self::Native => match &subject.native {
                Ok(Native { worker, .. }) => {
                    bare(subject.native_bare(worker, subject.packet_file.path()))?
                }
                Err(why) => return Err(Failure::Error(why.clone())),
            },
            Self::Bare => bare(subject.bare(subject.packet_file.path()))?,
            Self::Iotdec => iotdec(subject)?,
            Self::Pipes => pipes::run(subject)?,
            Self::TurnFlag => turnflag::run(subject)?,
        };
        if frames != subject.frames {
            return Err(Failure::new(
                format_args!(
                    "{} decoded {frames} frames of {}, and GStreamer {}: they cannot be compared",
                    self.name(),
                    subject.file.display(),
                    subject.frames
                ),
                "Check that both builds of the library are of one version, and the file undamaged.",
            ));
        }
        Ok(Sample {
            round,
            frames,
            seconds: time.as_secs_f64(),
            host_cpu_seconds: host.map(|host| host.as_secs_f64()),
            worker_cpu_seconds: (usage::children_cpu() - children).as_secs_f64(),
        })
    }
}

/// A worker measures itself: the time in the decoder, without start and end.
fn bare(command: std::process::Command) -> Result<Measure, Failure> {
    let report = Worker::start(command)?.report()?;
    let time = Duration::from_secs_f64(report.seconds);
    Ok((report.frames, time, None))
}

fn iotdec(subject: &Subject) -> Result<Measure, Failure> {
    let sink = pipeline::nowhere(false)?;
    let (pipeline, iotdec) = pipeline::decoding(&subject.file, &subject.decoder, &sink)?;
    let meter = Meter::attach(&pipeline, &sink);
    let running = Running::start(pipeline)?;
    running.wait(|| ())?;
    // A stream goes on when its worker is lost; a measurement must not.
    let lost = pipeline::stats(&iotdec).get("worker-restarts").copied();
    if let Some(lost @ 1..) = lost {
        return Err(Failure::new(
            format_args!("the worker was lost {lost} times while it was measured"),
            "GST_DEBUG=iotdec:3,iotdec-worker:6 shows why.",
        ));
    }
    let time = meter.elapsed().unwrap_or_default();
    Ok((meter.frames(), time, meter.cpu()))
}
