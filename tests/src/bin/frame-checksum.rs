//! The checksum over all frames of a file, for programs that compare decoders:
//!
//!     frame-checksum md5|sha1 FILE element MIDDLE
//!     frame-checksum md5|sha1 FILE library MIDDLE DECODER
//!
//! With `element`, MIDDLE is the part of a pipeline that makes frames of the file;
//! with `library`, it makes packets, which the native build of the library of
//! iotdec's DECODER decodes. Prints the sum over the visible samples, tightly packed.

use iotdec_tests::frames::Checksum;
use iotdec_tests::pipeline::decode_summing;
use iotdec_tests::{clips, native};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Whoever waits for this program sets a shorter one.
const LIMIT: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let (sum, rest) = match words[..] {
        ["md5", ref rest @ ..] => (Checksum::md5(), rest),
        ["sha1", ref rest @ ..] => (Checksum::sha1(), rest),
        _ => return usage(),
    };
    let result = match rest {
        [file, "element", middle] => by_element(Path::new(file), middle, sum),
        [file, "library", middle, decoder] => by_library(Path::new(file), middle, decoder, sum),
        _ => return usage(),
    };
    match result {
        Ok(sum) => println!("{sum}"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: frame-checksum md5|sha1 FILE (element MIDDLE | library MIDDLE DECODER)");
    ExitCode::from(2)
}

fn by_element(file: &Path, middle: &str, mut sum: Checksum) -> Result<String, String> {
    let decoded = decode_summing(file, middle, LIMIT, Some(&mut sum));
    let end = decoded.end;
    match decoded.frames.is_empty() || !end.eos || !end.errors.is_empty() {
        true => Err(format!("{} frames, {end:?}", decoded.frames.len())),
        false => Ok(sum.finish()),
    }
}

fn by_library(file: &Path, middle: &str, decoder: &str, sum: Checksum) -> Result<String, String> {
    iotdec_tests::environment::prepare();
    let (manifests, errors) = iotdec_bridge::manifest::discover();
    let manifest = manifests.iter().find(|manifest| manifest.name == decoder);
    let manifest = manifest.ok_or_else(|| format!("no decoder {decoder}: {errors:?}"))?;
    match native::checksum(&clips::packets_behind(file, middle), manifest, sum) {
        (0, _) => Err("no frames".to_owned()),
        (_, sum) => Ok(sum),
    }
}
