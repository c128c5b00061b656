//! Signatures drawn by lot, through the whole generator: each batch is a header, a library
//! that is compiled for both architectures, and one native program. The program must say
//! the same with the native library as with the wrapper of the one for aarch64.
//!
//! Every function folds all that it is given into a sum, and makes everything that it
//! gives back from that sum; so does every callback; and so does the program.

use functions::Batch;
use iotdec_tests::compile::{self, GUEST, HOST};
use iotdec_tests::environment::{is_full, root, variable_or_advice};
use iotdec_wrap::wrap::{Request, wrap};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

#[path = "signatures/functions.rs"]
mod functions;
#[path = "signatures/pieces.rs"]
mod pieces;
#[path = "signatures/source.rs"]
mod source;
#[path = "signatures/types.rs"]
mod types;

/// Functions of a batch.
const BATCH: usize = 100;
/// Values that each function is called with.
const ROUNDS: u64 = 4;
/// Threads that call all of them at once.
const THREADS: u64 = 8;

/// The seed of the first batch; IOTDEC_SEED is another.
fn seed() -> u64 {
    let text = std::env::var("IOTDEC_SEED").ok();
    let seed = text.map(|text| text.parse().expect("IOTDEC_SEED is a number"));
    seed.unwrap_or(20_260_101)
}

const SONAME: &str = "libbatch.so.1";

/// How many batches a full run has; IOTDEC_BATCHES are others.
fn batches() -> u64 {
    let text = std::env::var("IOTDEC_BATCHES").ok();
    let batches = text.map(|text| text.parse().expect("IOTDEC_BATCHES is a number"));
    batches.unwrap_or(21)
}

/// Processes that keep every processor busy, until this is dropped.
struct Busy(Vec<Child>);

impl Busy {
    fn all() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let mut command = Command::new("timeout");
            command.args(["1000", "sh", "-c", "while :; do :; done"]);
            command.spawn().expect("timeout is part of the system")
        };
        Self((0..count).map(start).collect())
    }

    /// Whether they still are.
    fn were(&mut self) -> bool {
        let mut all = self.0.iter_mut();
        all.all(|it| matches!(it.try_wait(), Ok(None)))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // SIGTERM, which `timeout` passes on.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

/// A batch that was compiled.
struct Made {
    place: PathBuf,
    native: PathBuf,
    guest: PathBuf,
    program: PathBuf,
    /// Preloaded to have system calls leave an `errno` that is nobody's.
    spoiler: PathBuf,
}

/// Options come before the source, libraries behind it.
fn compile(compiler: &str, options: &[&str], from: &Path, to: &Path, libraries: &[&Path]) {
    let mut compiler = Command::new(compiler);
    compiler
        .args(["-std=gnu11", "-w", "-Wno-psabi", "-I"])
        .arg(root().join("tests/signatures"))
        .args(options)
        .arg(from)
        .args(libraries);
    compile::make(&mut compiler, to);
}

impl Made {
    fn new(batch: &Batch, seed: u64) -> Self {
        let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join("signatures")
            .join(seed.to_string());
        let _ = fs::remove_dir_all(&place);
        let (native, guest) = (place.join("native"), place.join("aarch64"));
        for directory in [&native, &guest] {
            fs::create_dir_all(directory).expect("room");
        }
        for (name, text) in [
            ("batch.h", batch.header()),
            ("batch.toml", batch.config()),
            ("batch.c", batch.library("batch.h")),
            ("program.c", batch.program("batch.h")),
        ] {
            fs::write(place.join(name), text).expect("room");
        }
        // What is inlined and what is kept in which register is another thing each time.
        let levels = ["-O2", "-O0", "-O1"];
        let level = |number: u64| levels[(seed.wrapping_add(number) % 3) as usize];
        let made = Self {
            native,
            guest,
            program: place.join("program"),
            spoiler: place.join("liberrno.so"),
            place,
        };
        made.library(HOST, level(0), &made.native);
        made.library(GUEST, level(0), &made.guest);
        compile(
            HOST,
            &[level(1), "-pthread"],
            &made.place.join("program.c"),
            &made.program,
            &[&made.native.join(SONAME)],
        );
        let source = root().join("tests/signatures/errno.c");
        compile(HOST, &["-shared", "-fPIC"], &source, &made.spoiler, &[]);
        made
    }

    fn library(&self, compiler: &str, option: &str, directory: &Path) {
        let options = ["-shared", "-fPIC", "-Wl,-soname,libbatch.so.1", option];
        let to = directory.join(SONAME);
        compile(compiler, &options, &self.place.join("batch.c"), &to, &[]);
    }

    /// Wraps the library for aarch64; where the wrapper is.
    fn wrap(&self, count: usize) -> Result<PathBuf, String> {
        let output = self.place.join("wrapped");
        let report = wrap(&Request {
            headers: vec![self.place.join("batch.h")],
            library: self.guest.join(SONAME),
            config: Some(self.place.join("batch.toml")),
            output: output.clone(),
            runtime: Some(variable_or_advice("IOTDEC_RUNTIME")),
            ..Request::default()
        });
        let report = report.map_err(|error| error.to_string())?;
        let refused: Vec<_> = (report.refused.iter())
            .map(|it| format!("{}: {}", it.name, it.why))
            .collect();
        if !refused.is_empty() || report.wrapped < count {
            return Err(format!("refused: {}", refused.join("\n")));
        }
        Ok(output)
    }

    /// What the program says with a library that is in this directory.
    fn run(&self, directory: &Path, seed: u64, threads: u64) -> Result<Vec<String>, String> {
        let mut preload = OsString::from("LD_PRELOAD=");
        preload.push(&self.spoiler);
        let output = Command::new("timeout")
            .args(["200", "env"])
            .arg(preload)
            .arg(&self.program)
            .args([seed, ROUNDS, threads].map(|number| number.to_string()))
            .env("LD_LIBRARY_PATH", directory)
            .output()
            .expect("timeout is part of the system");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() || !errors.is_empty() {
            return Err(format!("{}: {errors}", output.status));
        }
        let text = String::from_utf8(output.stdout).expect("text");
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// What is different, by the program's lines; those of all threads are expected to be like
/// those of the only one.
fn differences(expected: &[String], found: &[String]) -> Vec<String> {
    if found.is_empty() || !found.len().is_multiple_of(expected.len()) {
        return vec![format!("{} lines, not {}", found.len(), expected.len())];
    }
    let pairs = found.iter().zip(expected.iter().cycle());
    let different = pairs.filter(|(found, expected)| found != expected);
    different
        .map(|(found, expected)| format!("{found}, natively {expected}"))
        .collect()
}

/// The prototype of the function that a line is about.
fn prototype(batch: &Batch, line: &str) -> String {
    let name = line.split(' ').next().unwrap_or_default();
    let header = batch.header();
    let found = header.lines().find(|it| it.contains(&format!(" {name}(")));
    found.unwrap_or_default().to_owned()
}

/// How much of what there is.
#[derive(Debug, Default)]
struct Figures {
    functions: usize,
    parameters: usize,
    callbacks: usize,
    records: usize,
    calls: usize,
    different: usize,
}

impl Figures {
    fn add(&mut self, batch: &Batch, calls: usize) {
        self.functions += batch.functions.len();
        self.callbacks += batch.signatures.len();
        self.records += batch.types.records();
        self.calls += calls;
        let parameters = batch.functions.iter().map(|it| it.parameters.len());
        self.parameters += parameters.sum::<usize>();
    }
}

/// Tries one batch. What is wrong with it.
fn try_batch(seed: u64, count: usize, figures: &mut Figures) -> Vec<String> {
    let batch = Batch::draw(seed, count);
    let made = Made::new(&batch, seed);
    let expected = match made.run(&made.native, seed, 1) {
        Ok(lines) => lines,
        // Whatever that is, it is not the wrapper's.
        Err(error) => panic!("batch {seed} does not run natively: {error}"),
    };
    assert_eq!(expected.len(), count * ROUNDS as usize, "batch {seed}");
    let wrapped = match made.wrap(count) {
        Ok(wrapped) => wrapped,
        Err(error) => return vec![format!("batch {seed}: {error}")],
    };
    let found = match made.run(&wrapped, seed, THREADS) {
        Ok(lines) => lines,
        Err(error) => return vec![format!("batch {seed}: {error}")],
    };
    figures.add(&batch, found.len());
    let different = differences(&expected, &found);
    figures.different += different.len();
    let told = different.into_iter().take(20);
    told.map(|line| format!("batch {seed}: {line}: {}", prototype(&batch, &line)))
        .collect()
}

#[test]
fn functions_do_behind_wrappers_what_they_do_natively() {
    let (batches, count) = if is_full() {
        (batches(), BATCH)
    } else {
        (1, 60)
    };
    let mut figures = Figures::default();
    let mut wrong = Vec::new();
    let start = Instant::now();
    for number in 0..batches {
        let found = try_batch(seed() + number, count, &mut figures);
        println!(
            "batch {}: {} wrong, {figures:?}",
            seed() + number,
            found.len()
        );
        wrong.extend(found);
    }
    println!("seed {}: {figures:?}, {:?}", seed(), start.elapsed());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(figures.functions as u64, batches * count as u64);
}

/// Function pointers are exchanged by all threads at once when a worker is new, which is when they
/// get into each other's way; so it is new many times, on a machine that has other things to do.
#[test]
fn threads_see_the_same_however_they_come_in_each_others_way() {
    const SEED: u64 = 20_260_120;
    let runs = if is_full() { 300 } else { 6 };
    let batch = Batch::draw(SEED, BATCH);
    let made = Made::new(&batch, SEED);
    let expected = made.run(&made.native, SEED, 1).expect("it runs natively");
    let wrapped = made.wrap(BATCH).expect("all can be wrapped");
    let mut busy = Busy::all();
    let start = Instant::now();
    let mut wrong = Vec::new();
    for run in 0..runs {
        let found = made.run(&wrapped, SEED, THREADS).expect("it runs");
        let different = differences(&expected, &found);
        wrong.extend(different.iter().map(|line| format!("run {run}: {line}")));
    }
    println!("{runs} runs of {THREADS} threads: {:?}", start.elapsed());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(busy.were(), "the machine was not busy");
}

/// Or the test above shows nothing: a library that gets one function wrong is found out,
/// and by that function alone.
#[test]
fn a_mistake_in_one_function_is_seen() {
    const COUNT: usize = 30;
    // Of its own, as the other tests run at the same time.
    let seed = seed() + 1_000_000;
    let batch = Batch::draw(seed, COUNT);
    let made = Made::new(&batch, seed);
    let expected = made.run(&made.native, seed, 1).expect("it runs");
    assert_eq!(
        differences(
            &expected,
            &made.run(&made.native, seed, 3).expect("it runs")
        ),
        [""; 0]
    );
    // What it is given decides what it gives back; so nearly all functions give something.
    for mistake in [0, 11, COUNT - 1] {
        let directory = made.place.join(format!("mistake-{mistake}"));
        fs::create_dir_all(&directory).expect("room");
        made.library(HOST, &format!("-DMISTAKE={mistake}"), &directory);
        let found = made.run(&directory, seed, 1).expect("it runs");
        let different = differences(&expected, &found);
        assert_eq!(different.len(), ROUNDS as usize, "{different:?}");
        let name = format!("f{mistake} ");
        assert!(
            different.iter().all(|line| line.starts_with(&name)),
            "{different:?}"
        );
    }
}
