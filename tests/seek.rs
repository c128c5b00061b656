//! Seeking shows the place that was asked for, and never a frame of the one that
//! was left. Scenarios have the names that gst-validate gives them.

use gst::prelude::*;
use gst::{ClockTime, SeekFlags, SeekType};
use iotdec_tests::clips::Codec;
use iotdec_tests::environment::is_full;
use iotdec_tests::film::Film;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::random::Random;
use iotdec_tests::{exclusive, process};
use std::time::Duration;

/// For a test.
const LIMIT: Duration = Duration::from_secs(60);
/// For one seek or change of state.
const STEP: Duration = Duration::from_secs(30);
const CODECS: [Codec; 2] = [Codec::H264, Codec::H265];
/// Of each adapter.
const ALL_CODECS: [Codec; 5] = [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp8, Codec::Vp9];

/// How often to do what is done at random.
fn times(few: usize, all: usize) -> usize {
    if is_full() { all } else { few }
}

fn film(codec: Codec) -> Film {
    Film::make(codec, 60, 15)
}

/// Seeks at once, whatever is under way.
#[track_caller]
fn seek(playing: &Playing, how: SeekFlags, target: ClockTime) {
    let stop = (SeekType::None, ClockTime::NONE);
    seek_range(playing, SeekFlags::FLUSH | how, target, stop);
}

#[track_caller]
fn seek_range(
    playing: &Playing,
    flags: SeekFlags,
    start: ClockTime,
    (stop_type, stop): (SeekType, Option<ClockTime>),
) {
    let sought = playing.within(STEP, "sought", move |pipeline| {
        pipeline.seek(1.0, flags, SeekType::Set, start, stop_type, stop)
    });
    sought.unwrap_or_else(|error| panic!("to {start}: {error}"));
}

/// A place in the film, and whether to go there or to the key frame before it.
fn choose(film: &Film, random: &mut Random) -> (SeekFlags, ClockTime, usize) {
    let end = film.last_time().mseconds() as usize;
    let target = ClockTime::from_mseconds(random.below(end) as u64);
    match random.below(2) {
        0 => (SeekFlags::KEY_UNIT, target, film.key_at(target)),
        _ => (SeekFlags::ACCURATE, target, film.index_at(target)),
    }
}

/// Seeks around at random, looks at a few frames after each seek, and at all after
/// the last. `hold` says how many of the last samples stay alive.
fn seek_around(film: &Film, playing: &mut Playing, seeks: usize, hold: usize) {
    let mut random = Random(film.len() as u64);
    let mut held = std::collections::VecDeque::new();
    for number in 0..seeks {
        let (how, target, expected) = choose(film, &mut random);
        seek(playing, how, target);
        // Seldom none: the next seek comes into the midst of this one.
        for offset in 0..random.below(6) {
            let Some(sample) = playing.next_sample() else {
                assert_eq!(expected + offset, film.len(), "the end comes too early");
                break;
            };
            assert_eq!(
                film.index_of(&sample),
                expected + offset,
                "seek {number}, {how:?} to {target}, frame {offset} after it"
            );
            held.push_back((expected + offset, sample));
            if held.len() > hold {
                held.pop_front();
            }
        }
    }
    let (how, target, expected) = choose(film, &mut random);
    seek(playing, how, target);
    let all: Vec<_> = (expected..film.len()).collect();
    assert_eq!(film.rest(playing), all, "after {how:?} to {target}");
    for (index, sample) in held {
        let frame = Frame::of(&sample, None);
        assert_eq!(
            frame.planes, film.frames[index].planes,
            "held frame {index}"
        );
    }
}

/// 1,000 in the long form.
#[test]
fn random_flushing_seeks_show_no_stale_frame() {
    let _turn = exclusive();
    for codec in ALL_CODECS {
        let film = film(codec);
        process::assert_no_children();
        let descriptors = process::kinds_of_descriptors();
        let mut playing = Playing::start(&film.pipeline(), LIMIT * 5);
        playing.next_sample().expect("a first frame");
        seek_around(&film, &mut playing, times(20, 200), 0);
        assert_eq!(count(&playing.stats(), "worker-restarts"), 0);
        playing.stop().assert_eos();
        process::assert_no_children();
        process::assert_kinds_of_descriptors(&descriptors);
    }
}

/// The application keeps more frames than there are slots for.
#[test]
fn seeking_while_all_frames_are_held_downstream() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = film(codec);
        let pipeline = film.pipeline().replace("iotdec ", "iotdec max-slots=8 ");
        let mut playing = Playing::start(&pipeline, LIMIT);
        let mut held = Vec::new();
        for index in 0..20 {
            let sample = playing.next_sample().expect("frames");
            assert_eq!(film.index_of(&sample), index);
            held.push(sample);
        }
        seek_around(&film, &mut playing, times(10, 100), 20);
        for (index, sample) in held.iter().enumerate() {
            let frame = Frame::of(sample, None);
            assert_eq!(frame, film.frames[index], "frame {index} was overwritten");
        }
        assert!(count(&playing.stats(), "frames-copied") > 0, "slots enough");
        playing.stop().assert_eos();
    }
}

#[test]
fn simple_seeks() {
    let _turn = exclusive();
    let film = Film::sample(Codec::H264);
    let mut playing = Playing::start(&film.pipeline(), LIMIT);
    playing.next_sample().expect("a first frame");
    // As gst-validate does: forward, forward, back.
    for (how, ms) in [
        (SeekFlags::KEY_UNIT, 1500),
        (SeekFlags::ACCURATE, 3500),
        (SeekFlags::KEY_UNIT, 0),
    ] {
        let target = ClockTime::from_mseconds(ms);
        seek(&playing, how, target);
        let first = playing.next_sample().expect("frames after a seek");
        let expected = match how {
            SeekFlags::KEY_UNIT => film.key_at(target),
            _ => film.index_at(target),
        };
        assert_eq!(film.index_of(&first), expected, "{how:?} to {target}");
    }
    assert_eq!(film.rest(&mut playing), (1..film.len()).collect::<Vec<_>>());
    playing.stop().assert_eos();
}

/// Paused, from one frame to another; each shows at once.
fn scrub(film: &Film, targets: impl Iterator<Item = usize>) {
    let mut playing = Playing::prepare(&film.pipeline(), LIMIT);
    playing.set_state_within(gst::State::Paused, STEP);
    assert_eq!(film.index_of(&playing.preroll()), 0);
    for target in targets {
        seek(&playing, SeekFlags::ACCURATE, film.times[target]);
        assert_eq!(film.index_of(&playing.preroll()), target);
    }
    let end = playing.stop();
    assert!(end.errors.is_empty(), "{:?}", end.errors);
}

#[test]
fn scrub_forward_seeking_full() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = film(codec);
        scrub(&film, (0..film.len()).step_by(times(7, 1)));
    }
}

#[test]
fn scrub_backward_seeking_full() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = film(codec);
        scrub(&film, (0..film.len()).rev().step_by(times(7, 1)));
    }
}

/// Accurately from one frame up to another, not including that.
#[test]
fn a_stop_position_ends_the_stream() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = film(codec);
        let mut playing = Playing::start(&film.pipeline(), LIMIT);
        playing.next_sample().expect("a first frame");
        // Over a key frame; and within one group, both times behind its key frame.
        for (from, to) in [(7, 24), (18, 21)] {
            let stop = (SeekType::Set, Some(film.times[to]));
            let flags = SeekFlags::FLUSH | SeekFlags::ACCURATE;
            seek_range(&playing, flags, film.times[from], stop);
            assert_eq!(film.rest(&mut playing), (from..to).collect::<Vec<_>>());
        }
        playing.stop().assert_eos();
    }
}

/// A loop: the end of a segment is no end of the stream, and the next one follows
/// without a flush.
#[test]
fn segments_are_played_in_a_loop() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = film(codec);
        let mut playing = Playing::start(&film.pipeline(), LIMIT);
        playing.next_sample().expect("a first frame");
        let (from, to) = (5, 20);
        let stop = (SeekType::Set, Some(film.times[to]));
        let mut flags = SeekFlags::FLUSH | SeekFlags::ACCURATE | SeekFlags::SEGMENT;
        for _ in 0..3 {
            seek_range(&playing, flags, film.times[from], stop);
            for index in from..to {
                let sample = playing.next_sample().expect("frames in a segment");
                assert_eq!(film.index_of(&sample), index);
            }
            playing.wait_for(gst::MessageType::SegmentDone);
            flags.remove(SeekFlags::FLUSH);
        }
        let end = playing.stop();
        assert!(!end.eos && end.errors.is_empty(), "{end:?}");
    }
}

#[test]
fn seeking_after_the_end_plays_on() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = film(codec);
        let mut playing = Playing::start(&film.pipeline(), LIMIT);
        assert_eq!(film.rest(&mut playing).len(), film.len());
        for target in [40, 0] {
            seek(&playing, SeekFlags::ACCURATE, film.times[target]);
            let all: Vec<_> = (target..film.len()).collect();
            assert_eq!(film.rest(&mut playing), all);
        }
        playing.stop().assert_eos();
    }
}

/// The decoder waits for its worker and downstream to get rid of the last frames,
/// when a seek calls it away.
#[test]
fn seeking_into_a_drain_ends_it() {
    let _turn = exclusive();
    for codec in CODECS {
        // So short that all its packets fit into the decoder.
        let film = Film::make(codec, 6, 4);
        let mut playing = Playing::prepare(&film.pipeline(), LIMIT);
        playing.app_sink("sink").set_max_buffers(1);
        let ends = playing.ends_at_decoder();
        for round in 0..times(3, 30) {
            if round == 0 {
                playing.play();
            } else {
                seek(&playing, SeekFlags::ACCURATE, ClockTime::ZERO);
            }
            // The sink takes one frame and is full; with the end of the stream all
            // packets are in the decoder.
            ends.recv_timeout(STEP).expect("the end at the decoder");
            let target = film.times[3];
            seek(&playing, SeekFlags::ACCURATE, target);
            let sample = playing.next_sample().expect("frames after a seek");
            assert_eq!(film.index_of(&sample), 3, "round {round}");
        }
        assert_eq!(film.rest(&mut playing), (4..film.len()).collect::<Vec<_>>());
        playing.stop().assert_eos();
    }
}

/// As soon as the pipeline takes a seek, whatever it has done until then.
#[test]
fn seeking_right_after_the_start() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = film(codec);
        for target in [33, 0, 59] {
            let mut playing = Playing::start(&film.pipeline(), LIMIT);
            let time = film.times[target];
            let sought = process::until(STEP, || {
                let flags = SeekFlags::FLUSH | SeekFlags::ACCURATE;
                playing.pipeline().seek_simple(flags, time).ok()
            });
            assert!(sought.is_some(), "no seek in {STEP:?}");
            assert_eq!(
                film.rest(&mut playing),
                (target..film.len()).collect::<Vec<_>>()
            );
            playing.stop().assert_eos();
        }
    }
}

/// A flush that never stops, as from a source that fails in the midst of a seek.
#[test]
fn a_flush_without_an_end_hinders_no_change_of_state() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = film(codec);
        let mut playing = Playing::prepare(&film.pipeline(), LIMIT);
        for _ in 0..3 {
            playing.play();
            let sample = playing.next_sample().expect("a first frame");
            assert_eq!(film.index_of(&sample), 0);
            let entry = playing.video_decoder().static_pad("sink");
            let entry = entry.expect("decoders have one");
            assert!(entry.send_event(gst::event::FlushStart::new()));
            playing.set_state_within(gst::State::Null, STEP);
        }
        playing.play();
        assert_eq!(film.rest(&mut playing).len(), film.len());
        playing.stop().assert_eos();
        process::assert_no_children();
    }
}
