//! Other speeds and directions than once, forward. Each frame is known by what it
//! shows, and has to have its own time.

use gst::prelude::*;
use gst::{ClockTime, SeekFlags, SeekType};
use iotdec_tests::clips::Codec;
use iotdec_tests::exclusive;
use iotdec_tests::film::{Film, start_time};
use iotdec_tests::pipeline::{Playing, count};
use std::time::{Duration, Instant};

/// For a test.
const LIMIT: Duration = Duration::from_secs(60);
/// For one seek.
const STEP: Duration = Duration::from_secs(30);
/// Both with B-frames.
const CODECS: [Codec; 2] = [Codec::H264, Codec::H265];

/// Plays a part of a film from its first frame on; all of it where `part` is `None`.
#[track_caller]
fn play(film: &Film, rate: f64, how: SeekFlags, part: Option<(usize, usize)>) -> Playing {
    let mut playing = Playing::start(&film.pipeline(), LIMIT);
    playing.next_sample().expect("a first frame");
    let (start, stop) = match part {
        None => (ClockTime::ZERO, ClockTime::NONE),
        Some((from, to)) => (film.times[from], Some(film.times[to])),
    };
    let flags = SeekFlags::FLUSH | how;
    let sought = playing.within(STEP, "sought", move |pipeline| {
        pipeline.seek(rate, flags, SeekType::Set, start, SeekType::Set, stop)
    });
    sought.unwrap_or_else(|error| panic!("rate {rate}: {error}"));
    playing
}

/// At its own speed: every frame, not before its time, and then the end.
#[test]
fn play_to_the_end() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = Film::make(codec, 30, 10);
        let description = film.pipeline().replace("sync=false", "sync=true");
        let mut playing = Playing::start(&description, LIMIT);
        let first = playing.next_sample().expect("a first frame");
        assert_eq!(film.index_of(&first), 0);
        let start = Instant::now();
        assert_eq!(film.rest(&mut playing), (1..film.len()).collect::<Vec<_>>());
        let took = start.elapsed();
        playing.stop().assert_eos();
        // The first frame may have been fetched late.
        let shown_for = Duration::from(film.last_time());
        assert!(took > shown_for / 2, "{took:?} instead of {shown_for:?}");
    }
}

/// Every frame, backwards, in groups of several sizes; the last one is not full.
#[test]
fn reverse_playback() {
    let _turn = exclusive();
    for (codec, frames, distance) in [
        (Codec::H264, 44, 10),
        (Codec::H264, 14, 4),
        (Codec::H265, 44, 10),
        (Codec::H265, 14, 4),
        (Codec::Av1, 25, 10),
    ] {
        let film = Film::make(codec, frames, distance);
        let mut playing = play(&film, -1.0, SeekFlags::ACCURATE, None);
        let all: Vec<_> = (0..film.len()).rev().collect();
        assert_eq!(
            film.rest(&mut playing),
            all,
            "{codec:?}, groups of {distance}"
        );
        playing.stop().assert_eos();
    }
}

/// A group has more frames than there are slots: they are copied, none is lost.
#[test]
fn reverse_playback_of_long_groups() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = Film::make(codec, 60, 20);
        let mut playing = Playing::start(
            &film.pipeline().replace("iotdec ", "iotdec max-slots=8 "),
            LIMIT,
        );
        playing.next_sample().expect("a first frame");
        let sought = playing.within(STEP, "sought", |pipeline| {
            let flags = SeekFlags::FLUSH | SeekFlags::ACCURATE;
            let (start, stop) = (ClockTime::ZERO, None::<ClockTime>);
            pipeline.seek(-1.0, flags, SeekType::Set, start, SeekType::Set, stop)
        });
        sought.expect("a seek");
        assert_eq!(
            film.rest(&mut playing),
            (0..film.len()).rev().collect::<Vec<_>>()
        );
        assert!(count(&playing.stats(), "frames-copied") > 0, "slots enough");
        playing.stop().assert_eos();
    }
}

/// From the midst of one group to the midst of another.
#[test]
fn reverse_playback_of_a_part() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = Film::make(codec, 45, 15);
        for rate in [-1.0, -0.5, -2.0] {
            let mut playing = play(&film, rate, SeekFlags::ACCURATE, Some((7, 38)));
            let last = playing.next_sample().expect("a last frame");
            assert_eq!(film.index_of(&last), 37);
            // qtdemux forgets the edit list when it goes backwards, so that its segment
            // begins earlier than asked for.
            let first = film.index_at(start_time(&last));
            assert!((5..=7).contains(&first), "{first}");
            assert_eq!(
                film.rest(&mut playing),
                (first..37).rev().collect::<Vec<_>>()
            );
            playing.stop().assert_eos();
        }
    }
}

/// Back and forth in one pipeline.
#[test]
fn turning_around() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = Film::make(codec, 45, 15);
        let mut playing = Playing::start(&film.pipeline(), LIMIT);
        playing.next_sample().expect("a first frame");
        for (rate, at) in [(-1.0, 40), (1.0, 20), (-1.0, 33), (-2.0, 16), (2.0, 5)] {
            let here = film.times[at];
            let (start, stop) = match rate < 0.0 {
                true => (ClockTime::ZERO, Some(here)),
                false => (here, ClockTime::NONE),
            };
            let flags = SeekFlags::FLUSH | SeekFlags::ACCURATE;
            let sought = playing.within(STEP, "sought", move |pipeline| {
                pipeline.seek(rate, flags, SeekType::Set, start, SeekType::Set, stop)
            });
            sought.expect("a seek");
            // A few, and then the other way.
            for step in 0..5 {
                let sample = playing.next_sample().expect("frames after a seek");
                let expected = if rate < 0.0 { at - 1 - step } else { at + step };
                assert_eq!(film.index_of(&sample), expected, "rate {rate} from {at}");
            }
        }
        assert_eq!(
            film.rest(&mut playing),
            (10..film.len()).collect::<Vec<_>>()
        );
        playing.stop().assert_eos();
    }
}

/// Nothing is left out as long as the application does not allow it.
#[test]
fn fast_forward_and_slow_motion() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = Film::make(codec, 45, 15);
        for rate in [2.0, 0.5, 8.0] {
            let mut playing = play(&film, rate, SeekFlags::ACCURATE, None);
            for index in 0..film.len() {
                let sample = playing.next_sample().expect("all frames");
                assert_eq!(film.index_of(&sample), index);
                let running = running_time(&sample).nseconds() as f64;
                let expected = film.times[index].nseconds() as f64 / rate;
                assert!(
                    (running - expected).abs() < 1e3,
                    "{running} ns at rate {rate}"
                );
            }
            assert!(film.rest(&mut playing).is_empty());
            assert_eq!(count(&playing.stats(), "frames-skipped"), 0);
            playing.stop().assert_eos();
        }
    }
}

fn running_time(sample: &gst::Sample) -> ClockTime {
    let segment = sample.segment().expect("samples have segments");
    let segment = segment.downcast_ref::<ClockTime>().expect("in time");
    let pts = sample.buffer().and_then(|buffer| buffer.pts());
    segment.to_running_time(pts).expect("within the segment")
}

/// Key frames only, in both directions, and nothing else is decoded.
#[test]
fn key_units() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = Film::make(codec, 45, 15);
        for rate in [4.0, -4.0] {
            let how = SeekFlags::TRICKMODE | SeekFlags::TRICKMODE_KEY_UNITS;
            let mut playing = play(&film, rate, how, None);
            let mut keys = film.keys.clone();
            if rate < 0.0 {
                keys.reverse();
            }
            assert_eq!(film.rest(&mut playing), keys, "{codec:?}, rate {rate}");
            // Before the seek one was taken, and few fit between decoder and sink.
            let decoded = count(&playing.stats(), "frames-out") as usize;
            assert!(decoded < keys.len() + 8, "{decoded} frames decoded");
            playing.stop().assert_eos();
        }
    }
}

/// What the application allows to leave out is not decoded: frames that no other
/// refers to.
#[test]
fn fast_forward_with_leave_to_skip() {
    let _turn = exclusive();
    for codec in CODECS {
        let film = Film::make(codec, 45, 15);
        for rate in [2.0, -2.0] {
            let mut playing = play(&film, rate, SeekFlags::TRICKMODE, None);
            let shown = film.rest(&mut playing);
            let in_order = |pair: &[usize]| (pair[0] < pair[1]) == (rate > 0.0);
            assert!(shown.windows(2).all(in_order), "{codec:?}: {shown:?}");
            let all_keys = film.keys.iter().all(|key| shown.contains(key));
            assert!(all_keys, "{codec:?}: {shown:?}");
            let skipped = count(&playing.stats(), "frames-skipped");
            assert_eq!(skipped as usize, film.len() - shown.len());
            assert!(shown.len() < film.len() * 2 / 3, "{codec:?}: {shown:?}");
            assert_eq!(count(&playing.stats(), "decode-errors"), 0);
            playing.stop().assert_eos();
        }
        // At its own speed there is no reason to.
        let mut playing = play(&film, 1.0, SeekFlags::TRICKMODE, None);
        assert_eq!(film.rest(&mut playing), (0..film.len()).collect::<Vec<_>>());
        playing.stop().assert_eos();
    }
}
