//! States can be changed as often as one likes, in any number of elements.

use gst::prelude::*;
use iotdec_tests::clips::Codec;
use iotdec_tests::environment::sample;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::Playing;
use iotdec_tests::{exclusive, native, process};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
/// For one change of state.
const STEP: Duration = Duration::from_secs(30);
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
