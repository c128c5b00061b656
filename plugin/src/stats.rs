//! What the `stats` property tells.

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

    /// Everything, as the property shows it. `running` adds what only a running
    /// worker knows: its ring-full waits and its number of slots.
    pub(crate) fn structure(&self, running: Option<(u64, usize)>) -> gst::Structure {
        let (p50, p99) = self.percentiles();
        let (waits, slots) = running.unwrap_or_default();
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
            .field("ring-full-waits", self.ring_full_waits.get() + waits)
            .field("slots", slots as u64)
            .field("decode-us-p50", p50)
            .field("decode-us-p99", p99)
            .build()
    }
}
