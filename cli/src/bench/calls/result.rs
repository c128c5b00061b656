//! What was measured.

use super::contender::Contender;
use super::sample::{Row, percentile};
use crate::bench::machine::Machine;
use crate::bench::result::Target;
use crate::bench::statistics::Summary;
use serde::Serialize;

/// Everything. Times are in nanoseconds.
#[derive(Debug, Serialize)]
pub struct Results {
    /// On what.
    pub machine: Machine,
    /// This program.
    pub iotdec: &'static str,
    /// The emulator.
    pub qemu: String,
    /// The processor that it shows the library.
    pub cpu_model: &'static str,
    /// How often everything was measured.
    pub rounds: u32,
    /// What it takes to look at the clock, which is taken off.
    pub clock: Option<Summary>,
    /// Row by row.
    pub rows: Vec<RowResult>,
    /// Where the time of an empty call through a wrapper goes.
    pub breakdown: Vec<Step>,
    /// Libraries with something to do.
    pub work: Vec<Work>,
    /// What should be.
    pub targets: Vec<Target>,
}

/// One row.
#[derive(Debug, Serialize)]
pub struct RowResult {
    /// Which.
    pub row: Row,
    /// Contender by contender.
    pub contenders: Vec<Standing>,
}

/// One contender in one row.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// Who.
    pub contender: Contender,
    /// Percentiles of single calls, of each round.
    pub p1: Summary,
    /// The median.
    pub p50: Summary,
    /// Slower are 1 %.
    pub p99: Summary,
    /// The median as a multiple of the floor's in the same round.
    pub to_floor: Option<Summary>,
    /// The median as a multiple of the turn flag's in the same round.
    pub to_turnflag: Option<Summary>,
    /// Calls that were measured.
    pub samples: usize,
}

/// What something takes that a library has to work for, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Work {
    /// What.
    pub work: &'static str,
    /// In QEMU alone.
    pub plain: Summary,
    /// In turbo.
    pub turbo: Summary,
    /// How many times as fast it is there, round by round.
    pub faster: Summary,
}

/// One step of a call.
#[derive(Debug, Serialize)]
pub struct Step {
    /// Which.
    pub step: String,
    /// What it is.
    pub how: String,
    /// How long it takes.
    pub ns: Summary,
}

/// One contender in one row and one round.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Which row.
    pub row: Row,
    /// Who.
    pub contender: Contender,
    /// Which round.
    pub round: u32,
    p1: f64,
    /// The median.
    pub p50: f64,
    p99: f64,
    samples: usize,
}

impl Point {
    /// Sums samples up, less what the clock takes.
    pub fn new(
        row: Row,
        contender: Contender,
        round: u32,
        mut samples: Vec<f64>,
        clock: f64,
    ) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |share| (percentile(&samples, share) - clock).max(0.0);
        Self {
            row,
            contender,
            round,
            p1: at(0.01),
            p50: at(0.5),
            p99: at(0.99),
            samples: samples.len(),
        }
    }
}

/// Sums rounds up, row by row.
pub fn rows(points: &[Point]) -> Vec<RowResult> {
    let row = |row| RowResult {
        row,
        contenders: Contender::ALL
            .into_iter()
            .filter_map(|contender| standing(points, row, contender))
            .collect(),
    };
    Row::ALL.into_iter().map(row).collect()
}

fn standing(points: &[Point], row: Row, contender: Contender) -> Option<Standing> {
    let of = |who| {
        let own = points
            .iter()
            .filter(move |it| (it.row, it.contender) == (row, who));
        own.collect::<Vec<_>>()
    };
    let own = of(contender);
    let ratio = |other| {
        // All of what is called hot is compared with the one word that goes there and back.
        let others = match (other, row.pause()) {
            (Contender::Floor, None) => points
                .iter()
                .filter(|it| (it.row, it.contender) == (Row::Empty, other))
                .collect(),
            _ => of(other),
        };
        let pairs = own.iter().filter_map(|it| {
            let same = others.iter().find(|other| other.round == it.round)?;
            (same.p50 > 0.0).then(|| it.p50 / same.p50)
        });
        Summary::of(pairs)
    };
    Some(Standing {
        contender,
        p1: Summary::of(own.iter().map(|it| it.p1))?,
        p50: Summary::of(own.iter().map(|it| it.p50))?,
        p99: Summary::of(own.iter().map(|it| it.p99))?,
        to_floor: ratio(Contender::Floor),
        to_turnflag: ratio(Contender::TurnFlag),
        samples: own.iter().map(|it| it.samples).sum(),
    })
}

/// Compares with what should be.
pub fn targets(rows: &[RowResult]) -> Vec<Target> {
    let find = |row, contender| {
        let row = rows.iter().find(|it| it.row == row)?;
        let standing = row.contenders.iter().find(|it| it.contender == contender)?;
        Some(standing.p50.median)
    };
    let wrapper = |row| find(row, Contender::Wrapper);
    let idle = wrapper(Row::IdleShort)
        .zip(find(Row::IdleShort, Contender::Floor))
        .map(|(call, floor)| call - floor);
    [
        ("empty call, hot, below 200 ns", wrapper(Row::Empty), 200.0),
        ("callback below 500 ns", wrapper(Row::Callback), 500.0),
        (
            "empty call after 1 ms, beyond the machine's wake-up, below 15000 ns",
            idle,
            15_000.0,
        ),
    ]
    .into_iter()
    .filter_map(|(what, value, limit)| Some(Target::below(what, value?, limit)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_compared_with_their_own_floor() {
        let point = |row, contender, round, ns: f64| {
            Point::new(row, contender, round, vec![ns + 20.0; 3], 20.0)
        };
        let points = [
            point(Row::Empty, Contender::Floor, 1, 200.0),
            point(Row::Empty, Contender::Floor, 2, 400.0),
            point(Row::Callback, Contender::Wrapper, 1, 300.0),
            point(Row::Callback, Contender::Wrapper, 2, 600.0),
        ];
        let rows = rows(&points);
        let callback = rows.iter().find(|it| it.row == Row::Callback).unwrap();
        let [standing] = &callback.contenders[..] else {
            panic!("{callback:?}");
        };
        assert_eq!(standing.p50.median, 450.0);
        assert_eq!(standing.samples, 6);
        let ratio = standing.to_floor.unwrap();
        assert_eq!((ratio.min, ratio.max), (1.5, 1.5));
        assert!(standing.to_turnflag.is_none());
        let targets = targets(&rows);
        assert_eq!(targets.len(), 1);
        assert!(targets[0].met, "{targets:?}");
    }
}
