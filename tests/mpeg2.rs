//! MPEG-1 and MPEG-2: every kind of picture structure and container, against the
//! native build of libmpeg2.

#[path = "mpeg2/crafted.rs"]
mod crafted;

use crafted::Chroma;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};
use iotdec_tests::clips::{self, Codec, demuxer, packets};
use iotdec_tests::environment::{variable_or_advice, vectors};
use iotdec_tests::pipeline::{Decoded, Playing, count, decode};
use iotdec_tests::random::Random;
use iotdec_tests::{exclusive, native};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const FRAMES: u64 = 30;

/// Encodes moving pictures: `source` are their caps, `encode` the elements from the
/// encoder to the container.
fn make(directory: &Path, name: &str, source: &str, encode: &str) -> PathBuf {
    let file = directory.join(name);
    let description = format!(
        "videotestsrc num-buffers={FRAMES} pattern=ball ! video/x-raw,{source} \
         ! {encode} ! filesink location=\"{}\"",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}

const SOURCE: &str = "format=I420,width=352,height=288,framerate=25/1";
/// MPEG-2, with a key picture in ten and two B pictures between others.
const ENCODER: &str =
    "mpeg2enc format=3 bitrate=2000 min-gop-size=10 max-gop-size=10 b-per-refframe=2";
/// The same without B pictures.
const ENCODER_WITHOUT_B: &str =
    "mpeg2enc format=3 bitrate=2000 min-gop-size=10 max-gop-size=10 b-per-refframe=0";

/// Plays a file through the bin; all frames come, as the native library makes them.
#[track_caller]
fn play(file: &Path) -> Decoded {
    let decoded = decode(file, "iotdec name=decoder decoder=mpeg2", LIMIT);
    decoded.end.assert_eos();
    native::assert_equal(file, Codec::Mpeg2, &decoded.frames);
    let stats = decoded.stats.as_ref().expect("a decoder was chosen");
    assert_eq!(count(stats, "frames-corrupt"), 0);
    assert_eq!(count(stats, "frames-copied-by-guest"), 0, "not into slots");
    decoded
}

#[test]
fn raw_720p() {
    let _turn = exclusive();
    let Some(folder) = vectors("MPEG-2 in 720p") else {
        return;
    };
    let decoded = play(&folder.join("gen/mpeg2_720p.m2v"));
    assert_eq!(decoded.frames.len(), 60);
}

/// Transport and program streams: frames get the times that a native decoder gives
/// them, in spite of B pictures.
#[test]
fn containers() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, muxer) in [("a.ts", "mpegtsmux"), ("a.mpg", "mpegpsmux")] {
        let encode = format!("{ENCODER} ! mpegvideoparse ! {muxer}");
        let file = make(directory.path(), name, SOURCE, &encode);
        let decoded = decode(&file, "iotdec name=decoder decoder=mpeg2", LIMIT);
        decoded.end.assert_eos();
        // Of so short a program stream GStreamer's demuxer finds only a part.
        assert!(
            decoded.frames.len() > 10,
            "{name}: {}",
            decoded.frames.len()
        );
        let native = format!("{} mpegvideoparse ! avdec_mpeg2video", demuxer(&file));
        let native = decode(&file, &native, LIMIT);
        let times = |decoded: &Decoded| -> Vec<_> {
            decoded.frames.iter().map(|frame| frame.pts).collect()
        };
        assert_eq!(times(&decoded), times(&native), "{name}");
    }
}

#[test]
fn mpeg1() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let encode = "mpeg2enc format=0 bitrate=1150 b-per-refframe=2 ! mpegvideoparse";
    let file = make(directory.path(), "a.m1v", SOURCE, encode);
    let decoded = play(&file);
    assert_eq!(decoded.frames.len() as u64, FRAMES);
}

/// The part of whole macroblocks that is seen.
#[test]
fn odd_sizes() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "format=I420,width=330,height=250,framerate=25/1";
    let encode = format!("{ENCODER} ! mpegvideoparse");
    let file = make(directory.path(), "a.m2v", source, &encode);
    for frame in &play(&file).frames {
        assert_eq!((frame.width, frame.height), (330, 250));
    }
}

/// Frames of interlaced video, coded as frames.
#[test]
fn interlaced_frames() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = format!("{SOURCE},interlace-mode=interleaved,field-order=top-field-first");
    let encode = "mpeg2enc format=3 interlace-mode=1 bitrate=2000 b-per-refframe=2 \
                  ! mpegvideoparse";
    let file = make(directory.path(), "a.m2v", &source, encode);
    assert_eq!(play(&file).frames.len() as u64, FRAMES);
}

/// 4:2:2 and 4:4:4, which no encoder here makes.
#[test]
fn chroma_formats() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (chroma, format) in [
        (Chroma::C420, VideoFormat::I420),
        (Chroma::C422, VideoFormat::Y42b),
        (Chroma::C444, VideoFormat::Y444),
    ] {
        let file = directory.path().join("a.m2v");
        let stream = crafted::stream(chroma, &[crafted::FRAME; 5]);
        std::fs::write(&file, stream).expect("a writable directory");
        let decoded = play(&file);
        assert_eq!(decoded.frames.len(), 5, "{format:?}");
        assert!(decoded.frames.iter().all(|frame| frame.format == format));
    }
}

/// Pictures that are one field each, in packets of their own.
#[test]
fn field_pictures_make_frames() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("a.m2v");
    let fields = [crafted::TOP_FIELD, crafted::BOTTOM_FIELD].repeat(5);
    let stream = crafted::stream(Chroma::C420, &fields);
    std::fs::write(&file, &stream).expect("a writable directory");
    let decoded = play(&file);
    assert_eq!(decoded.frames.len(), 5);
    // Both fields of each frame, in turn, show their own brightness.
    let rows = rows_of_first_frame(&file);
    let (even, odd) = (rows[0], rows[1]);
    assert_ne!(even, odd);
    for pair in rows.chunks(2) {
        assert_eq!(pair, [even, odd]);
    }
}

/// The first luma sample of each row of a file's first frame.
fn rows_of_first_frame(file: &Path) -> Vec<u8> {
    let description = format!(
        "filesrc location=\"{}\" ! iotdec decoder=mpeg2 ! appsink name=sink sync=false",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let sample = playing.next_sample().expect("a frame");
    playing.stop();
    let info = VideoInfo::from_caps(sample.caps().expect("raw video")).expect("raw video");
    let buffer = sample.buffer().expect("samples have buffers");
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info).expect("it maps");
    let stride = frame.plane_stride()[0] as usize;
    let data = frame.plane_data(0).expect("luma");
    let rows = 0..info.height() as usize;
    rows.map(|row| data[row * stride]).collect()
}

/// Without B pictures, a live source's frames come out with their own packets.
#[test]
fn live_without_b_pictures_adds_no_frame() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let encode = format!("{ENCODER_WITHOUT_B} ! mpegvideoparse");
    let file = make(directory.path(), "a.m2v", SOURCE, &encode);
    let packets = packets(&file, Codec::Mpeg2);
    assert_eq!(prompt_frames(&packets, &["--low-delay"]), FRAMES);
    // The last one comes when there is no other packet.
    assert_eq!(prompt_frames(&packets, &[]), 1);
}

/// How many frames the native worker gives out with their own packets.
fn prompt_frames(packets: &[Vec<u8>], arguments: &[&str]) -> u64 {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    clips::write_packet_file(packets, file.as_file_mut()).expect("a full packet file");
    let output = Command::new(variable_or_advice("IOTDEC_NATIVE_WORKER"))
        .args([
            "bare",
            "--adapter",
            "libmpeg2",
            "--library",
            "libmpeg2.so.0",
        ])
        .arg("--packets")
        .arg(file.path())
        .args(arguments)
        .output()
        .expect("a worker");
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("the worker prints JSON");
    assert_eq!(report["frames"], FRAMES);
    report["prompt"].as_u64().expect("a count")
}

/// A different size in the middle of the stream.
#[test]
fn sequences_may_change() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let encode = format!("{ENCODER} ! mpegvideoparse");
    let small = make(
        directory.path(),
        "small.m2v",
        "format=I420,width=160,height=96,framerate=25/1",
        &encode,
    );
    let large = make(directory.path(), "large.m2v", SOURCE, &encode);
    let file = directory.path().join("both.m2v");
    let bytes = [&small, &large, &small].map(|file| std::fs::read(file).expect("just made"));
    std::fs::write(&file, bytes.concat()).expect("a writable directory");
    let decoded = play(&file);
    let widths: Vec<_> = decoded.frames.iter().map(|frame| frame.width).collect();
    let runs: Vec<_> = widths
        .chunk_by(|a, b| a == b)
        .map(|run| (run[0], run.len() as u64))
        .collect();
    assert_eq!(runs, [(160, FRAMES), (352, FRAMES), (160, FRAMES)]);
}

/// Lost slices are seen and filled; the frames are flagged until the next I picture.
#[test]
fn lost_slices_are_flagged() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let encode = format!("{ENCODER_WITHOUT_B} ! mpegvideoparse");
    let file = make(directory.path(), "a.m2v", SOURCE, &encode);
    let whole = play(&file).frames;
    let mut bytes = std::fs::read(&file).expect("just made");
    let start = nth(&bytes, &[0, 0, 1, 0], 13);
    let slice = start + nth(&bytes[start..], &[0, 0, 1, 5], 0);
    let next = slice + nth(&bytes[slice..], &[0, 0, 1, 6], 0);
    bytes.drain(slice..next);
    std::fs::write(&file, &bytes).expect("a writable directory");
    let decoded = decode(&file, "iotdec name=decoder decoder=mpeg2", LIMIT);
    decoded.end.assert_eos();
    let flagged: Vec<_> = decoded.frames.iter().map(|frame| frame.corrupted).collect();
    assert_eq!(flagged.len() as u64, FRAMES);
    let expected: Vec<_> = (0..FRAMES).map(|index| (13..20).contains(&index)).collect();
    assert_eq!(flagged, expected);
    for (index, (frame, whole)) in decoded.frames.iter().zip(&whole).enumerate() {
        assert!(
            frame.corrupted || frame.planes == whole.planes,
            "frame {index}"
        );
    }
}

/// Where the `number`th occurrence of a pattern is.
fn nth(bytes: &[u8], pattern: &[u8], number: usize) -> usize {
    let mut found = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(pattern));
    found.nth(number).expect("a well-known stream")
}

/// Flipped bytes anywhere: frames come all the same, and the worker lives.
#[test]
fn damage_is_survived() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let encode = format!("{ENCODER} ! mpegvideoparse");
    let file = make(directory.path(), "a.m2v", SOURCE, &encode);
    let whole = std::fs::read(&file).expect("just made");
    let mut random = Random(2);
    for round in 0..4 {
        let mut bytes = whole.clone();
        for _ in 0..40 {
            let at = 200 + random.below(bytes.len() - 200);
            bytes[at] ^= 1 << random.below(8);
        }
        std::fs::write(&file, &bytes).expect("a writable directory");
        let decoded = decode(&file, "mpegvideoparse ! iotdec_mpeg2 name=decoder", LIMIT);
        decoded.end.assert_eos();
        let stats = decoded.stats.expect("there is a decoder");
        assert_eq!(count(&stats, "worker-restarts"), 0, "round {round}");
        let frames = decoded.frames.len() as u64;
        assert!(frames >= FRAMES / 2, "round {round}: {frames} frames");
    }
}

/// The bin finds it by itself.
#[test]
fn the_bin_takes_it() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = clips::encode(directory.path(), Codec::Mpeg2, 20, 10);
    let decoded = decode(&file, "iotdec name=decoder", LIMIT);
    decoded.end.assert_eos();
    assert_eq!(decoded.frames.len(), 20);
}
