//! What the `stats` property tells.

use iotdec_bridge::{Report, Tally, Worker};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Decode times kept for the percentiles: the last half minute of ordinary video.
const SAMPLES: usize = 1024;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counted since the element was made.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) frames_in: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) frames_out: Counter,
    /// Never came out: lost with a worker, skipped, or not decodable.
    pub(crate) frames_dropped: Counter,
    /// Of the dropped: left out before decoding, because they would have been late or
    /// what they need was left out.
    pub(crate) frames_skipped: Counter,
    /// Copied on the host instead of passed on in their slot.
    pub(crate) frames_copied: Counter,
    /// Copied in the guest, because the library owns its pictures.
    pub(crate) frames_copied_by_guest: Counter,
    pub(crate) frames_corrupt: Counter,
    pub(crate) decode_errors: Counter,
    pub(crate) worker_restarts: Counter,
    /// Of workers that are gone; the present one counts its own.
    pub(crate) ring_full_waits: Counter,
    decode_us: Mutex<VecDeque<u32>>,
    accelerator: Mutex<Accelerator>,
}

/// What is known of the accelerator.
#[derive(Debug, Default)]
struct Accelerator {
    /// Of the worker that was started last.
    report: Option<Report>,
    /// Counts of workers that are gone.
    gone: Tally,
}

/// What only a running worker knows.
#[derive(Debug, Default)]
pub(crate) struct Running {
    ring_full_waits: u64,
    slots: usize,
    tally: Tally,
}

impl Running {
    pub(crate) fn of(worker: &Worker) -> Self {
        Self {
            ring_full_waits: worker.ring_full_waits(),
            slots: worker.slot_count(),
            tally: worker.accelerator_tally(),
        }
    }
}

impl Stats {
    /// Notes the time that one packet spent in the decoder.
    pub(crate) fn decoded_in(&self, microseconds: u32) {
        let mut samples = self.decode_us.lock().expect("never poisoned");
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(microseconds);
    }

    /// The median and the 99th percentile of recent decode times, in µs.
    fn percentiles(&self) -> (u32, u32) {
        let samples = self.decode_us.lock().expect("never poisoned");
        let mut sorted: Vec<_> = samples.iter().copied().collect();
        drop(samples);
        sorted.sort_unstable();
        let at = |percent: usize| {
            let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
            sorted.get(index).copied().unwrap_or(0)
        };
        (at(50), at(99))
    }

    /// Notes what a new worker says of its accelerator.
    pub(crate) fn note_worker(&self, worker: &Worker) {
        let mut accelerator = self.accelerator.lock().expect("never poisoned");
        accelerator.report = Some(worker.accelerator().clone());
    }

    /// Keeps what a worker counted that is about to go.
    pub(crate) fn keep_counts(&self, worker: &Worker) {
        let running = Running::of(worker);
        self.ring_full_waits.add(running.ring_full_waits);
        let mut accelerator = self.accelerator.lock().expect("never poisoned");
        accelerator.gone = sum(&accelerator.gone, &running.tally);
    }

    /// Everything, as the property shows it, with what a `running` worker adds.
    pub(crate) fn structure(&self, running: Option<Running>) -> gst::Structure {
        let (p50, p99) = self.percentiles();
        let running = running.unwrap_or_default();
        let waits = self.ring_full_waits.get() + running.ring_full_waits;
        let accelerator = self.accelerator.lock().expect("never poisoned");
        let (mode, reason) = match &accelerator.report {
            Some(report) => (report.mode.name(), report.reason.as_str()),
            None => ("off", "no worker was started yet"),
        };
        let tally = sum(&accelerator.gone, &running.tally);
        gst::Structure::builder("iotdec-stats")
            .field("frames-in", self.frames_in.get())
            .field("bytes-in", self.bytes_in.get())
            .field("frames-out", self.frames_out.get())
            .field("frames-dropped", self.frames_dropped.get())
            .field("frames-skipped", self.frames_skipped.get())
            .field("frames-copied", self.frames_copied.get())
            .field("frames-copied-by-guest", self.frames_copied_by_guest.get())
            .field("frames-corrupt", self.frames_corrupt.get())
            .field("decode-errors", self.decode_errors.get())
            .field("worker-restarts", self.worker_restarts.get())
            .field("ring-full-waits", waits)
            .field("slots", running.slots as u64)
            .field("decode-us-p50", p50)
            .field("decode-us-p99", p99)
            .field("accel", mode)
            .field("accel-reason", reason)
            .field("turbo-entries", tally.entries)
            .field("turbo-syscalls", tally.syscalls)
            .field("turbo-unknown-instructions", tally.unknown)
            .field("turbo-leaves", tally.leaves)
            .field("turbo-pauses", tally.pauses)
            .field("turbo-blocks", tally.blocks)
            .field("turbo-code-bytes", running.tally.code_bytes)
            .field("native-calls", tally.native_calls)
            .build()
    }
}

/// Both together. Workers write what they like, so it may wrap.
fn sum(one: &Tally, other: &Tally) -> Tally {
    Tally {
        entries: one.entries.wrapping_add(other.entries),
        syscalls: one.syscalls.wrapping_add(other.syscalls),
        unknown: one.unknown.wrapping_add(other.unknown),
        leaves: one.leaves.wrapping_add(other.leaves),
        pauses: one.pauses.wrapping_add(other.pauses),
        blocks: one.blocks.wrapping_add(other.blocks),
        code_bytes: one.code_bytes.wrapping_add(other.code_bytes),
        native_calls: one.native_calls.wrapping_add(other.native_calls),
    }
}
