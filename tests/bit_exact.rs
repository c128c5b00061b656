//! Every sample of every frame equals what the native build of the same library
//! decodes.

use iotdec_tests::clips::{Codec, demuxer};
use iotdec_tests::environment::sample;
use iotdec_tests::pipeline::{count, decode};
use iotdec_tests::{exclusive, native};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(240);

#[track_caller]
fn through_the_bin(name: &str, codec: Codec) {
    let _turn = exclusive();
    let file = sample(name);
    let decoded = decode(&file, "iotdec name=decoder", LIMIT);
    decoded.end.assert_eos();
    native::assert_equal(&file, codec, &decoded.frames);
    let stats = decoded.stats.expect("a decoder was chosen");
    assert_eq!(count(&stats, "frames-out"), decoded.frames.len() as u64);
    assert_eq!(count(&stats, "worker-restarts"), 0);
    assert_eq!(count(&stats, "frames-corrupt"), 0);
}

#[track_caller]
fn through_the_element(name: &str, codec: Codec) {
    let _turn = exclusive();
    let file = sample(name);
    let middle = format!(
        "{}{} ! {} name=decoder",
        demuxer(&file),
        codec.parser(),
        codec.decoder()
    );
    let decoded = decode(&file, &middle, LIMIT);
    decoded.end.assert_eos();
    native::assert_equal(&file, codec, &decoded.frames);
}

#[test]
fn h265_raw() {
    through_the_bin("yard-h265.265", Codec::H265);
}

#[test]
fn h265_mp4() {
    through_the_bin("yard-h265.mp4", Codec::H265);
}

#[test]
fn h265_raw_by_hand() {
    through_the_element("yard-h265.265", Codec::H265);
}

#[test]
fn h264_raw() {
    through_the_bin("yard-h264.264", Codec::H264);
}

#[test]
fn h264_mp4() {
    through_the_bin("yard-h264.mp4", Codec::H264);
}

#[test]
fn h264_mp4_by_hand() {
    through_the_element("yard-h264.mp4", Codec::H264);
}

/// A stream without timing still plays at a steady pace: the one that the
/// property `framerate` says.
#[test]
fn untimed_h264_gets_steady_times() {
    let _turn = exclusive();
    let file = sample("untimed-h264.264");
    let decoded = decode(&file, "iotdec name=decoder framerate=10/1", LIMIT);
    decoded.end.assert_eos();
    native::assert_equal(&file, Codec::H264, &decoded.frames);
    let times: Vec<_> = decoded.frames.iter().map(|frame| frame.pts).collect();
    for (index, pair) in times.windows(2).enumerate() {
        let (Some(earlier), Some(later)) = (pair[0], pair[1]) else {
            panic!("frame {index} or the next has no time: {pair:?}");
        };
        let step = later.checked_sub(earlier).map(|step| step.mseconds());
        assert_eq!(step, Some(100), "after frame {index} of {times:?}");
    }
}
