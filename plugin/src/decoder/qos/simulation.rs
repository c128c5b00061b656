//! A decoder and a sink without a machine under them: how the rules of this module work
//! together, at any speed and always the same.

use super::super::workload::Workload;
use super::*;

const MS: i64 = 1_000_000;
/// How finely time passes.
const TICK: i64 = MS / 4;
/// As appsink's in the tests of the whole.
const MAX_LATENESS: i64 = 20 * MS;

/// What is played.
#[derive(Clone, Copy, Debug)]
struct Film {
    frames: usize,
    /// Time between frames.
    interval: i64,
    /// Frames from one key frame to the next.
    keys: usize,
    /// Of each so many frames one is a reference.
    group: usize,
    /// What decoding a frame takes, more or less.
    cost: i64,
    /// Some take ten times as long.
    hiccups: bool,
}

#[derive(Clone, Copy, Debug)]
struct Picture {
    due: i64,
    is_key: bool,
    is_reference: bool,
    cost: i64,
}

impl Film {
    /// In decoding order: each reference before those that are shown before it.
    fn pictures(&self) -> Vec<Picture> {
        let mut noise = 1_u64;
        let mut cost = |at: usize| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let percent = 75 + (noise >> 33) as i64 % 51;
            let times = if self.hiccups && at % 50 == 49 { 10 } else { 1 };
            self.cost * percent / 100 * times
        };
        let mut pictures = Vec::new();
        for at in 0..self.frames {
            let in_keys = at % self.keys;
            let in_group = in_keys.saturating_sub(1) % self.group;
            let is_reference = in_keys == 0 || in_group == 0;
            let shown = if in_keys == 0 {
                at
            } else if is_reference {
                (at + self.group - 1).min(at - in_keys + self.keys - 1)
            } else {
                at - 1
            };
            pictures.push(Picture {
                due: shown as i64 * self.interval,
                is_key: in_keys == 0,
                is_reference,
                cost: cost(at),
            });
        }
        pictures
    }
}

/// What the worker tells.
#[derive(Clone, Copy, Debug)]
enum Told {
    Frame(Picture),
    Done { number: u32, took: i64 },
}

/// How it went.
#[derive(Debug, Default)]
struct Outcome {
    decoded: usize,
    /// When the frames were due that were shown.
    shown: Vec<i64>,
    /// For how long the decoder worked.
    busy: i64,
}

impl Outcome {
    /// Of the frames that were decoded.
    fn percent_shown(&self) -> usize {
        self.shown.len() * 100 / self.decoded.max(1)
    }

    /// The longest time without a frame after `from`.
    fn longest_gap(&self, from: i64) -> i64 {
        let late = self.shown.iter().filter(|due| **due >= from);
        let late: Vec<_> = late.copied().collect();
        let gaps = late.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or(i64::MAX)
    }
}

fn play(film: Film) -> Outcome {
    let pictures = film.pictures();
    let start = Instant::now();
    let at = |now: i64| start + Duration::from_nanos(now as u64);
    let clock = |now: i64| Some(gst::ClockTime::from_nseconds(now as u64));
    let (mut qos, mut workload) = (Qos::default(), Workload::default());
    let (mut next, mut waits) = (0, false);
    let mut queue: VecDeque<(u32, Picture, bool)> = VecDeque::new();
    let mut working: Option<(i64, u32, Option<Picture>, i64)> = None;
    let mut held: Option<Picture> = None;
    let mut told: VecDeque<Told> = VecDeque::new();
    let mut at_sink: Option<Picture> = None;
    let mut outcome = Outcome::default();
    let end = film.interval * film.frames as i64 * 3 + 1000 * MS;
    for now in (0..end).step_by(TICK as usize) {
        // The worker.
        if let Some((until, number, picture, took)) = working
            && until <= now
        {
            if let Some(picture) = picture {
                outcome.decoded += 1;
                outcome.busy += took;
                let out = match picture.is_reference {
                    true => held.replace(picture),
                    false => Some(picture),
                };
                told.extend(out.map(Told::Frame));
            }
            told.push_back(Told::Done { number, took });
            working = None;
        }
        if working.is_none()
            && let Some((number, picture, may_skip)) = queue.pop_front()
        {
            let skipped = may_skip && !picture.is_reference;
            let took = if skipped { 0 } else { picture.cost };
            working = Some((now + took, number, (!skipped).then_some(picture), took));
        }
        // The task, and the sink.
        if let Some(picture) = at_sink
            && picture.due <= now
        {
            at_sink = None;
            outcome.shown.push(picture.due);
        }
        while at_sink.is_none()
            && let Some(event) = told.pop_front()
        {
            match event {
                Told::Done { number, took } => {
                    workload.decoded(number, Duration::from_nanos(took as u64), at(now));
                }
                Told::Frame(picture) => {
                    let late = now - picture.due;
                    qos.note(clock(picture.due), late, clock(now.max(picture.due)));
                    let last = outcome.shown.last().copied().unwrap_or(i64::MIN / 2);
                    if late < 0 {
                        at_sink = Some(picture);
                    } else if late <= MAX_LATENESS || now - last > LONGEST_GAP {
                        outcome.shown.push(picture.due);
                    }
                }
            }
        }
        // The streaming thread.
        while next < pictures.len() {
            waits = match waits {
                true => workload.wait(at(now)).is_some(),
                false => workload.is_full(at(now)),
            };
            if waits {
                break;
            }
            let picture = pictures[next];
            let candidate = Candidate {
                now: clock(now),
                due: clock(picture.due),
                takes: workload.backlog(at(now)),
                spared: workload.spared(),
                is_key: picture.is_key,
                segment: gst::SegmentFlags::empty(),
                rate: 1.0,
            };
            let verdict = qos.judge(candidate);
            workload.note_late(qos.is_late());
            if verdict != Verdict::Skip {
                let may_skip = verdict == Verdict::MaySkip;
                workload.sent(next as u32, may_skip, at(now));
                queue.push_back((next as u32, picture, may_skip));
            }
            next += 1;
        }
    }
    outcome
}

/// What to expect of a decoder that takes `cost` for a frame.
struct Expected {
    film: Film,
    /// Of the time that it has it works so much, in percent.
    busy: i64,
    /// Of the frames that it decodes so many are shown, in percent.
    shown: usize,
    /// How long nothing is shown at most, after two seconds.
    gap: i64,
}

#[track_caller]
fn check(expected: &Expected) {
    let film = expected.film;
    let outcome = play(film);
    let busy = outcome.busy * 100 / (film.interval * film.frames as i64);
    let (shown, gap) = (outcome.percent_shown(), outcome.longest_gap(2000 * MS));
    assert!(
        busy >= expected.busy && shown >= expected.shown && gap <= expected.gap,
        "{film:?}: {busy} % busy, {shown} % of {} shown, {} ms without a frame",
        outcome.decoded,
        gap / MS
    );
}

/// Half a minute of 25 frames a second, of which each `cost` ms to decode.
fn film(cost: i64, keys: usize) -> Film {
    Film {
        frames: 750,
        interval: 40 * MS,
        keys,
        group: 3,
        cost: cost * MS,
        hiccups: false,
    }
}

#[test]
fn a_decoder_that_is_fast_enough_shows_everything() {
    for (cost, keys, hiccups) in [(20, 24, true), (30, 24, false), (30, 250, false)] {
        let film = Film {
            hiccups,
            ..film(cost, keys)
        };
        let outcome = play(film);
        assert!(outcome.shown.len() > 725, "{film:?}: {outcome:?}");
        assert_eq!(outcome.longest_gap(2000 * MS), 40 * MS);
    }
}

#[test]
fn one_that_keeps_up_with_references_shows_those_and_what_it_can() {
    for (cost, keys, gap) in [(50, 24, 500), (50, 250, 500), (80, 24, 600), (80, 250, 600)] {
        check(&Expected {
            film: film(cost, keys),
            busy: 75,
            shown: 90,
            gap: gap * MS,
        });
    }
}

#[test]
fn one_that_does_not_shows_the_beginning_of_what_follows_a_key_frame() {
    for (cost, shown) in [(120, 85), (200, 75), (400, 70)] {
        check(&Expected {
            film: film(cost, 24),
            busy: 80,
            shown,
            gap: 2000 * MS,
        });
    }
}

/// Where key frames come more often than anyone would notice being late.
#[test]
fn fast_films_are_judged_by_their_own_measure() {
    for (cost, shown) in [(6, 95), (8, 95), (12, 90), (20, 85), (40, 80)] {
        let film = Film {
            frames: 1500,
            interval: 4 * MS,
            ..film(cost, 24)
        };
        check(&Expected {
            film,
            busy: 60,
            shown,
            gap: 250 * MS,
        });
    }
}

#[test]
fn a_packet_that_takes_long_now_and_then_ends_nothing() {
    for (cost, keys) in [(30, 24), (30, 250), (50, 24), (50, 250), (80, 24)] {
        check(&Expected {
            film: Film {
                hiccups: true,
                ..film(cost, keys)
            },
            busy: 75,
            shown: 55,
            gap: 2500 * MS,
        });
    }
}
