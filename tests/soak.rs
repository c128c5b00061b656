//! Decoding goes on for long without growing: memory stays flat and the accelerator's
//! code caches stay bounded, however often the same clip is played and sought in.

use gst::prelude::*;
use gst::{ClockTime, SeekFlags};
use iotdec_tests::clips::Codec;
use iotdec_tests::environment::is_full;
use iotdec_tests::film::Film;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::random::Random;
use iotdec_tests::{exclusive, process};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(1200);
/// For one seek.
const STEP: Duration = Duration::from_secs(60);
/// Places to seek to in each loop, before it is played from the beginning.
const SEEKS: usize = 3;
/// How much more memory of its own the worker may have after all loops than after the
/// first two, in KiB: half a picture of 1920 x 1080. It grows by a few dozen at most
/// (measured).
const SLACK: u64 = 1920 * 1080 * 3 / 4 / 1024;
/// The code caches of all threads may take this much, in bytes: what translated code of
/// a decoder needs (2 to 12 MiB, measured), but not the same for every loop.
const MOST_CODE: u64 = 16 << 20;

/// How things stand after a loop.
#[derive(Debug)]
struct Footprint {
    /// Memory of the worker's own, KiB. What it shares is slots, and rings whose pages
    /// are touched one by one as the stream passes.
    own: u64,
    /// Frame slots that it has mapped.
    slots: usize,
    /// Bytes of translated code.
    code: u64,
    /// Translated pieces of code so far.
    blocks: u64,
}

impl Footprint {
    fn of(playing: &Playing, worker: i32) -> Self {
        let stats = playing.stats();
        Self {
            own: process::status_kib(worker, "RssAnon:").expect("the worker runs"),
            slots: process::mapped_memfds(worker, "iotdec-frame").len(),
            code: count(&stats, "turbo-code-bytes"),
            blocks: count(&stats, "turbo-blocks"),
        }
    }
}

fn seek(playing: &Playing, target: ClockTime) {
    let sought = playing.within(STEP, "sought", move |pipeline| {
        pipeline.seek_simple(SeekFlags::FLUSH | SeekFlags::ACCURATE, target)
    });
    sought.unwrap_or_else(|error| panic!("to {target}: {error}"));
}

/// Seeks around, looking at one frame each time, then plays everything.
fn play_once(film: &Film, playing: &mut Playing, random: &mut Random) {
    for _ in 0..SEEKS {
        let end = film.last_time().mseconds() as usize;
        let target = ClockTime::from_mseconds(random.below(end) as u64);
        seek(playing, target);
        let sample = playing.next_sample().expect("a frame");
        assert_eq!(film.index_of(&sample), film.index_at(target));
    }
    seek(playing, ClockTime::ZERO);
    for index in 0..film.len() {
        let sample = playing.next_sample().expect("all frames come again");
        assert_eq!(film.index_of(&sample), index);
    }
}

fn soak(codec: Codec) {
    let (loops, frames) = if is_full() { (20, 60) } else { (6, 12) };
    let film = Film::make_sized(codec, (1920, 1080), frames, frames / 2);
    let mut playing = Playing::start(&film.pipeline(), LIMIT);
    let mut random = Random(loops);
    let mut footprints = Vec::new();
    playing.next_sample().expect("a first frame");
    let [worker] = process::workers()[..] else {
        panic!("not one worker: {:?}", process::children());
    };
    for _ in 0..loops {
        play_once(&film, &mut playing, &mut random);
        footprints.push(Footprint::of(&playing, worker));
    }
    let stats = playing.stats();
    assert_eq!(process::workers(), [worker], "the worker was replaced");
    playing.stop();
    println!("{codec:?}: {footprints:#?}");

    let (begin, rest) = footprints.split_at(2);
    let own = begin.iter().map(|it| it.own).max().expect("two");
    for (number, footprint) in rest.iter().enumerate() {
        assert!(
            footprint.own <= own + SLACK,
            "{} KiB after {} loops, {own} after 2: {footprints:#?}",
            footprint.own,
            number + 3,
        );
        assert!(footprint.code <= MOST_CODE, "{footprints:#?}");
    }
    // A busy machine may need one more at some time, which then stays; a slot that is never
    // given back is one more in each loop.
    let slots = |footprint: &Footprint| footprint.slots;
    let (least, last) = (
        footprints.iter().map(slots).min(),
        footprints.last().map(slots),
    );
    let (least, last) = (least.expect("many"), last.expect("many"));
    assert!(last < least + footprints.len() / 2, "{footprints:#?}");
    let mode: String = stats.get("accel").expect("stats tell");
    if mode == "turbo" {
        let [first, .., last] = &footprints[..] else {
            unreachable!("there are more than two loops");
        };
        assert!(first.blocks > 0, "turbo translated nothing: {stats}");
        // What the first loop did not reach is translated later, but nothing twice.
        assert!(
            last.blocks < first.blocks * 3 / 2,
            "the same code is translated again and again: {footprints:#?}"
        );
    }
}

#[test]
fn h264_in_1080p_plays_for_ever() {
    let _turn = exclusive();
    soak(Codec::H264);
}

#[test]
fn h265_in_1080p_plays_for_ever() {
    let _turn = exclusive();
    soak(Codec::H265);
}
