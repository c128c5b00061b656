//! Functions of the math library give the library's own bits, flags and `errno`.

use super::{Random, accelerated, is_full, native_calls};
use crate::native::math as own;

/// FPCR: rounding modes, flushing of subnormals, one NaN for all.
const MODES: [u64; 6] = [0, 1 << 22, 2 << 22, 3 << 22, 1 << 24, 1 << 25];

/// Runs with these modes and no flags set but `flags`; also the flags that there are
/// afterwards, and `errno`.
fn observe<R>(mode: u64, flags: u64, call: impl FnOnce() -> R) -> (R, u64, i32) {
    // SAFETY: each thread has its own `errno`; the modes are put back before anything
    // else is computed.
    unsafe {
        *libc::__errno_location() = 0;
        std::arch::asm!("msr fpcr, {}", "msr fpsr, {}", in(reg) mode, in(reg) flags);
        let result = call();
        let after: u64;
        std::arch::asm!("mrs {}, fpsr", "msr fpcr, xzr", out(reg) after);
        (result, after, *libc::__errno_location())
    }
}

/// Doubles of all kinds: any bits, ranges that matter, few bits, multiples of π/4, the
/// ends of every range.
fn double(random: &mut Random) -> f64 {
    let bits = random.next();
    let unit = (bits as i64) as f64 / i64::MAX as f64;
    match random.below(9) {
        0 => f64::from_bits(bits),
        1 => unit * 800.0,
        2 => unit * 4.0,
        3 => 1.0 + unit / (1u64 << random.below(52)) as f64,
        4 => (unit * 64.0).round() * (random.below(100) as f64 - 60.0).exp2(),
        5 => (random.below(2001) as f64) - 1000.0,
        6 => {
            let multiple = (random.below(4001) as f64 - 2000.0) * std::f64::consts::FRAC_PI_4;
            f64::from_bits(
                multiple
                    .to_bits()
                    .wrapping_add(random.below(7) as u64)
                    .wrapping_sub(3),
            )
        }
        7 => {
            let ends = [
                0.0,
                f64::MIN_POSITIVE,
                f64::MAX,
                f64::INFINITY,
                f64::NAN,
                709.79,
                1.0,
                f64::EPSILON,
            ];
            let end = ends[random.below(ends.len())];
            let near = end
                .to_bits()
                .wrapping_add(random.below(5) as u64)
                .wrapping_sub(2);
            f64::from_bits(near | bits & 1 << 63)
        }
        _ => f64::from_bits(bits & !(0x7ff << 52) | (1011 + random.below(24) as u64) << 52),
    }
}

/// The same in single precision.
fn single(random: &mut Random) -> f32 {
    match random.below(6) {
        0 => f32::from_bits(random.next() as u32),
        _ => double(random) as f32,
    }
}

macro_rules! compare {
    ($($symbol:ident: $input:ident($($argument:ident),*);)*) => {$(
        #[test]
        fn $symbol() {
            accelerated(|| {
                let count = if is_full() { 5_000_000 } else { 50_000 };
                let mut random = Random(0x1234_5678_9abc_def1);
                let before = native_calls();
                for round in 0..count {
                    $(let $argument = $input(&mut random);)*
                    // The usual one first; flags of inexact and invalid results.
                    let mode = if round % 8 == 0 { MODES[random.below(MODES.len())] } else { 0 };
                    let flags = if round % 16 == 1 { 0 } else { 0x10 | random.next() & 1 };
                    // SAFETY: numbers.
                    let ours = observe(mode, flags, || unsafe { own::$symbol::$symbol($($argument),*) }.to_bits());
                    // SAFETY: as above.
                    let theirs = observe(mode, flags, || unsafe { own::$symbol::next($($argument),*) }.to_bits());
                    assert!(
                        ours == theirs,
                        "{round}: {:?} in mode {mode:#x}, flags {flags:#x}: {ours:x?} instead of {theirs:x?}",
                        ($($argument,)*),
                    );
                }
                let native = native_calls() - before;
                println!("{native} of {count}");
                assert!(native > count / 8, "{native}");
            });
        }
    )*};
}

compare! {
    exp: double(x);
    log: double(x);
    log2: double(x);
    log10: double(x);
    pow: double(x, y);
    sin: double(x);
    cos: double(x);
    tan: double(x);
    asin: double(x);
    acos: double(x);
    atan: double(x);
    atan2: double(y, x);
    fmod: double(x, y);
    expf: single(x);
    exp2f: single(x);
    logf: single(x);
    log2f: single(x);
    log10f: single(x);
    powf: single(x, y);
    sinf: single(x);
    cosf: single(x);
    fmodf: single(x, y);
}
