//! What registers and memory hold at the start: as a rule not what is likely, but
//! where results are known to go wrong.

use fastrand::Rng;
use iotdec_wire::door::Context;

/// Bytes of memory that code may access, across a page's end.
pub const SCRATCH: usize = 1024;

/// Everything that an execution depends on but the code.
#[derive(Clone, Copy)]
pub struct State {
    /// Registers. The program counter is not used.
    pub context: Context,
    /// Memory.
    pub scratch: [u8; SCRATCH],
}

/// FPCR's fields that the processor has (Arm ARM, C5.2.7): AHP, DN, FZ, RMode.
const MODES: [u32; 4] = [1 << 26, 1 << 25, 1 << 24, 3 << 22];

/// A value for FPCR; half of the time that of a new process.
pub fn modes(rng: &mut Rng) -> u32 {
    if rng.bool() {
        return 0;
    }
    let chosen = MODES.iter().fold(0, |chosen, field| {
        chosen | if rng.bool() { *field } else { 0 }
    });
    chosen & (rng.u32(..) | !MODES[3])
}

/// Values to choose from, in any order: to make as many for each state takes longer than
/// to execute it.
pub struct Pool {
    general: [u64; POOL],
    vector: [u64; POOL],
    next: usize,
}

/// Values of each sort.
const POOL: usize = 4096;

impl Pool {
    /// A full pool.
    pub fn new(rng: &mut Rng) -> Self {
        let mut pool = Self {
            general: [0; POOL],
            vector: [0; POOL],
            next: 0,
        };
        pool.refresh(rng, POOL);
        pool
    }

    /// Replaces the oldest of its values.
    pub fn refresh(&mut self, rng: &mut Rng, count: usize) {
        for _ in 0..count {
            // Neighbours are of one sort: they become the lanes of one state.
            let style = (self.next / 128 % 4) as u32;
            self.general[self.next] = general(rng);
            self.vector[self.next] = vector(rng, style);
            self.next = (self.next + 1) % POOL;
        }
    }

    /// A state with these modes of floating point.
    pub fn state(&self, rng: &mut Rng, fpcr: u32, tpidr: u64) -> State {
        let mut context: Context = bytemuck::Zeroable::zeroed();
        let mut from = |values: &[u64; POOL], to: &mut [u64]| {
            let start = rng.usize(..POOL - to.len());
            to.copy_from_slice(&values[start..][..to.len()]);
        };
        from(&self.general, &mut context.x);
        from(&self.vector, context.v.as_flattened_mut());
        let mut scratch = [0u64; SCRATCH / 8];
        from(&self.vector, &mut scratch);
        context.sp = rng.u64(..);
        context.tpidr = tpidr;
        context.nzcv = rng.u32(..) & 0xf000_0000;
        context.fpcr = fpcr;
        // QC, and the exceptions' flags: set before, or clear.
        context.fpsr = if rng.bool() {
            0
        } else {
            rng.u32(..) & 0x0800_009f
        };
        let scratch = bytemuck::cast(scratch);
        State { context, scratch }
    }
}

/// For a general register.
fn general(rng: &mut Rng) -> u64 {
    match rng.u32(..4) {
        0 => rng.u64(..),
        1 => integer(rng, 64),
        2 => integer(rng, 32) | if rng.bool() { rng.u64(..) << 32 } else { 0 },
        _ => u64::from(rng.u8(..)).wrapping_sub(128),
    }
}

/// For half a vector register, with lanes of this kind as a rule.
fn vector(rng: &mut Rng, style: u32) -> u64 {
    match (style, rng.u32(..8)) {
        (_, 0) => rng.u64(..),
        (0, _) | (_, 1) => lanes(rng, 8),
        (1, _) | (_, 2) => lanes(rng, 16),
        (2, _) | (_, 3) => lanes(rng, 32),
        _ => lanes(rng, 64),
    }
}

fn lanes(rng: &mut Rng, bits: u32) -> u64 {
    let mut all = 0;
    for lane in 0..64 / bits {
        let value = match rng.u32(..8) {
            0 => integer(rng, bits),
            1 => rng.u64(..),
            _ => float(rng, bits),
        };
        all |= (value & u64::MAX >> (64 - bits)) << (lane * bits);
    }
    all
}

/// An integer at an edge.
fn integer(rng: &mut Rng, bits: u32) -> u64 {
    let power = 1u64 << rng.u32(..bits);
    let value = match rng.u32(..6) {
        0 => 0,
        1 => u64::MAX,
        2 => power,
        3 => power.wrapping_neg(),
        4 => power - 1,
        _ => rng.u64(..) >> rng.u32(..64),
    };
    value & u64::MAX >> (64 - bits)
}

/// A floating-point number at an edge; an integer where there are none of that size.
fn float(rng: &mut Rng, bits: u32) -> u64 {
    let fraction_bits = match bits {
        16 => 10,
        32 => 23,
        64 => 52,
        _ => return integer(rng, bits),
    };
    let sign = u64::from(rng.bool()) << (bits - 1);
    let one = (1u64 << (bits - fraction_bits - 2)) - 1;
    let most = 2 * one + 1;
    let quiet = 1u64 << (fraction_bits - 1);
    let fraction = match rng.u32(..4) {
        0 => 0,
        1 => 1 << rng.u32(..fraction_bits),
        2 => u64::MAX,
        _ => rng.u64(..),
    } & ((1 << fraction_bits) - 1);
    let (exponent, fraction) = match rng.u32(..16) {
        0 => (0, 0),
        1 => (0, fraction),
        2 => (1, fraction),
        3 => (most - 1, fraction),
        4 => (most, 0),
        5 => (most, quiet | fraction),
        6 => (most, fraction | 1),
        7 => (most, (fraction & (quiet - 1)) | 1),
        8 | 9 => (one, fraction),
        // Around where conversions to integers end, and halves.
        10..=12 => (
            (one + rng.u64(..66)).saturating_sub(2).min(most - 1),
            fraction,
        ),
        _ => (rng.u64(..most), fraction),
    };
    sign | exponent << fraction_bits | fraction
}
