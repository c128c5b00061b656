//! Functions of the guest's C library, done by the host's.

use crate::counters::COUNTERS;
use crate::door::host;
use iotdec_wire::door::{Service, Status};
use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering::Relaxed;

/// Addresses of a 64-bit program on Linux end here.
const END_OF_MEMORY: u64 = 1 << 48;

/// Serves one native function; the result replaces the first value.
pub fn serve(service: Service, values: &mut [u64; 6]) -> Status {
    let [a, b, length, ..] = *values;
    let plausible = |address: u64| {
        address
            .checked_add(length)
            .is_some_and(|end| end <= END_OF_MEMORY)
    };
    COUNTERS.native_calls.fetch_add(1, Relaxed);
    // SAFETY (all of them): the guest says that its memory is there; if not, the access
    // faults, and the guest gets the signal that its own access would have got. Nothing
    // of ours is held meanwhile.
    values[0] = match service {
        Service::Move if plausible(a) && plausible(b) => {
            // SAFETY: see above.
            unsafe { libc::memmove(host(a), host(b), length as usize) };
            a
        }
        Service::Set if plausible(a) => {
            // SAFETY: see above.
            unsafe { libc::memset(host(a), b as c_int, length as usize) };
            a
        }
        Service::Compare if plausible(a) && plausible(b) => {
            // SAFETY: see above.
            let order =
                unsafe { libc::memcmp(host::<c_void>(a), host::<c_void>(b), length as usize) };
            i64::from(order.signum()) as u64
        }
        Service::Move | Service::Set | Service::Compare => return Status::BadArguments,
        _ => return Status::NoService,
    };
    Status::Done
}
