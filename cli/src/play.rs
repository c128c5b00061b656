//! `iotdec play`: a file through the real pipeline, on the screen or into a report.

use crate::args::PlayArgs;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::pipeline::{self, Running};
use crate::{input, output, screen};
use gst::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long converting one frame may take.
const PNG_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(20);

/// Runs the command.
pub fn run(args: &PlayArgs) -> Result<ExitCode, Failure> {
    let file = input::resolve(args.file.as_deref())?;
    let screen = if args.headless { None } else { screen::open()? };
    let show = screen.is_some();
    let png = args.png.clone().or_else(|| (!show).then(default_png));

    let sink = screen.map_or_else(|| pipeline::nowhere(false), Ok)?;
    let (pipeline, iotdec) = pipeline::decoding(&file, &args.decoder, &sink)?;
    let meter = Meter::attach(&pipeline, &sink);

    let start = Instant::now();
    let bar = progress_bar();
    let running = Running::start(pipeline)?;
    running.wait(|| bar.set_message(progress(&running, &meter, show)))?;
    bar.finish_and_clear();

    if meter.frames() == 0 {
        return Err(Failure::new(
            format_args!("no frame could be decoded from {}", file.display()),
            "GST_DEBUG=iotdec:5,iotdec-worker:6 shows what the decoder says.",
        ));
    }
    let sample = last_sample(running.pipeline());
    if let Some(png) = &png {
        save_png(sample.as_ref(), png)?;
    }
    let (accel, accel_reason) = pipeline::accelerator(&iotdec).unzip();
    let report = Report {
        decoder: meter.decoder_name(),
        frames: meter.frames(),
        seconds: meter.elapsed().unwrap_or_default().as_secs_f64(),
        fps: meter.fps().unwrap_or_default(),
        first_frame_ms: meter
            .first_frame()
            .map(|first| first.duration_since(start).as_secs_f64() * 1e3),
        shown: show,
        format: sample.as_ref().and_then(format),
        accel,
        accel_reason: accel_reason.flatten(),
        stats: pipeline::stats(&iotdec),
        file,
        png,
    };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a frame is saved without a display, if nobody says otherwise.
fn default_png() -> PathBuf {
    env::var_os("IOTDEC_PNG").map_or_else(|| "iotdec-frame.png".into(), PathBuf::from)
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("a valid template");
    // On standard error, and there only if it is a terminal.
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn progress(running: &Running, meter: &Meter, show: bool) -> String {
    let fps = meter.fps().unwrap_or_default();
    let frames = meter.frames();
    let position = running.pipeline().query_position::<gst::ClockTime>();
    match position {
        Some(position) if show => format!("{position:.1}  {frames} frames"),
        _ if frames == 0 => "starting the decoder".into(),
        _ => format!("{frames} frames  {fps:.1} fps"),
    }
}

/// The frame that the sink got last.
fn last_sample(pipeline: &gst::Pipeline) -> Option<gst::Sample> {
    pipeline
        .iterate_recurse()
        .into_iter()
        .flatten()
        .find(|element| element.has_property("last-sample"))
        .and_then(|sink| sink.property("last-sample"))
}

fn save_png(sample: Option<&gst::Sample>, file: &Path) -> Result<(), Failure> {
    let Some(sample) = sample else {
        return Err(Failure::new(
            "the sink kept no frame to save",
            "Leave --png out.",
        ));
    };
    let caps = gst::Caps::new_empty_simple("image/png");
    let image = gst_video::convert_sample(sample, &caps, Some(PNG_TIMEOUT)).map_err(|error| {
        Failure::new(
            format_args!("cannot make a PNG of the frame: {error}"),
            "Install gstreamer1.0-plugins-good.",
        )
    })?;
    let buffer = image.buffer().and_then(|buffer| buffer.map_readable().ok());
    std::fs::write(file, buffer.as_deref().unwrap_or_default()).map_err(|error| {
        Failure::new(
            format_args!("cannot write {}: {error}", file.display()),
            "Name another file with --png.",
        )
    })
}

fn format(sample: &gst::Sample) -> Option<Format> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    Some(Format {
        format: info.format().to_str().to_string(),
        width: info.width(),
        height: info.height(),
    })
}

/// What a run was like.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    decoder: Option<String>,
    #[serde(flatten)]
    format: Option<Format>,
    shown: bool,
    frames: u64,
    /// From the first packet in the decoder to the end.
    seconds: f64,
    fps: f64,
    /// From the start of the pipeline, worker and all.
    first_frame_ms: Option<f64>,
    png: Option<PathBuf>,
    /// What was on of the accelerator.
    accel: Option<String>,
    /// Why not more.
    accel_reason: Option<String>,
    stats: BTreeMap<String, u64>,
}

/// What the frames are.
#[derive(Debug, Serialize)]
struct Format {
    format: String,
    width: u32,
    height: u32,
}

impl Report {
    fn text(&self) -> String {
        let format = self.format.as_ref().map_or(String::new(), |f| {
            format!(" of {}x{} {}", f.width, f.height, f.format)
        });
        // A display that cannot keep up leaves frames out.
        let frames = match self.stats.get("frames-in") {
            Some(all) if *all != self.frames => format!("{} of {all}", self.frames),
            _ => self.frames.to_string(),
        };
        let mut text = format!(
            "{}: {frames} frames{format}, decoded by {}\n",
            self.file.display(),
            self.decoder.as_deref().unwrap_or("?"),
        );
        if let Some(accel) = &self.accel {
            let reason = self.accel_reason.iter();
            let because: String = reason.map(|reason| format!(": {reason}")).collect();
            text += &format!("accelerator {accel}{because}\n");
        }
        text += &format!(
            "{:.1} fps{}, first frame after {:.0} ms\n",
            self.fps,
            if self.shown { " as shown" } else { "" },
            self.first_frame_ms.unwrap_or_default(),
        );
        if let Some(troubles) = self.troubles() {
            text += &format!("{troubles}; GST_DEBUG=iotdec:4,iotdec-worker:6 tells more\n");
        }
        if let Some(png) = &self.png {
            text += &format!("last frame saved as {}\n", png.display());
        }
        text
    }

    /// What went wrong without ending the playback.
    fn troubles(&self) -> Option<String> {
        let known = [
            ("worker-restarts", "workers lost and replaced"),
            ("decode-errors", "packets with decoding errors"),
            ("frames-corrupt", "damaged frames"),
        ];
        let counts = known.iter().filter_map(|(counter, what)| {
            let count = self.stats.get(*counter).filter(|count| **count > 0)?;
            Some(format!("{what}: {count}"))
        });
        let troubles = counts.collect::<Vec<_>>().join(", ");
        (!troubles.is_empty()).then_some(troubles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(stats: &[(&str, u64)]) -> Report {
        Report {
            file: "a.264".into(),
            decoder: Some("x".into()),
            format: None,
            shown: false,
            frames: 3,
            seconds: 1.0,
            fps: 3.0,
            first_frame_ms: Some(10.0),
            png: None,
            accel: Some("turbo".into()),
            accel_reason: None,
            stats: stats.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect(),
        }
    }

    #[test]
    fn nothing_is_said_of_troubles_that_were_not() {
        let text = report(&[("frames-in", 3), ("decode-errors", 0)]).text();
        assert_eq!(
            text,
            "a.264: 3 frames, decoded by x\naccelerator turbo\n3.0 fps, first frame after 10 ms\n"
        );
    }

    #[test]
    fn losses_are_told() {
        let text = report(&[("frames-in", 5), ("worker-restarts", 1)]).text();
        assert!(text.contains("3 of 5 frames"), "{text}");
        assert!(text.contains("workers lost and replaced: 1"), "{text}");
    }
}
