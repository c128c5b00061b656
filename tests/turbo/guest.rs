//! Functions of test libraries, called by a worker.

use iotdec_tests::compile::{self, GUEST, GUEST_CPP};
use iotdec_tests::environment;
use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// Until a call has hung: the longest takes some seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By QEMU.
    Plain,
    /// In turbo.
    Turbo,
}

/// A call of a function.
#[derive(Clone, Debug)]
pub struct Call {
    library: String,
    function: String,
    model: String,
    times: u32,
    options: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    /// What the library wrote to its output.
    pub output: String,
    /// What it and others wrote to theirs.
    pub errors: String,
    /// What the worker told; null if it died.
    report: serde_json::Value,
}

impl Call {
    /// A function of a source of tests/guest/.
    pub fn new(library: &str, function: &str) -> Self {
        Self {
            library: library.to_owned(),
            function: function.to_owned(),
            model: "cortex-a53".to_owned(),
            times: 1,
            options: Vec::new(),
        }
    }

    /// On another model of the processor.
    pub fn on(mut self, model: &str) -> Self {
        model.clone_into(&mut self.model);
        self
    }

    /// So many times, until it fails.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// With an option of QEMU's.
    pub fn option(mut self, words: &[&str]) -> Self {
        self.options
            .extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Under QEMU alone and in turbo, at the same time.
    pub fn in_both_modes(&self) -> [Outcome; 2] {
        std::thread::scope(|scope| {
            let plain = scope.spawn(|| self.run(Mode::Plain));
            let turbo = self.run(Mode::Turbo);
            [plain.join().expect("no panic"), turbo]
        })
    }

    /// In one of the modes.
    pub fn run(&self, mode: Mode) -> Outcome {
        let mut command = Command::new("timeout");
        command.args([
            "--signal=KILL",
            &LIMIT.as_secs().to_string(),
            "qemu-aarch64",
        ]);
        if mode == Mode::Turbo {
            command.arg("-plugin").arg(accelerator());
        }
        let sysroot = environment::variable_or_advice("IOTDEC_SYSROOT");
        command.arg("-L").arg(sysroot).args(["-cpu", &self.model]);
        command.args(&self.options);
        command.arg(environment::variable_or_advice("IOTDEC_WORKER"));
        command
            .arg("call")
            .arg("--library")
            .arg(compiled(&self.library));
        command.args(["--symbol", &self.function]);
        command.args(["--repeat", &self.times.to_string()]);
        if mode == Mode::Turbo {
            command.args(["--accel", "turbo"]);
        }
        let others = ["which_1.c", "which_2.c"].map(|name| compiled(name).display().to_string());
        command.env("IOTDEC_TEST_LIBRARIES", others.join(":"));
        // QEMU leaves core dumps in the working directory.
        command.current_dir(directory()).stdin(Stdio::null());
        let result = command.output().expect("timeout(1) starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (output, errors) = (text(result.stdout), text(result.stderr));
        // The worker's line is the last, and of JSON.
        let start = output.trim_end().rfind('\n').map_or(0, |end| end + 1);
        let report = serde_json::from_str(&output[start..]).unwrap_or_default();
        Outcome {
            status: result.status,
            output: output[..start].to_owned(),
            errors,
            report,
        }
    }
}

impl Outcome {
    /// Whether the function returned 0, and in the mode that was asked for.
    pub fn is_success(&self) -> bool {
        self.status.success() && self.report["result"] == 0
    }

    /// The signal that ended the worker; QEMU dies of the guest's own.
    pub fn signal(&self) -> Option<i32> {
        // timeout(1) turns it into its own death or status.
        let status = self.status.code().filter(|code| *code > 128);
        self.status.signal().or(status.map(|code| code - 128))
    }

    /// One of the accelerator's counters.
    pub fn count(&self, name: &str) -> u64 {
        self.report["accelerator"][name].as_u64().unwrap_or(0)
    }

    /// Instructions that turbo does not know, and how often each was executed.
    pub fn unknown_instructions(&self) -> HashMap<u32, u64> {
        let hits = self.report["unknown"].as_object().into_iter().flatten();
        hits.map(|(word, hits)| {
            let word = u32::from_str_radix(word, 16).expect("hexadecimal");
            (word, hits.as_u64().expect("a number"))
        })
        .collect()
    }
}

fn accelerator() -> PathBuf {
    let path = environment::variable_or_advice("IOTDEC_ACCEL");
    assert!(path.is_file(), "{}: make build", path.display());
    path
}

/// Where compiled libraries are, and where workers die.
fn directory() -> &'static Path {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(directory).expect("a directory");
    directory
}

/// A library of tests/guest/, compiled once.
fn compiled(source: &str) -> PathBuf {
    static DONE: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let library = directory().join(source).with_extension("so");
    let mut done = DONE.lock().unwrap_or_else(|failed| failed.into_inner());
    if done.iter().any(|name| name == source) {
        return library;
    }
    let is_c = source.ends_with(".c");
    let mut compiler = Command::new(if is_c { GUEST } else { GUEST_CPP });
    compiler
        .args([
            "-O2", "-fPIC", "-shared", "-pthread", "-Wall", "-Wextra", "-Werror",
        ])
        .args([
            "-Wno-parentheses",
            "-Wno-infinite-recursion",
            "-Wno-unused-parameter",
        ])
        .arg(environment::root().join("tests/guest").join(source))
        .args(["-Wl,--no-as-needed", "-lm"]);
    compile::make(&mut compiler, &library);
    done.push(source.to_owned());
    library
}
