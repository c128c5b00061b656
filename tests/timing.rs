//! Time stamps, whatever the stream has of them.

use gst::prelude::*;
use iotdec_tests::clips::Codec;
use iotdec_tests::exclusive;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, decode};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const FRAMES: usize = 40;

const H264: &str = "x264enc bframes=2 b-adapt=false key-int-max=20 speed-preset=ultrafast \
                    ! video/x-h264,profile=main";

/// A raw stream with B pictures; `rate` frames a second stand in its VUI.
fn raw_stream(directory: &Path, codec: Codec, encoder: &str, rate: u32) -> PathBuf {
    let file = directory.join(format!("made-{rate}.{codec:?}"));
    let description = format!(
        "videotestsrc num-buffers={FRAMES} pattern=ball \
         ! video/x-raw,format=I420,width=320,height=192,framerate={rate}/1 \
         ! {encoder} ! {} ! {} ! filesink location=\"{}\"",
        codec.parser(),
        codec.caps(),
        file.display(),
    );
    let mut playing = Playing::start(&description, LIMIT);
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}

fn times(frames: &[Frame]) -> Vec<u64> {
    let time = |frame: &Frame| frame.pts.expect("a time stamp").nseconds();
    frames.iter().map(time).collect()
}

#[track_caller]
fn assert_steady(frames: &[Frame], step: u64) {
    let times = times(frames);
    for pair in times.windows(2) {
        // Rounding of demuxers and parsers.
        assert!((pair[1] - pair[0]).abs_diff(step) < 1000, "{times:?}");
    }
}

#[test]
fn raw_streams_go_as_fast_as_their_vui_says() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let h265 = "x265enc speed-preset=ultrafast option-string=bframes=2";
    for (codec, encoder) in [(Codec::H264, H264), (Codec::H265, h265)] {
        let file = raw_stream(directory.path(), codec, encoder, 50);
        let decoded = decode(&file, "iotdec name=decoder framerate=10/1", LIMIT);
        decoded.end.assert_eos();
        assert_eq!(decoded.frames.len(), FRAMES, "{codec:?}");
        assert_steady(&decoded.frames, 20_000_000);
    }
}

/// Encoded access units with B pictures between them.
fn access_units() -> (gst::Caps, Vec<gst::Buffer>) {
    let description = format!(
        "videotestsrc num-buffers={FRAMES} pattern=ball \
         ! video/x-raw,format=I420,width=320,height=192,framerate=25/1 \
         ! {H264} ! h264parse ! {} ! appsink name=sink sync=false",
        Codec::H264.caps(),
    );
    let mut playing = Playing::start(&description, LIMIT);
    let samples: Vec<_> = std::iter::from_fn(|| playing.next_sample()).collect();
    playing.stop().assert_eos();
    let caps = samples[0].caps_owned().expect("caps");
    let buffers = samples.iter().filter_map(|sample| sample.buffer_owned());
    let units: Vec<_> = buffers.collect();
    let in_order = units.is_sorted_by_key(|unit| unit.pts());
    assert!(!in_order, "no B pictures, so nothing is tested");
    (caps, units)
}

/// The access units, decoded with the time stamps that `change` makes of theirs.
fn retimed(change: impl Fn(usize, gst::ClockTime) -> Option<gst::ClockTime>) -> Vec<Frame> {
    let (caps, units) = access_units();
    let mut playing = Playing::start(
        "appsrc name=source format=time ! iotdec_openh264 name=decoder \
         ! appsink name=sink sync=false",
        LIMIT,
    );
    let source: gst_app::AppSrc = playing.element("source").downcast().expect("an appsrc");
    source.set_caps(Some(&caps));
    let first = units.iter().filter_map(|unit| unit.pts()).min();
    for mut unit in units {
        let writable = unit.make_mut();
        let pts = writable.pts().zip(first).expect("a time stamp");
        let since = pts.0 - pts.1;
        let place = (since.nseconds() + 20_000_000) / 40_000_000;
        writable.set_pts(change(place as usize, since));
        writable.set_dts(None);
        source.push_buffer(unit).expect("it takes buffers");
    }
    source.end_of_stream().expect("it ends");
    let samples = std::iter::from_fn(|| playing.next_sample());
    let frames: Vec<_> = samples.map(|sample| Frame::of(&sample, None)).collect();
    playing.stop().assert_eos();
    frames
}

fn pictures(frames: &[Frame]) -> Vec<&Vec<String>> {
    frames.iter().map(|frame| &frame.planes).collect()
}

/// A rate that varies from picture to picture.
#[test]
fn every_picture_keeps_its_own_time() {
    let _turn = exclusive();
    let vary = |place: usize| gst::ClockTime::from_mseconds([0, 7, 31, 3][place % 4]);
    let steady = retimed(|_, pts| Some(pts));
    let varied = retimed(|place, pts| Some(pts + vary(place)));
    assert_eq!(steady.len(), FRAMES);
    assert_eq!(pictures(&varied), pictures(&steady));
    let expected: Vec<_> = steady
        .iter()
        .enumerate()
        .map(|(place, frame)| frame.pts.expect("a time stamp") + vary(place))
        .map(gst::ClockTime::nseconds)
        .collect();
    assert_eq!(times(&varied), expected);
}

#[test]
fn missing_times_are_filled_in() {
    let _turn = exclusive();
    let steady = retimed(|_, pts| Some(pts));
    let sparse = retimed(|place, pts| place.is_multiple_of(5).then_some(pts));
    assert_eq!(pictures(&sparse), pictures(&steady));
    assert_eq!(times(&sparse), times(&steady));
}

#[test]
fn repeated_times_are_told_apart() {
    let _turn = exclusive();
    let steady = retimed(|_, pts| Some(pts));
    // Two pictures each have one time stamp, as the fields of some cameras do.
    let frame = gst::ClockTime::from_mseconds(40);
    let pairs = retimed(|place, pts| Some(pts - frame * (place % 2) as u64));
    assert_eq!(pictures(&pairs), pictures(&steady));
    let times = times(&pairs);
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    let drift = times.iter().zip(self::times(&steady));
    for (time, expected) in drift {
        assert!(time.abs_diff(expected) <= frame.nseconds(), "{times:?}");
    }
}
