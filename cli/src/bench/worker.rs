//! Worker processes that the benchmark starts itself, without the bridge.

use crate::failure::Failure;
use crate::interrupt;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Milliseconds to wait for a worker between two looks whether to go on.
const TICK: u8 = 100;

/// Lines of a failed worker's stderr that are passed on.
const LAST_WORDS: usize = 3;

/// A running worker. Dropping it kills it.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    /// A file, not a pipe, so that nobody has to read it meanwhile.
    stderr: File,
}

/// What a worker tells when it has decoded a packet file.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// Decoded pictures.
    pub frames: u64,
    /// Time in the decoder.
    pub seconds: f64,
    /// The library and its version.
    pub decoder: String,
    /// Of all pictures; empty if it was not asked for.
    #[serde(default)]
    pub checksum: String,
    /// What is on of the accelerator, and what it did.
    pub accelerator: Accelerator,
}

impl Report {
    /// Fails if less is on of the accelerator than was asked for.
    pub fn check_mode(self, mode: &str) -> Result<Self, Failure> {
        let Accelerator {
            mode: is, reason, ..
        } = &self.accelerator;
        if is == mode {
            return Ok(self);
        }
        Err(Failure::new(
            format_args!(
                "the accelerator cannot be measured: {is} instead of {mode}, for {reason}"
            ),
            "iotdec list tells what is missing.",
        ))
    }
}

/// What a worker tells of the costs of an operation.
#[derive(Debug, Deserialize)]
pub struct Batches {
    /// The operation.
    pub what: String,
    /// Nanoseconds that it took, batch by batch.
    pub ns: Vec<f64>,
}

/// What a worker tells of its accelerator.
#[derive(Debug, Deserialize)]
pub struct Accelerator {
    /// What is on.
    pub mode: String,
    /// Why not more.
    pub reason: String,
    /// What it counted.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The accelerator's counters ([`iotdec_wire::door::Counters`]) as a worker tells them.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Counts {
    pub entries: u64,
    pub syscalls: u64,
    pub unknown: u64,
    pub leaves: u64,
    pub pauses: u64,
    pub blocks: u64,
    pub code_bytes: u64,
    pub native_calls: u64,
}

impl Worker {
    /// Starts a worker; it dies with us.
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let parent = std::process::id();
        // SAFETY: runs between fork and exec and makes only async-signal-safe calls:
        // prctl and getppid.
        unsafe {
            command.pre_exec(move || die_with(parent));
        }
        let start = |command: &mut Command| {
            let stderr = tempfile::tempfile()?;
            command.stdout(Stdio::piped()).stderr(stderr.try_clone()?);
            let child = command.spawn()?;
            Ok(Self { child, stderr })
        };
        start(command).map_err(|error: io::Error| {
            let program = command.get_program().display();
            Failure::Error(format!("cannot start {program}: {error}"))
        })
    }

    /// Waits for its report and its end.
    pub fn report(self) -> Result<Report, Failure> {
        self.answer()
    }

    /// Waits for what it tells of the costs of operations.
    pub fn costs(self) -> Result<Vec<Batches>, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            costs: Vec<Batches>,
        }
        let answer: Answer = self.answer()?;
        Ok(answer.costs)
    }

    /// Waits for whatever it tells, and its end.
    pub fn answer<A: DeserializeOwned>(mut self) -> Result<A, Failure> {
        let text = self.read_stdout()?;
        let status = self.child.wait().map_err(read_error)?;
        if !status.success() {
            return Err(self.failure());
        }
        serde_json::from_slice(&text).map_err(|error| {
            Failure::new(
                format_args!("the worker's report cannot be read: {error}"),
                "Install matching versions of iotdec and its workers.",
            )
        })
    }

    fn read_stdout(&mut self) -> Result<Vec<u8>, Failure> {
        let mut stdout = self.child.stdout.take().expect("piped");
        let mut text = Vec::new();
        loop {
            interrupt::check()?;
            let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
            if !matches!(poll(&mut fds, PollTimeout::from(TICK)), Ok(1..)) {
                continue; // Nothing yet, or interrupted, which was asked above.
            }
            let mut chunk = [0; 4096];
            match stdout.read(&mut chunk).map_err(read_error)? {
                0 => return Ok(text),
                count => text.extend_from_slice(&chunk[..count]),
            }
        }
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it failed, in its own words.
    pub fn failure(&mut self) -> Failure {
        let mut words = String::new();
        let read = self.stderr.rewind();
        let _ = read.and_then(|()| self.stderr.read_to_string(&mut words));
        let lines: Vec<_> = words.lines().filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(LAST_WORDS)..].join(" | ");
        match self.child.try_wait() {
            Ok(Some(status)) => Failure::Error(format!("the worker failed ({status}): {last}")),
            _ => Failure::Error(format!("the worker failed: {last}")),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if it is gone and reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_error(error: io::Error) -> Failure {
    Failure::Error(format!("cannot read from the worker: {error}"))
}

/// In the child: die when the parent does, or at once if it has already.
fn die_with(parent: u32) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other("parent is gone"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Report, Failure> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Worker::start(&mut command)?.report()
    }

    #[test]
    fn a_report_is_read() {
        let text = r#"{"frames":3,"seconds":0.5,"decoder":"x 1","errors":0,"accelerator":
            {"mode":"off","reason":"","entries":0,"syscalls":0,"unknown":0,"leaves":0,"pauses":0,
            "blocks":0,"code_bytes":0,"native_calls":0}}"#;
        let report = shell(&format!("echo '{text}'")).unwrap();
        assert_eq!((report.frames, report.seconds), (3, 0.5));
    }

    #[test]
    fn a_failure_is_told_in_the_workers_words() {
        let failure = shell("echo noise >&2; echo no such thing >&2; exit 3").unwrap_err();
        let Failure::Error(text) = failure else {
            panic!("{failure:?}");
        };
        assert!(text.ends_with("noise | no such thing"), "{text}");
        assert!(shell("true").is_err(), "no report");
    }
}
