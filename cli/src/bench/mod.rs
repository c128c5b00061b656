//! `iotdec bench`: how fast a decoder is in GStreamer, next to the same decoder
//! alone and to other ways of getting its frames. docs/bench.md tells the method.

pub mod calls;
mod contender;
mod machine;
mod markdown;
mod paced;
mod packets;
mod pipes;
mod report;
mod result;
mod statistics;
mod subject;
mod turnflag;
mod worker;

use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::{input, output};
pub use contender::Contender;
use indicatif::{ProgressBar, ProgressStyle};
use iotdec_bridge::Wish;
use machine::{Machine, Versions};
use paced::Paced;
use result::{Cost, FileResult, Results};
use serde::Serialize;
use statistics::Summary;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use subject::Subject;
use worker::{Batches, Worker};

/// Runs the command.
pub fn run(args: &BenchArgs) -> Result<ExitCode, Failure> {
    let files = files(args)?;
    let mut results = Results {
        machine: Machine::this(),
        costs: Vec::new(),
        files: Vec::new(),
    };
    let progress = Progress::new(&files, args.runs);
    for file in &files {
        progress.step(file, "looking at it");
        let subject = Subject::learn(file, &args.decoder)?;
        if args.accelerator && results.costs.is_empty() {
            results.costs = costs(&subject)?;
        }
        results.files.push(measure(subject, args, &progress)?);
    }
    progress.end();
    let mut targets = results.files.iter().flat_map(|file| &file.targets);
    let all_met = targets.all(|target| target.met);
    deliver(args, &results, all_met, report::text, markdown::tables)
}

/// Hands the results over in the form that is asked for. Fails if the targets are to be
/// checked and one was missed.
fn deliver<R: Serialize>(
    args: &BenchArgs,
    results: &R,
    all_met: bool,
    text: fn(&R) -> String,
    markdown: fn(&R) -> String,
) -> Result<ExitCode, Failure> {
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    if to_stdout {
        output::print_json(results)?;
    } else if args.markdown {
        output::print(&markdown(results))?;
    } else {
        output::print(&text(results))?;
    }
    if let Some(path) = args.json.as_deref().filter(|_| !to_stdout) {
        output::write_json(results, path)?;
    }
    Ok(if args.check && !all_met {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn files(args: &BenchArgs) -> Result<Vec<PathBuf>, Failure> {
    if args.files.is_empty() {
        return Ok(vec![input::resolve(None)?]);
    }
    let files = args.files.iter();
    files.map(|file| input::resolve(Some(file))).collect()
}

/// The contenders that are asked for.
fn contenders(args: &BenchArgs) -> &[Contender] {
    match (&args.contenders[..], args.accelerator) {
        ([], true) => &Contender::ACCELERATOR,
        ([], false) => &Contender::WAYS,
        (named, _) => named,
    }
}

/// What the accelerator's ways in and out cost.
fn costs(subject: &Subject) -> Result<Vec<Cost>, Failure> {
    let launch = subject.accelerated(Wish::Turbo, true)?;
    let batches = Worker::start(&mut subject::emulated(&launch, "costs"))?.costs()?;
    let cost = |Batches { what, ns }| {
        let ns = Summary::of(ns)?;
        Some(Cost { what, ns })
    };
    Ok(batches.into_iter().filter_map(cost).collect())
}

/// Everything about one file.
fn measure(subject: Subject, args: &BenchArgs, progress: &Progress) -> Result<FileResult, Failure> {
    let file = &subject.file;
    let contenders: Vec<_> = contenders(args)
        .iter()
        .copied()
        .filter(|contender| *contender != Contender::Native || subject.native.is_ok())
        .collect();
    progress.step(file, "comparing pictures");
    let checksum = contender::same_pictures(&contenders, &subject)?;
    let mut samples = Vec::new();
    for round in 0..args.runs {
        for index in 0..contenders.len() {
            // Everyone comes first once, last once, and after someone else.
            let contender = contenders[(index + round as usize) % contenders.len()];
            progress.step(file, contender.name());
            samples.push((contender, contender.run(&subject, round + 1)?));
        }
        progress.round();
    }
    progress.step(file, "playing at its own pace");
    let paced = Paced::measure(&subject, args.seconds)?;
    let contenders = result::standings(&samples);
    let format = &subject.format;
    Ok(FileResult {
        targets: result::targets(&contenders, &paced),
        contenders,
        checksum,
        paced,
        format: format!(
            "{}x{} {}",
            format.width(),
            format.height(),
            format.format().to_str()
        ),
        frames: subject.frames,
        versions: Versions {
            iotdec: env!("CARGO_PKG_VERSION"),
            gstreamer: gst::version_string().to_string(),
            qemu: machine::qemu_version(&subject.launch.qemu),
            library: subject.foreign,
            native_library: subject.native.as_ref().ok().map(|n| n.version.clone()),
            cpu_model: subject.launch.cpu_model().to_owned(),
            accelerator: subject.accelerator,
        },
        native_missing: subject.native.err(),
        file: subject.file,
    })
}

/// What is going on, for someone who watches. It is drawn between measurements
/// only: a thread that draws meanwhile would be measured.
struct Progress(ProgressBar);

impl Progress {
    fn new(files: &[PathBuf], runs: u32) -> Self {
        let rounds = files.len() as u64 * u64::from(runs);
        let style = ProgressStyle::with_template("{bar:20} {pos}/{len} rounds  {msg}");
        Self(ProgressBar::new(rounds).with_style(style.expect("a valid template")))
    }

    fn step(&self, file: &Path, what: &str) {
        let name = file.file_name().unwrap_or(file.as_os_str());
        self.0.set_message(format!("{}: {what}", name.display()));
        self.0.tick();
    }

    fn round(&self) {
        self.0.inc(1);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
