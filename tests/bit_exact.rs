//! Every sample of every frame equals what the native build of the same library
//! decodes.

use iotdec_tests::clips::{self, Codec, demuxer};
use iotdec_tests::environment::sample;
use iotdec_tests::frames::Checksum;
use iotdec_tests::pipeline::{Playing, count, decode, decode_summing};
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

/// Formats without a sample: a clip made on the spot, through the bin and by hand.
#[track_caller]
fn made(codec: Codec) {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = clips::encode(directory.path(), codec, 50, 25);
    let by_hand = format!(
        "{}{} ! {} name=decoder",
        demuxer(&file),
        codec.parser(),
        codec.decoder()
    );
    for middle in ["iotdec name=decoder", &by_hand] {
        let decoded = decode(&file, middle, LIMIT);
        decoded.end.assert_eos();
        assert_eq!(decoded.frames.len(), 50, "{middle}");
        native::assert_equal(&file, codec, &decoded.frames);
        let stats = decoded.stats.expect("a decoder was chosen");
        assert_eq!(count(&stats, "worker-restarts"), 0);
        assert_eq!(count(&stats, "frames-corrupt"), 0);
    }
}

#[test]
fn av1_webm() {
    made(Codec::Av1);
}

#[test]
fn vp8_webm() {
    made(Codec::Vp8);
}

#[test]
fn vp9_webm() {
    made(Codec::Vp9);
}

/// A sink that knows nothing of GstVideoMeta gets the visible samples and nothing
/// between them.
#[test]
fn raw_frames_in_a_file_have_no_gaps() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, codec) in [
        ("untimed-h264.264", Codec::H264),
        ("yard-h265.265", Codec::H265),
    ] {
        let file = sample(name);
        let mut sum = Checksum::md5();
        let decoded = decode_summing(&file, "iotdec name=decoder", LIMIT, Some(&mut sum));
        decoded.end.assert_eos();
        let raw = directory.path().join("raw");
        let description = format!(
            "filesrc location=\"{}\" ! iotdec ! filesink location=\"{}\"",
            file.display(),
            raw.display()
        );
        let mut playing = Playing::start(&description, LIMIT);
        playing.wait_for_end();
        playing.stop().assert_eos();
        let written = std::fs::read(&raw).expect("filesink made it");
        let visible: usize = decoded.frames.iter().flat_map(|f| &f.sizes).sum();
        assert_eq!(written.len(), visible, "{codec:?}: bytes of all frames");
        let mut file_sum = Checksum::md5();
        file_sum.update(&written);
        assert_eq!(file_sum.finish(), sum.finish(), "{codec:?}");
    }
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
