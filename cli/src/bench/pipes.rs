//! The contender `pipes`: what a shell could do. The emulated worker writes raw
//! frames into a pipe, GStreamer reads them: `fdsrc ! rawvideoparse ! fakesink`.

use super::contender::Measure;
use super::subject::{Subject, bare};
use super::worker::Worker;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::pipeline::{self, Running};
use gst::prelude::*;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// As large as the kernel lets anyone make a pipe.
const PIPE_SIZE: i32 = 1 << 20;

/// Decodes once.
///
/// The worker cannot tell when its library is loaded and decoding begins, so the
/// time of a worker that has nothing to decode is taken off.
pub fn run(subject: &Subject) -> Result<Measure, Failure> {
    let start_up = start_up(subject)?;
    let system = |error| Failure::Error(format!("cannot make a pipe: {error}"));
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(system)?;
    // A default pipe holds a twentieth of a frame.
    fcntl(&reader, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE)).map_err(system)?;

    let source = pipeline::make("fdsrc")?;
    source.set_property("fd", reader.as_raw_fd());
    source.set_property("blocksize", PIPE_SIZE as u32);
    let parser = pipeline::make("rawvideoparse")?;
    parser.set_property("width", subject.format.width() as i32);
    parser.set_property("height", subject.format.height() as i32);
    parser.set_property("format", subject.format.format());
    let sink = pipeline::nowhere(false)?;
    let pipeline = pipeline::chain(&[&source, &parser, &sink])?;
    let meter = Meter::default();
    let meter = std::sync::Arc::new(meter);
    meter.watch_sink(&sink);
    let running = Running::start(pipeline)?;

    let mut command = bare(&subject.launch, subject.packet_file.path());
    command
        .args(["--frames-to", "0"])
        .stdin(Stdio::from(writer));
    meter.begin();
    let worker = Worker::start(&mut command)?;
    running.wait(|| ())?;
    drop(running);
    let report = worker.report()?;
    if report.frames != meter.frames() {
        return Err(Failure::Error(format!(
            "{} frames were written into the pipe, {} read",
            report.frames,
            meter.frames()
        )));
    }
    let time = meter.elapsed().unwrap_or_default();
    Ok((meter.frames(), time.saturating_sub(start_up), meter.cpu()))
}

/// How long a worker takes to start, load the library, and end.
fn start_up(subject: &Subject) -> Result<Duration, Failure> {
    let start = Instant::now();
    Worker::start(&mut bare(&subject.launch, Path::new("/dev/null")))?.report()?;
    Ok(start.elapsed())
}
