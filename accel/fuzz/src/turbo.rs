//! Executes code by the accelerator's translator.

use crate::machine::{Fault, IN_TURBO, Machine, Unit};
use bytemuck::Zeroable;
use iotdec_wire::door::{Call, Exit, MAGIC, Service, Status, VERSION, features};
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
            (*context).call = call([unit.end(), 0, 0, 0, 0, 0]);
            at(context.cast(), Service::Run);
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
pub fn thread_pointer() -> u64 {
    registers()[3]
}

/// CTR_EL0, DCZID_EL0 and CNTFRQ_EL0, which the translator is told once.
fn processor() -> [u64; 3] {
    let [ctr, dczid, cntfrq, _] = registers();
    [ctr, dczid, cntfrq]
}

#[cfg(target_arch = "aarch64")]
fn registers() -> [u64; 4] {
    let (ctr, dczid, cntfrq, tpidr);
    // SAFETY: reads registers that programs may read.
    unsafe {
        std::arch::asm!(
            "mrs {}, ctr_el0",
            "mrs {}, dczid_el0",
            "mrs {}, cntfrq_el0",
            "mrs {}, tpidr_el0",
            out(reg) ctr,
            out(reg) dczid,
            out(reg) cntfrq,
            out(reg) tpidr,
            options(nomem, nostack, preserves_flags),
        );
    }
    [ctr, dczid, cntfrq, tpidr]
}

#[cfg(not(target_arch = "aarch64"))]
fn registers() -> [u64; 4] {
    [0; 4]
}

fn call(values: [u64; 6]) -> Call {
    Call {
        magic: MAGIC,
        values,
        ..Call::zeroed()
    }
}

fn knock(service: Service, values: &mut [u64; 6]) -> Status {
    let mut call = call(*values);
    // SAFETY: a call of our own, for a service without side effects on our memory.
    unsafe { at(&mut call, service) };
    *values = call.values;
    Status::from_code(call.status).unwrap_or(Status::Unanswered)
}

/// Knocks with a call in place.
///
/// # Safety
/// What `service` does with the arguments in `call` is sound.
#[cfg(target_arch = "aarch64")]
unsafe fn at(call: *mut Call, service: Service) {
    // SAFETY: the two instructions of a knock: a hint, and a store to `call`.
    unsafe {
        std::arch::asm!(
            ".inst {hint}",
            ".inst {store}",
            hint = const iotdec_wire::door::KNOCK[0],
            store = const iotdec_wire::door::KNOCK[1],
            in("x0") call,
            in("w1") service.code(),
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(not(target_arch = "aarch64"))]
unsafe fn at(_: *mut Call, _: Service) {}
