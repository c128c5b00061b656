//! The accelerator's counters where the host can read them at any time.

use crate::door::Counters;
use crate::sync::{AtomicU64, Ordering};

/// How many there are.
const COUNT: usize = size_of::<Counters>() / size_of::<u64>();

/// [`Counters`] in the control block: the guest writes them, the host reads them. Each
/// is right by itself; they need not be of one moment.
#[derive(Debug)]
#[repr(transparent)]
pub struct Tally([AtomicU64; COUNT]);

impl Default for Tally {
    fn default() -> Self {
        Self(core::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Tally {
    /// Shows the host how things stand.
    pub fn publish(&self, counters: &Counters) {
        let numbers: [u64; COUNT] = bytemuck::cast(*counters);
        for (shown, number) in self.0.iter().zip(numbers) {
            shown.store(number, Ordering::Relaxed);
        }
    }

    /// How things stood a moment ago. The guest may have written any numbers: they are
    /// to be shown, not to be relied on.
    pub fn read(&self) -> Counters {
        let numbers: [u64; COUNT] =
            core::array::from_fn(|index| self.0[index].load(Ordering::Relaxed));
        bytemuck::cast(numbers)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read() {
        let tally = Tally::default();
        assert_eq!(tally.read(), Counters::default());
        let counters = Counters {
            entries: 1,
            native_calls: u64::MAX,
            ..Counters::default()
        };
        tally.publish(&counters);
        assert_eq!(tally.read(), counters);
    }
}
