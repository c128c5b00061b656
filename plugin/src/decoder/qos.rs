//! Skipping before decoding.
//!
//! Emulated decoding is dear, so what would come too late is not decoded at all:
//! first pictures that no other refers to, then, when that is not enough, all up to
//! the next key frame.

use super::imp::{ForeignDecoder, lock};
use super::timing::frame_duration;
use gst::subclass::prelude::*;
use gst_video::VideoCodecFrame;
use gst_video::VideoCodecFrameFlags;
use gst_video::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;

/// Lateness that leaving out unreferenced pictures does not make up for any more,
/// in ns: so much that a viewer hears it (ITU-R BT.1359: 125 ms is detected,
/// 185 ms is too much).
const FAR_TOO_LATE: i64 = 185_000_000;
/// How long frames may go on being late although unreferenced pictures are left out:
/// the sink throws them away, so nothing is seen meanwhile.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_mseconds(250);
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
    /// Running time at which it is due.
    pub(super) due: Option<gst::ClockTime>,
    /// Time until it is decoded, what waits before it included.
    pub(super) takes: Duration,
    /// Decoding can start here.
    pub(super) is_key: bool,
    /// What the segment asks for.
    pub(super) segment: gst::SegmentFlags,
    /// How fast it is played; backwards if negative.
    pub(super) rate: f64,
}

/// What decoding a packet takes: the median of the last ones, and nothing before there
/// are some. The first ones of a process also pay for the translation of the decoder's
/// code, ten times and more what the others take.
#[derive(Debug, Default)]
pub(super) struct DecodeTime {
    last: VecDeque<Duration>,
}

impl DecodeTime {
    const KEPT: usize = 16;
    const ENOUGH: usize = Self::KEPT / 2;

    pub(super) fn note(&mut self, time: Duration) {
        if self.last.len() == Self::KEPT {
            self.last.pop_front();
        }
        self.last.push_back(time);
    }

    pub(super) fn typical(&self) -> Duration {
        if self.last.len() < Self::ENOUGH {
            return Duration::ZERO;
        }
        let mut sorted: Vec<_> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }
}

/// How punctual the sink finds the frames.
#[derive(Debug, Default)]
pub(super) struct Qos {
    /// Frames due before this running time are late.
    earliest: Option<gst::ClockTime>,
    /// When the first of the frames was due that have been late since.
    late_since: Option<gst::ClockTime>,
    /// References were left out.
    until_key: bool,
    /// Packets that were sent with leave to skip them.
    skippable: VecDeque<u32>,
}

impl Qos {
    /// Another segment, or the sink does not wait for a clock any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The frame that was due at running time `due` came `late` ns too late (early
    /// if negative).
    pub(super) fn note(&mut self, due: Option<gst::ClockTime>, late: i64) {
        self.earliest = due.map(|due| {
            let ns = due.nseconds().saturating_add_signed(late);
            gst::ClockTime::from_nseconds(ns.min(i64::MAX as u64))
        });
    }

    /// Decides about the frame that comes next.
    pub(super) fn judge(&mut self, frame: Candidate) -> Verdict {
        let slack = self.slack(&frame);
        if frame.is_key {
            if self.until_key && slack < 0 && self.may_wait(frame.due) {
                return Verdict::Skip;
            }
            self.late_since = None;
            return match std::mem::take(&mut self.until_key) {
                true => Verdict::Resume,
                false => Verdict::Decode,
            };
        }
        let key_units = gst::SegmentFlags::TRICKMODE_KEY_UNITS;
        self.until_key |= frame.segment.contains(key_units);
        if !self.until_key {
            let late_for_long = self.note_lateness(frame.due.filter(|_| slack < 0));
            self.until_key = slack < -FAR_TOO_LATE || late_for_long;
        }
        if self.until_key {
            return Verdict::Skip;
        }
        let predicted = gst::SegmentFlags::TRICKMODE_FORWARD_PREDICTED;
        let is_fast = frame.rate.abs() > 1.0;
        if slack < 0
            || frame.segment.contains(predicted)
            || is_fast && frame.segment.contains(gst::SegmentFlags::TRICKMODE)
        {
            return Verdict::MaySkip;
        }
        Verdict::Decode
    }

    /// Whether a late key frame can be left out too, for a later one that will be in
    /// time: not if nothing was seen for a second.
    fn may_wait(&self, due: Option<gst::ClockTime>) -> bool {
        let times = due.zip(self.late_since);
        times.is_some_and(|(due, since)| due < since + gst::ClockTime::SECOND)
    }

    /// Notes a frame that will be late, and when it is due, or one that will not; tells
    /// whether all have been late for long.
    fn note_lateness(&mut self, due: Option<gst::ClockTime>) -> bool {
        let Some(due) = due else {
            self.late_since = None;
            return false;
        };
        let since = *self.late_since.get_or_insert(due);
        due.saturating_sub(since) > PATIENCE
    }

    /// How much earlier than needed the frame will be decoded, in ns.
    fn slack(&self, frame: &Candidate) -> i64 {
        let (Some(due), Some(earliest)) = (frame.due, self.earliest) else {
            return i64::MAX;
        };
        let ns = |time: gst::ClockTime| time.nseconds() as i64;
        ns(due) - ns(earliest) - frame.takes.as_nanos() as i64
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

impl ForeignDecoder {
    /// Decides whether a frame is worth decoding.
    pub(super) fn judge(&self, frame: &VideoCodecFrame<'_>) -> Verdict {
        let obj = self.obj();
        let segment = obj.input_segment();
        let due = frame.pts().or_else(|| self.expected_pts());
        let candidate = Candidate {
            due: segment
                .downcast_ref::<gst::ClockTime>()
                .and_then(|segment| segment.to_running_time(due?)),
            takes: lock(&self.progress).backlog(),
            is_key: frame.flags().contains(VideoCodecFrameFlags::SYNC_POINT),
            segment: segment.flags(),
            rate: segment.rate(),
        };
        let number = frame.system_frame_number();
        let mut qos = lock(&self.qos);
        let verdict = qos.judge(candidate);
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
        lock(&self.qos).note(due, late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(due_ms: u64, takes_ms: u64, is_key: bool) -> Candidate {
        Candidate {
            due: Some(gst::ClockTime::from_mseconds(due_ms)),
            takes: Duration::from_millis(takes_ms),
            is_key,
            segment: gst::SegmentFlags::empty(),
            rate: 1.0,
        }
    }

    #[test]
    fn a_slow_start_makes_no_slow_decoder() {
        let mut times = DecodeTime::default();
        for slow in [300, 80] {
            times.note(Duration::from_millis(slow));
            assert_eq!(times.typical(), Duration::ZERO, "too little is known");
        }
        for _ in 0..DecodeTime::ENOUGH {
            times.note(Duration::from_millis(3));
        }
        assert_eq!(times.typical(), Duration::from_millis(3));
        for _ in 0..DecodeTime::KEPT {
            times.note(Duration::from_millis(70));
        }
        assert_eq!(times.typical(), Duration::from_millis(70));
    }

    const LATE: i64 = 50_000_000;

    #[test]
    fn nothing_is_skipped_unless_the_sink_complains() {
        let mut qos = Qos::default();
        assert_eq!(qos.judge(candidate(0, 5000, false)), Verdict::Decode);
        qos.note(Some(gst::ClockTime::SECOND), -LATE);
        assert_eq!(qos.judge(candidate(1000, 20, false)), Verdict::Decode);
    }

    #[test]
    fn late_frames_may_be_skipped_and_far_too_late_ones_are() {
        let mut qos = Qos::default();
        qos.note(Some(gst::ClockTime::SECOND), LATE);
        assert_eq!(qos.judge(candidate(1100, 20, false)), Verdict::Decode);
        assert_eq!(qos.judge(candidate(1100, 60, false)), Verdict::MaySkip);
        assert_eq!(qos.judge(candidate(1100, 300, false)), Verdict::Skip);
        let in_time = candidate(9000, 0, false);
        assert_eq!(
            qos.judge(in_time),
            Verdict::Skip,
            "what it needs is missing"
        );
        assert_eq!(qos.judge(candidate(1000, 20, true)), Verdict::Skip);
        assert_eq!(qos.judge(candidate(2200, 1500, true)), Verdict::Resume);
        assert_eq!(qos.judge(in_time), Verdict::Decode);
        assert_eq!(qos.judge(candidate(1000, 20, true)), Verdict::Decode);
    }

    #[test]
    fn lateness_that_does_not_go_away_is_ended_by_a_key_frame() {
        let mut qos = Qos::default();
        qos.note(Some(gst::ClockTime::SECOND), LATE);
        assert_eq!(qos.judge(candidate(1000, 0, false)), Verdict::MaySkip);
        qos.note(Some(gst::ClockTime::from_mseconds(1200)), LATE);
        assert_eq!(qos.judge(candidate(1200, 0, false)), Verdict::MaySkip);
        qos.note(Some(gst::ClockTime::from_mseconds(1300)), LATE);
        assert_eq!(qos.judge(candidate(1300, 0, false)), Verdict::Skip);
        assert_eq!(qos.judge(candidate(1310, 0, true)), Verdict::Skip);
        assert_eq!(qos.judge(candidate(1400, 0, true)), Verdict::Resume);
        assert_eq!(qos.judge(candidate(2040, 0, false)), Verdict::Decode);
    }

    #[test]
    fn trick_modes_are_obeyed() {
        let mut qos = Qos::default();
        let mut frame = candidate(0, 0, false);
        frame.segment = gst::SegmentFlags::TRICKMODE_KEY_UNITS;
        assert_eq!(qos.judge(frame), Verdict::Skip);
        frame.is_key = true;
        assert_eq!(qos.judge(frame), Verdict::Resume);
        frame.is_key = false;
        frame.segment = gst::SegmentFlags::TRICKMODE_FORWARD_PREDICTED;
        assert_eq!(qos.judge(frame), Verdict::MaySkip);
    }

    #[test]
    fn skipping_is_told_from_hidden_pictures() {
        let mut qos = Qos::default();
        qos.allow_skipping(7);
        assert!(!qos.was_skipped(6));
        assert!(qos.was_skipped(7));
        assert!(!qos.was_skipped(7));
    }
}
