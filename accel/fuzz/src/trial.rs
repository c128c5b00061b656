//! One sequence from one state, executed both ways.

use crate::machine::{Fault, Machine, Unit};
use crate::sequence::{Place, Sequence};
use crate::turbo::{self, Help, Trouble};
use crate::values::State;
use fastrand::Rng;
use iotdec_wire::door::Context;
use std::fmt::Write as _;

/// FPSR's cumulative flags of exceptions (Arm ARM, C5.2.8): IDC, IXC, UFC, OFC, DZC, IOC.
pub const FLAGS: u32 = 0x9f;
/// FPSR.QC. The condition flags above it are of no use to A64 code; QEMU stores them, a
/// processor without AArch32 does not.
const QC: u32 = 1 << 27;

/// What came of it.
pub enum Outcome {
    /// The same, but perhaps for these of [`FLAGS`]. What the translator asked of QEMU.
    Same(u32, Help),
    /// Something else.
    Different(Box<Difference>),
    /// QEMU itself cannot execute it.
    Impossible(Fault),
    /// The translator did not come to the end.
    Stuck(Trouble),
}

/// Two ends that should be one.
pub struct Difference {
    /// By QEMU.
    pub qemu: State,
    /// By the translator.
    pub turbo: State,
}

/// Where the next unit of `machine` will be: somewhere in its room, with up to this
/// many words.
pub fn place(machine: &Machine, rng: &mut Rng, words: usize) -> Place {
    Place {
        code: machine.next(words, rng.usize(..)),
        scratch: machine.scratch() as u64,
        base: (machine.base().register(), machine.frame_address()),
    }
}

/// Executes `unit` both ways.
pub fn run(machine: &mut Machine, unit: Unit, start: &State) -> Outcome {
    machine.load(start);
    if let Err(fault) = machine.execute(unit) {
        return Outcome::Impossible(fault);
    }
    let qemu = machine.store();
    machine.load(start);
    match turbo::execute(machine, unit) {
        Ok(help) => {
            let turbo = machine.store();
            let flags = (qemu.context.fpsr ^ turbo.context.fpsr) & FLAGS;
            if is_same(&qemu, &turbo) {
                Outcome::Same(flags, help)
            } else {
                Outcome::Different(Box::new(Difference { qemu, turbo }))
            }
        }
        Err(trouble) => Outcome::Stuck(trouble),
    }
}

fn is_same(one: &State, other: &State) -> bool {
    let rest = |context: &Context| (context.nzcv, context.fpcr, context.fpsr & QC);
    let (a, b) = (&one.context, &other.context);
    a.x == b.x && a.sp == b.sp && rest(a) == rest(b) && a.v == b.v && one.scratch == other.scratch
}

impl Difference {
    /// What differs, a line each: QEMU's value, then the translator's.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for ((name, qemu), (_, turbo)) in values(&self.qemu).zip(values(&self.turbo)) {
            if qemu != turbo {
                let _ = writeln!(
                    text,
                    "    {name:<10} {qemu} by QEMU\n    {:<10} {turbo} by turbo",
                    ""
                );
            }
        }
        text
    }
}

/// A state that is not all zeros, a line for each value that is not.
pub fn describe(state: &State) -> String {
    let mut text = String::new();
    for (name, value) in values(state) {
        if value.bytes().any(|digit| digit != b'0' && digit != b'_') {
            let _ = writeln!(text, "    {name:<10} {value}");
        }
    }
    text
}

fn values(state: &State) -> impl Iterator<Item = (String, String)> {
    let context = &state.context;
    let x = (0..)
        .zip(&context.x)
        .map(|(n, x)| (format!("x{n}"), format!("{x:016x}")));
    let v = (0..)
        .zip(&context.v)
        .map(|(n, [low, high])| (format!("v{n}"), format!("{high:016x}_{low:016x}")));
    let others = [
        ("sp", context.sp),
        ("nzcv", context.nzcv.into()),
        ("fpcr", context.fpcr.into()),
        ("fpsr", context.fpsr.into()),
    ];
    let others = others.map(|(name, value)| (name.to_owned(), format!("{value:x}")));
    let memory = (0..).zip(state.scratch.chunks_exact(16)).map(|(n, bytes)| {
        let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        (format!("[{:#05x}]", 16 * n), bytes)
    });
    x.chain(v).chain(others).chain(memory)
}

/// The shortest of a sequence, and the least of a state, that still makes a difference
/// of the same sort.
pub fn shrink(
    machine: &mut Machine,
    unit: Unit,
    mut sequence: Sequence,
    mut start: State,
    differs: impl Fn(&Outcome) -> bool,
) -> (Sequence, State, Outcome) {
    let mut run_one = |sequence: &Sequence, start: &State| -> Outcome {
        // In the same place: literals and targets are as far away as they were.
        let words: Vec<u32> = sequence.words().collect();
        turbo::forget(machine.code_range());
        machine.rewrite(unit, &words);
        run(machine, unit, start)
    };
    for step in 0..sequence.steps.len() {
        let less = sequence.without(step);
        if differs(&run_one(&less, &start)) {
            sequence = less;
        }
    }
    type Change = fn(&mut State, usize);
    let changes: [(usize, Change); 4] = [
        (31, |state, n| state.context.x[n] = 0),
        (32, |state, n| state.context.v[n] = [0; 2]),
        (64, |state, n| state.scratch[16 * n..][..16].fill(0)),
        (4, |state, n| match n {
            0 => state.context.sp = 0,
            1 => state.context.nzcv = 0,
            2 => state.context.fpcr = 0,
            _ => state.context.fpsr = 0,
        }),
    ];
    for (count, change) in changes {
        for n in 0..count {
            let mut less = start;
            change(&mut less, n);
            if differs(&run_one(&sequence, &less)) {
                start = less;
            }
        }
    }
    let outcome = run_one(&sequence, &start);
    (sequence, start, outcome)
}
