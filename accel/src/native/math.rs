//! The host's math library.

use iotdec_wire::door::{Function, Status, TESTED_GLIBC};
use std::ffi::CStr;
use std::sync::OnceLock;

/// A function's result in bits, from its number and the bits of its arguments.
pub fn evaluate(values: &[u64; 6]) -> Result<u64, Status> {
    let [function, a, b, ..] = *values;
    let function = u32::try_from(function).ok().and_then(Function::from_code);
    let function = function.ok_or(Status::NoService)?;
    if !is_tested() || !modes_are_default() {
        return Err(Status::Declined);
    }
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    let (s, t) = (f32::from_bits(a as u32), f32::from_bits(b as u32));
    let double = |value: f64| value.to_bits();
    let single = |value: f32| u64::from(value.to_bits());
    // The standard library's methods are calls of the C library's functions.
    Ok(match function {
        Function::Exp => double(x.exp()),
        Function::Log => double(x.ln()),
        Function::Log2 => double(x.log2()),
        Function::Log10 => double(x.log10()),
        Function::Pow => double(x.powf(y)),
        Function::Sin => double(x.sin()),
        Function::Cos => double(x.cos()),
        Function::Tan => double(x.tan()),
        Function::Asin => double(x.asin()),
        Function::Acos => double(x.acos()),
        Function::Atan => double(x.atan()),
        Function::Atan2 => double(x.atan2(y)),
        Function::Fmod => double(x % y),
        Function::ExpF => single(s.exp()),
        Function::Exp2F => single(s.exp2()),
        Function::LogF => single(s.ln()),
        Function::Log2F => single(s.log2()),
        Function::Log10F => single(s.log10()),
        Function::PowF => single(s.powf(t)),
        Function::SinF => single(s.sin()),
        Function::CosF => single(s.cos()),
        Function::FmodF => single(s % t),
    })
}

/// Whether this process has the library that was compared, and the processor for which
/// it uses the same fused operations as on aarch64.
fn is_tested() -> bool {
    static IS_TESTED: OnceLock<bool> = OnceLock::new();
    *IS_TESTED.get_or_init(|| {
        // SAFETY: returns a constant C string.
        let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
        version.to_bytes() == TESTED_GLIBC.as_bytes()
            && std::is_x86_feature_detected!("fma")
            && std::is_x86_feature_detected!("avx2")
    })
}

/// Whether the calling thread rounds to nearest and keeps subnormals. QEMU's threads
/// do, and the translator restores that before it calls; a guest cannot change it.
fn modes_are_default() -> bool {
    /// Exceptions that have happened; all else is modes (Intel SDM, 10.2.3).
    const FLAGS: u32 = 0x3f;
    const DEFAULT: u32 = 0x1f80;
    let mut modes = 0u32;
    // SAFETY: stores the register to `modes`.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &mut modes, options(nostack, preserves_flags));
    }
    modes & !FLAGS == DEFAULT
}
