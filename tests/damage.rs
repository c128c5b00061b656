//! Damaged streams: as many frames as possible come out, damaged ones are marked,
//! upstream is asked for a key frame, and the application decides when it is enough.

use gst::prelude::*;
use iotdec_tests::clips::Codec;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Decoded, Playing, count, decode};
use iotdec_tests::random::Random;
use iotdec_tests::{exclusive, native, process};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const FRAMES: u32 = 300;

/// A clip with about 7 kB in each frame.
fn encode(directory: &Path, codec: Codec, frames: u32, b_frames: u32) -> PathBuf {
    let (encoder, name) = match codec {
        Codec::H264 => (
            format!("x264enc key-int-max=50 speed-preset=veryfast bframes={b_frames}"),
            "video/x-h264",
        ),
        Codec::H265 => (
            format!(
                "x265enc key-int-max=50 speed-preset=ultrafast option-string=bframes={b_frames}"
            ),
            "video/x-h265",
        ),
        other => unimplemented!("{other:?}"),
    };
    let file = directory.join("clip");
    let description = format!(
        "videotestsrc num-buffers={frames} pattern=zone-plate kx2=20 ky2=20 kt=3 \
         ! video/x-raw,format=I420,width=320,height=192,framerate=25/1 \
         ! {encoder} bitrate=1500 ! {name},stream-format=byte-stream ! filesink location=\"{}\"",
        file.display(),
    );
    let mut playing = Playing::start(&description, LIMIT);
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}

/// Makes some bytes others, behind the parameter sets.
fn flip(file: &Path, bytes: usize) {
    const HEADERS: usize = 200;
    let length = std::fs::metadata(file).expect("it was just made").len() as usize;
    flip_within(file, bytes, HEADERS..length);
}

/// Makes some bytes of a part of the file others.
fn flip_within(file: &Path, bytes: usize, part: Range<usize>) {
    let mut stream = std::fs::read(file).expect("it was just made");
    let mut random = Random(1);
    for _ in 0..bytes {
        let at = part.start + random.below(part.len());
        stream[at] ^= 1 + random.below(255) as u8;
    }
    std::fs::write(file, stream).expect("a writable directory");
}

fn decode_file(file: &Path, codec: Codec, properties: &str) -> Decoded {
    let middle = format!(
        "{} ! {} name=decoder {properties}",
        codec.parser(),
        codec.decoder()
    );
    let decoded = decode(file, &middle, LIMIT);
    process::assert_no_children();
    decoded
}

/// Of the packets that the parser finds, one at most shows no picture. (The parser
/// itself joins two where a start code is hit.)
fn flipped_bytes(codec: Codec) {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = encode(directory.path(), codec, FRAMES, 0);
    flip(&file, 400);
    let decoded = decode_file(&file, codec, "");
    decoded.end.assert_eos();
    let frames = decoded.frames.len() as u64;
    let stats = decoded.stats.expect("a decoder");
    let packets = count(&stats, "frames-in");
    println!("{frames} frames of {packets} packets, {FRAMES} without damage");
    assert!(packets + 2 >= u64::from(FRAMES));
    assert!(frames + 1 >= packets, "{frames} frames of {packets}");
    assert_eq!(count(&stats, "worker-restarts"), 0);
    let corrupt = decoded.frames.iter().filter(|f| f.corrupted).count() as u64;
    assert_eq!(count(&stats, "frames-corrupt"), corrupt);
    assert!(
        corrupt > packets / 2,
        "{corrupt} frames are said to be corrupt"
    );
    assert_as_many_as_natively(&file, codec, &decoded.frames);
}

/// The samples are not compared: where damage goes unnoticed, numbers overflow, and
/// the vector instructions of two machines do not overflow alike.
#[track_caller]
fn assert_as_many_as_natively(file: &Path, codec: Codec, frames: &[Frame]) {
    let packets = iotdec_tests::clips::packets(file, codec);
    if let Err(difference) = native::first_difference(&packets, codec, frames, None) {
        assert!(!difference.contains("frames instead of"), "{difference}");
    }
}

#[test]
fn flipped_bytes_in_h264() {
    flipped_bytes(Codec::H264);
}

#[test]
fn flipped_bytes_in_h265() {
    flipped_bytes(Codec::H265);
}

/// Pictures between damaged ones are lost with them; not one more than by the library.
#[test]
fn flipped_bytes_in_h264_with_b_frames() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = encode(directory.path(), Codec::H264, FRAMES, 3);
    flip(&file, 400);
    let decoded = decode_file(&file, Codec::H264, "");
    decoded.end.assert_eos();
    println!("{} of {FRAMES} frames", decoded.frames.len());
    assert_as_many_as_natively(&file, Codec::H264, &decoded.frames);
    assert!(decoded.frames.len() > FRAMES as usize / 2);
}

/// Who does not want damaged frames gets the others.
#[test]
fn corrupt_frames_can_be_discarded() {
    let _turn = exclusive();
    for codec in [Codec::H264, Codec::H265] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = encode(directory.path(), codec, 150, 0);
        // The encoders' streams depend on the machine, and a single byte may do nothing:
        // many are hit, of the middle group of pictures, and the first stays whole.
        let third = std::fs::metadata(&file).expect("it was just made").len() as usize / 3;
        flip_within(&file, 40, third * 5 / 4..third * 7 / 4);
        let all = decode_file(&file, codec, "").frames;
        let whole: Vec<_> = all.iter().filter(|frame| !frame.corrupted).collect();
        assert!(
            (1..all.len()).contains(&whole.len()),
            "{} whole",
            whole.len()
        );
        let decoded = decode_file(&file, codec, "discard-corrupted-frames=true");
        decoded.end.assert_eos();
        assert_eq!(decoded.frames.iter().collect::<Vec<_>>(), whole);
    }
}

/// The NAL units of a byte stream that are no parameter sets.
fn without_parameter_sets(stream: &[u8]) -> Vec<u8> {
    let nals = iotdec_nal::annexb::nal_units(stream);
    let kept = nals.filter(|nal| !matches!(nal[0] & 31, 7 | 8));
    kept.flat_map(|nal| [iotdec_nal::START_CODE, nal].concat())
        .collect()
}

/// An H.264 stream that nobody can decode, pushed packet by packet without a parser.
fn undecodable(properties: &str) -> (Vec<Frame>, Playing) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = encode(directory.path(), Codec::H264, 20, 0);
    let packets = iotdec_tests::clips::packets(&file, Codec::H264);
    let packets = packets.iter().map(|packet| without_parameter_sets(packet));
    push(properties, packets.enumerate().map(|(n, p)| (p, n == 0)))
}

/// Decodes packets, each with whether it is a key frame.
fn push(properties: &str, packets: impl Iterator<Item = (Vec<u8>, bool)>) -> (Vec<Frame>, Playing) {
    let description = format!(
        "appsrc name=src format=time caps={} ! iotdec_openh264 name=decoder {properties} \
         ! appsink name=sink sync=false",
        Codec::H264.caps()
    );
    let mut playing = Playing::prepare(&description, LIMIT);
    REQUESTS.store(0, Ordering::SeqCst);
    let pad = playing
        .element("decoder")
        .static_pad("sink")
        .expect("a sink");
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, |_, info| {
        let event = info.event().expect("an event probe");
        if gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok() {
            REQUESTS.fetch_add(1, Ordering::SeqCst);
        }
        gst::PadProbeReturn::Ok
    });
    playing.play();
    let source: gst_app::AppSrc = playing.element("src").downcast().expect("an appsrc");
    for (number, (packet, is_key)) in packets.enumerate() {
        let mut buffer = gst::Buffer::from_slice(packet);
        let writable = buffer.make_mut();
        writable.set_pts(gst::ClockTime::from_mseconds(40 * number as u64));
        if !is_key {
            writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        if source.push_buffer(buffer).is_err() {
            break;
        }
    }
    let _ = source.end_of_stream();
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
    }
    (frames, playing)
}

/// Key frames that the decoder of [`push`] asked for; tests take turns.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn too_many_errors_are_an_error() {
    let _turn = exclusive();
    let (frames, playing) = undecodable("max-errors=3");
    assert!(frames.is_empty());
    let end = playing.stop();
    let error = end.errors.first().expect("an error");
    assert_eq!(error.source, "decoder");
    for word in [
        "libopenh264",
        "could not decode packet",
        "no parameter sets",
    ] {
        assert!(error.text.contains(word), "{word:?} is not in {error}");
    }
    process::assert_no_children();
}

/// What the base class says at the end if nothing came out.
#[track_caller]
fn assert_nothing_valid(playing: Playing) {
    let end = playing.stop();
    assert_eq!(
        end.only_error().text,
        "No valid frames decoded before end of stream"
    );
}

#[test]
fn any_number_of_errors_is_borne_otherwise() {
    let _turn = exclusive();
    let (frames, playing) = undecodable("");
    assert!(frames.is_empty());
    let stats = playing.stats();
    assert_nothing_valid(playing);
    assert_eq!(count(&stats, "decode-errors"), 20);
    assert_eq!(REQUESTS.load(Ordering::SeqCst), 20, "for each one");
}

#[test]
fn key_frames_are_asked_for_at_intervals() {
    let _turn = exclusive();
    let (_, playing) = undecodable("min-force-key-unit-interval=200000000");
    assert_nothing_valid(playing);
    let requests = REQUESTS.load(Ordering::SeqCst);
    assert!((4..=6).contains(&requests), "{requests} in 800 ms");
}

/// A clip that begins with garbage and in the middle of a group of pictures.
fn late_beginning(directory: &Path) -> Vec<(Vec<u8>, bool)> {
    let file = encode(directory, Codec::H264, 100, 0);
    let packets = iotdec_tests::clips::packets(&file, Codec::H264);
    let mut random = Random(7);
    let garbage = (0..3).map(|_| (0..500).map(|_| random.number() as u8).collect());
    let garbage = garbage.map(|packet| (packet, false));
    let packets = packets.into_iter().enumerate().skip(45);
    let packets = packets.map(|(number, packet)| (packet, number % 50 == 0));
    garbage.chain(packets).collect()
}

/// Nothing that can be decoded comes first: a key frame is asked for, and what
/// follows it is shown.
#[test]
fn decoding_starts_in_the_middle_of_garbage() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (frames, playing) = push("", late_beginning(directory.path()).into_iter());
    playing.stop().assert_eos();
    assert!(REQUESTS.load(Ordering::SeqCst) > 0);
    let whole = frames.iter().filter(|frame| !frame.corrupted).count();
    assert_eq!(whole, 50, "from the key frame on");
}

/// The base class's own rule, with its flags: nothing goes in before a key frame.
#[test]
fn a_sync_point_is_requested_automatically() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let packets = late_beginning(directory.path());
    let (frames, playing) = push("automatic-request-sync-points=true", packets.into_iter());
    let stats = playing.stats();
    playing.stop().assert_eos();
    assert!(REQUESTS.load(Ordering::SeqCst) > 0);
    assert_eq!(count(&stats, "frames-in"), 50);
    assert_eq!(count(&stats, "decode-errors"), 0);
    assert_eq!(frames.len(), 50);
    // The base class marks the one it has waited for.
    assert!(frames[1..].iter().all(|frame| !frame.corrupted));
}

/// Lengths that do not fit: the packet counts as an error, its frame as corrupt, and
/// the others are as they should be.
#[test]
fn broken_lengths() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = encode(directory.path(), Codec::H264, 60, 0);
    let expected = decode_file(&file, Codec::H264, "").frames;
    let description = format!(
        "filesrc location=\"{}\" ! h264parse ! video/x-h264,stream-format=avc,alignment=au \
         ! iotdec_openh264 name=decoder ! appsink name=sink sync=false",
        file.display()
    );
    let mut playing = Playing::prepare(&description, LIMIT);
    let pad = playing
        .element("decoder")
        .static_pad("sink")
        .expect("a sink");
    let seen = Arc::new(AtomicUsize::new(0));
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if [20, 30].contains(&seen.fetch_add(1, Ordering::SeqCst)) {
            let buffer = info.buffer_mut().expect("a buffer probe").make_mut();
            let mut map = buffer.map_writable().expect("a writable buffer");
            // The first NAL unit is a delimiter of two bytes.
            map[6..10].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
        }
        gst::PadProbeReturn::Ok
    });
    playing.play();
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    assert!(count(&stats, "decode-errors") >= 2, "{stats}");
    let is_right = |frame: &&Frame| expected.iter().any(|e| e.planes == frame.planes);
    let right = frames.iter().filter(is_right).count();
    assert!(right >= 20 + 9, "{right} frames are right");
    let wrong = frames.iter().filter(|frame| !is_right(frame));
    assert!(wrong.clone().all(|frame| frame.corrupted));
    assert!(frames.len() >= 58, "{} frames", frames.len());
}
