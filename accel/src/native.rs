//! Functions of the guest's C library, done by the host's.

mod math;

use crate::counters::COUNTERS;
use crate::door::{guest_base, host};
use iotdec_wire::door::{Service, Status};
use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering::Relaxed;

/// Addresses of a 64-bit program on Linux end here.
pub const END_OF_MEMORY: u64 = 1 << 48;

/// Serves one native function; the result replaces the first value.
pub fn serve(service: Service, values: &mut [u64; 6]) -> Status {
    COUNTERS.native_calls.fetch_add(1, Relaxed);
    let result = match service {
        Service::Math => math::evaluate(values),
        _ => memory(service, values),
    };
    match result {
        Ok(value) => {
            values[0] = value;
            Status::Done
        }
        Err(status) => status,
    }
}

/// The functions that work on memory.
fn memory(service: Service, values: &[u64; 6]) -> Result<u64, Status> {
    let [a, b, length, ..] = *values;
    let plausible = |address: u64, length: u64| {
        let end = address.checked_add(length);
        end.is_some_and(|end| end <= END_OF_MEMORY)
    };
    let sane = match service {
        Service::Move | Service::Compare => plausible(a, length) && plausible(b, length),
        Service::Set | Service::Find => plausible(a, length),
        // A prefix may be said to be of any length.
        Service::CompareText | Service::ComparePrefix => plausible(a, 1) && plausible(b, 1),
        Service::Length | Service::FindText => plausible(a, 1),
        _ => return Err(Status::NoService),
    };
    if !sane {
        return Err(Status::BadArguments);
    }
    let bytes = length as usize;
    // SAFETY: the guest says that its memory is there; if not, the access faults, and
    // the guest gets the signal that its own access would have got. Nothing of ours is
    // held meanwhile.
    Ok(unsafe {
        match service {
            Service::Move => {
                libc::memmove(host(a), host(b), bytes);
                a
            }
            Service::Set => {
                libc::memset(host(a), b as c_int, bytes);
                a
            }
            Service::Compare => sign(libc::memcmp(host::<c_void>(a), host::<c_void>(b), bytes)),
            Service::Find => guest(libc::memchr(host(a), b as c_int, bytes)),
            Service::Length => libc::strlen(host(a)) as u64,
            Service::CompareText => sign(libc::strcmp(host(a), host(b))),
            Service::ComparePrefix => sign(libc::strncmp(host(a), host(b), bytes)),
            _ => guest(libc::strchr(host(a), b as c_int).cast()),
        }
    })
}

/// C promises no more of a comparison.
fn sign(order: c_int) -> u64 {
    i64::from(order.signum()) as u64
}

/// An address of the host as one of the guest; null stays null.
fn guest(address: *mut c_void) -> u64 {
    match address as u64 {
        0 => 0,
        address => address.wrapping_sub(guest_base()),
    }
}
