//! `iotdec bench --calls`: how long calls of a library for aarch64 take, and other ways to
//! call it. docs/call-latency.md tells the method.
//!
//! `made` compiles a library of next to nothing, its wrapper and a program for the other
//! side; [`contender`] has the ways to call, [`sample`] takes their times, row by row, and
//! `floor` those of the machine itself. `breakdown` takes a call to pieces, and `work` has
//! libraries do something.

mod api;
mod breakdown;
mod contender;
mod floor;
mod made;
mod peer;
mod report;
mod result;
mod sample;
mod work;

use super::deliver;
use super::machine::{Machine, qemu_version};
use super::statistics::Summary;
use crate::args::BenchArgs;
use crate::failure::Failure;
use breakdown::{Pack, Parts};
use contender::{Contender, check};
use indicatif::{ProgressBar, ProgressStyle};
use made::Made;
use result::{Point, Results};
use sample::Row;
use std::process::ExitCode;
use std::time::Duration;

/// Runs the command.
pub fn run(args: &BenchArgs) -> Result<ExitCode, Failure> {
    let machine = Machine::this();
    let made = Made::new()?;
    let pack = Pack::load(&made)?;
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} rounds  {msg}");
    let progress = ProgressBar::new(args.runs.into()).with_style(style.expect("a valid template"));
    let mut all = Vec::new();
    for round in 0..args.runs {
        let seconds = Duration::from_secs(args.seconds.into());
        all.push(measure(&made, &pack, round, seconds, &progress)?);
        progress.inc(1);
    }
    progress.set_message("libraries with something to do");
    progress.tick();
    let work = match made.in_turbo {
        Some(_) => work::measure(args.runs, args.seconds == 0)?,
        None => Vec::new(),
    };
    progress.finish_and_clear();
    let points: Vec<_> = all
        .iter()
        .flat_map(|round| &round.points)
        .copied()
        .collect();
    let parts: Vec<_> = all.iter().map(|round| round.parts).collect();
    let rows = result::rows(&points);
    let results = Results {
        machine,
        iotdec: env!("CARGO_PKG_VERSION"),
        qemu: qemu_version(&made.qemu),
        cpu_model: made.cpu,
        rounds: args.runs,
        clock: Summary::of(all.iter().map(|round| round.clock)),
        targets: result::targets(&rows),
        rows,
        breakdown: breakdown::steps(&parts),
        work,
    };
    let all_met = results.targets.iter().all(|target| target.met);
    deliver(args, &results, all_met, report::text, report::markdown)
}

/// What was measured in one round.
struct Round {
    clock: f64,
    points: Vec<Point>,
    parts: Parts,
}

fn measure(
    made: &Made,
    pack: &Pack,
    round: u32,
    seconds: Duration,
    progress: &ProgressBar,
) -> Result<Round, Failure> {
    let clock = sample::clock()?;
    let mut points = Vec::new();
    for index in 0..Contender::ALL.len() {
        // Everyone comes first once, last once, and after someone else.
        let contender = Contender::ALL[(index + round as usize) % Contender::ALL.len()];
        // Drawn between measurements only: a thread that draws would be measured.
        progress.set_message(contender.name());
        progress.tick();
        let mut calls = contender.open(made)?;
        if let Some(calls) = &mut calls {
            check(calls.as_mut(), contender)?;
        }
        for row in Row::ALL {
            let time = seconds.mul_f64(row.share());
            let samples = match &mut calls {
                Some(calls) => Some(sample::sample(row, calls.as_mut(), time)?),
                None => floor::sample(row, time)?,
            };
            if let Some(samples) = samples {
                points.push(Point::new(row, contender, round, samples, clock));
            }
        }
        // What was lost on the way would have been fast.
        if let Some(calls) = &mut calls {
            check(calls.as_mut(), contender)?;
        }
    }
    progress.set_message("where the time goes");
    progress.tick();
    let of = |contender| {
        let mut found = points.iter();
        let found = found.find(|it| (it.row, it.contender) == (Row::Empty, contender));
        found.map_or(0.0, |it| it.p50)
    };
    let known = [of(Contender::Floor), of(Contender::Wrapper)];
    let time = seconds.mul_f64(Row::Empty.share());
    let parts = breakdown::measure(made, pack, time, clock, known)?;
    Ok(Round {
        clock,
        points,
        parts,
    })
}
