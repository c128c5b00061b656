//! What decoding costs, and how much of it is on its way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets that a worker has in hand at most: enough to keep it busy, and few
/// enough that a crash loses little.
pub(super) const MAX_IN_FLIGHT: usize = 16;
/// Work that it has in hand at most while frames are late, so that leaving some out helps
/// at once; one packet in hand and one that waits are always allowed.
const MAX_AHEAD: Duration = Duration::from_millis(50);

/// What the last packets of a kind took.
#[derive(Debug, Default)]
struct Times(VecDeque<Duration>);

impl Times {
    const KEPT: usize = 16;
    /// Nothing is said before so many.
    const ENOUGH: usize = Self::KEPT / 2;

    fn note(&mut self, time: Duration) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(time);
    }

    fn known(&self) -> Option<&VecDeque<Duration>> {
        (self.0.len() >= Self::ENOUGH).then_some(&self.0)
    }

    fn median(&self) -> Option<Duration> {
        let mut sorted: Vec<_> = self.known()?.iter().copied().collect();
        sorted.sort_unstable();
        Some(sorted[sorted.len() / 2])
    }

    fn mean(&self) -> Option<Duration> {
        let known = self.known()?;
        Some(known.iter().sum::<Duration>() / known.len() as u32)
    }
}

/// A packet that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u32,
    may_skip: bool,
}

/// The packets of one stream.
#[derive(Debug, Default)]
pub(super) struct Workload {
    /// Those that were sent and not yet decoded, in that order.
    in_flight: VecDeque<Sent>,
    /// When the worker began with the first of them, as far as is known: nobody hears
    /// from it while a frame waits at the sink.
    busy_since: Option<Instant>,
    /// What packets took that had to be decoded.
    whole: Times,
    /// What packets took that might be skipped, whether they were or not.
    spared: Times,
    /// Frames are late.
    is_late: bool,
}

impl Workload {
    /// Whether the frame that was looked at last will be late.
    pub(super) fn note_late(&mut self, is_late: bool) {
        self.is_late = is_late;
    }

    /// A packet is on its way.
    pub(super) fn sent(&mut self, number: u32, may_skip: bool, now: Instant) {
        if self.in_flight.is_empty() {
            self.busy_since = Some(now);
        }
        self.in_flight.push_back(Sent { number, may_skip });
    }

    /// It never left.
    pub(super) fn not_sent(&mut self, number: u32) {
        self.in_flight.retain(|sent| sent.number != number);
    }

    /// A packet was decoded, and those before it if they were not heard of.
    pub(super) fn decoded(&mut self, number: u32, time: Duration, now: Instant) {
        let Some(at) = self.in_flight.iter().position(|s| s.number == number) else {
            return;
        };
        let times = match self.in_flight[at].may_skip {
            true => &mut self.spared,
            false => &mut self.whole,
        };
        times.note(time);
        self.in_flight.drain(..=at);
        self.busy_since = Some(now);
    }

    /// Nothing is on its way any more.
    pub(super) fn forget_sent(&mut self) {
        self.in_flight.clear();
    }

    /// No packet should be sent now.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.in_flight.len() >= self.most()
            || self.is_late && self.in_flight.len() > 1 && self.remaining(now) > MAX_AHEAD
    }

    /// How long whoever found it full should wait before looking again, if nothing is heard
    /// of the worker; `None` when the turn has come: not at each packet.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        if self.in_flight.len() > self.most() / 2 {
            return Some(Duration::MAX);
        }
        let rest = self.remaining(now).saturating_sub(MAX_AHEAD / 2);
        let must_wait = self.is_late && self.in_flight.len() > 1 && !rest.is_zero();
        must_wait.then_some(rest)
    }

    /// Few until it is known how fast the decoder is.
    fn most(&self) -> usize {
        match self.whole.known() {
            Some(_) => MAX_IN_FLIGHT,
            None => MAX_IN_FLIGHT / 4,
        }
    }

    /// What decoding a packet takes: the median, and nothing before there are some. The
    /// first ones of a process also pay for the translation of the decoder's code, ten
    /// times and more what the others take.
    fn typical(&self) -> Duration {
        self.whole.median().unwrap_or_default()
    }

    /// What a packet takes on average if those are skipped that no other needs.
    pub(super) fn spared(&self) -> Option<Duration> {
        self.spared.mean()
    }

    /// Time until a packet that is sent at this moment is decoded.
    pub(super) fn backlog(&self, now: Instant) -> Duration {
        self.remaining(now) + self.typical()
    }

    /// Time until all packets are decoded that were sent.
    fn remaining(&self, now: Instant) -> Duration {
        let worked = self.busy_since.map_or(Duration::ZERO, |since| now - since);
        self.waiting().saturating_sub(worked)
    }

    /// What the packets take that were sent.
    fn waiting(&self) -> Duration {
        let typical = self.typical();
        let spared = self.spared().unwrap_or(typical).min(typical);
        let take = |sent: &Sent| if sent.may_skip { spared } else { typical };
        self.in_flight.iter().map(take).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A workload with its own clock.
    struct Timed {
        workload: Workload,
        now: Instant,
    }

    impl Timed {
        fn new() -> Self {
            Self {
                workload: Workload::default(),
                now: Instant::now(),
            }
        }

        fn send(&mut self, number: u32, may_skip: bool) {
            self.workload.sent(number, may_skip, self.now);
        }

        fn decode(&mut self, number: u32, time: Duration) {
            self.now += time;
            self.workload.decoded(number, time, self.now);
        }

        fn decode_some(&mut self, count: usize, may_skip: bool, time: Duration) {
            for _ in 0..count {
                self.send(0, may_skip);
                self.decode(0, time);
            }
        }

        fn backlog(&self) -> Duration {
            self.workload.backlog(self.now)
        }
    }

    #[test]
    fn a_slow_start_makes_no_slow_decoder() {
        let mut timed = Timed::new();
        timed.decode_some(1, false, 300 * MS);
        timed.decode_some(1, false, 80 * MS);
        assert_eq!(timed.backlog(), Duration::ZERO, "too little is known");
        timed.decode_some(Times::ENOUGH, false, 3 * MS);
        assert_eq!(timed.backlog(), 3 * MS);
        timed.decode_some(Times::KEPT, false, 70 * MS);
        assert_eq!(timed.backlog(), 70 * MS);
    }

    #[test]
    fn what_is_skipped_does_not_make_decoding_cheap() {
        let mut timed = Timed::new();
        for _ in 0..Times::KEPT {
            timed.decode_some(1, false, 30 * MS);
            timed.decode_some(1, true, 30 * MS);
            timed.decode_some(1, true, Duration::ZERO);
        }
        assert_eq!(timed.workload.spared(), Some(15 * MS));
        timed.send(1, false);
        timed.send(2, true);
        assert_eq!(timed.backlog(), (30 + 15 + 30) * MS);
        timed.now += 10 * MS;
        assert_eq!(timed.backlog(), (20 + 15 + 30) * MS, "it works meanwhile");
        timed.decode(2, Duration::ZERO);
        assert_eq!(timed.backlog(), 30 * MS, "nothing is left");
    }

    #[test]
    fn late_packets_do_not_pile_up() {
        let mut timed = Timed::new();
        for number in 0..MAX_IN_FLIGHT as u32 / 4 {
            assert!(!timed.workload.is_full(timed.now));
            timed.send(number, false);
        }
        assert!(timed.workload.is_full(timed.now), "nothing is known yet");
        for number in 0..Times::ENOUGH as u32 {
            timed.send(number, false);
            timed.decode(number, 100 * MS);
        }
        for number in 0..MAX_IN_FLIGHT as u32 {
            assert!(!timed.workload.is_full(timed.now));
            timed.send(number, false);
        }
        assert!(timed.workload.is_full(timed.now));
        assert_eq!(timed.workload.wait(timed.now), Some(Duration::MAX));
        for number in 0..MAX_IN_FLIGHT as u32 {
            timed.decode(number, 100 * MS);
        }
        timed.send(0, false);
        timed.send(1, false);
        assert!(!timed.workload.is_full(timed.now));
        assert_eq!(timed.workload.wait(timed.now), None);
        timed.workload.note_late(true);
        assert!(timed.workload.is_full(timed.now));
        assert_eq!(timed.workload.wait(timed.now), Some(175 * MS));
        timed.now += 175 * MS;
        assert_eq!(timed.workload.wait(timed.now), None);
    }
}
