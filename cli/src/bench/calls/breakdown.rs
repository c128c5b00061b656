//! Where the time of a call goes.

use super::contender::symbol;
use super::floor;
use super::made::Made;
use super::result::Step;
use super::sample::percentile;
use crate::bench::statistics::Summary;
use crate::bench::worker::Worker;
use crate::failure::Failure;
use iotdec_bridge::launch::worker_path;
use libloading::Library;
use std::time::{Duration, Instant};

/// Operations of a batch.
const OPERATIONS: u32 = 2000;
/// Batches in a round.
const BATCHES: usize = 9;

/// What was measured in one round, nanoseconds each.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Generated code and the runtime before and after the way, on the host.
    pub pack: f64,
    /// A post there and a post back between two native threads.
    pub lane: f64,
    /// Both posts and both waits within the guest, on one thread: no cache line moves.
    pub guest_posts: f64,
    /// The same with what the guest does between them: finding the function, and calling it.
    pub guest_call: f64,
    /// The generated function of the guest and the library's, called directly.
    pub function: f64,
    /// Two words there and back: the floor.
    pub floor: f64,
    /// The whole empty call.
    pub call: f64,
}

/// Code that does all of a call but the way.
pub struct Pack {
    pack: extern "C" fn(u32),
    function: u32,
}

impl Pack {
    /// Loads it.
    pub fn load(made: &Made) -> Result<Self, Failure> {
        let failed = |error: libloading::Error| Failure::Error(error.to_string());
        // SAFETY: made for us; its constructors do nothing.
        let library = unsafe { Library::new(made.pack()) }.map_err(failed)?;
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: as pack.c declares them.
        unsafe {
            let number: *const u32 = symbol(library, "calls_empty_number")?;
            Ok(Self {
                pack: symbol(library, "calls_pack")?,
                function: number.read(),
            })
        }
    }

    /// Nanoseconds that it takes.
    fn measure(&self) -> f64 {
        (self.pack)(OPERATIONS);
        let batch = |_| {
            let start = Instant::now();
            (self.pack)(OPERATIONS);
            start.elapsed().as_secs_f64() * 1e9 / f64::from(OPERATIONS)
        };
        median((0..BATCHES).map(batch))
    }
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Summary::of(values).map_or(0.0, |summary| summary.median)
}

/// Measures everything but `floor` and `call`, which were measured before in this round.
pub fn measure(
    made: &Made,
    pack: &Pack,
    time: Duration,
    clock: f64,
    [floor, call]: [f64; 2],
) -> Result<Parts, Failure> {
    let mut lane = floor::lane(time)?;
    lane.sort_by(f64::total_cmp);
    let worker = worker_path("IOTDEC_CALLS", "iotdec-calls-aarch64")
        .map_err(|error| Failure::Error(error.to_string()))?;
    let mut command = made.emulated(&worker);
    command
        .arg("--costs")
        .arg(pack.function.to_string())
        .arg("--library")
        .arg(made.foreign())
        .arg("--guest-part")
        .arg(&made.wrapper.guest);
    let batches = Worker::start(&mut command)?.costs()?;
    let cost = |what: &str| {
        let found = batches.iter().find(|cost| cost.what == what);
        found.map_or(0.0, |cost| median(cost.ns.iter().copied()))
    };
    Ok(Parts {
        pack: pack.measure(),
        lane: percentile(&lane, 0.5) - clock,
        guest_posts: cost("posts"),
        guest_call: cost("call"),
        function: cost("function"),
        floor,
        call,
    })
}

/// The steps of a call, from all rounds.
pub fn steps(rounds: &[Parts]) -> Vec<Step> {
    let step = |step: &str, how: &str, of: fn(&Parts) -> f64| {
        let ns = Summary::of(rounds.iter().map(of))?;
        Some(Step {
            step: step.into(),
            how: how.into(),
            ns,
        })
    };
    [
        step(
            "pack and unpack",
            "generated code and runtime of the host, without the way",
            |it| it.pack,
        ),
        step(
            "ring",
            "the rest: both posts, from the one side to the other",
            |it| it.call - it.pack - (it.guest_call - it.guest_posts),
        ),
        step(
            "dispatch",
            "in the emulated worker: finding the function, entering and leaving it",
            |it| it.guest_call - it.guest_posts - it.function,
        ),
        step(
            "call",
            "the emulated worker's generated function and the library's",
            |it| it.function,
        ),
        step("empty call", "measured as a whole", |it| it.call),
        step(
            "two words",
            "for comparison: there and back between native threads",
            |it| it.floor,
        ),
        step(
            "two posts",
            "for comparison: the ring between native threads",
            |it| it.lane,
        ),
        step(
            "two posts, emulated",
            "for comparison: both ends of the ring on one emulated thread",
            |it| it.guest_posts,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
