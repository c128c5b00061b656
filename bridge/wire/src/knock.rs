//! The guest's side of the [`door`](crate::door).

use crate::door::{Call, MAGIC, Service, Status};

impl Call {
    /// A call with these arguments that nobody has answered.
    pub fn new(values: [u64; 6]) -> Self {
        Self {
            magic: MAGIC,
            values,
            ..Self::default()
        }
    }
}

/// Asks for a service; the results replace the arguments.
/// [`Status::Unanswered`] if there is no accelerator.
pub fn knock(service: Service, values: &mut [u64; 6]) -> Status {
    let mut call = Call::new(*values);
    // SAFETY: `call` is one, and nobody else's. The accelerator does what the service
    // says with the arguments, as the function called here would.
    unsafe { knock_with(&mut call, service) };
    *values = call.values;
    Status::from_code(call.status).unwrap_or(Status::Unanswered)
}

/// Knocks with a call in place.
///
/// # Safety
/// `call` is valid, and what `service` does with the arguments in it is sound.
#[cfg(target_arch = "aarch64")]
pub unsafe fn knock_with(call: *mut Call, service: Service) {
    // SAFETY: the two instructions of `door::KNOCK`: a hint, and a store to `call`. The
    // accelerator changes memory, no registers.
    unsafe {
        core::arch::asm!(
            // QEMU translates no further than to the end of a page, and both have to be seen at once.
            ".balign 8",
            ".inst {hint}",
            ".inst {store}",
            hint = const crate::door::KNOCK[0],
            store = const crate::door::KNOCK[1],
            in("x0") call,
            in("w1") service.code(),
            options(nostack, preserves_flags),
        );
    }
}

/// A native worker needs no accelerator.
///
/// # Safety
/// None is needed.
#[cfg(not(target_arch = "aarch64"))]
pub unsafe fn knock_with(_: *mut Call, _: Service) {}

/// CTR_EL0, DCZID_EL0 and CNTFRQ_EL0, which programs may read (Arm ARM, D19.2), for
/// [`Service::Hello`]; zeros on another processor.
pub fn processor() -> [u64; 3] {
    #[cfg(target_arch = "aarch64")]
    {
        let (ctr, dczid, cntfrq);
        // SAFETY: reads registers.
        unsafe {
            core::arch::asm!(
                "mrs {}, ctr_el0",
                "mrs {}, dczid_el0",
                "mrs {}, cntfrq_el0",
                out(reg) ctr,
                out(reg) dczid,
                out(reg) cntfrq,
                options(nomem, nostack, preserves_flags),
            );
        }
        [ctr, dczid, cntfrq]
    }
    #[cfg(not(target_arch = "aarch64"))]
    [0; 3]
}
