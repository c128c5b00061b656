//! When not to look for a call's answer.

use std::hint::black_box;

/// How long the host does not look for the answer to a call of one function.
///
/// A look takes a copy of the post's cache line, which the guest's processor has to take back before
/// it can write there; and that costs as much as the answer's own way. So the guest takes the line
/// while it works ([`Post::claim`](iotdec_wire::lane::Post::claim)), and the host leaves it alone until the
/// answer should be there, which it learns from the answers before. Measured on two cores of a Xeon,
/// an empty call takes 380 ns without it and 348 ns with it (`docs/call-latency.md`).
///
/// Callbacks have none, and neither has the guest: when the program calls next, nothing tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadStart {
    /// In parts of a round of the loop that waits.
    parts: u32,
}

/// Parts of a round: so small are the changes.
const ROUND: u32 = 256;
/// A quarter to half a microsecond. It is not worth it for functions that take longer.
const LONGEST: u32 = 1000 * ROUND;
/// Looks after which an answer has not come soon: close to a microsecond.
const SOON: u32 = 768;

impl HeadStart {
    /// Lets the time pass, and learns from when the answer is there after it.
    #[inline]
    pub(super) fn give(&mut self, mut is_there: impl FnMut() -> bool) {
        for round in 0..self.parts / ROUND {
            black_box(round);
        }
        if is_there() {
            // Much smaller than the other step: most answers are to be there at the first look.
            self.parts -= self.parts >> 9;
        } else if (1..SOON).any(|_| is_there()) {
            self.parts = LONGEST.min(self.parts + (self.parts >> 5) + ROUND);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers that come at one look are waited for until the first one finds them; then it is
    /// tried from time to time whether less is enough.
    #[test]
    fn a_head_start_grows_until_it_is_enough_and_not_much_longer() {
        let mut start = HeadStart::default();
        for _ in 0..1000 {
            let rounds = start.parts / ROUND;
            let mut looks = 0;
            start.give(|| {
                looks += 1;
                rounds >= 300 || looks > 10
            });
        }
        assert!((290..340).contains(&(start.parts / ROUND)), "{start:?}");
    }

    #[test]
    fn what_takes_long_gets_no_head_start() {
        let mut start = HeadStart::default();
        for _ in 0..1000 {
            start.give(|| false);
        }
        assert_eq!(start.parts, 0);
    }
}
