//! Skipping before decoding.
//!
//! Emulated decoding is dear, so what would come too late is not decoded at all:
//! first pictures that no other refers to, then, when that is not enough, all up to
//! the next key frame. When a frame will come is computed from what waits before it and
//! corrected by how wrong that was before.

use super::imp::{ForeignDecoder, lock};
use super::timing::frame_duration;
use crate::CAT;
use gst::subclass::prelude::*;
use gst_video::VideoCodecFrame;
use gst_video::VideoCodecFrameFlags;
use gst_video::prelude::*;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long frames have to be late in ns before all are left out for more than
/// [`LONGEST_GAP`]: it may have been a moment's weakness.
const PATIENCE: i64 = 250_000_000;
/// How long nothing may be seen for the sake of being in time later, in ns. Sinks show a
/// late frame too when they have shown none for so long (GstBaseSink).
const LONGEST_GAP: i64 = 1_000_000_000;
/// Times in ns end here, after 36 years, so that sums of some do not overflow.
const LATEST: i64 = i64::MAX / 8;
/// Packets that may be on their way with leave to skip them.
const MOST_SKIPPABLE: usize = 64;

/// What is to be done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It will be in time.
    Decode,
    /// It is the first after others that were left out.
    Resume,
    /// It may be left out if no other needs it.
    MaySkip,
    /// It would be late, or what it needs was left out.
    Skip,
}

/// What is known of a frame before it is decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The element's running time at this moment.
    pub(super) now: Option<gst::ClockTime>,
    /// Running time at which it is due.
    pub(super) due: Option<gst::ClockTime>,
    /// Time until it is decoded, what waits before it included.
    pub(super) takes: Duration,
    /// What a frame takes on average if those are left out that no other needs.
    pub(super) spared: Option<Duration>,
    /// Decoding can start here.
    pub(super) is_key: bool,
    /// What the segment asks for.
    pub(super) segment: gst::SegmentFlags,
    /// How fast it is played; backwards if negative.
    pub(super) rate: f64,
}

/// What is known of the stream: how far apart frames and key frames are, in ns.
#[derive(Debug, Default)]
struct Spacing {
    /// When the last frames were due.
    dues: VecDeque<i64>,
    /// When the last key frame was due, and the time between it and the one before.
    last_key: Option<i64>,
    keys: Option<i64>,
}

impl Spacing {
    const KEPT: usize = 32;
    const ENOUGH: usize = 8;

    fn note(&mut self, due: i64, is_key: bool) {
        if self.dues.len() == Self::KEPT {
            self.dues.pop_front();
        }
        self.dues.push_back(due);
        if is_key {
            let before = self.last_key.replace(due);
            self.keys = before.map(|before| (due - before).abs()).or(self.keys);
        }
    }

    /// Time between frames.
    fn frames(&self) -> Option<i64> {
        if self.dues.len() < Self::ENOUGH {
            return None;
        }
        let (first, last) = (self.dues.iter().min()?, self.dues.iter().max()?);
        Some((last - first) / (self.dues.len() as i64 - 1))
    }

    /// Time from `due` to the next key frame, if they go on coming as they came.
    fn until_key(&self, due: i64) -> i64 {
        let since = self.last_key.map_or(0, |last| due - last);
        // What lasted for so long will last as long again, for want of better knowledge.
        let keys = self.keys.unwrap_or(2 * since.max(LONGEST_GAP));
        let next = due - since + keys;
        if next > due {
            (next - due).min(keys)
        } else {
            keys
        }
    }
}

/// How punctual the sink finds the frames. Times are running times in ns.
#[derive(Debug, Default)]
pub(super) struct Qos {
    /// How far the element's running time is ahead of the sink's, which waits for the
    /// pipeline's latency. Unknown while no frames come to a sink that waits.
    ahead: Option<i64>,
    /// When the last frame was due that came to the sink: not before that does it take
    /// the next.
    last_due: Option<i64>,
    /// When frames are due that are on their way, and when they should arrive.
    expected: VecDeque<(i64, i64)>,
    /// When frames were due, and how much later than expected they came.
    errors: VecDeque<(i64, i64)>,
    spacing: Spacing,
    /// When the first of the frames was due that have been late since.
    late_since: Option<i64>,
    /// References were left out.
    until_key: bool,
    /// Packets that were sent with leave to skip them.
    skippable: VecDeque<u32>,
}

impl Qos {
    /// Frames that are on their way at most, as far as they are remembered.
    const MOST_EXPECTED: usize = 64;
    /// Errors of prediction that are remembered, and for how long.
    const ERRORS: usize = 8;
    const ERRORS_LAST: i64 = 1_000_000_000;

    /// Another segment, or the sink does not wait for a clock any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The clock stops.
    pub(super) fn pause(&mut self) {
        self.ahead = None;
    }

    /// The frame that was due at running time `due` came `late` ns too late (early if
    /// negative), and is shown or thrown away `now`.
    pub(super) fn note(
        &mut self,
        due: Option<gst::ClockTime>,
        late: i64,
        now: Option<gst::ClockTime>,
    ) {
        let (Some(due), Some(now)) = (due.map(nanoseconds), now.map(nanoseconds)) else {
            return;
        };
        let arrived = due.saturating_add(late).clamp(0, LATEST);
        self.ahead = Some(now - arrived.max(due));
        let before = self.last_due.replace(due);
        let Some(at) = self.expected.iter().position(|(of, _)| *of == due) else {
            return;
        };
        let (_, expected) = self.expected.remove(at).expect("it was found");
        // A frame that came as soon as the sink was ready waited for that, not for the decoder.
        if before.is_some_and(|before| arrived > before.midpoint(due)) {
            if self.errors.len() == Self::ERRORS {
                self.errors.pop_front();
            }
            self.errors.push_back((due, arrived - expected));
        }
    }

    /// Decides about the frame that comes next.
    pub(super) fn judge(&mut self, frame: Candidate) -> Verdict {
        let due = frame.due.map(nanoseconds);
        if let Some(due) = due {
            self.spacing.note(due, frame.is_key);
        }
        let arrives = self.arrival(&frame);
        let slack = match (due, arrives) {
            (Some(due), Some(arrives)) => due - arrives - self.usual_error(due),
            _ => i64::MAX,
        };
        let verdict = self.verdict(&frame, due, slack);
        let is_sent = verdict != Verdict::Skip;
        if let (Some(due), Some(arrives), true) = (due, arrives, is_sent) {
            if self.expected.len() == Self::MOST_EXPECTED {
                self.expected.pop_front();
            }
            self.expected.push_back((due, arrives));
        }
        verdict
    }

    fn verdict(&mut self, frame: &Candidate, due: Option<i64>, slack: i64) -> Verdict {
        let gain = self.gain(frame.spared);
        if slack < 0 {
            self.late_since = self.late_since.or(due);
        } else if !self.until_key {
            self.late_since = None;
        }
        if frame.is_key {
            if self.until_key
                && slack < 0
                && self.late_for(due) < LONGEST_GAP
                && self.should_jump(due, slack, gain)
            {
                return Verdict::Skip;
            }
            if std::mem::take(&mut self.until_key) {
                self.late_since = None;
                return Verdict::Resume;
            }
            return Verdict::Decode;
        }
        let key_units = gst::SegmentFlags::TRICKMODE_KEY_UNITS;
        self.until_key |= frame.segment.contains(key_units);
        self.until_key |= slack < 0 && self.should_jump(due, slack, gain);
        if self.until_key {
            return Verdict::Skip;
        }
        let predicted = gst::SegmentFlags::TRICKMODE_FORWARD_PREDICTED;
        let is_fast = frame.rate.abs() > 1.0;
        if slack < 0
            || gain.is_some_and(|gain| gain <= 0)
            || frame.segment.contains(predicted)
            || is_fast && frame.segment.contains(gst::SegmentFlags::TRICKMODE)
        {
            return Verdict::MaySkip;
        }
        Verdict::Decode
    }

    /// Whether a late frame, and all up to the next key frame, are better left out: not if
    /// leaving out unreferenced ones makes up for the lateness sooner than that. Nothing is
    /// seen meanwhile either way.
    fn should_jump(&self, due: Option<i64>, slack: i64, gain: Option<i64>) -> bool {
        let Some(due) = due else { return false };
        let late_for = self.late_for(Some(due));
        let price = self.spacing.until_key(due);
        if late_for < (price - LONGEST_GAP).min(PATIENCE) {
            return false;
        }
        match (gain, self.spacing.frames()) {
            (Some(gain), Some(frames)) => gain <= 0 || -slack / gain > price / frames.max(1),
            _ => slack < -LONGEST_GAP,
        }
    }

    /// What of the time between frames is left over if unreferenced pictures are skipped:
    /// so much lateness each makes up for.
    fn gain(&self, spared: Option<Duration>) -> Option<i64> {
        Some(self.spacing.frames()? - spared?.as_nanos() as i64)
    }

    /// Whether the last frame will be late, as far as is known.
    fn is_late(&self) -> bool {
        self.late_since.is_some()
    }

    /// How long all frames have been late.
    fn late_for(&self, due: Option<i64>) -> i64 {
        let times = due.zip(self.late_since);
        times.map_or(0, |(due, since)| due - since)
    }

    /// When the frame comes to the sink if all goes as computed.
    fn arrival(&self, frame: &Candidate) -> Option<i64> {
        Some(nanoseconds(frame.now?) - self.ahead? + frame.takes.as_nanos() as i64)
    }

    /// What three of four predictions of late were not wrong by more than: frames are
    /// held back to be put in order, some take longer, others run on the machine.
    fn usual_error(&mut self, now: i64) -> i64 {
        self.errors
            .retain(|(due, _)| (now - due).abs() < Self::ERRORS_LAST);
        let mut sorted: Vec<_> = self.errors.iter().map(|(_, error)| *error).collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 3 / 4).copied().unwrap_or(0)
    }

    fn allow_skipping(&mut self, number: u32) {
        if self.skippable.len() == MOST_SKIPPABLE {
            self.skippable.pop_front();
        }
        self.skippable.push_back(number);
    }

    /// Whether packet `number`, of which no picture came, was left out for our sake.
    pub(super) fn was_skipped(&mut self, number: u32) -> bool {
        let found = self.skippable.iter().position(|n| *n == number);
        found.is_some_and(|at| self.skippable.remove(at).is_some())
    }
}

fn nanoseconds(time: gst::ClockTime) -> i64 {
    time.nseconds().min(LATEST as u64) as i64
}

impl ForeignDecoder {
    /// Decides whether a frame is worth decoding.
    pub(super) fn judge(&self, frame: &VideoCodecFrame<'_>) -> Verdict {
        let obj = self.obj();
        let segment = obj.input_segment();
        let due = frame.pts().or_else(|| self.expected_pts());
        let (takes, spared) = {
            let progress = lock(&self.progress);
            (
                progress.workload.backlog(Instant::now()),
                progress.workload.spared(),
            )
        };
        let candidate = Candidate {
            now: obj.current_running_time(),
            due: segment
                .downcast_ref::<gst::ClockTime>()
                .and_then(|segment| segment.to_running_time(due?)),
            takes,
            spared,
            is_key: frame.flags().contains(VideoCodecFrameFlags::SYNC_POINT),
            segment: segment.flags(),
            rate: segment.rate(),
        };
        let number = frame.system_frame_number();
        let mut qos = lock(&self.qos);
        let verdict = qos.judge(candidate);
        gst::trace!(CAT, imp = self, "Frame {number}: {verdict:?}, {qos:?}");
        lock(&self.progress).workload.note_late(qos.is_late());
        if verdict == Verdict::MaySkip {
            qos.allow_skipping(number);
        }
        verdict
    }

    /// When a frame that has no time stamp will be shown if it is submitted now.
    fn expected_pts(&self) -> Option<gst::ClockTime> {
        let pending = self.obj().frames().len().saturating_sub(1);
        let output = lock(&self.output);
        let duration = frame_duration(output.rate(lock(&self.settings).framerate));
        output.timing.expected(pending, duration)
    }

    /// Notes a QoS event of the sink.
    pub(super) fn note_qos(&self, event: &gst::event::Qos) {
        if !self.obj().is_qos() {
            return;
        }
        let (_, _, late, due) = event.get();
        lock(&self.qos).note(due, late, self.obj().current_running_time());
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests;
