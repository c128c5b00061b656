//! What was measured, and whether it is what it should be.

use super::contender::{Contender, Sample};
use super::machine::{Machine, Versions};
use super::paced::Paced;
use super::statistics::Summary;
use super::worker::Counts;
use serde::Serialize;
use std::path::PathBuf;

/// Everything that one benchmark measured.
#[derive(Debug, Serialize)]
pub struct Results {
    /// On what.
    pub machine: Machine,
    /// What the accelerator's ways in and out cost, if that was asked for.
    pub costs: Vec<Cost>,
    /// File by file.
    pub files: Vec<FileResult>,
}

/// What one operation costs.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// Which.
    pub what: String,
    /// Nanoseconds.
    pub ns: Summary,
}

/// What was measured with one file.
#[derive(Debug, Serialize)]
pub struct FileResult {
    /// The file.
    pub file: PathBuf,
    /// What its frames are, such as "1280x720 I420".
    pub format: String,
    /// How many there are.
    pub frames: u64,
    /// With what.
    pub versions: Versions,
    /// Why there is no native contender, if there is none.
    pub native_missing: Option<String>,
    /// Of all pictures, which were the same in all contenders that are workers alone.
    pub checksum: Option<String>,
    /// Contender by contender.
    pub contenders: Vec<Standing>,
    /// Played at its own pace.
    pub paced: Paced,
    /// What should be.
    pub targets: Vec<Target>,
}

/// How one contender did.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// Who.
    pub contender: Contender,
    /// Frames a second.
    pub fps: Summary,
    /// Its speed as a multiple of the decoder's without the accelerator, round by round.
    pub to_plain: Option<Summary>,
    /// Its speed as a multiple of the bare decoder's, round by round.
    pub to_bare: Option<Summary>,
    /// Its speed as a multiple of iotdec's, round by round.
    pub to_iotdec: Option<Summary>,
    /// Every measurement.
    pub samples: Vec<Sample>,
}

impl Standing {
    /// Milliseconds of the worker's processor time a frame, in the median.
    pub fn worker_cpu_ms(&self) -> Option<f64> {
        let samples = self.samples.iter();
        per_frame(samples.map(|sample| (sample.worker_cpu_seconds, sample.frames)))
    }

    /// What the accelerator counted in the first round: the others do the same work.
    pub fn counts(&self) -> Option<Counts> {
        self.samples.first()?.counts
    }

    /// Milliseconds of our processor time a frame, in the median.
    pub fn host_cpu_ms(&self) -> Option<f64> {
        let samples = self.samples.iter();
        per_frame(samples.filter_map(|s| Some((s.host_cpu_seconds?, s.frames))))
    }
}

fn per_frame(samples: impl Iterator<Item = (f64, u64)>) -> Option<f64> {
    let milliseconds = samples.map(|(seconds, frames)| 1e3 * seconds / frames.max(1) as f64);
    Summary::of(milliseconds).map(|summary| summary.median)
}

/// Something that should be, and what is.
#[derive(Debug, PartialEq, Serialize)]
pub struct Target {
    /// What should be.
    pub what: String,
    /// What was measured.
    pub value: f64,
    /// What it is compared with.
    pub limit: f64,
    /// Whether it is as it should be.
    pub met: bool,
}

impl Target {
    /// A value that is to be so much or more.
    pub fn at_least(what: &str, value: f64, limit: f64) -> Self {
        Self {
            what: what.into(),
            value,
            limit,
            met: value >= limit,
        }
    }

    /// A value that is to be less.
    pub fn below(what: &str, value: f64, limit: f64) -> Self {
        Self {
            what: what.into(),
            value,
            limit,
            met: value < limit,
        }
    }
}

/// Sums up samples, contender by contender; those without samples are left out.
pub fn standings(samples: &[(Contender, Sample)]) -> Vec<Standing> {
    let of = |contender| -> Vec<Sample> {
        let own = samples.iter().filter(|(who, _)| *who == contender);
        let mut own: Vec<_> = own.map(|(_, sample)| *sample).collect();
        own.sort_by_key(|sample| sample.round);
        own
    };
    let fps = |samples: &[Sample]| samples.iter().map(Sample::fps).collect::<Vec<_>>();
    let [plain, bare, iotdec] =
        [Contender::Plain, Contender::Bare, Contender::Iotdec].map(|contender| fps(&of(contender)));
    let standing = |contender| {
        let samples = of(contender);
        let speeds = fps(&samples);
        Some(Standing {
            contender,
            fps: Summary::of(speeds.iter().copied())?,
            to_plain: Summary::of_ratios(&speeds, &plain),
            to_bare: Summary::of_ratios(&speeds, &bare),
            to_iotdec: Summary::of_ratios(&speeds, &iotdec),
            samples,
        })
    };
    Contender::ALL.into_iter().filter_map(standing).collect()
}

/// Compares with what should be.
pub fn targets(standings: &[Standing], paced: &Paced) -> Vec<Target> {
    let find = |contender| standings.iter().find(|s| s.contender == contender);
    let ratio = |contender, of: fn(&Standing) -> Option<Summary>| {
        find(contender).and_then(of).map(|ratio| ratio.median)
    };
    let to_bare = ratio(Contender::Iotdec, |s| s.to_bare);
    let to_pipes = ratio(Contender::Pipes, |s| s.to_iotdec).map(f64::recip);
    let to_turnflag = ratio(Contender::TurnFlag, |s| s.to_iotdec).map(f64::recip);
    let speeds = [
        ("iotdec at least 0.98 x bare", to_bare, 0.98),
        ("iotdec at least as fast as pipes", to_pipes, 1.0),
        ("iotdec at least as fast as turnflag", to_turnflag, 1.0),
    ];
    let percent = Target::below(
        "CPU outside QEMU at 25 fps below 3 %",
        paced.host_cpu_percent,
        3.0,
    );
    speeds
        .into_iter()
        .filter_map(|(what, value, limit)| Some(Target::at_least(what, value?, limit)))
        .chain([percent])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: u32, fps: f64) -> Sample {
        Sample {
            round,
            frames: 100,
            seconds: 100.0 / fps,
            host_cpu_seconds: Some(0.05),
            worker_cpu_seconds: 2.0,
            counts: None,
        }
    }

    #[test]
    fn contenders_are_compared_round_by_round() {
        let samples = [
            (Contender::Iotdec, sample(2, 24.5)),
            (Contender::Bare, sample(1, 50.0)),
            (Contender::Bare, sample(2, 25.0)),
            (Contender::Iotdec, sample(1, 50.0)),
        ];
        let standings = standings(&samples);
        let names: Vec<_> = standings.iter().map(|s| s.contender.name()).collect();
        assert_eq!(names, ["bare", "iotdec"]);
        let ratio = standings[1].to_bare.unwrap();
        assert!((ratio.min - 0.98).abs() < 1e-9 && (ratio.max - 1.0).abs() < 1e-9);
        assert_eq!(standings[1].worker_cpu_ms(), Some(20.0));
        assert_eq!(standings[1].host_cpu_ms(), Some(0.5));
    }

    #[test]
    fn targets_are_met_or_missed() {
        let samples = [
            (Contender::Bare, sample(1, 50.0)),
            (Contender::Iotdec, sample(1, 49.5)),
            (Contender::Pipes, sample(1, 50.0)),
        ];
        let paced = Paced {
            frames: 100,
            seconds: 4.0,
            host_cpu_seconds: 0.1,
            worker_cpu_seconds: 2.0,
            host_cpu_percent: 2.5,
            late: 0,
            latest_ms: 0.0,
        };
        let targets = targets(&standings(&samples), &paced);
        let met: Vec<_> = targets.iter().map(|target| target.met).collect();
        assert_eq!(met, [true, false, true]);
    }
}
