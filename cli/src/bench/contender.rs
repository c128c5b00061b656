//! The ways to decode that are compared.

use super::subject::{self, Native, Subject};
use super::worker::{Counts, Report, Worker};
use super::{pipes, turnflag};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::pipeline::{self, Running};
use crate::usage;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use iotdec_bridge::Wish;
use serde::{Serialize, Serializer};
use std::process::Command;
use std::time::Duration;

/// One way to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// The library built for this machine, alone.
    Native,
    /// The foreign library under the emulator, alone, as `iotdec` starts it.
    Bare,
    /// The same without the accelerator.
    Plain,
    /// The same with native calls only.
    Calls,
    /// The same with the second translator only.
    Turbo,
    /// The same with both.
    TurboCalls,
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
    /// What the accelerator counted, from the worker's start to its end; none where
    /// nobody asked the worker.
    pub counts: Option<Counts>,
}

impl Sample {
    /// Frames a second.
    pub fn fps(&self) -> f64 {
        self.frames as f64 / self.seconds
    }
}

/// Frames, the time they took, and our own processor time in it.
pub type Measure = (u64, Duration, Option<Duration>);

impl ValueEnum for Contender {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl Serialize for Contender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Contender {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 9] = [
        Self::Native,
        Self::Plain,
        Self::Calls,
        Self::Turbo,
        Self::TurboCalls,
        Self::Bare,
        Self::Iotdec,
        Self::Pipes,
        Self::TurnFlag,
    ];
    /// What is compared unless something else is asked for: GStreamer with other ways to
    /// get at the frames.
    pub const WAYS: [Self; 5] = [
        Self::Native,
        Self::Bare,
        Self::Iotdec,
        Self::Pipes,
        Self::TurnFlag,
    ];
    /// What tells how much the accelerator brings.
    pub const ACCELERATOR: [Self; 5] = [
        Self::Native,
        Self::Plain,
        Self::Calls,
        Self::Turbo,
        Self::TurboCalls,
    ];

    /// As people and programs know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Bare => "bare",
            Self::Plain => "plain",
            Self::Calls => "calls",
            Self::Turbo => "turbo",
            Self::TurboCalls => "turbo+calls",
            Self::Iotdec => "iotdec",
            Self::Pipes => "pipes",
            Self::TurnFlag => "turnflag",
        }
    }

    /// Decodes once.
    pub fn run(self, subject: &Subject, round: u32) -> Result<Sample, Failure> {
        let children = usage::children_cpu();
        let mut counts = None;
        let (frames, time, host) = match self {
            Self::Iotdec => iotdec(subject)?,
            Self::Pipes => pipes::run(subject)?,
            Self::TurnFlag => turnflag::run(subject)?,
            _ => {
                let report = self.alone(subject, &[]).expect("the others are alone")?;
                counts = Some(report.accelerator.counts);
                // It measures itself: the time in the decoder, without start and end.
                let time = Duration::from_secs_f64(report.seconds);
                (report.frames, time, None)
            }
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
            counts,
        })
    }

    /// What a worker reports that decodes with nobody on the other side; `None` where
    /// somebody is.
    fn alone(self, subject: &Subject, arguments: &[&str]) -> Option<Result<Report, Failure>> {
        let packets = subject.packet_file.path();
        let run = |mut command: Command| Worker::start(command.args(arguments))?.report();
        let accelerated = |wish, has_native| {
            let launch = subject.accelerated(wish, has_native)?;
            let report = run(subject::bare(&launch, packets))?;
            let mode = launch.accelerator.map_or("off", |it| it.mode.name());
            report.check_mode(mode)
        };
        match self {
            Self::Native => Some(match &subject.native {
                Ok(Native { worker, .. }) => run(subject.native_bare(worker, packets)),
                Err(why) => Err(Failure::Error(why.clone())),
            }),
            Self::Bare => Some(run(subject::bare(&subject.launch, packets))),
            Self::Plain => Some(accelerated(Wish::Off, false)),
            Self::Calls => Some(accelerated(Wish::Native, true)),
            Self::Turbo => Some(accelerated(Wish::Turbo, false)),
            Self::TurboCalls => Some(accelerated(Wish::Turbo, true)),
            Self::Iotdec | Self::Pipes | Self::TurnFlag => None,
        }
    }
}

/// Decodes once, unmeasured, with each contender whose worker can tell a checksum of all
/// pictures: they must be of the same bits. The checksum, if there was one.
pub fn same_pictures(
    contenders: &[Contender],
    subject: &Subject,
) -> Result<Option<String>, Failure> {
    let mut first: Option<(Contender, String)> = None;
    for contender in contenders {
        let Some(report) = contender.alone(subject, &["--checksum"]) else {
            continue;
        };
        let checksum = report?.checksum;
        match &first {
            None => first = Some((*contender, checksum)),
            Some((_, same)) if *same == checksum => {}
            Some((other, _)) => {
                return Err(Failure::new(
                    format_args!(
                        "{} and {} decode {} to different pictures: they cannot be compared",
                        other.name(),
                        contender.name(),
                        subject.file.display()
                    ),
                    "If one is native, check that both builds of the library are of one version. \
                     If not, the accelerator is wrong: accel=off does without.",
                ));
            }
        }
    }
    Ok(first.map(|(_, checksum)| checksum))
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
