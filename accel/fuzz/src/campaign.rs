//! A run of the fuzzer: which encodings the processor has, each of them by itself, then
//! sequences of them.

use crate::machine::{Base, Machine, UNITS, Unit};
use crate::sequence::{Kind, Sequence};
use crate::template::{CLASSES, Group, Need};
use crate::trial::{self, Outcome};
use crate::turbo::{self, Help};
use crate::values::{self, Pool, State};
use fastrand::Rng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

/// Instructions of a sequence, at most.
const LENGTH: usize = 12;
/// Words of a sequence, at most: an instruction needs up to four more.
const WORDS: usize = 5 * LENGTH;
/// Samples of an encoding that QEMU must refuse for it not to be there.
const SAMPLES: usize = 4;
/// How often a difference is asked for again that may be chance.
const AGAIN: usize = 20;
/// Differences that are looked into; with more than that, something is wrong at large.
const MOST_DIFFERENCES: usize = 60;
/// Those of one instruction.
const MOST_OF_A_KIND: usize = 2;

/// What to do.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Determines what is random.
    pub seed: u64,
    /// Sequences of one instruction for each encoding.
    pub singles: u64,
    /// Sequences of several.
    pub sequences: u64,
    /// States for each of them.
    pub states: u64,
    /// What the names of classes have in common.
    pub only: String,
}

/// What happened to one encoding.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Tally {
    /// One such word.
    pub sample: u32,
    /// Executions, in both translators.
    pub executed: u64,
    /// Of these, those in which the translator did not know it.
    pub unknown: u64,
    /// Of these, those in which the translator raised an exception.
    pub exceptions: u64,
    /// Executions by itself that differed in FPSR's flags of exceptions only.
    pub flags_differ: u64,
    /// The flags in which they did.
    pub flags: u32,
    /// Executions by itself.
    pub alone: u64,
}

/// A difference.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The least code that shows it; what remains of its preparation included.
    pub words: Vec<u32>,
    /// The classes of its instructions.
    pub classes: Vec<&'static str>,
    /// The least state that shows it.
    pub start: String,
    /// What differs.
    pub difference: String,
}

/// What came of it all.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// What was to do.
    pub plan: Plan,
    /// Encodings looked for.
    pub encodings: usize,
    /// Encodings that the processor has, by class.
    pub table: Vec<(&'static str, Vec<Tally>)>,
    /// Sequences of one instruction.
    pub singles: u64,
    /// Sequences of several.
    pub sequences: u64,
    /// Executions of any sequence, each in both translators.
    pub executions: u64,
    /// Executions in which only FPSR's flags of exceptions differed.
    pub flags_differ: u64,
    /// Executions that differed otherwise, those not looked into included.
    pub different: u64,
    /// Executions that differed once and never again, of sequences that store exclusively:
    /// such a store may fail for no reason (Arm ARM, B2.9.5), as it does where either
    /// translator was interrupted behind the load.
    pub by_chance: u64,
    /// Words that QEMU refused although others of their kind are there.
    pub refused: u64,
    /// What differs.
    pub differences: Vec<Finding>,
    /// How long it took.
    pub seconds: f64,
}

/// Encodings of a group.
struct Choice {
    all: Vec<Kind>,
    by_class: Vec<Vec<Kind>>,
}

/// A run under way.
pub struct Campaign {
    plan: Plan,
    machine: Machine,
    rng: Rng,
    tpidr: u64,
    kinds: Vec<Kind>,
    pool: Pool,
    /// By class, then by number.
    tallies: Vec<Vec<Option<Tally>>>,
    found: BTreeMap<Vec<Kind>, usize>,
    started: Instant,
    summary: Summary,
}

impl Campaign {
    /// One that has not begun.
    pub fn new(plan: Plan) -> std::io::Result<Self> {
        let mut rng = Rng::with_seed(plan.seed);
        let kinds = CLASSES.iter().map(|class| class.kinds() as usize);
        Ok(Self {
            plan: plan.clone(),
            machine: Machine::new()?,
            pool: Pool::new(&mut rng),
            rng,
            tpidr: turbo::thread_pointer(),
            kinds: Vec::new(),
            tallies: kinds.map(|kinds| vec![None; kinds]).collect(),
            found: BTreeMap::new(),
            started: Instant::now(),
            summary: Summary {
                plan,
                encodings: 0,
                table: Vec::new(),
                singles: 0,
                sequences: 0,
                executions: 0,
                flags_differ: 0,
                different: 0,
                by_chance: 0,
                refused: 0,
                differences: Vec::new(),
                seconds: 0.0,
            },
        })
    }

    /// All of it.
    pub fn run(mut self) -> Summary {
        self.probe();
        for _ in 0..self.plan.singles {
            let kinds = self.kinds.clone();
            for some in kinds.chunks(UNITS) {
                let some: Vec<Vec<Kind>> = some.iter().map(|kind| vec![*kind]).collect();
                self.batch(&some);
            }
            self.progress();
        }
        let groups = self.groups();
        let mut left = self.plan.sequences as usize;
        while left > 0 {
            let count = left.min(UNITS);
            let choices: Vec<_> = (0..count).map(|_| self.choose(&groups)).collect();
            self.batch(&choices);
            left -= count;
            if left % (UNITS * 100) < UNITS {
                self.progress();
            }
        }
        let rows = CLASSES.iter().zip(&self.tallies).map(|(class, tallies)| {
            let tallies = tallies.iter().flatten().copied().collect();
            (class.name, tallies)
        });
        self.summary.table = rows.collect();
        self.summary.seconds = self.started.elapsed().as_secs_f64();
        self.summary
    }

    fn tally(&mut self, kind: Kind) -> &mut Option<Tally> {
        &mut self.tallies[usize::from(kind.class)][usize::from(kind.number)]
    }

    fn progress(&self) {
        let summary = &self.summary;
        eprintln!(
            "{:7.1} s: {} sequences of one, {} of several, {} executions, {} different",
            self.started.elapsed().as_secs_f64(),
            summary.singles,
            summary.sequences,
            summary.executions,
            summary.different,
        );
    }

    /// Finds out which encodings the processor has.
    fn probe(&mut self) {
        let all = Kind::all().filter(|kind| kind.class().name.contains(&self.plan.only));
        let all: Vec<Kind> = all.collect();
        self.summary.encodings = all.len();
        for some in all.chunks(UNITS / SAMPLES) {
            self.restart();
            let mut units = Vec::with_capacity(UNITS);
            for kind in some {
                for _ in 0..SAMPLES {
                    let (sequence, unit) = self.write(&[*kind]);
                    let step = &sequence.steps[0];
                    units.push((*kind, unit, step.words[step.at]));
                }
            }
            for (kind, unit, sample) in units {
                if self.tally(kind).is_some() {
                    continue;
                }
                let start = self.pool.state(&mut self.rng, 0, self.tpidr);
                self.machine.load(&start);
                if self.machine.execute(unit).is_ok() {
                    let tally = Tally {
                        sample,
                        ..Tally::default()
                    };
                    *self.tally(kind) = Some(tally);
                    self.kinds.push(kind);
                }
            }
        }
        eprintln!(
            "the processor has {} of {} encodings",
            self.kinds.len(),
            all.len()
        );
    }

    /// The encodings there are, by group and class.
    fn groups(&self) -> [Choice; 5] {
        use Group::*;
        [Integer, Control, Memory, Float, Vector].map(|group| {
            let is_of = |kind: &&Kind| kind.class().group == group;
            let all: Vec<Kind> = self.kinds.iter().filter(is_of).copied().collect();
            let by_class = all.chunk_by(|a, b| a.class == b.class);
            let by_class = by_class.map(<[Kind]>::to_vec).collect();
            Choice { all, by_class }
        })
    }

    /// Encodings for a sequence.
    fn choose(&mut self, [integer, control, memory, float, vector]: &[Choice; 5]) -> Vec<Kind> {
        let rng = &mut self.rng;
        let one = |rng: &mut Rng| {
            // Half of what is not a branch: Advanced SIMD, which has the most.
            let choice = match rng.u32(..16) {
                0..3 => integer,
                3 => control,
                4..7 => memory,
                7..9 => float,
                9..12 => return rng.choice(&vector.all).copied(),
                _ => vector,
            };
            rng.choice(&choice.by_class)
                .and_then(|class| rng.choice(class))
                .copied()
        };
        (0..rng.usize(2..=LENGTH))
            .filter_map(|_| one(rng))
            .collect()
    }

    fn restart(&mut self) {
        let base = if self.rng.bool() {
            Base::X28
        } else {
            Base::X15
        };
        turbo::forget(self.machine.code_range());
        self.machine.clear(base);
        self.pool.refresh(&mut self.rng, UNITS);
    }

    /// Makes a sequence of these and writes it.
    fn write(&mut self, kinds: &[Kind]) -> (Sequence, Unit) {
        let place = trial::place(&self.machine, &mut self.rng, WORDS);
        let mut sequence = Sequence::default();
        let mut open_load: Option<usize> = None;
        for kind in kinds {
            let class = kind.class();
            sequence.push(&mut self.rng, *kind, place);
            match class.need {
                Need::Exclusive => open_load = Some(sequence.steps.len() - 1),
                // QEMU gives up a reservation when it lets another thread run.
                _ if class.group == Group::Memory || class.name == "Hints" => open_load = None,
                _ => {}
            }
            if let Some(load) = open_load
                && self.rng.u32(..3) == 0
                && let Some(store) = self.store_for(sequence.steps[load].kind)
            {
                sequence.push_store_of(&mut self.rng, load, store, place);
                open_load = None;
            }
        }
        sequence.resolve(&mut self.rng, place);
        let words: Vec<u32> = sequence.words().collect();
        let unit = self.machine.write(place.code, &words);
        (sequence, unit)
    }

    /// The exclusive store of the same size as a load.
    fn store_for(&mut self, load: Kind) -> Option<Kind> {
        // Size and whether it is a pair, in the same bits of both.
        const SAME: u32 = 0xc020_0000;
        let of = |kind: Kind| {
            let class = kind.class();
            (class.fixed() | class.key(kind.number.into())) & SAME
        };
        let stores: Vec<Kind> = self
            .kinds
            .iter()
            .filter(|kind| kind.class().need == Need::ExclusiveStore && of(**kind) == of(load))
            .copied()
            .collect();
        self.rng.choice(&stores).copied()
    }

    /// Writes sequences of these kinds, and executes them.
    fn batch(&mut self, choices: &[Vec<Kind>]) {
        self.restart();
        let units: Vec<_> = choices.iter().map(|kinds| self.write(kinds)).collect();
        for (sequence, unit) in units {
            if sequence.steps.len() == 1 {
                self.summary.singles += 1;
            } else {
                self.summary.sequences += 1;
            }
            let fpcr = values::modes(&mut self.rng);
            for _ in 0..self.plan.states {
                let start = self.pool.state(&mut self.rng, fpcr, self.tpidr);
                if !self.one(&sequence, unit, &start) {
                    break;
                }
            }
        }
    }

    /// Executes a sequence; false if there is no use in doing so again.
    fn one(&mut self, sequence: &Sequence, unit: Unit, start: &State) -> bool {
        let outcome = trial::run(&mut self.machine, unit, start);
        let (flags, help) = match outcome {
            Outcome::Same(flags, help) => (flags, help),
            Outcome::Impossible(fault) if fault.signal == libc::SIGILL => {
                self.summary.refused += 1;
                return false;
            }
            Outcome::Impossible(fault) => panic!(
                "a sequence of the fuzzer's own faults: {fault:x?} in {:08x?}",
                sequence.words().collect::<Vec<_>>()
            ),
            Outcome::Different(difference) if self.is_chance(sequence, unit, start) => {
                self.summary.executions += 1;
                self.summary.by_chance += 1;
                eprint!("different once in {AGAIN} times:\n{}", difference.text());
                return true;
            }
            Outcome::Different(_) | Outcome::Stuck(_) => {
                self.summary.executions += 1;
                self.different(sequence, unit, start);
                return false;
            }
        };
        self.summary.executions += 1;
        self.summary.flags_differ += u64::from(flags != 0);
        let is_alone = sequence.steps.len() == 1;
        for step in &sequence.steps {
            let tally = self.tally(step.kind).as_mut().expect("probed");
            tally.executed += 1;
            if is_alone {
                tally.alone += 1;
                tally.flags |= flags;
                tally.flags_differ += u64::from(flags != 0);
            }
        }
        let Help {
            unknown,
            exceptions,
        } = help;
        for (pc, is_unknown) in unknown
            .iter()
            .map(|pc| (pc, true))
            .chain(exceptions.iter().map(|pc| (pc, false)))
        {
            let kind = sequence.kind_at(((pc - unit.code()) / 4) as usize);
            if let Some(tally) = kind.and_then(|kind| self.tally(kind).as_mut()) {
                tally.unknown += u64::from(is_unknown);
                tally.exceptions += u64::from(!is_unknown);
            }
        }
        true
    }

    /// Whether a difference does not come again, and the sequence has what may fail by
    /// chance.
    fn is_chance(&mut self, sequence: &Sequence, unit: Unit, start: &State) -> bool {
        let is_store = |kind: Kind| kind.class().need == Need::ExclusiveStore;
        sequence.steps.iter().any(|step| is_store(step.kind))
            && (0..AGAIN).all(|_| {
                turbo::forget(self.machine.code_range());
                matches!(
                    trial::run(&mut self.machine, unit, start),
                    Outcome::Same(..)
                )
            })
    }

    /// Looks into a difference.
    fn different(&mut self, sequence: &Sequence, unit: Unit, start: &State) {
        self.summary.different += 1;
        if self.summary.differences.len() >= MOST_DIFFERENCES {
            return;
        }
        let known = |sequence: &Sequence, found: &BTreeMap<Vec<Kind>, usize>| {
            let kinds = remaining(sequence);
            (
                found.get(&kinds).copied().unwrap_or(0) >= MOST_OF_A_KIND,
                kinds,
            )
        };
        if known(sequence, &self.found).0 {
            return;
        }
        let differs =
            |outcome: &Outcome| matches!(outcome, Outcome::Different(_) | Outcome::Stuck(_));
        let machine = &mut self.machine;
        let (least, state, outcome) =
            trial::shrink(machine, unit, sequence.clone(), *start, differs);
        // As it was, for the sequences that follow.
        let words: Vec<u32> = sequence.words().collect();
        turbo::forget(machine.code_range());
        machine.rewrite(unit, &words);
        let (is_known, kinds) = known(&least, &self.found);
        if is_known {
            return;
        }
        *self.found.entry(kinds.clone()).or_default() += 1;
        let finding = Finding {
            words: least.words().collect(),
            classes: kinds.iter().map(|kind| kind.class().name).collect(),
            start: trial::describe(&state),
            difference: match outcome {
                Outcome::Different(difference) => difference.text(),
                Outcome::Stuck(trouble) => format!("    {trouble}\n"),
                Outcome::Same(..) | Outcome::Impossible(_) => {
                    "    nothing, the second time\n".into()
                }
            },
        };
        eprint!("{}", finding.text());
        self.summary.differences.push(finding);
    }
}

/// The instructions that were not replaced by nothing.
fn remaining(sequence: &Sequence) -> Vec<Kind> {
    let steps = sequence.steps.iter().enumerate();
    steps
        .filter(|(index, _)| !sequence.is_empty_at(*index))
        .map(|(_, step)| step.kind)
        .collect()
}

impl Finding {
    /// What someone who looks into it needs.
    pub fn text(&self) -> String {
        let words: Vec<String> = self
            .words
            .iter()
            .map(|word| format!("{word:08x}"))
            .collect();
        format!(
            "different: {}\n  code\n    {}\n  from\n{}  in\n{}",
            self.classes.join(", "),
            words.join(" "),
            self.start,
            self.difference
        )
    }
}

impl Summary {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let all = || self.table.iter().flat_map(|(_, tallies)| tallies);
        let count = |is: fn(&Tally) -> bool| all().filter(|tally| is(tally)).count();
        let _ = writeln!(
            text,
            "seed {}: {} sequences of one instruction, {} of several, {} executions in {:.0} s\n\
             encodings: {} of {} looked for; {} unknown to the translator, {} raise exceptions there\n\
             FPSR's exception flags alone differed in {} executions ({} encodings)\n\
             different: {}; by chance: {}",
            self.plan.seed,
            self.singles,
            self.sequences,
            self.executions,
            self.seconds,
            all().count(),
            self.encodings,
            count(|tally| tally.unknown != 0),
            count(|tally| tally.exceptions != 0),
            self.flags_differ,
            count(|tally| tally.flags != 0),
            self.different,
            self.by_chance,
        );
        text.push_str("\n| class | encodings | executions | unknown |\n|---|---:|---:|---:|\n");
        for (class, tallies) in &self.table {
            let executed: u64 = tallies.iter().map(|tally| tally.executed).sum();
            let unknown = tallies.iter().filter(|tally| tally.unknown != 0).count();
            let encodings = tallies.len();
            let _ = writeln!(text, "| {class} | {encodings} | {executed} | {unknown} |");
        }
        text
    }
}
