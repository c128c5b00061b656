//! What two native threads need to tell each other something: less is not possible.

use super::sample::{Row, times};
use crate::failure::Failure;
use iotdec_wire::lane::{End, Kind, Lane, Mail};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Two words, in cache lines of their own, and at the end.
#[derive(Default)]
struct Words {
    there: Word,
    back: Word,
    stop: AtomicBool,
}

#[derive(Default)]
#[repr(align(128))]
struct Word(AtomicU32);

/// Looks between two looks at whether it is over.
const LOOKS: u32 = 1 << 16;

impl Words {
    /// Waits for a word that is not `last`; `None` when it is over.
    fn wait(&self, word: &Word, last: u32) -> Option<u32> {
        loop {
            for _ in 0..LOOKS {
                let now = word.0.load(Ordering::Acquire);
                if now != last {
                    return Some(now);
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
        }
    }
}

/// What a row's calls are compared with; `None` where nothing is to be said.
pub fn sample(row: Row, time: Duration) -> Result<Option<Vec<f64>>, Failure> {
    match (row, row.pause()) {
        (Row::Empty, _) => words(time).map(Some),
        (_, Some(pause)) => wake_up(pause, time).map(Some),
        _ => Ok(None),
    }
}

/// Two threads that spin: a word there, and one back.
fn words(time: Duration) -> Result<Vec<f64>, Failure> {
    let words = Words::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = 0;
            while let Some(now) = words.wait(&words.there, last) {
                last = now;
                words.back.0.store(now, Ordering::Release);
            }
        });
        let mut number = 0;
        let samples = times(time, None, || {
            words.there.0.store(number + 1, Ordering::Release);
            words.wait(&words.back, number);
            number += 1;
            Ok(())
        });
        words.stop.store(true, Ordering::Relaxed);
        samples
    })
}

/// One thread sleeps (in the kernel, on a futex), the other one has slept, wakes it and
/// spins for its answer.
fn wake_up(pause: Duration, time: Duration) -> Result<Vec<f64>, Failure> {
    let words = Words::default();
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let mut last = 0;
            while !words.stop.load(Ordering::Acquire) {
                let now = words.there.0.load(Ordering::Acquire);
                if now == last {
                    thread::park();
                } else {
                    last = now;
                    words.back.0.store(now, Ordering::Release);
                }
            }
        });
        let mut number = 0;
        let samples = times(time, Some(pause), || {
            number += 1;
            words.there.0.store(number, Ordering::Release);
            sleeper.thread().unpark();
            while words.back.0.load(Ordering::Acquire) != number {
                spin_loop();
            }
            Ok(())
        });
        words.stop.store(true, Ordering::Release);
        sleeper.thread().unpark();
        samples
    })
}

/// Two native threads with a lane between them: what the bridge's own way takes without
/// emulator and library.
pub fn lane(time: Duration) -> Result<Vec<f64>, Failure> {
    let lane = Lane::default();
    let stop = AtomicBool::new(false);
    let nap = || Some(Duration::from_millis(100));
    let mail = |kind: Kind| Mail {
        kind: kind.code(),
        ..Mail::default()
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut end = End::default();
            let over = || stop.load(Ordering::Relaxed);
            while end
                .wait(&lane.to_guest, &lane.guest_bell.0, over, nap)
                .is_some()
            {
                end.post(&lane.to_host, &lane.host_bell.0, &mail(Kind::Return));
            }
        });
        let mut end = End::default();
        let samples = times(time, None, || {
            end.post(&lane.to_guest, &lane.guest_bell.0, &mail(Kind::Call));
            end.wait(&lane.to_host, &lane.host_bell.0, || false, nap);
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        lane.guest_bell.0.ring();
        samples
    })
}
