//! What the accelerator's ways in and out cost, measured from the guest's side.

use crate::accel::Mode;

#[cfg(target_arch = "aarch64")]
pub use imp::{OPERATIONS, batches};

/// What an operation is, and the nanoseconds that it took in each batch.
pub type Cost = (&'static str, Vec<f64>);

/// Runs the command: prints nanoseconds an operation, batch by batch.
pub fn run(mode: Mode) -> Result<(), String> {
    print(imp::measure(mode)?);
    Ok(())
}

/// Tells costs to whoever started us.
pub fn print(costs: Vec<Cost>) {
    let costs: Vec<_> = costs
        .into_iter()
        .map(|(what, ns)| format!("{{\"what\":\"{what}\",\"ns\":{ns:.1?}}}"))
        .collect();
    println!("{{\"costs\":[{}]}}", costs.join(","));
}

#[cfg(target_arch = "aarch64")]
mod imp {
    use super::Cost;
    use crate::accel::{self, Mode};
    use iotdec_wire::door::{Counters, Service, Status};
    use iotdec_wire::knock::knock;
    use std::hint::black_box;
    use std::time::Instant;

    /// Operations of a batch. Few enough that turbo is not given up for them: each batch is
    /// one call.
    pub const OPERATIONS: u32 = 4_000;
    /// Batches, after one that is not counted, in which code is translated.
    const BATCHES: usize = 25;

    /// Nanoseconds an operation in each batch of [`OPERATIONS`].
    pub fn batches(mut batch: impl FnMut()) -> Vec<f64> {
        batch();
        let time = |_| {
            let start = Instant::now();
            batch();
            start.elapsed().as_secs_f64() * 1e9 / f64::from(OPERATIONS)
        };
        (0..BATCHES).map(time).collect()
    }

    pub fn measure(mode: Mode) -> Result<Vec<Cost>, String> {
        let mut costs = vec![
            ("function call", batches(|| repeat(nothing))),
            ("system call", batches(|| repeat(system_call))),
            ("instruction (sqdmull)", batches(|| repeat(unknown))),
        ];
        if mode >= Mode::Native {
            let count = |counters: Counters| counters.native_calls;
            let ns = checked(count, || repeat(native_call))?;
            costs.push(("native call", ns));
        }
        if mode >= Mode::Turbo {
            let entries = |counters: Counters| counters.entries;
            let calls = |counters: Counters| counters.native_calls;
            let unknowns = |counters: Counters| counters.unknown;
            let turbo = |f: fn()| move || accel::run(|| repeat(f));
            costs.extend([
                (
                    "turbo, in and out",
                    checked(entries, || repeat(|| accel::run(nothing)))?,
                ),
                ("in turbo: function call", batches(turbo(nothing))),
                ("in turbo: native call", checked(calls, turbo(native_call))?),
                ("in turbo: system call", batches(turbo(system_call))),
                (
                    "in turbo: the same instruction, which it does not know",
                    checked(unknowns, turbo(unknown))?,
                ),
            ]);
        }
        Ok(costs)
    }

    /// The same of operations that the accelerator counts: each of them must have been
    /// what it is taken for.
    fn checked(count: fn(Counters) -> u64, batch: impl FnMut()) -> Result<Vec<f64>, String> {
        let now = || accel::counters().map_or(0, count);
        let before = now();
        let ns = batches(batch);
        let expected = u64::from(OPERATIONS) * (BATCHES as u64 + 1);
        let counted = now() - before;
        match counted >= expected {
            true => Ok(ns),
            false => Err(format!(
                "{expected} operations were to be measured, but the accelerator counts {counted}"
            )),
        }
    }

    #[inline(always)]
    fn repeat(operation: impl Fn()) {
        for _ in 0..OPERATIONS {
            operation();
        }
    }

    #[inline(never)]
    fn nothing() {
        black_box(());
    }

    /// One that does nothing, which the C library does not answer from memory.
    fn system_call() {
        // SAFETY: returns a number.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }

    static SOMEWHERE: u8 = 0;

    /// Copies nothing.
    fn native_call() {
        let here = &raw const SOMEWHERE as u64;
        let status = knock(Service::Move, &mut [here, here, 0, 0, 0, 0]);
        debug_assert_eq!(status, Status::Done);
    }

    /// An instruction of Armv8.0 that the second translator does not know.
    fn unknown() {
        // SAFETY: changes a register that it says it changes, and the flag of saturation,
        // which nobody reads.
        unsafe {
            std::arch::asm!("sqdmull s0, h0, h0", out("v0") _, options(nomem, nostack));
        }
    }
}

#[cfg(not(target_arch = "aarch64"))]
mod imp {
    use crate::accel::Mode;

    pub fn measure(_: Mode) -> Result<Vec<(&'static str, Vec<f64>)>, String> {
        Err("a native worker has no accelerator".into())
    }
}
