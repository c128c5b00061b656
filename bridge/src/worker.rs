//! A running worker, as all its users see it.

use crate::accel::{Report, Tally};
use crate::host_libraries::HostLibraries;
use crate::link::Link;
use crate::slots::{SlotPool, SlotSource};
use crate::supervisor::{Obituary, Supervisor};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Why a running worker is no more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Loss {
    /// Its process ended.
    #[error("the worker {0}")]
    Died(Obituary),
    /// It said that it cannot go on.
    #[error("the decoder failed: {0}")]
    Fault(String),
    /// It wrote what no correct worker writes, or hung, and was killed.
    #[error("the worker was killed: {0}")]
    Misbehaved(String),
}

/// A running worker. It is killed when the last reference goes.
#[derive(Debug)]
pub struct Worker {
    pub(crate) link: Arc<Link>,
    pub(crate) pool: Arc<SlotPool>,
    pub(crate) ring_full_waits: AtomicU64,
    pub(crate) hang_timeout: Option<Duration>,
    supervisor: Supervisor,
    epoch: AtomicU32,
    library_version: String,
    accelerator: Report,
    host: Option<HostLibraries>,
}

impl Worker {
    pub(crate) fn new(
        link: Arc<Link>,
        pool: Arc<SlotPool>,
        supervisor: Supervisor,
        library_version: String,
        accelerator: Report,
        host: Option<HostLibraries>,
        hang_timeout: Option<Duration>,
    ) -> Self {
        Self {
            link,
            pool,
            ring_full_waits: AtomicU64::new(0),
            hang_timeout,
            supervisor,
            epoch: AtomicU32::new(0),
            library_version,
            accelerator,
            host,
        }
    }

    /// What the library says of itself, such as "libde265 1.0.11".
    pub fn library_version(&self) -> &str {
        &self.library_version
    }

    /// What is on of the accelerator, and why not more.
    pub fn accelerator(&self) -> &Report {
        &self.accelerator
    }

    /// What the accelerator did so far, as the worker tells it: numbers to show.
    pub fn accelerator_tally(&self) -> Tally {
        self.link.control().tally.0.read()
    }

    /// How many functions of native libraries were called in this process.
    pub fn host_calls(&self) -> u64 {
        self.host.as_ref().map_or(0, HostLibraries::calls)
    }

    /// The process id of the emulator.
    pub fn pid(&self) -> i32 {
        self.supervisor.pid()
    }

    /// Flushes so far; what is fed now and comes back with a smaller one is stale.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Makes everything fed so far stale: the guest drops it, resets the decoder
    /// before the next packet, and no longer waits for slots. Does not block.
    pub fn flush(&self) {
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        let control = self.link.control();
        control.epoch.0.store(epoch, Ordering::Release);
        control.slot_bell.0.ring();
    }

    /// Makes the feeder and the receiver ask their `stop` conditions again.
    pub fn wake(&self) {
        self.link.wake();
    }

    /// Kills the process. Feeder and receiver then report the loss.
    pub fn kill(&self) {
        self.supervisor.kill();
    }

    /// Tells how many frames downstream holds in ordinary operation, so that as
    /// many more slots are provided.
    pub fn set_downstream_need(&self, frames: usize) {
        self.pool.set_downstream_need(frames);
    }

    /// Tells where memory for slots comes from, the session itself if nowhere; slots of
    /// another source are given up. By the thread that receives.
    pub fn set_slot_source(&self, source: Option<Arc<dyn SlotSource>>) {
        self.pool.set_source(source);
    }

    /// Slots that the decoder and downstream need in ordinary operation.
    pub fn slot_need(&self) -> usize {
        self.pool.need()
    }

    /// Gives the memory of every slot back, that of frames downstream when they are
    /// dropped: after a [`flush`](Self::flush), when no packet follows for a while. The slot source is forgotten.
    pub fn release_slots(&self) {
        self.pool.release_all();
    }

    /// Whether so many frames are downstream that the decoder may soon find no
    /// slot: the time to copy frames out and give their slots back.
    pub fn slots_are_scarce(&self) -> bool {
        self.pool.is_scarce()
    }

    /// Number of frame slots there are now.
    pub fn slot_count(&self) -> usize {
        self.pool.count()
    }

    /// How often the feeder found the command ring full.
    pub fn ring_full_waits(&self) -> u64 {
        self.ring_full_waits.load(Ordering::Relaxed)
    }

    /// How long it was ready to run without getting a processor.
    pub(crate) fn starved(&self) -> Duration {
        self.supervisor.starved()
    }

    /// Ends the session because the worker did something impossible.
    pub(crate) fn condemn(&self, why: String) -> Loss {
        self.link.give_up(why);
        self.supervisor.kill();
        self.loss()
    }

    /// Why the session is over, once it is.
    pub(crate) fn loss(&self) -> Loss {
        if let Some(verdict) = self.link.verdict() {
            return Loss::Misbehaved(verdict.to_owned());
        }
        match self.supervisor.obituary() {
            Some(obituary) => Loss::Died(obituary),
            None => Loss::Misbehaved("it does not end although it was killed".into()),
        }
    }
}
