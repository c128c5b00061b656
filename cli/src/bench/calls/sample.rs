//! Taking the time of single calls.

use super::contender::{BYTES, Calls};
use crate::failure::Failure;
use crate::interrupt;
use serde::{Serialize, Serializer};
use std::cell::RefCell;
use std::ffi::c_int;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Most samples of one row in a round: enough for a 99th percentile.
const ENOUGH: usize = 50_000;
/// Callbacks within one call.
const CALLBACKS: i32 = 200;
/// Calls between two looks at signals.
const LOOK: usize = 128;

/// What is called, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Nothing there, nothing back.
    Empty,
    /// Two numbers there, one back.
    Two,
    /// A struct of 64 bytes by value, both ways.
    Block,
    /// 4 KiB behind a pointer, both ways.
    Bytes,
    /// From the library to the program and back, while the program calls.
    Callback,
    /// The function that the project's question is about.
    Question,
    /// The empty call after a sleep of 1 ms.
    IdleShort,
    /// The same after 100 ms.
    IdleLong,
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Row {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::Two,
        Self::Block,
        Self::Bytes,
        Self::Callback,
        Self::Question,
        Self::IdleShort,
        Self::IdleLong,
    ];

    /// As people and programs know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Two => "two ints",
            Self::Block => "64-byte struct",
            Self::Bytes => "4 KiB in and out",
            Self::Callback => "callback",
            Self::Question => "so_lib_function_a",
            Self::IdleShort => "empty, after 1 ms",
            Self::IdleLong => "empty, after 100 ms",
        }
    }

    /// How long the thread sleeps before each call.
    pub fn pause(self) -> Option<Duration> {
        match self {
            Self::IdleShort => Some(Duration::from_millis(1)),
            Self::IdleLong => Some(Duration::from_millis(100)),
            _ => None,
        }
    }

    /// Its share of the time that is measured.
    pub fn share(self) -> f64 {
        match self {
            Self::IdleShort => 0.15,
            Self::IdleLong => 0.25,
            _ => 0.1,
        }
    }
}

/// Takes the time of single calls, in nanoseconds, for as long as is wanted.
pub fn sample(row: Row, calls: &mut dyn Calls, time: Duration) -> Result<Vec<f64>, Failure> {
    let pause = row.pause();
    let mut data = [7; BYTES];
    let block = [3; 8];
    match row {
        Row::Empty | Row::IdleShort | Row::IdleLong => times(time, pause, || calls.empty()),
        Row::Two => times(time, pause, || keep(calls.two(black_box(7), 9))),
        Row::Block => times(time, pause, || keep(calls.block(black_box(block)))),
        Row::Bytes => times(time, pause, || calls.bytes(&mut data)),
        Row::Question => times(time, pause, || keep(calls.question(&mut [20, 1]))),
        Row::Callback => callbacks(time, calls),
    }
}

fn keep<T>(result: Result<T, Failure>) -> Result<(), Failure> {
    result.map(|value| {
        black_box(value);
    })
}

/// Takes the time of each operation, after some that are not counted.
pub fn times(
    time: Duration,
    pause: Option<Duration>,
    mut operation: impl FnMut() -> Result<(), Failure>,
) -> Result<Vec<f64>, Failure> {
    let start = Instant::now();
    let mut samples = Vec::with_capacity(ENOUGH);
    let warm = time / 10;
    let look = if pause.is_some() { 1 } else { LOOK };
    let mut is_warm = false;
    loop {
        for _ in 0..look {
            if let Some(pause) = pause {
                std::thread::sleep(pause);
            }
            let before = Instant::now();
            operation()?;
            samples.push(before.elapsed().as_nanos() as f64);
        }
        interrupt::check()?;
        if !is_warm && start.elapsed() >= warm {
            is_warm = true;
            samples.clear();
        } else if is_warm && (samples.len() + look > ENOUGH || start.elapsed() >= time) {
            return Ok(samples);
        }
    }
}

/// What it takes to look at the clock: that much of each sample is no call.
pub fn clock() -> Result<f64, Failure> {
    let mut samples = times(Duration::from_millis(20), None, || Ok(()))?;
    samples.sort_by(f64::total_cmp);
    Ok(percentile(&samples, 0.5))
}

/// The value below which a share of sorted samples lies; 0 if there are none.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted.get(index.min(last)).copied().unwrap_or_default()
}

/// When the library called back last, and the times between.
#[derive(Default)]
struct Ticks {
    last: Option<Instant>,
    ns: Vec<f64>,
}

thread_local! {
    static TICKS: RefCell<Ticks> = RefCell::default();
}

/// What is called back. Returns its argument.
pub extern "C" fn tick(number: c_int) -> c_int {
    TICKS.with_borrow_mut(|ticks| {
        let now = Instant::now();
        if let Some(last) = ticks.last.replace(now) {
            ticks.ns.push((now - last).as_nanos() as f64);
        }
    });
    number
}

/// The time from each callback to the next one within a call.
fn callbacks(time: Duration, calls: &mut dyn Calls) -> Result<Vec<f64>, Failure> {
    let start = Instant::now();
    calls.back(CALLBACKS)?;
    TICKS.with_borrow_mut(|ticks| ticks.ns.clear());
    loop {
        TICKS.with_borrow_mut(|ticks| ticks.last = None);
        calls.back(CALLBACKS)?;
        interrupt::check()?;
        let count = TICKS.with_borrow(|ticks| ticks.ns.len());
        if count >= ENOUGH || start.elapsed() >= time {
            return Ok(TICKS.with_borrow_mut(std::mem::take).ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let sorted: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(percentile(&sorted, 0.5), 50.0);
        assert_eq!(percentile(&sorted, 0.99), 99.0);
        assert_eq!(percentile(&sorted, 1.0), 99.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
