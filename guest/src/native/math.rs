//! Functions of `math.h`.
//!
//! The host's are used where the guest's would do nothing but return the same number:
//! every mode of floating point is at its default, the flag of inexact results is set
//! already (the only one such a call sets), arguments and result are normal numbers.
//! Everything else is the guest's: zeros, subnormals, infinities, NaN, and with them
//! `errno`. Which functions agree was tried: `docs/native.md`.

use super::function::{NEVER, stand_in};
use super::memory::ask;
use iotdec_wire::door::{Function, Service, TESTED_GLIBC};
use std::ffi::CStr;

/// The size of a call: greater than any limit but [`NEVER`].
const ANY: usize = NEVER - 1;
/// Pays for every call, under QEMU for all of them.
const ALWAYS: usize = 0;

macro_rules! math {
    ($($symbol:ident: $float:ty, $function:ident, $x:ident $($y:ident)?, $turbo:ident;)*) => {
        stand_in! {$(
            fn $symbol($x: $float $(, $y: $float)?) -> $float,
            as $symbol, of ANY over ALWAYS or $turbo => {
                let is_plain = $x.is_normal() $(&& $y.is_normal())? && leaves_no_trace();
                let bits = [$x.to_bits().into() $(, $y.to_bits().into())?];
                is_plain
                    .then(|| evaluate(Function::$function, &bits))
                    .flatten()
                    .map(|bits| <$float>::from_bits(bits as _))
                    .filter(|result| result.is_normal())
            };
        )*}
    };
}

// The last word says whether it pays in turbo.
math! {
    exp: f64, Exp, x, ALWAYS;
    log: f64, Log, x, NEVER;
    log2: f64, Log2, x, NEVER;
    log10: f64, Log10, x, NEVER;
    pow: f64, Pow, x y, ALWAYS;
    sin: f64, Sin, x, NEVER;
    cos: f64, Cos, x, NEVER;
    tan: f64, Tan, x, ALWAYS;
    asin: f64, Asin, x, ALWAYS;
    acos: f64, Acos, x, ALWAYS;
    atan: f64, Atan, x, ALWAYS;
    atan2: f64, Atan2, y x, ALWAYS;
    fmod: f64, Fmod, x y, ALWAYS;
    expf: f32, ExpF, x, ALWAYS;
    exp2f: f32, Exp2F, x, NEVER;
    logf: f32, LogF, x, NEVER;
    log2f: f32, Log2F, x, NEVER;
    log10f: f32, Log10F, x, NEVER;
    powf: f32, PowF, x y, ALWAYS;
    sinf: f32, SinF, x, ALWAYS;
    cosf: f32, CosF, x, ALWAYS;
    fmodf: f32, FmodF, x y, ALWAYS;
}

/// The host's result in bits.
fn evaluate(function: Function, arguments: &[u64]) -> Option<u64> {
    let [x, y] = [arguments[0], arguments.get(1).copied().unwrap_or(0)];
    ask(Service::Math, [function.code().into(), x, y])
}

/// Whether both sides have the library whose functions were compared.
pub fn is_tested() -> bool {
    // SAFETY: returns a constant C string.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    let one = 1f64.to_bits();
    version.to_bytes() == TESTED_GLIBC.as_bytes() && evaluate(Function::Exp, &[one]).is_some()
}

/// Whether rounding, flushing and traps are at their defaults (FPCR is zero), and an
/// inexact result sets no flag that is not set yet (IXC of FPSR).
fn leaves_no_trace() -> bool {
    const IXC: u64 = 1 << 4;
    let (fpcr, fpsr): (u64, u64);
    // SAFETY: reads two registers.
    unsafe {
        std::arch::asm!(
            "mrs {}, fpcr",
            "mrs {}, fpsr",
            out(reg) fpcr,
            out(reg) fpsr,
            options(nomem, nostack, preserves_flags),
        );
    }
    fpcr == 0 && fpsr & IXC != 0
}
