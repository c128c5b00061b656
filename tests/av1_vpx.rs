//! AV1, VP8 and VP9 in every sample format, with pictures that change their size
//! between key frames, film grain, HDR, skipped frames and without delay.

use gst_video::VideoFormat;
use iotdec_bridge::Manifest;
use iotdec_tests::clips::{self, Codec, demuxer};
use iotdec_tests::environment::{self, sample, variable_or_advice};
use iotdec_tests::frames::{Checksum, Frame};
use iotdec_tests::pipeline::{Decoded, Playing, count, decode};
use iotdec_tests::{exclusive, native};
use iotdec_wire::msg::packet_flags;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Encodes `frames` frames of noise, which changes everywhere, into a file.
fn encode(directory: &Path, codec: Codec, raw: &str, encoder: &str, frames: u32) -> PathBuf {
    let file = directory.join("made.webm");
    let description = format!(
        "videotestsrc num-buffers={frames} pattern=snow ! video/x-raw,framerate=25/1,{raw} \
         ! {encoder} ! {} ! webmmux ! filesink location=\"{}\"",
        codec.parser(),
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}

const VP9: &str = "vp9enc deadline=1 cpu-used=8 lag-in-frames=0 target-bitrate=200000";
const AV1: &str = "av1enc usage-profile=realtime cpu-used=8 lag-in-frames=0";

/// Decodes a file; every frame is as the native library has it, and none was copied
/// in the guest unless `copied`.
#[track_caller]
fn decode_like_native(file: &Path, codec: Codec, copied: bool) -> Decoded {
    let decoded = decode(file, "iotdec name=decoder", LIMIT);
    decoded.end.assert_eos();
    native::assert_equal(file, codec, &decoded.frames);
    let stats = decoded.stats.as_ref().expect("a decoder was chosen");
    let expected = if copied { decoded.frames.len() } else { 0 };
    let guest = count(stats, "frames-copied-by-guest");
    assert_eq!(guest, expected as u64, "{}", file.display());
    decoded
}

#[track_caller]
fn assert_format(frames: &[Frame], format: VideoFormat, count: usize) {
    assert_eq!(frames.len(), count);
    for frame in frames {
        assert_eq!(frame.format, format);
    }
}

#[test]
fn every_format_that_vp9_has() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for format in [
        VideoFormat::Y444,
        VideoFormat::I42010le,
        VideoFormat::I42012le,
        VideoFormat::I42210le,
        VideoFormat::I42212le,
        VideoFormat::Y44410le,
        VideoFormat::Y44412le,
    ] {
        let raw = format!("width=175,height=97,format={}", format.to_str());
        let file = encode(directory.path(), Codec::Vp9, &raw, VP9, 6);
        let decoded = decode_like_native(&file, Codec::Vp9, false);
        assert_format(&decoded.frames, format, 6);
        let sizes = decoded.frames.iter().map(|f| (f.width, f.height));
        assert!(sizes.into_iter().all(|size| size == (175, 97)));
    }
    let decoded = decode_like_native(&sample("vp9-gbr10.ivf"), Codec::Vp9, false);
    assert_format(&decoded.frames, VideoFormat::Gbr10le, 10);
}

/// GStreamer has no 4:4:0: its chroma rows are shown twice, as 4:4:4.
#[test]
fn vp9_in_440_is_shown() {
    let _turn = exclusive();
    let file = sample("vp9-440.ivf");
    let decoded = decode_like_native(&file, Codec::Vp9, true);
    assert_format(&decoded.frames, VideoFormat::Y444, 10);
    let mut playing = Playing::start(&described(&file), LIMIT);
    let sample = playing.next_sample().expect("a frame");
    for plane in 1..3 {
        let rows = rows(&sample, plane);
        assert!(rows.chunks(2).all(|pair| pair[0] == pair[pair.len() - 1]));
        let first = &rows[0];
        assert!(rows.iter().any(|row| row != first), "a plane of nothing");
    }
}

#[test]
fn every_format_that_av1_has() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for format in [VideoFormat::I420, VideoFormat::Y42b, VideoFormat::Y444] {
        let raw = format!("width=175,height=97,format={}", format.to_str());
        let file = encode(directory.path(), Codec::Av1, &raw, AV1, 6);
        let decoded = decode_like_native(&file, Codec::Av1, false);
        assert_format(&decoded.frames, format, 6);
    }
    let decoded = decode_like_native(&sample("av1-gbr12.ivf"), Codec::Av1, false);
    assert_format(&decoded.frames, VideoFormat::Gbr12le, 10);
}

/// GStreamer has no luma of 10 bits alone: chroma without colour goes with it.
#[test]
fn av1_without_colour_is_shown_gray() {
    let _turn = exclusive();
    let file = sample("av1-gray10.ivf");
    let decoded = decode_like_native(&file, Codec::Av1, false);
    assert_format(&decoded.frames, VideoFormat::I42010le, 10);
    let mut playing = Playing::start(&described(&file), LIMIT);
    let sample = playing.next_sample().expect("a frame");
    for plane in 1..3 {
        let rows = rows(&sample, plane).concat();
        let (samples, _) = rows.as_chunks::<2>();
        assert!(samples.iter().all(|s| u16::from_le_bytes(*s) == 512));
    }
    assert!(rows(&sample, 0).windows(2).any(|rows| rows[0] != rows[1]));
}

fn described(file: &Path) -> String {
    format!(
        "filesrc location=\"{}\" ! iotdec ! appsink name=sink sync=false",
        file.display()
    )
}

/// The visible rows of a plane.
fn rows(sample: &gst::Sample, plane: u32) -> Vec<Vec<u8>> {
    use gst_video::prelude::*;
    let info = gst_video::VideoInfo::from_caps(sample.caps().expect("caps")).expect("video");
    let buffer = sample.buffer().expect("a buffer");
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info);
    let frame = frame.expect("a frame that maps");
    let data = frame.plane_data(plane).expect("the plane exists");
    let stride = frame.plane_stride()[plane as usize] as usize;
    let length = (frame.comp_width(plane) * frame.comp_pstride(plane) as u32) as usize;
    let rows = 0..frame.comp_height(plane) as usize;
    rows.map(|row| data[row * stride..][..length].to_vec())
        .collect()
}

/// Pictures of other sizes refer to each other: no key frame is between them.
#[test]
fn sizes_change_between_key_frames() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let av1 = format!("{AV1} resize-mode=random keyframe-max-dist=1000");
    let vp9 = "vp9enc deadline=1 cpu-used=8 lag-in-frames=0 end-usage=cbr \
               target-bitrate=60000 resize-allowed=true keyframe-max-dist=1000";
    for (codec, encoder, size, frames) in [
        (Codec::Av1, av1.as_str(), "width=320,height=192", 20),
        (Codec::Vp9, vp9, "width=640,height=360", 60),
    ] {
        let raw = format!("{size},format=I420");
        let file = encode(directory.path(), codec, &raw, encoder, frames);
        let keys = keys(&file, codec);
        let decoded = decode_like_native(&file, codec, false);
        assert_eq!(decoded.frames.len(), frames as usize, "{codec:?}");
        let sizes: HashSet<_> = decoded.frames.iter().map(|f| (f.width, f.height)).collect();
        assert!(
            sizes.len() > keys,
            "{codec:?}: {sizes:?}, {keys} key frames"
        );
    }
}

/// How many key frames are in a file.
fn keys(file: &Path, codec: Codec) -> usize {
    let description = format!(
        "filesrc location=\"{}\" ! {}{} ! appsink name=sink sync=false",
        file.display(),
        demuxer(file),
        codec.parser()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let mut keys = 0;
    while let Some(sample) = playing.next_sample() {
        let buffer = sample.buffer().expect("a buffer");
        keys += usize::from(!buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
    }
    keys
}

#[test]
fn hdr_is_told() {
    let _turn = exclusive();
    let file = sample("av1-hdr.ivf");
    // The parser knows of it too: only the decoder's word counts here.
    let bare = format!(
        "ivfparse ! av1parse ! capssetter replace=true caps=\"{}\" ! iotdec_dav1d",
        Codec::Av1.caps()
    );
    let description = format!(
        "filesrc location=\"{}\" ! {bare} ! appsink name=sink sync=false",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let sample = playing.next_sample().expect("a frame");
    let caps = sample.caps().expect("caps");
    let structure = caps.structure(0).expect("fixed caps");
    let field = |name| structure.get::<String>(name).unwrap_or_default();
    assert_eq!(field("format"), "I420_10LE");
    assert_eq!(field("colorimetry"), "bt2100-pq");
    let light = field("content-light-level");
    assert_eq!(light, "1000:400");
    let display = field("mastering-display-info");
    assert!(
        display.starts_with("34000:16000:13250:34500:7500:3000:15635:16450:10000000:"),
        "{display}"
    );
    // From a fixed-point number of 14 bits.
    assert!(display.ends_with(":1"), "{display}");
}

/// dav1d's manifest without film grain, in a directory of its own.
fn without_grain(directory: &Path) -> PathBuf {
    let manifest = directory.join("plain.toml");
    let built_in = environment::root().join("manifests/dav1d.toml");
    let text = std::fs::read_to_string(built_in).expect("part of the tree");
    let text = text.replace("name = \"dav1d\"", "name = \"dav1d_plain\"");
    std::fs::write(&manifest, text + "\n[options]\nfilm-grain = \"0\"\n").expect("writable");
    manifest
}

/// MD5 of the frames that the element of a manifest of its own makes of a file.
fn sum_of_element(manifest: &Path, file: &Path) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let raw = directory.path().join("raw");
    let mut search = manifest.parent().expect("a file").as_os_str().to_owned();
    search.push(":");
    search.push(variable_or_advice("IOTDEC_DECODER_PATH"));
    let status = Command::new("timeout")
        .args(["--kill-after=5", "120", "gst-launch-1.0", "-q", "filesrc"])
        .arg(format!("location={}", file.display()))
        .args(["!", "iotdec", "decoder=dav1d_plain", "!", "filesink"])
        .arg(format!("location={}", raw.display()))
        .env("IOTDEC_DECODER_PATH", search)
        .env("GST_REGISTRY", directory.path().join("registry"))
        .status()
        .expect("coreutils are installed");
    assert!(status.success(), "gst-launch-1.0: {status}");
    let mut sum = Checksum::md5();
    sum.update(&std::fs::read(&raw).expect("filesink made it"));
    sum.finish()
}

#[test]
fn film_grain_is_applied_unless_the_manifest_says_no() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let manifest = without_grain(directory.path());
    let file = sample("av1-hdr.ivf");
    let packets = clips::packets(&file, Codec::Av1);
    let read = |path: &Path| {
        let read = Manifest::read(path).unwrap_or_else(|error| panic!("{error}"));
        read.into_iter().next().expect("one decoder")
    };
    let native = |manifest: &Manifest| native::checksum(&packets, manifest, Checksum::md5());
    let built_in = read(&environment::root().join("manifests/dav1d.toml"));
    let (with, without) = (native(&built_in), native(&read(&manifest)));
    assert_eq!((with.0, without.0), (10, 10));
    assert_ne!(with.1, without.1, "a film without grain");
    decode_like_native(&file, Codec::Av1, false);
    assert_eq!(sum_of_element(&manifest, &file), without.1);
    let Some(vectors) = environment::vectors("film grain as published") else {
        return;
    };
    let name = "dav1d-test-data/8-bit/features/ccvb_film_grain.ivf";
    let table = iotdec_tests::vectors::read(&vectors);
    let vector = table.iter().find(|vector| vector.name == name);
    let vector = vector.expect("in the table");
    let sum = sum_of_element(&manifest, &vector.file);
    assert_eq!(Some(sum), vector.checksum);
}

/// A run of the native worker on packets with these flags: what it reports, and
/// the bytes of its frames.
fn bare(
    packets: &[Vec<u8>],
    flags: u32,
    adapter: [&str; 2],
    arguments: &[&str],
) -> (serde_json::Value, Vec<u8>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (file, frames) = (directory.path().join("in"), directory.path().join("out"));
    let mut packet_file = std::fs::File::create(&file).expect("writable");
    clips::write_flagged_packets(packets, flags, &mut packet_file).expect("a full file");
    let output = Command::new(variable_or_advice("IOTDEC_NATIVE_WORKER"))
        .args(["bare", "--adapter", adapter[0], "--library", adapter[1]])
        .args(["--frames-to", "0", "--packets"])
        .arg(file)
        .args(arguments)
        .stdin(std::fs::File::create(&frames).expect("writable"))
        .output()
        .expect("a worker");
    let report = serde_json::from_slice(&output.stdout).expect("the worker prints JSON");
    (report, std::fs::read(frames).expect("just written"))
}

const DAV1D: [&str; 2] = ["dav1d", "libdav1d.so.6"];
const LIBVPX: [&str; 2] = ["libvpx", "libvpx.so.7"];

/// Late pictures that no other refers to are left out, and all that are shown look
/// as ever.
#[test]
fn skipping_harms_no_other_picture() {
    let _turn = exclusive();
    let (vp9, av1) = (sample("vp9-layers.ivf"), sample("av1-hdr.ivf"));
    for (file, codec, adapter, arguments) in [
        (&vp9, Codec::Vp9, LIBVPX, &["--option", "codec=vp9"][..]),
        (&av1, Codec::Av1, DAV1D, &[]),
    ] {
        let packets = clips::packets(file, codec);
        let (report, all) = bare(&packets, 0, adapter, arguments);
        let count = report["frames"].as_u64().expect("a count") as usize;
        let all: Vec<_> = all.chunks(all.len() / count).collect();
        let (report, some) = bare(&packets, packet_flags::MAY_SKIP, adapter, arguments);
        let kept = report["frames"].as_u64().expect("a count") as usize;
        assert!(
            kept < count && kept >= count / 4,
            "{codec:?}: {kept} of {count}"
        );
        let mut rest = all.iter();
        for (index, frame) in some.chunks(all[0].len()).enumerate() {
            assert!(
                rest.any(|other| *other == frame),
                "{codec:?}: frame {index}"
            );
        }
    }
}

/// dav1d's threads share the work of one frame: none of its pictures waits for the next
/// packet, whether they are wanted at once or not.
#[test]
fn each_picture_comes_out_with_its_packet() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = clips::encode(directory.path(), Codec::Av1, 20, 10);
    let packets = clips::packets(&file, Codec::Av1);
    let prompt = |arguments: &[&str]| {
        let (report, frames) = bare(&packets, 0, DAV1D, arguments);
        assert_eq!(report["frames"], 20);
        assert_eq!(report["prompt"], 20, "{arguments:?}");
        frames
    };
    let expected = prompt(&[]);
    for arguments in [
        &["--option", "threads=2"][..],
        &["--option", "threads=5"],
        &["--option", "threads=2", "--low-delay"],
    ] {
        assert!(
            prompt(arguments) == expected,
            "{arguments:?} decodes something else"
        );
    }
}
