//! States can be changed as often as one likes, in any number of elements.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::environment::{self, is_full, sample};
use iotdec_tests::film::Film;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Decoded, Playing, decode};
use iotdec_tests::random::Random;
use iotdec_tests::{exclusive, native, process};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
/// For one change of state.
const STEP: Duration = Duration::from_secs(30);
const CYCLES: usize = 10;
/// Elements in one process.
const MANY: usize = 8;

/// Times around where nothing may be left of it.
fn cycles() -> usize {
    match is_full() {
        true => 200,
        false => 20,
    }
}

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

/// The same on a short stream, made in `directory`.
fn made(directory: &Path) -> String {
    let file = clips::encode(directory, Codec::H265, 20, 10);
    describe(&file, "h265parse ! iotdec_de265 name=decoder")
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

/// Memory of this process that is its own, in KiB.
fn own_memory() -> u64 {
    let pid = std::process::id() as i32;
    process::status_kib(pid, "RssAnon:").expect("Linux tells")
}

/// Not even the smallest thing is left of a cycle.
#[test]
fn cycles_leave_nothing_behind() {
    let _turn = exclusive();
    environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut playing = Playing::prepare(&made(directory.path()), STEP * 200);
    let mut start = None;
    for cycle in 0..cycles() {
        playing.set_state_within(gst::State::Playing, STEP);
        assert!(playing.next_sample().is_some(), "no frame in cycle {cycle}");
        assert_eq!(process::workers().len(), 1, "in cycle {cycle}");
        playing.set_state_within(gst::State::Null, STEP);
        // The first ones fill caches and pools.
        if cycle == 4 {
            process::assert_no_children();
            start = Some((own_memory(), process::kinds_of_descriptors()));
        }
    }
    process::assert_no_children();
    let (memory, descriptors) = start.expect("more than a few cycles");
    process::assert_kinds_of_descriptors(&descriptors);
    let more = own_memory().saturating_sub(memory);
    assert!(more < 8 << 10, "{more} KiB more after {} cycles", cycles());
    assert!(playing.stop().errors.is_empty());
}

/// Other settings need another worker; in READY they can be made.
#[test]
fn settings_made_in_ready_take_effect() {
    let _turn = exclusive();
    environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut playing = Playing::prepare(&made(directory.path()), LIMIT);
    playing.set_state_within(gst::State::Ready, STEP);
    let before = process::workers();
    playing.element("decoder").set_property("threads", 2u32);
    playing.set_state_within(gst::State::Paused, STEP);
    playing.preroll();
    let after = process::workers();
    assert_eq!(after.len(), 1);
    assert_ne!(before, after, "the worker with the old settings goes on");
    playing.stop();
    process::assert_no_children();
}

/// Two elements in one pipeline, of two kinds.
#[test]
fn two_elements_at_once() {
    let _turn = exclusive();
    let files = [sample("untimed-h264.264"), sample("yard-h265.265")];
    let description = format!(
        "filesrc location=\"{}\" ! iotdec ! fakesink name=a sync=false \
         filesrc location=\"{}\" ! iotdec ! fakesink name=b sync=false",
        files[0].display(),
        files[1].display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    playing.wait_for_end();
    for (name, frames) in [("a", 50), ("b", 100)] {
        let stats: gst::Structure = playing.element(name).property("stats");
        assert_eq!(stats.get("rendered"), Ok(frames as u64), "{stats}");
    }
    playing.stop().assert_eos();
    process::assert_no_children();
}

/// Eight pipelines of as many threads, and all frames are the right ones.
#[test]
fn many_elements_at_once() {
    let _turn = exclusive();
    environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = clips::encode(directory.path(), Codec::H265, 20, 10);
    let alone = decode(&file, "iotdec name=decoder", LIMIT);
    alone.end.assert_eos();
    let descriptors = process::kinds_of_descriptors();
    let together: Vec<Decoded> = std::thread::scope(|scope| {
        let one = || decode(&file, "iotdec name=decoder", LIMIT * 2);
        let threads: Vec<_> = (0..MANY).map(|_| scope.spawn(one)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    });
    for decoded in together {
        decoded.end.assert_eos();
        assert_eq!(decoded.frames, alone.frames);
    }
    process::assert_no_children();
    process::assert_kinds_of_descriptors(&descriptors);
}

/// An element that posted an error works again with what it needs.
#[test]
fn use_after_an_error() {
    let _turn = exclusive();
    environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut playing = Playing::prepare(&made(directory.path()), LIMIT);
    let decoder = playing.element("decoder");
    let library = directory.path().join("nothing.so");
    for round in 0..3 {
        decoder.set_property("library", library.to_str());
        let bus = playing.pipeline().bus().expect("pipelines have one");
        playing.play();
        let error = bus.timed_pop_filtered(
            gst::ClockTime::from_seconds(STEP.as_secs()),
            &[gst::MessageType::Error],
        );
        assert!(error.is_some(), "round {round}: no error");
        playing.set_state_within(gst::State::Null, STEP);
        decoder.set_property("library", None::<&str>);
        playing.set_state_within(gst::State::Playing, STEP);
        assert!(playing.next_sample().is_some(), "round {round}: no frame");
        playing.set_state_within(gst::State::Null, STEP);
    }
    playing.stop();
    process::assert_no_children();
}

/// A worker with three threads of the decoder's own has more than one with one.
#[test]
fn threads_are_as_many_as_asked_for() {
    let _turn = exclusive();
    environment::prepare();
    let count = |threads: u32| {
        let description = format!(
            "fakesrc num-buffers=0 ! iotdec_de265 threads={threads} name=decoder ! fakesink"
        );
        let playing = Playing::prepare(&description, LIMIT);
        playing.set_state_within(gst::State::Ready, STEP);
        let [worker] = process::workers()[..] else {
            panic!("not one worker: {:?}", process::workers());
        };
        let count = process::status_kib(worker, "Threads:");
        playing.stop();
        process::assert_no_children();
        count.expect("Linux tells")
    };
    let by_itself = count(0);
    assert_eq!(count(1), by_itself, "one is what pays under emulation");
    assert!(count(3) >= by_itself + 2, "three threads, and the main one");
}

/// From any state to any other, wherever the last change has got to.
#[test]
fn change_state_intensive() {
    let _turn = exclusive();
    for codec in [Codec::H264, Codec::H265] {
        let film = Film::make(codec, 30, 10);
        let mut playing = Playing::prepare(&film.pipeline(), LIMIT);
        let mut random = Random(codec as u64);
        for _ in 0..3 * CYCLES {
            let states = [
                gst::State::Null,
                gst::State::Ready,
                gst::State::Paused,
                gst::State::Playing,
            ];
            playing.set_state_within(states[random.below(states.len())], STEP);
        }
        playing.set_state_within(gst::State::Null, STEP);
        process::assert_no_children();
        playing.play();
        assert_eq!(film.rest(&mut playing), (0..film.len()).collect::<Vec<_>>());
        playing.stop().assert_eos();
        process::assert_no_children();
    }
}
