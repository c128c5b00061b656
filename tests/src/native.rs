//! The reference: the same decoder library as its native build, run by the native
//! build of the worker on the same packets, with no emulator, no shared memory
//! and no GStreamer element in between.

use crate::clips::{self, Codec};
use crate::environment;
use crate::frames::{Checksum, Frame};
use iotdec_bridge::Manifest;
use std::io::{self, BufReader, PipeReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::NamedTempFile;

impl Codec {
    /// The manifest of its decoder.
    fn manifest(self) -> Manifest {
        let (manifests, errors) = iotdec_bridge::manifest::discover();
        let found = manifests
            .into_iter()
            .find(|m| m.element_name() == self.decoder());
        found.unwrap_or_else(|| panic!("no manifest of {}: {errors:?}", self.decoder()))
    }
}

/// Compares iotdec's frames with those of the native library, in order. The first
/// difference, if there is one. `sum` gets the visible samples of the native frames.
///
/// Frames that are said to be damaged are not compared: where nothing was decoded,
/// they show what was in their memory before.
///
/// Natively decoded frames carry no description, so each is taken to be as large
/// as iotdec's; another size shows as another content or a rest.
pub fn first_difference(
    packets: &[Vec<u8>],
    codec: Codec,
    frames: &[Frame],
    sum: Option<&mut Checksum>,
) -> Result<(), String> {
    let mut run = Run::start(packets, &codec.manifest());
    let compared = compare(&mut run.frames, frames, sum);
    let native = run.finish();
    if native != frames.len() as u64 {
        let difference = compared.err().unwrap_or_default();
        return Err(format!(
            "{} frames instead of {native}; {difference}",
            frames.len()
        ));
    }
    compared
}

/// Sums the visible samples of all frames that the native library decodes.
pub fn checksum(packets: &[Vec<u8>], manifest: &Manifest, mut sum: Checksum) -> (u64, String) {
    let mut run = Run::start(packets, manifest);
    let mut bytes = vec![0; 1 << 20];
    loop {
        let read = run.frames.read(&mut bytes).expect("a readable pipe");
        if read == 0 {
            return (run.finish(), sum.finish());
        }
        sum.update(&bytes[..read]);
    }
}

/// The native worker at work.
struct Run {
    child: Child,
    /// The visible samples of its frames.
    frames: BufReader<PipeReader>,
    /// What it reads, as long as it runs.
    _packets: NamedTempFile,
}

impl Run {
    fn start(packets: &[Vec<u8>], manifest: &Manifest) -> Self {
        let mut file = NamedTempFile::new().expect("a temporary file");
        clips::write_packet_file(packets, file.as_file_mut()).expect("a full packet file");
        let (reader, writer) = io::pipe().expect("a pipe");
        let worker = environment::variable_or_advice("IOTDEC_NATIVE_WORKER");
        let options = manifest.options.iter();
        let options = options.flat_map(|(k, v)| ["--option".to_owned(), format!("{k}={v}")]);
        let child = Command::new(&worker)
            .args(["bare", "--adapter", &manifest.adapter, "--library"])
            // By its file name, which is the same on both architectures.
            .arg(&manifest.library)
            .args(options)
            .args(["--frames-to", "0"])
            .arg("--packets")
            .arg(file.path())
            .stdin(Stdio::from(writer))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", worker.display()));
        Self {
            child,
            frames: BufReader::with_capacity(1 << 20, reader),
            _packets: file,
        }
    }

    /// Waits for its end; how many frames there were.
    fn finish(self) -> u64 {
        let output = self.child.wait_with_output().expect("a child to wait for");
        assert!(output.status.success(), "native worker: {}", output.status);
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("the worker prints JSON");
        report["frames"].as_u64().expect("a count of frames")
    }
}

fn compare(
    reader: &mut impl Read,
    frames: &[Frame],
    mut sum: Option<&mut Checksum>,
) -> Result<(), String> {
    let mut result = Ok(());
    for (index, frame) in frames.iter().enumerate() {
        for (plane, (size, digest)) in frame.sizes.iter().zip(&frame.planes).enumerate() {
            let mut bytes = vec![0; *size];
            if reader.read_exact(&mut bytes).is_err() {
                return result.and(Err(format!("nothing to compare frame {index} with")));
            }
            if let Some(sum) = sum.as_mut() {
                sum.update(&bytes);
            }
            let mut native = Checksum::md5();
            native.update(&bytes);
            if result.is_ok() && !frame.corrupted && native.finish() != *digest {
                result = Err(format!("frame {index}, plane {plane} differs"));
            }
        }
    }
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("a readable pipe");
    if let Some(sum) = sum {
        sum.update(&rest);
    }
    if !rest.is_empty() {
        result = result.and(Err(format!("{} more bytes of native frames", rest.len())));
    }
    result
}

/// Fails unless iotdec's frames of a file equal the native library's.
#[track_caller]
pub fn assert_equal(file: &Path, codec: Codec, frames: &[Frame]) {
    assert!(!frames.is_empty(), "{}: no frames at all", file.display());
    let packets = clips::packets(file, codec);
    if let Err(difference) = first_difference(&packets, codec, frames, None) {
        panic!("{}: {difference}", file.display());
    }
}
