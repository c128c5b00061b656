//! The door, seen from inside: finds knocks in the guest's code and answers its calls.

use crate::counters::COUNTERS;
use crate::library;
use crate::native;
use crate::qemu::{Block, PluginId, qemu};
use crate::syscalls;
use crate::turbo::{self, Processor};
use iotdec_wire::door::{
    Call, Context, Counters, KNOCK, MAGIC, Service, Status, VERSION, features,
};
use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What to add to an address of the guest for it to be one of the host: 0 where QEMU
/// can choose, which it can for 64-bit programs.
static GUEST_BASE: AtomicU64 = AtomicU64::new(0);

/// `ic ivau, xzr`; the register is in the low five bits (Arm ARM, C6.2.135).
const INVALIDATE: u32 = 0xd50b_7520;

/// Begins to listen.
pub fn open(id: PluginId) {
    qemu().on_block(id, on_block);
    syscalls::watch(id);
}

/// What to add to an address of the guest for it to be one of the host.
pub fn guest_base() -> u64 {
    GUEST_BASE.load(Relaxed)
}

/// An address of the guest as one of the host.
pub fn host<T>(address: u64) -> *mut T {
    address.wrapping_add(guest_base()) as *mut T
}

unsafe extern "C" fn on_block(_: PluginId, block: *mut Block) {
    let qemu = qemu();
    let mut before = 0;
    // SAFETY: QEMU reports the translation of this block; so below.
    for (instruction, word) in unsafe { qemu.instructions(block) } {
        if before == 0 {
            // SAFETY: as above.
            GUEST_BASE.store(unsafe { qemu.guest_base(instruction) }, Relaxed);
        }
        if [before, word] == KNOCK {
            // SAFETY: as above.
            unsafe { qemu.on_store(instruction, on_knock) };
        } else if word & !0x1f == INVALIDATE {
            // SAFETY: as above.
            unsafe { qemu.on_execution(instruction, on_invalidation) };
        }
        before = word;
    }
}

unsafe extern "C" fn on_knock(_: c_uint, _: u32, address: u64, _: *mut c_void) {
    // SAFETY: the guest has just stored there.
    unsafe { answer(address) }
}

/// Which line is not told; this is done once a library is loaded or less.
unsafe extern "C" fn on_invalidation(_: c_uint, _: *mut c_void) {
    turbo::code_changed(0, u64::MAX);
}

/// Answers the call at this address of the guest.
///
/// # Safety
/// The guest has just stored there, or is about to.
pub unsafe fn answer(address: u64) {
    // Only then is all of it where the store went.
    if !address.is_multiple_of(size_of::<Call>() as u64) {
        return;
    }
    let call: *mut Call = host(address);
    // SAFETY: the caller's promise. Read once: another thread of the guest may write.
    let asked = unsafe {
        turbo::complete(call);
        call.read_volatile()
    };
    if asked.magic != MAGIC {
        return;
    }
    let mut values = asked.values;
    let status = match Service::from_code(asked.service) {
        // SAFETY: the caller's promise: the context begins with the call.
        Some(Service::Run) => unsafe { turbo::run(call.cast::<Context>(), values[0]) },
        Some(service) => serve(service, &mut values),
        None => Status::NoService,
    };
    // SAFETY: as above.
    unsafe {
        (&raw mut (*call).values).write_volatile(values);
        (&raw mut (*call).status).write_volatile(status.code());
    }
}

fn serve(service: Service, values: &mut [u64; 6]) -> Status {
    match service {
        Service::Hello => {
            let [version, ctr_el0, dczid_el0, cntfrq_el0, ..] = *values;
            values[..2].copy_from_slice(&[VERSION, features::TURBO]);
            if version != VERSION {
                return Status::Declined;
            }
            syscalls::judge_signals();
            turbo::set_processor(Processor {
                ctr_el0: ctr_el0 as u32,
                dczid_el0: dczid_el0 as u32,
                cntfrq_el0: cntfrq_el0 as u32,
            });
        }
        Service::Count => {
            if !values[0].is_multiple_of(align_of::<Counters>() as u64) {
                return Status::BadArguments;
            }
            // SAFETY: the guest says that it is there; if not, the access faults as
            // the guest's own would.
            unsafe { host::<Counters>(values[0]).write(COUNTERS.read()) };
        }
        Service::Executable => turbo::tell_executable(values[0], values[1]),
        Service::Forget => turbo::code_changed(values[0], values[1]),
        Service::Run => unreachable!("needs the call's address"),
        Service::Open => return library::open(values),
        Service::Invoke => return library::invoke(values),
        native => return native::serve(native, values),
    }
    Status::Done
}

#[cfg(test)]
mod tests;
