//! Libraries out of Python wheels run by a manifest alone: a name with a hash in it, an
//! ABI that is newer than Debian's, dependencies in a directory of their own.
//!
//! One test, because manifests are looked for once a process.

use iotdec_tests::environment::{self, sample};
use iotdec_tests::frames::Checksum;
use iotdec_tests::pipeline::{count, decode_summing};
use iotdec_tests::{exclusive, fetch};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(240);

/// The library in a wheel's folder whose name begins so.
fn library(folder: &Path, prefix: &str) -> String {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = entries.map(|entry| entry.expect("readable").file_name());
    let mut names = names.filter_map(|name| name.into_string().ok());
    let found = names.find(|name| name.starts_with(prefix));
    found.unwrap_or_else(|| panic!("no {prefix} in {}", folder.display()))
}

/// Checksum of all frames of a file, decoded behind `front` by `element`.
fn sum_of(file: &Path, front: &str, element: &str) -> (usize, String) {
    let mut sum = Checksum::md5();
    let decoded = decode_summing(file, &format!("{front} ! {element}"), LIMIT, Some(&mut sum));
    decoded.end.assert_eos();
    if let Some(stats) = decoded.stats {
        assert_eq!(
            count(&stats, "frames-copied-by-guest"),
            0,
            "{element}: {stats}"
        );
        assert_eq!(count(&stats, "frames-corrupt"), 0, "{element}: {stats}");
    }
    (decoded.frames.len(), sum.finish())
}

#[test]
fn libraries_of_wheels_run_by_a_manifest_alone() {
    let _turn = exclusive();
    let wheels = fetch::wheels();
    // The manifest is beside the wheels, and its paths start there.
    let directory = tempfile::tempdir_in(&wheels).expect("a temporary directory");
    let avcodec = |name: &str, folder: &str, codec: &str, caps: &str| {
        let library = library(&wheels.join(folder), "libavcodec-");
        format!(
            "[[decoder]]\nname = \"{name}\"\nlong-name = \"{name}\"\n\
             adapter = \"libavcodec\"\nlibrary = \"../{folder}/{library}\"\n\
             caps = \"{caps}\"\noptions = {{ codec = \"{codec}\" }}\n"
        )
    };
    let (h264, h265) = (
        "video/x-h264, stream-format=byte-stream, alignment=au",
        "video/x-h265, stream-format=byte-stream, alignment=au",
    );
    let heif = "pillow_heif/pillow_heif.libs";
    let libde265 = library(&wheels.join(heif), "libde265-");
    let manifest = [
        avcodec("av_h264", "av/av.libs", "h264", h264),
        avcodec("av_h265", "av/av.libs", "hevc", h265),
        avcodec(
            "opencv_h264",
            "opencv_python_headless/opencv_python_headless.libs",
            "h264",
            h264,
        ),
        format!(
            "[[decoder]]\nname = \"heif_h265\"\nlong-name = \"heif_h265\"\n\
             adapter = \"libde265\"\nlibrary = \"../{heif}/{libde265}\"\ncaps = \"{h265}\"\n"
        ),
    ];
    std::fs::write(directory.path().join("wheels.toml"), manifest.concat()).expect("writable");
    // SAFETY: the only test of this program, and no other thread runs yet.
    unsafe {
        std::env::set_var("IOTDEC_DECODER_PATH", directory.path());
        // Of its own: that of the other tests knows other manifests.
        std::env::set_var("GST_REGISTRY", directory.path().join("registry.bin"));
    }
    environment::prepare();
    for (name, codec, native) in [
        ("yard-h264.264", "h264", "avdec_h264"),
        ("yard-h265.265", "h265", "avdec_h265"),
    ] {
        let file = sample(name);
        let front =
            format!("{codec}parse ! video/x-{codec},stream-format=byte-stream,alignment=au");
        let expected = sum_of(&file, &front, native);
        assert!(expected.0 > 0);
        let elements: &[&str] = match codec {
            "h264" => &["av_h264", "opencv_h264"],
            _ => &["av_h265", "heif_h265"],
        };
        for element in elements {
            let element = format!("iotdec_{element} name=decoder");
            assert_eq!(sum_of(&file, &front, &element), expected, "{element}");
        }
    }
}
