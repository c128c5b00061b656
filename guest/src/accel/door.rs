//! The guest's side of the door.

use iotdec_wire::door::{Call, MAGIC, Service, Status};

/// Asks for a service; the results replace the arguments.
/// [`Status::Unanswered`] if there is no accelerator.
pub fn knock(service: Service, values: &mut [u64; 6]) -> Status {
    let mut call = Call {
        service: 0,
        magic: MAGIC,
        status: Status::Unanswered.code(),
        reserved: 0,
        values: *values,
    };
    // SAFETY: `call` is one, and nobody else's. The accelerator does what the service
    // says with the arguments, as the function called here would.
    unsafe { at(&mut call, service) };
    *values = call.values;
    Status::from_code(call.status).unwrap_or(Status::Unanswered)
}

/// Knocks with a call in place.
///
/// # Safety
/// What `service` does with the arguments in `call` is sound.
#[cfg(target_arch = "aarch64")]
unsafe fn at(call: &mut Call, service: Service) {
    // SAFETY: the two instructions of `iotdec_wire::door::KNOCK`: a hint, and a store
    // to `call`. The accelerator changes memory, no registers.
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

/// A native worker needs no accelerator.
#[cfg(not(target_arch = "aarch64"))]
unsafe fn at(_: &mut Call, _: Service) {}
