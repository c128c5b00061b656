//! When frames are shown, and how long the decoder keeps them.

use gst::prelude::*;
use iotdec_bridge::is_before;
use std::collections::VecDeque;

/// Decoded packets that are remembered: twice the largest reorder depth of any
/// supported format (16 pictures).
const REMEMBERED: usize = 32;

/// Time stamps for the frames of one stream, in the order of output, and how many
/// packets its pictures stay behind.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// Where the next frame without a time stamp goes, if one went before.
    next_pts: Option<gst::ClockTime>,
    /// The last frame's time stamp.
    last_pts: Option<gst::ClockTime>,
    /// Frames that never come, and whose time is still to pass.
    lost: VecDeque<u32>,
    /// Packets that were decoded, the newest last.
    decoded: VecDeque<u32>,
    /// Packets that the decoder took before it gave out the picture of the first.
    delay: usize,
}

impl Timing {
    /// What follows is from elsewhere in the stream.
    pub(super) fn flush(&mut self) {
        self.next_pts = None;
        self.last_pts = None;
        self.lost.clear();
        self.decoded.clear();
    }

    /// Frame `number` will not be shown, although its time passes.
    pub(super) fn lose(&mut self, number: u32) {
        if self.next_pts.is_some() {
            self.lost.push_back(number);
        }
    }

    /// A packet was decoded whose picture may come later, and the decoder says how
    /// many packets it holds. Returns the new delay if that changes it.
    pub(super) fn decoded(&mut self, number: u32, delay: usize) -> Option<usize> {
        if self.decoded.len() == REMEMBERED {
            self.decoded.pop_front();
        }
        self.decoded.push_back(number);
        self.grow(delay.min(REMEMBERED))
    }

    /// The picture of packet `number` came out. Returns the new delay if that
    /// changes it: libraries do not all say it beforehand.
    pub(super) fn came_out(&mut self, number: u32) -> Option<usize> {
        let since = self.decoded.iter().rposition(|n| is_before(*n, number));
        let held = self.decoded.len() - since.map_or(0, |at| at + 1);
        // Beyond the oldest that is remembered nothing is known.
        let known = since.is_some() || self.decoded.front() == Some(&number);
        if known { self.grow(held) } else { None }
    }

    /// Whether so many packets were decoded since `number` that no picture of it can
    /// come any more. Numbers alone do not tell: skipped packets leave gaps.
    pub(super) fn is_overdue(&self, number: u32) -> bool {
        let oldest = self.decoded.front();
        self.decoded.len() == REMEMBERED && oldest.is_some_and(|oldest| is_before(number, *oldest))
    }

    fn grow(&mut self, delay: usize) -> Option<usize> {
        (delay > self.delay).then(|| {
            self.delay = delay;
            delay
        })
    }

    /// Packets that the decoder takes before it gives out the picture of the first.
    pub(super) fn delay(&self) -> usize {
        self.delay
    }

    /// The time stamp of frame `number`, which comes next. One that has none goes
    /// one `duration` after the one before it, or to `start`; one whose own repeats
    /// the last one's goes half a duration later, so that both are seen.
    pub(super) fn pts(
        &mut self,
        number: u32,
        own: Option<gst::ClockTime>,
        start: Option<gst::ClockTime>,
        duration: Option<gst::ClockTime>,
    ) -> Option<gst::ClockTime> {
        let duration = duration.unwrap_or_default();
        let before = self.lost.len();
        self.lost.retain(|lost| !is_before(*lost, number));
        let lost = (before - self.lost.len()) as u64;
        let next = self.next_pts.map(|next| next + duration * lost);
        let pts = match (own, self.last_pts) {
            (Some(own), Some(last)) if own == last => own + duration / 2,
            (Some(own), _) => own,
            (None, _) => next.or(start)?,
        };
        self.last_pts = own.or(Some(pts));
        self.next_pts = Some(pts + duration);
        Some(pts)
    }

    /// When a frame without a time stamp will be shown that is submitted after
    /// `pending` others.
    pub(super) fn expected(
        &self,
        pending: usize,
        duration: Option<gst::ClockTime>,
    ) -> Option<gst::ClockTime> {
        Some(self.next_pts? + duration? * (pending + self.lost.len()) as u64)
    }
}

/// The time from one frame to the next at `rate` a second.
pub(super) fn frame_duration(rate: gst::Fraction) -> Option<gst::ClockTime> {
    let (numer, denom) = (rate.numer() as u64, rate.denom() as u64);
    gst::ClockTime::SECOND.mul_div_floor(denom, numer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);

    fn at(ms: u64) -> Option<gst::ClockTime> {
        Some(gst::ClockTime::from_mseconds(ms))
    }

    #[test]
    fn untimed_frames_follow_each_other_and_lost_ones_leave_gaps() {
        let mut timing = Timing::default();
        let pts = |timing: &mut Timing, number| timing.pts(number, None, at(0), Some(FRAME));
        assert_eq!(pts(&mut timing, 0), at(0));
        timing.lose(1);
        timing.lose(3);
        assert_eq!(timing.expected(2, Some(FRAME)), at(200));
        assert_eq!(pts(&mut timing, 2), at(80));
        assert_eq!(pts(&mut timing, 4), at(160));
        timing.flush();
        assert_eq!(pts(&mut timing, 5), at(0));
    }

    #[test]
    fn own_time_stamps_win_and_repeated_ones_move() {
        let mut timing = Timing::default();
        let mut pts = |number, own| timing.pts(number, own, at(0), Some(FRAME));
        assert_eq!(pts(0, at(1000)), at(1000));
        assert_eq!(pts(1, None), at(1040));
        assert_eq!(pts(2, at(1100)), at(1100));
        assert_eq!(pts(3, at(1100)), at(1120));
        assert_eq!(pts(4, at(1140)), at(1140));
    }

    #[test]
    fn the_delay_is_what_was_decoded_since() {
        let mut timing = Timing::default();
        assert_eq!(timing.came_out(0), None, "at once");
        assert_eq!(timing.decoded(0, 0), None);
        timing.decoded(1, 0);
        assert_eq!(timing.came_out(1), Some(1));
        timing.decoded(2, 0);
        timing.decoded(3, 0);
        timing.decoded(4, 0);
        assert_eq!(timing.came_out(2), Some(3));
        assert_eq!(timing.came_out(4), None, "never shrinks");
        assert_eq!(timing.decoded(5, 7), Some(7), "the decoder says so");
    }

    #[test]
    fn what_is_overdue_was_followed_by_many_others() {
        let mut timing = Timing::default();
        timing.decoded(0, 0);
        timing.decoded(1000, 0);
        assert!(!timing.is_overdue(0));
        for number in 1001..1001 + REMEMBERED as u32 {
            timing.decoded(number, 0);
        }
        assert!(timing.is_overdue(0) && !timing.is_overdue(1001));
    }
}
