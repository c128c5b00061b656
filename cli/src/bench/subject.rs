//! What is measured: a file, the decoder that GStreamer chose for it, and what
//! that decoder was given and gave.

use super::packets::{self, Packet, Recorder};
use super::worker::{Report, Worker};
use crate::args::{Accel, DecoderArgs};
use crate::failure::Failure;
use crate::meter::{Meter, when_decoder_comes};
use crate::pipeline::{self, Running};
use gst::prelude::*;
use iotdec_bridge::manifest::Manifest;
use iotdec_bridge::{Launch, Obstacle, Overrides, Wish, launch, manifest};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use tempfile::NamedTempFile;

/// A file and everything that all contenders need to decode it.
#[derive(Debug)]
pub struct Subject {
    /// The file.
    pub file: PathBuf,
    /// Which decoder the pipeline is told to use.
    pub decoder: DecoderArgs,
    /// What the packets are, for the worker.
    pub packets: Vec<Packet>,
    /// The same in a file.
    pub packet_file: NamedTempFile,
    /// What the frames are.
    pub format: gst_video::VideoInfo,
    /// The frames that come of it.
    pub frames: u64,
    /// What is known of the decoder.
    pub manifest: Manifest,
    /// How it is started.
    pub launch: Launch,
    /// What it says of itself.
    pub foreign: String,
    /// What is on of the accelerator.
    pub accelerator: String,
    /// The native worker and library; or why there is none.
    pub native: Result<Native, String>,
}

/// The same decoder, built for this machine.
#[derive(Clone, Debug)]
pub struct Native {
    /// The worker.
    pub worker: PathBuf,
    /// What the library says of itself.
    pub version: String,
}

impl Subject {
    /// Plays a file once, keeping what goes into the decoder. This also warms the
    /// caches up for everyone.
    pub fn learn(file: &Path, decoder: &DecoderArgs) -> Result<Self, Failure> {
        let sink = pipeline::nowhere(false)?;
        let (pipeline, _) = pipeline::decoding(file, decoder, &sink)?;
        let meter = Meter::attach(&pipeline, &sink);
        let recorder = record(&pipeline);
        let running = Running::start(pipeline)?;
        running.wait(|| ())?;
        let format = sink
            .static_pad("sink")
            .and_then(|pad| pad.current_caps())
            .and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok());
        drop(running);
        let name = meter.decoder_name();
        let (Some(format), Some(name)) = (format, name) else {
            return Err(Failure::new(
                format_args!("no frame could be decoded from {}", file.display()),
                "GST_DEBUG=iotdec:5,iotdec-worker:6 shows what the decoder says.",
            ));
        };
        let packets = std::mem::take(&mut recorder.lock().expect("no panic while held").packets);
        let manifest = manifest_of(&name)?;
        let mut subject = Self {
            file: file.into(),
            decoder: decoder.clone(),
            packet_file: packet_file(&packets)?,
            packets,
            format,
            frames: meter.frames(),
            launch: resolve(&manifest, decoder, decoder.accel.and_then(Accel::wish))?,
            manifest,
            foreign: String::new(),
            accelerator: "off".into(),
            native: Err(String::new()),
        };
        subject.introduce()?;
        Ok(subject)
    }

    /// Asks both builds of the library for their versions.
    fn introduce(&mut self) -> Result<(), Failure> {
        let nothing = Path::new("/dev/null");
        let report = Worker::start(&mut bare(&self.launch, nothing))?.report()?;
        self.foreign = report.decoder;
        self.accelerator = report.accelerator.mode;
        let native = launch::worker_path("IOTDEC_NATIVE_WORKER", "iotdec-worker-x86_64")
            .map_err(|error| error.to_string());
        self.native = match native {
            Ok(worker) => match self.ask_native(&worker, nothing) {
                Ok(Report { decoder, .. }) => Ok(Native {
                    worker,
                    version: decoder,
                }),
                Err(Failure::Error(text)) => Err(text),
                Err(interrupted) => return Err(interrupted),
            },
            Err(text) => Err(text),
        };
        Ok(())
    }

    fn ask_native(&self, worker: &Path, packets: &Path) -> Result<Report, Failure> {
        Worker::start(&mut self.native_bare(worker, packets))?.report()
    }

    /// The emulated worker as `iotdec` starts it, with the arguments of `mode`.
    pub fn emulated(&self, mode: &str) -> Command {
        emulated(&self.launch, mode)
    }

    /// How the decoder is started with so much of the accelerator. Without native
    /// functions, the rest of it may be there still.
    pub fn accelerated(&self, wish: Wish, has_native: bool) -> Result<Launch, Failure> {
        let mut launch = resolve(&self.manifest, &self.decoder, Some(wish))?;
        if let Ok(accelerator) = &mut launch.accelerator
            && !has_native
        {
            accelerator.native = Some(Vec::new());
        }
        Ok(launch)
    }

    /// The native worker, decoding a packet file with the library that the host's
    /// dynamic linker finds under the same name.
    pub fn native_bare(&self, worker: &Path, packets: &Path) -> Command {
        let name = self.launch.library.file_name().map(OsString::from);
        let launch = Launch {
            library: name.unwrap_or_default().into(),
            ..self.launch.without_accelerator(Obstacle::SwitchedOff)
        };
        let mut command = Command::new(worker);
        command
            .env_clear()
            .args(launch.worker_arguments("bare"))
            .arg("--packets")
            .arg(packets);
        command
    }
}

/// An emulated worker, with the arguments of `mode`.
pub fn emulated(launch: &Launch, mode: &str) -> Command {
    let mut command = launch.command(None);
    command.args(launch.worker_arguments(mode));
    command
}

/// An emulated worker, decoding a packet file.
pub fn bare(launch: &Launch, packets: &Path) -> Command {
    let mut command = emulated(launch, "bare");
    command.arg("--packets").arg(packets);
    command
}

/// Keeps every packet that a pipeline's decoder gets.
fn record(pipeline: &gst::Pipeline) -> Arc<Mutex<Recorder>> {
    let recording = Arc::new(Mutex::new(Recorder::default()));
    let recorder = recording.clone();
    when_decoder_comes(pipeline, move |decoder| {
        let recorder = recorder.clone();
        let pad = decoder.static_pad("sink").expect("every decoder has one");
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer() {
                let mut recorder = recorder.lock().expect("no panic while held");
                recorder.record(buffer, pad.current_caps());
            }
            gst::PadProbeReturn::Ok
        });
    });
    recording
}

fn packet_file(packets: &[Packet]) -> Result<NamedTempFile, Failure> {
    NamedTempFile::new()
        .and_then(|file| {
            packets::write(packets, std::io::BufWriter::new(&file))?;
            Ok(file)
        })
        .map_err(|error| {
            Failure::new(
                format_args!("cannot write a temporary file: {error}"),
                "Make room, or set TMPDIR to a directory that has some.",
            )
        })
}

/// The pipeline's decoder.
fn manifest_of(name: &str) -> Result<Manifest, Failure> {
    let (manifests, _) = manifest::discover();
    let manifest = manifests.into_iter().find(|manifest| manifest.name == name);
    manifest.ok_or_else(|| {
        Failure::new(
            format_args!("there is no manifest of decoder {name} any more"),
            "Try again.",
        )
    })
}

/// How a decoder is started.
fn resolve(
    manifest: &Manifest,
    decoder: &DecoderArgs,
    accel: Option<Wish>,
) -> Result<Launch, Failure> {
    let overrides = Overrides {
        library: decoder.library.clone(),
        accel,
        ..Overrides::default()
    };
    Launch::resolve(manifest, &overrides).map_err(|error| Failure::Error(error.to_string()))
}
