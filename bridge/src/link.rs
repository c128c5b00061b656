//! What the threads of a session share besides the worker itself: the control block,
//! and whether the session is over.

use crate::shm::ControlBlock;
use iotdec_wire::layout::Control;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long one sleep lasts at most; whoever waits asks again then, so that no
/// mistake of a peer can make it wait for ever.
pub(crate) const NAP: Duration = Duration::from_millis(500);

/// What both threads of a session and its supervisor share.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) block: ControlBlock,
    dead: AtomicBool,
    verdict: OnceLock<String>,
}

impl Link {
    pub(crate) fn new(block: ControlBlock) -> Self {
        Self {
            block,
            dead: AtomicBool::new(false),
            verdict: OnceLock::new(),
        }
    }

    pub(crate) fn control(&self) -> &Control {
        self.block.control()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Declares the session over and wakes whoever waits for the worker.
    pub(crate) fn hang_up(&self) {
        self.dead.store(true, Ordering::Release);
        self.wake();
    }

    /// The same, for a reason of our own.
    pub(crate) fn give_up(&self, verdict: String) {
        let _ = self.verdict.set(verdict);
        self.hang_up();
    }

    /// Why it was declared over, if it was for a reason of our own.
    pub(crate) fn verdict(&self) -> Option<&str> {
        self.verdict.get().map(String::as_str)
    }

    /// Makes the two threads ask again whether they should stop waiting.
    pub(crate) fn wake(&self) {
        self.control().commands.space.0.ring();
        self.control().events.data.0.ring();
    }
}
