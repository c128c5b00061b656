//! Makes sequences of instructions that stay where they are: accesses go to the
//! scratch memory, branches to a later instruction of the sequence.

use crate::template::{CLASSES, Class, Group, Need};
use crate::values::{self, SCRATCH};
use fastrand::Rng;

/// `nop`.
pub const NOP: u32 = 0xd503_201f;
/// `clrex`.
const CLREX: u32 = 0xd503_3f5f;
/// What an access may reach beyond its address.
const SLACK: u64 = 64;
/// The stack pointer or the zero register.
const R31: u32 = 31;

/// One instruction of a class's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// Index into [`CLASSES`].
    pub class: u16,
    /// See [`Class::key`].
    pub number: u16,
}

impl Kind {
    /// Its class.
    pub fn class(self) -> &'static Class {
        &CLASSES[usize::from(self.class)]
    }

    /// Every kind there could be.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u16..).zip(CLASSES).flat_map(|(class, row)| {
            (0..row.kinds()).map(move |number| Self {
                class,
                number: number as u16,
            })
        })
    }
}

/// Where code and its data will be.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Where the first instruction will be.
    pub code: u64,
    /// The start of the scratch memory.
    pub scratch: u64,
    /// The register that is never written, and what it holds.
    pub base: (u32, u64),
}

/// An instruction with what it needs, which only make sense together.
#[derive(Clone, Debug)]
pub struct Step {
    /// The instruction.
    pub kind: Kind,
    /// The words, of which `at` is the instruction.
    pub words: Vec<u32>,
    /// See `words`.
    pub at: usize,
}

/// Instructions in a row.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// In order.
    pub steps: Vec<Step>,
}

impl Sequence {
    /// All words.
    pub fn words(&self) -> impl Iterator<Item = u32> {
        self.steps
            .iter()
            .flat_map(|step| step.words.iter().copied())
    }

    /// The number of words.
    pub fn len(&self) -> usize {
        self.steps.iter().map(|step| step.words.len()).sum()
    }

    /// The instruction that a word belongs to.
    pub fn kind_at(&self, mut word: usize) -> Option<Kind> {
        for step in &self.steps {
            if word < step.words.len() {
                return Some(step.kind);
            }
            word -= step.words.len();
        }
        None
    }

    /// The same with one step doing nothing, in the same place.
    pub fn without(&self, step: usize) -> Self {
        let mut copy = self.clone();
        copy.steps[step].words.fill(NOP);
        copy
    }

    /// Whether a step was replaced by [`Self::without`].
    pub fn is_empty_at(&self, step: usize) -> bool {
        self.steps[step].words.iter().all(|word| *word == NOP)
    }

    /// Appends an instruction.
    pub fn push(&mut self, rng: &mut Rng, kind: Kind, place: Place) {
        let at = place.code + 4 * self.len() as u64;
        let mut maker = Maker { rng, place, at };
        let (words, at) = maker.make(kind);
        self.steps.push(Step { kind, words, at });
    }

    /// Appends the store that a load-exclusive before was for.
    pub fn push_store_of(&mut self, rng: &mut Rng, load: usize, kind: Kind, place: Place) {
        let before = &self.steps[load];
        let (load_word, mut words) = (before.words[before.at], before.words.clone());
        let mut maker = Maker { rng, place, at: 0 };
        let n = register(load_word, b'n', before.kind.class());
        // The same base, set up the same way.
        words.truncate(before.at);
        words.push(maker.word_on(kind, n, R31));
        let at = before.at;
        self.steps.push(Step { kind, words, at });
    }

    /// Lets branches go somewhere: a few steps ahead, at most to the end.
    pub fn resolve(&mut self, rng: &mut Rng, place: Place) {
        let mut starts = Vec::new();
        let mut at = 0u64;
        for step in &self.steps {
            starts.push(at);
            at += 4 * step.words.len() as u64;
        }
        starts.push(at);
        for (index, step) in self.steps.iter_mut().enumerate() {
            let to = starts[(index + 1 + rng.usize(..4)).min(starts.len() - 1)];
            let here = starts[index] + 4 * step.at as u64;
            let words = ((to - here) / 4) as u32;
            let word = &mut step.words[step.at];
            match step.kind.class().need {
                Need::Target(bits) => {
                    *word = *word & !(((1 << bits) - 1) << 5) | words << 5;
                }
                Need::FarTarget => *word = *word & !((1 << 26) - 1) | words,
                Need::TargetRegister => {
                    let n = *word >> 5 & 31;
                    let away = place.code + to - (place.code + starts[index]);
                    step.words[0] = adr(n, away as u32);
                }
                _ => {}
            }
        }
    }
}

/// The register in the field of this letter; [`R31`] if there is none.
fn register(word: u32, letter: u8, class: &Class) -> u32 {
    match class.mask(letter) {
        0 => R31,
        mask => (word & mask) >> mask.trailing_zeros(),
    }
}

/// `adr xd, #offset`, which is small and not negative.
fn adr(d: u32, offset: u32) -> u32 {
    0x1000_0000 | (offset & 3) << 29 | offset >> 2 << 5 | d
}

/// `add xd, xn, #value` or, if it is negative, `sub`, in units of 1 or 4096.
fn add(d: u32, n: u32, value: i64, shifted: bool) -> u32 {
    let subtract = u32::from(value < 0) << 30;
    0x9100_0000
        | subtract
        | u32::from(shifted) << 22
        | (value.unsigned_abs() as u32) << 10
        | n << 5
        | d
}

struct Maker<'a> {
    rng: &'a mut Rng,
    place: Place,
    at: u64,
}

impl Maker<'_> {
    /// The words, and which of them is the instruction.
    fn make(&mut self, kind: Kind) -> (Vec<u32>, usize) {
        let class = kind.class();
        let mut words = Vec::with_capacity(4);
        let word = match class.need {
            Need::Nothing | Need::Target(_) | Need::FarTarget => self.word(kind),
            Need::TargetRegister => {
                let n = self.scratch_register(&[]);
                words.push(NOP);
                self.word_on(kind, n, R31)
            }
            Need::Literal => {
                let to = self.target() & !3;
                let offset = (to.wrapping_sub(self.at) as i64 >> 2) as u32;
                self.word(kind) & !(0x7ffff << 5) | (offset & 0x7ffff) << 5
            }
            Need::Modes => {
                let t = self.scratch_register(&[]);
                // `movz xt, #…, lsl #16`
                words.push(0xd2a0_0000 | values::modes(self.rng) >> 16 << 5 | t);
                self.word(kind) & !31 | t
            }
            Need::Saturation => {
                let t = self.scratch_register(&[]);
                let word = self.word(kind) & !31 | t;
                // `and xt, xt, #0x8000000`
                return (vec![word, 0x9265_0000 | t << 5 | t], 0);
            }
            Need::ExclusiveStore => {
                words.push(CLREX);
                self.access(kind, &mut words)
            }
            _ => self.access(kind, &mut words),
        };
        words.push(word);
        let at = words.len() - 1;
        (words, at)
    }

    /// An access, after the words that set up its registers.
    fn access(&mut self, kind: Kind, words: &mut Vec<u32>) -> u32 {
        let class = kind.class();
        let n = if class.need != Need::Block && self.rng.u32(..8) == 0 {
            R31
        } else {
            self.scratch_register(&[])
        };
        let m = match class.mask(b'm') {
            0 => R31,
            _ if self.rng.u32(..8) == 0 => R31,
            _ => self.scratch_register(&[n]),
        };
        let word = self.word_on(kind, n, m);
        let mut to = self.target();
        if matches!(
            class.need,
            Need::Aligned | Need::Exclusive | Need::ExclusiveStore
        ) {
            // A pair is aligned to both.
            to &= !((2 << (word >> 30)) - 1);
        }
        let mut displacement = match class.need {
            Need::Unscaled | Need::PreIndex => signed(word, 12, 9),
            Need::Scaled => i64::from(word >> 10 & 0xfff) << size(word),
            Need::Pair | Need::PairPreIndex => signed(word, 15, 7) << pair_size(word),
            _ => 0,
        };
        if class.need == Need::Index && m != R31 {
            displacement = self.index(word, m, words);
        }
        let mut base = to.wrapping_sub(displacement as u64);
        if n == R31 {
            // The stack pointer is aligned when it is used.
            base &= !15;
        }
        let away = base.wrapping_sub(self.place.base.1) as i64;
        words.push(add(n, self.place.base.0, away >> 12, true));
        words.push(add(n, n, away & 0xfff, false));
        word
    }

    /// Puts an index into `xm`, and answers how far it moves the access of `word`.
    fn index(&mut self, word: u32, m: u32, words: &mut Vec<u32>) -> i64 {
        let small = self.rng.u32(..256);
        let scale = if word >> 12 & 1 != 0 { size(word) } else { 0 };
        let is_wide = word >> 13 & 1 != 0;
        let is_signed = word >> 15 & 1 != 0;
        let may_be_negative = is_wide || is_signed;
        if may_be_negative && self.rng.bool() {
            // `movn xm` or `movn wm`
            words.push(0x1280_0000 | u32::from(is_wide) << 31 | small << 5 | m);
            return !i64::from(small) << scale;
        }
        // `movz xm`
        words.push(0xd280_0000 | small << 5 | m);
        if !is_wide {
            // What is above does not count: `movk xm, #…, lsl #48`
            words.push(0xf2e0_0000 | self.rng.u32(..0x10000) << 5 | m);
        }
        i64::from(small) << scale
    }

    /// An address well within the scratch memory, as often as not near the page's end.
    fn target(&mut self) -> u64 {
        let (from, to) = if self.rng.bool() {
            (SLACK, SCRATCH as u64 - 2 * SLACK)
        } else {
            let middle = SCRATCH as u64 / 2;
            (middle - 20, middle + 4)
        };
        let offset = self.rng.u64(from..to);
        // Most accesses of programs are aligned.
        let mask = if self.rng.bool() { !7 } else { !0 };
        (self.place.scratch + offset) & mask
    }

    /// A register that may be written, other than these.
    fn scratch_register(&mut self, others: &[u32]) -> u32 {
        loop {
            let register = self.rng.u32(..31);
            if register != self.place.base.0 && !others.contains(&register) {
                return register;
            }
        }
    }

    /// The instruction with random fields.
    fn word(&mut self, kind: Kind) -> u32 {
        let class = kind.class();
        let free = class.mask(b'0') | class.mask(b'1') | class.mask(b'k');
        let mut word = class.fixed() | class.key(u32::from(kind.number)) | self.rng.u32(..) & !free;
        for letter in *b"dtus" {
            let mask = class.mask(letter);
            while mask != 0 && register(word, letter, class) == self.place.base.0 {
                word = word & !mask | self.rng.u32(..) & mask;
            }
        }
        word
    }

    /// The instruction with these for `n` and `m`, and no two registers the same where
    /// that has no defined result.
    fn word_on(&mut self, kind: Kind, n: u32, m: u32) -> u32 {
        let class = kind.class();
        let (at_n, at_m) = (class.mask(b'n'), class.mask(b'm'));
        let writes_base = matches!(class.need, Need::PreIndex | Need::PairPreIndex)
            || class.need == Need::Base && class.group == Group::Memory;
        loop {
            let word =
                self.word(kind) & !(at_n | at_m) | n << at_n.trailing_zeros() | (m << 16 & at_m);
            let of = |letter| register(word, letter, class);
            let has = |letter| class.mask(letter) != 0;
            let (t, u, s) = (of(b't'), of(b'u'), of(b's'));
            let clash = has(b'u') && t == u
                || has(b's') && [t, u, n].contains(&s)
                || writes_base && n != R31 && (t == n || has(b'u') && u == n);
            if !clash {
                return word;
            }
        }
    }
}

/// log2 of what a load or store of one register accesses.
fn size(word: u32) -> u32 {
    let is_vector = word >> 26 & 1 != 0;
    // opc<1> of a vector register's: all 128 bits.
    if is_vector && word >> 23 & 1 != 0 {
        4
    } else {
        word >> 30
    }
}

/// log2 of the unit of a pair's immediate.
fn pair_size(word: u32) -> u32 {
    let is_vector = word >> 26 & 1 != 0;
    match (is_vector, word >> 30) {
        (true, opc) => 2 + opc,
        (false, 2) => 3,
        (false, _) => 2,
    }
}

/// A signed field.
fn signed(word: u32, from: u32, bits: u32) -> i64 {
    i64::from((word << (32 - from - bits)) as i32 >> (32 - bits))
}
