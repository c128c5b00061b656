//! The table of test vectors.

use crate::clips::Codec;
use std::path::{Path, PathBuf};

/// One test vector.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Its name in the table.
    pub name: String,
    /// Where it lies.
    pub file: PathBuf,
    /// What it is coded in.
    pub codec: Codec,
    /// Samples of luma in all its frames; 0 if the table does not say.
    pub effort: u64,
    /// The expected checksum over all frames, if there is one.
    pub checksum: Option<String>,
    /// The checksum is SHA-1, not MD5.
    pub is_sha1: bool,
}

/// MD5 of no bytes: a stream from which nobody decodes anything.
const NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// The vectors of the table in `folder`.
pub fn read(folder: &Path) -> Vec<Vector> {
    let table = std::fs::read_to_string(folder.join("MANIFEST.tsv")).expect("a readable table");
    table
        .lines()
        .skip(1)
        .filter_map(|line| row(folder, line))
        .collect()
}

fn row(folder: &Path, line: &str) -> Option<Vector> {
    // file bytes codec WxH frames checksum checksum_kind ...
    let columns: Vec<_> = line.split('\t').collect();
    let [name, _, codec, size, frames, checksum, kind, ..] = columns[..] else {
        panic!("a row of another form: {line}");
    };
    // Some come with their pixel format, and a few are unknown to the tool that made
    // the table.
    let codec = match codec.split('/').next().unwrap_or_default() {
        "h264" => Codec::H264,
        "hevc" => Codec::H265,
        "av1" => Codec::Av1,
        "vp8" => Codec::Vp8,
        "vp9" => Codec::Vp9,
        _ if name.starts_with("dav1d-test-data/") => Codec::Av1,
        "mjpeg" => Codec::Jpeg,
        "mpeg2video" => Codec::Mpeg2,
        _ => return None,
    };
    let effort = size.split_once('x').and_then(|(width, height)| {
        let [width, height, frames]: [u64; 3] = [
            width.parse().ok()?,
            height.parse().ok()?,
            frames.parse().ok()?,
        ];
        Some(width * height * frames)
    });
    if checksum == NOTHING {
        return None;
    }
    let is_sum = kind.starts_with("md5") || kind.starts_with("sha1");
    Some(Vector {
        name: name.to_owned(),
        file: folder.join(name),
        codec,
        effort: effort.unwrap_or(0),
        checksum: is_sum.then(|| checksum.to_owned()),
        is_sha1: kind.starts_with("sha1"),
    })
}
