//! Executes code by the accelerator's translator.

use crate::machine::{Fault, IN_TURBO, Machine, Unit};
use iotdec_wire::door::{Call, Exit, Service, Status, VERSION, features};
use iotdec_wire::knock::{knock, knock_with, processor};
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;

/// What an execution needed of QEMU.
#[derive(Clone, Debug, Default)]
pub struct Help {
    /// Addresses of instructions that the translator did not know.
    pub unknown: Vec<u64>,
    /// Addresses of instructions that it raised an exception for.
    pub exceptions: Vec<u64>,
}

/// Why an execution did not come to its end.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// The door did not do it.
    Refused(Status),
    /// It left the code, or stopped for no reason: how, and where.
    Elsewhere(Option<Exit>, u64),
    /// What QEMU was to execute did not work there.
    Fault(Fault),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "the door answers {status:?}"),
            Self::Elsewhere(exit, pc) => write!(f, "it stops with {exit:?} at {pc:#x}"),
            Self::Fault(Fault { signal, pc }) => {
                write!(f, "signal {signal} at {pc:#x}, where it asks for QEMU")
            }
        }
    }
}

/// Says hello.
pub fn open() -> Result<(), String> {
    let [ctr_el0, dczid_el0, cntfrq_el0] = processor();
    let mut values = [VERSION, ctr_el0, dczid_el0, cntfrq_el0, 0, 0];
    match knock(Service::Hello, &mut values) {
        Status::Done if values[1] & features::TURBO != 0 => Ok(()),
        Status::Unanswered => Err("there is no accelerator: run QEMU with -plugin".into()),
        status => Err(format!("the accelerator answers {status:?}, {values:x?}")),
    }
}

/// Forgets the code in a range, which is about to change.
pub fn forget((start, length): (u64, u64)) {
    knock(Service::Forget, &mut [start, length, 0, 0, 0, 0]);
}

/// Executes all of a unit from what is in the machine's frame.
pub fn execute(machine: &mut Machine, mut unit: Unit) -> Result<Help, Trouble> {
    IN_TURBO.store(&mut unit, Relaxed);
    let result = until_end(machine, unit);
    IN_TURBO.store(ptr::null_mut(), Relaxed);
    result
}

fn until_end(machine: &mut Machine, unit: Unit) -> Result<Help, Trouble> {
    let frame = machine.frame();
    let base = machine.base().register() as usize;
    let mut help = Help::default();
    // SAFETY: the machine's own frame, which nobody else uses.
    let context = unsafe { &raw mut (*frame).context };
    // SAFETY: as above.
    unsafe {
        (*context).x[base] = frame as u64;
        (*context).pc = unit.code();
    }
    loop {
        // SAFETY: as above. The code accesses the scratch memory alone and comes to the
        // end of the unit.
        let (exit, pc) = unsafe {
            (*context).call = Call::new([unit.end(), 0, 0, 0, 0, 0]);
            knock_with(context.cast(), Service::Run);
            let status = Status::from_code((*context).call.status);
            if status != Some(Status::Done) {
                return Err(Trouble::Refused(status.unwrap_or(Status::Unanswered)));
            }
            (Exit::from_code((*context).exit), (*context).pc)
        };
        // SAFETY: as above.
        let detail = unsafe { (*context).detail };
        let alone = match exit {
            Some(Exit::Returned) => return Ok(help),
            Some(Exit::Pause) => continue,
            Some(Exit::Unknown) => {
                help.unknown.push(pc);
                (pc, detail)
            }
            Some(Exit::Leave) => {
                help.exceptions.push(pc);
                (pc, 1)
            }
            _ => return Err(Trouble::Elsewhere(exit, pc)),
        };
        for index in 0..alone.1 {
            match machine.execute_single(unit, alone.0 + 4 * index) {
                Some(Ok(())) => {}
                Some(Err(fault)) => return Err(Trouble::Fault(fault)),
                None => return Err(Trouble::Elsewhere(exit, alone.0)),
            }
        }
        // SAFETY: as above.
        unsafe { (*context).pc = alone.0 + 4 * alone.1 };
    }
}

/// TPIDR_EL0, which the translator is told with each run.
#[cfg(target_arch = "aarch64")]
pub fn thread_pointer() -> u64 {
    let tpidr;
    // SAFETY: reads a register that programs may read.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) tpidr, options(nomem, nostack, preserves_flags));
    }
    tpidr
}

/// Of no use: the code is aarch64's.
#[cfg(not(target_arch = "aarch64"))]
pub fn thread_pointer() -> u64 {
    0
}
