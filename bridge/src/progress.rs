//! Whether a worker gets on with what it was given.

use crate::link::NAP;
use crate::worker::Worker;
use std::time::{Duration, Instant};

/// Time that passes between two looks at most. More means that this process was stopped
/// meanwhile, and the worker probably with it.
const LOOK: Duration = NAP.saturating_mul(2);

/// What a worker is doing, and for how long.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Its command, as [`in_hand`](iotdec_wire::ring::RingHeader::in_hand) tells.
    doing: Option<u32>,
    spent: Duration,
    looked: Instant,
    /// Time for which it had got no processor when it began.
    starved: Duration,
}

impl Progress {
    pub(crate) fn of(worker: &Worker) -> Self {
        Self {
            doing: doing(worker),
            spent: Duration::ZERO,
            looked: Instant::now(),
            starved: worker.starved(),
        }
    }

    /// Looks again; whether it has been doing the same for longer than `limit`, besides the
    /// time that it got no processor.
    pub(crate) fn is_stuck(&mut self, worker: &Worker, limit: Duration) -> bool {
        let doing = doing(worker);
        if doing.is_none() || doing != self.doing {
            *self = Self::of(worker);
            return false;
        }
        self.spent += self.looked.elapsed().min(LOOK);
        self.looked = Instant::now();
        let starved = || worker.starved().saturating_sub(self.starved);
        self.spent > limit && self.spent > limit + starved()
    }
}

/// What the worker has to do by itself: nothing while it waits for a slot, which frames
/// downstream may hold for as long as they like.
fn doing(worker: &Worker) -> Option<u32> {
    let control = worker.link.control();
    let waits = control.slot_bell.0.has_sleeper();
    control.commands.in_hand().filter(|_| !waits)
}
