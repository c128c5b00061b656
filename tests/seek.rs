//! Seeking never shows a frame of the place that was left, and states can be
//! changed as often as one likes, in any number of elements.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec, demuxer};
use iotdec_tests::environment::sample;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, decode};
use iotdec_tests::random::Random;
use iotdec_tests::{exclusive, native, process};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
/// For one seek or change of state.
const STEP: Duration = Duration::from_secs(30);
const SEEKS: usize = 20;
const CYCLES: usize = 10;

/// The samples in MP4: timed, with a key frame each second.
fn mp4(codec: Codec) -> PathBuf {
    sample(match codec {
        Codec::H264 => "yard-h264.mp4",
        Codec::H265 => "yard-h265.mp4",
        other => panic!("no sample of {other:?}"),
    })
}

fn describe(file: &Path, middle: &str) -> String {
    format!(
        "filesrc location=\"{}\" ! {middle} ! appsink name=sink sync=false max-buffers=2",
        file.display()
    )
}

/// The decoder element behind its parser, on a raw stream: gst-launch links a
/// demuxer's pads for the first run only.
fn by_hand(codec: Codec) -> (PathBuf, String) {
    let file = sample(match codec {
        Codec::H264 => "yard-h264.264",
        Codec::H265 => "yard-h265.265",
        other => panic!("no sample of {other:?}"),
    });
    let middle = format!("{} ! {} name=decoder", codec.parser(), codec.decoder());
    (file, middle)
}

/// A file and what it looks like when it is played without any seek.
struct Video {
    file: PathBuf,
    frames: Vec<Frame>,
    /// Where the key frames are, in stream time.
    keys: Vec<gst::ClockTime>,
    /// Where a video that was made lies.
    _directory: Option<tempfile::TempDir>,
}

impl Video {
    fn new(codec: Codec) -> Self {
        match codec {
            Codec::H264 | Codec::H265 => Self::of(mp4(codec), codec, None),
            _ => {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let file = clips::encode(directory.path(), codec, 100, 25);
                Self::of(file, codec, Some(directory))
            }
        }
    }

    fn of(file: PathBuf, codec: Codec, directory: Option<tempfile::TempDir>) -> Self {
        let decoded = decode(&file, "iotdec name=decoder", LIMIT);
        decoded.end.assert_eos();
        native::assert_equal(&file, codec, &decoded.frames);
        let frames = decoded.frames;
        for (index, pair) in frames.windows(2).enumerate() {
            let differ = pair[0].planes != pair[1].planes;
            assert!(differ, "frames {index} and the next look the same");
        }
        let keys = keys(&file, codec);
        assert!(keys.len() > 2, "a video with too few key frames: {keys:?}");
        Self {
            file,
            frames,
            keys,
            _directory: directory,
        }
    }

    /// The number of a frame, by what it shows.
    #[track_caller]
    fn index_of(&self, sample: &gst::Sample) -> usize {
        let frame = Frame::of(sample, None);
        let found = self.frames.iter().position(|f| f.planes == frame.planes);
        found.unwrap_or_else(|| panic!("a frame that is not in the video: {frame:?}"))
    }

    /// When a frame is to be shown, from the beginning of the video.
    fn time(&self, index: usize) -> gst::ClockTime {
        let pts = |frame: &Frame| frame.pts.expect("an MP4 has times");
        pts(&self.frames[index]) - pts(&self.frames[0])
    }

    /// The frame that is shown at a time.
    fn index_at(&self, time: gst::ClockTime) -> usize {
        let shown = (0..self.frames.len()).rev().find(|i| self.time(*i) <= time);
        shown.expect("the first frame is shown at 0")
    }

    /// The frame with which decoding begins for a time.
    fn key_at(&self, time: gst::ClockTime) -> usize {
        let key = self.keys.iter().rev().find(|key| **key <= time);
        self.index_at(*key.expect("a video begins with a key frame"))
    }
}

/// Where the key frames of a file are.
fn keys(file: &Path, codec: Codec) -> Vec<gst::ClockTime> {
    let middle = format!("{}{}", demuxer(file), codec.parser());
    let mut playing = Playing::start(&describe(file, &middle), LIMIT);
    let mut keys = Vec::new();
    while let Some(sample) = playing.next_sample() {
        let buffer = sample.buffer().expect("samples have buffers");
        if !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
            let segment = sample.segment().expect("samples have segments");
            let segment = segment.downcast_ref::<gst::ClockTime>().expect("in time");
            keys.extend(segment.to_stream_time(buffer.pts()));
        }
    }
    playing.stop().assert_eos();
    keys
}

/// Seeks at once, whatever is under way.
#[track_caller]
fn seek(playing: &Playing, how: gst::SeekFlags, target: gst::ClockTime) {
    let flags = gst::SeekFlags::FLUSH | how;
    let sought = playing.within(STEP, "sought", move |pipeline| {
        pipeline.seek_simple(flags, target)
    });
    sought.unwrap_or_else(|error| panic!("to {target}: {error}"));
}

/// A place in the video, and whether to go there or to the key frame before it.
fn choose(video: &Video, random: &mut Random) -> (gst::SeekFlags, gst::ClockTime, usize) {
    let end = video.time(video.frames.len() - 1);
    let target = gst::ClockTime::from_mseconds(random.below(end.mseconds() as usize) as u64);
    match random.below(2) {
        0 => (gst::SeekFlags::KEY_UNIT, target, video.key_at(target)),
        _ => (gst::SeekFlags::ACCURATE, target, video.index_at(target)),
    }
}

fn seek_around(codec: Codec) {
    let _turn = exclusive();
    let video = Video::new(codec);
    process::assert_no_children();
    let descriptors = process::kinds_of_descriptors();
    let mut playing = Playing::start(&describe(&video.file, "iotdec name=decoder"), LIMIT);
    playing.next_sample().expect("a first frame");
    let mut random = Random(codec as u64);
    for number in 0..SEEKS {
        let (how, target, expected) = choose(&video, &mut random);
        seek(&playing, how, target);
        // Seldom none: the next seek comes into the midst of this one.
        for offset in 0..random.below(6) {
            let Some(sample) = playing.next_sample() else {
                let last = expected + offset;
                assert_eq!(last, video.frames.len(), "the end comes too early");
                break;
            };
            let index = video.index_of(&sample);
            assert_eq!(
                index,
                expected + offset,
                "seek {number}, {how:?} to {target}, frame {offset} after it"
            );
        }
    }
    let (how, target, expected) = choose(&video, &mut random);
    seek(&playing, how, target);
    let mut rest = Vec::new();
    while let Some(sample) = playing.next_sample() {
        rest.push(video.index_of(&sample));
    }
    let all: Vec<_> = (expected..video.frames.len()).collect();
    assert_eq!(rest, all, "after {how:?} to {target}");
    let restarts: u64 = playing.stats().get("worker-restarts").expect("a count");
    assert_eq!(restarts, 0);
    playing.stop().assert_eos();
    process::assert_no_children();
    process::assert_kinds_of_descriptors(&descriptors);
}

#[test]
fn seeking_in_h264_while_it_plays() {
    seek_around(Codec::H264);
}

#[test]
fn seeking_in_h265_while_it_plays() {
    seek_around(Codec::H265);
}

#[test]
fn seeking_in_av1_while_it_plays() {
    seek_around(Codec::Av1);
}

#[test]
fn seeking_in_a_paused_video_shows_the_place() {
    let _turn = exclusive();
    let video = Video::new(Codec::H265);
    let mut playing = Playing::prepare(&describe(&video.file, "iotdec name=decoder"), LIMIT);
    playing.set_state_within(gst::State::Paused, STEP);
    let first = playing.preroll();
    assert_eq!(video.index_of(&first), 0);
    let mut random = Random(7);
    for number in 0..SEEKS / 2 {
        let (how, target, expected) = choose(&video, &mut random);
        seek(&playing, how, target);
        let shown = playing.preroll();
        assert_eq!(
            video.index_of(&shown),
            expected,
            "seek {number}, {how:?} to {target}"
        );
    }
    playing.stop();
    process::assert_no_children();
}

/// Plays a few frames and stops, again and again.
#[test]
fn an_element_can_be_started_again_and_again() {
    let _turn = exclusive();
    for codec in [Codec::H264, Codec::H265] {
        let bin = (mp4(codec), "iotdec name=decoder".to_owned());
        for (file, middle) in [bin, by_hand(codec)] {
            let mut playing = Playing::prepare(&describe(&file, &middle), LIMIT);
            let mut descriptors = Vec::new();
            let mut firsts = Vec::new();
            for cycle in 0..CYCLES {
                playing.set_state_within(gst::State::Playing, STEP);
                let sample = playing.next_sample().expect("a first frame");
                firsts.push(Frame::of(&sample, None));
                drop(sample);
                playing.next_sample().expect("a second frame");
                assert_eq!(process::workers().len(), 1, "cycle {cycle}");
                playing.set_state_within(gst::State::Null, STEP);
                process::assert_no_children();
                // What is made once and kept is there after the first time.
                if cycle == 0 {
                    descriptors = process::kinds_of_descriptors();
                }
                process::assert_kinds_of_descriptors(&descriptors);
            }
            firsts.dedup();
            assert_eq!(firsts.len(), 1, "it does not begin with the same frame");
            let end = playing.stop();
            assert!(end.errors.is_empty(), "{:?}", end.errors);
        }
    }
}

/// An element in NULL keeps no memory, although it may be started again.
#[test]
fn a_stopped_element_keeps_no_frames() {
    let _turn = exclusive();
    for codec in [Codec::H264, Codec::H265] {
        let bin = (mp4(codec), "iotdec name=decoder".to_owned());
        for (file, middle) in [bin, by_hand(codec)] {
            // Unlike an appsink it does not keep the last frame either.
            let description = format!(
                "filesrc location=\"{}\" ! {middle} ! fakesink name=sink sync=false",
                file.display()
            );
            let playing = Playing::prepare(&description, LIMIT);
            playing.set_state_within(gst::State::Paused, STEP);
            let sink = playing.element("sink");
            let shown = process::until(STEP, || {
                sink.property::<Option<gst::Sample>>("last-sample")
                    .map(drop)
            });
            assert!(shown.is_some(), "no frame");
            let kept = || {
                let descriptors = process::descriptors();
                let frames = descriptors.iter().filter(|d| d.contains("iotdec-frame"));
                frames.count()
            };
            assert!(kept() > 0, "frames that do not lie in descriptors");
            playing.set_state_within(gst::State::Null, STEP);
            process::until(STEP, || (kept() == 0).then_some(()));
            assert_eq!(kept(), 0, "frame memories are kept in NULL: {middle}");
            let end = playing.stop();
            assert!(end.errors.is_empty(), "{:?}", end.errors);
        }
    }
}

/// In READY the worker waits for the next stream.
#[test]
fn between_ready_and_paused_the_worker_stays() {
    let _turn = exclusive();
    for codec in [Codec::H264, Codec::H265] {
        let (file, middle) = by_hand(codec);
        let mut playing = Playing::prepare(&describe(&file, &middle), LIMIT);
        playing.set_state_within(gst::State::Ready, STEP);
        let [worker] = process::workers()[..] else {
            panic!("not one worker in READY: {:?}", process::children());
        };
        let mut firsts = Vec::new();
        for cycle in 0..CYCLES {
            playing.set_state_within(gst::State::Paused, STEP);
            let sample = playing.preroll();
            firsts.push(Frame::of(&sample, None));
            drop(sample);
            assert_eq!(process::workers(), [worker], "cycle {cycle}");
            playing.set_state_within(gst::State::Ready, STEP);
            assert_eq!(process::workers(), [worker], "cycle {cycle}");
        }
        firsts.dedup();
        assert_eq!(firsts.len(), 1, "it does not begin with the same frame");
        // And then it plays to the end.
        playing.play();
        let mut frames = Vec::new();
        while let Some(sample) = playing.next_sample() {
            frames.push(Frame::of(&sample, None));
        }
        assert_eq!(process::workers(), [worker]);
        native::assert_equal(&file, codec, &frames);
        playing.stop().assert_eos();
        process::assert_no_children();
    }
}

/// A state change into the midst of the start: nothing hangs, nothing stays.
#[test]
fn stopping_at_once_leaves_nothing_behind() {
    let _turn = exclusive();
    let file = mp4(Codec::H265);
    for _ in 0..CYCLES {
        let playing = Playing::start(&describe(&file, "iotdec name=decoder"), LIMIT);
        let end = playing.stop();
        assert!(end.errors.is_empty(), "{:?}", end.errors);
        process::assert_no_children();
    }
}

/// Plays files at the same time, each to its end, each in a pipeline of its own.
fn at_once(codecs: &[Codec]) {
    let _turn = exclusive();
    process::assert_no_children();
    let start = |codec: &Codec| {
        let file = mp4(*codec);
        Playing::start(&describe(&file, "iotdec name=decoder"), LIMIT)
    };
    let mut playing: Vec<_> = codecs.iter().map(start).collect();
    let mut frames = vec![Vec::new(); codecs.len()];
    let mut most = 0;
    loop {
        let mut ended = 0;
        for (playing, frames) in playing.iter_mut().zip(&mut frames) {
            match playing.next_sample() {
                Some(sample) => frames.push(Frame::of(&sample, None)),
                None => ended += 1,
            }
        }
        most = most.max(process::workers().len());
        if ended == codecs.len() {
            break;
        }
    }
    playing.into_iter().for_each(|p| p.stop().assert_eos());
    process::assert_no_children();
    assert_eq!(most, codecs.len(), "not as many workers as elements");
    for (codec, frames) in codecs.iter().zip(&frames) {
        native::assert_equal(&mp4(*codec), *codec, frames);
    }
}

#[test]
fn two_pipelines_at_once() {
    at_once(&[Codec::H264, Codec::H265]);
}

#[test]
fn four_elements_in_one_process() {
    at_once(&[Codec::H265, Codec::H264, Codec::H265, Codec::H264]);
}
