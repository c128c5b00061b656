//! Medians and spreads of a few measurements.

use serde::Serialize;

/// A few measurements of one thing, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The middle one: one round that something else disturbed does not move it.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// Sums values up; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, min, max })
    }

    /// Sums up the ratios of values that were measured side by side. What slowed a
    /// whole round down slowed both, so their ratio tells more than that of medians
    /// of different rounds.
    pub fn of_ratios(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        Self::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let summary = |values: &[f64]| Summary::of(values.iter().copied()).unwrap();
        assert_eq!(summary(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(summary(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        let one = summary(&[7.0]);
        assert_eq!((one.min, one.median, one.max), (7.0, 7.0, 7.0));
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The second round was disturbed; the ratio does not show it.
        let ratio = Summary::of_ratios(&[50.0, 25.0, 49.0], &[100.0, 50.0, 100.0]).unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (0.49, 0.5, 0.5));
    }
}
