//! Functions of `string.h` on memory, and those that `_FORTIFY_SOURCE` makes of them
//! (Linux Standard Base, `__memcpy_chk`).

use super::function::stand_in;
use iotdec_wire::door::{Service, Status};
use iotdec_wire::knock::knock;
use std::ffi::{c_int, c_void};

/// Bytes that have to be exceeded, under QEMU and in turbo.
const COPY: usize = 192;
const COPY_TURBO: usize = 512;
const FILL: usize = 256;
const FILL_TURBO: usize = 768;
const COMPARE: usize = 48;
const COMPARE_TURBO: usize = 96;
const SEARCH: usize = 16;
const SEARCH_TURBO: usize = 128;

stand_in! {
    fn memcpy(to: *mut c_void, from: *const c_void, length: usize) -> *mut c_void,
    as memcpy, of length over COPY or COPY_TURBO =>
        apart(to, from, length).and_then(|()| copy(to, from, length));

    fn memmove(to: *mut c_void, from: *const c_void, length: usize) -> *mut c_void,
    as memmove, of length over COPY or COPY_TURBO => copy(to, from, length);

    fn memset(to: *mut c_void, byte: c_int, length: usize) -> *mut c_void,
    as memset, of length over FILL or FILL_TURBO => fill(to, byte, length);

    fn memcmp(a: *const c_void, b: *const c_void, length: usize) -> c_int,
    as memcmp, of length over COMPARE or COMPARE_TURBO => equal(a, b, length);

    fn bcmp(a: *const c_void, b: *const c_void, length: usize) -> c_int,
    as memcmp, of length over COMPARE or COMPARE_TURBO => equal(a, b, length);

    fn memchr(at: *const c_void, byte: c_int, length: usize) -> *mut c_void,
    as memchr, of length over SEARCH or SEARCH_TURBO => find(at, byte, length);

    fn __memcpy_chk(
        to: *mut c_void, from: *const c_void, length: usize, room: usize
    ) -> *mut c_void,
    as memcpy, of length over COPY or COPY_TURBO =>
        fits(length, room)
            .and_then(|()| apart(to, from, length))
            .and_then(|()| copy(to, from, length));

    fn __memmove_chk(
        to: *mut c_void, from: *const c_void, length: usize, room: usize
    ) -> *mut c_void,
    as memmove, of length over COPY or COPY_TURBO =>
        fits(length, room).and_then(|()| copy(to, from, length));

    fn __memset_chk(
        to: *mut c_void, byte: c_int, length: usize, room: usize
    ) -> *mut c_void,
    as memset, of length over FILL or FILL_TURBO =>
        fits(length, room).and_then(|()| fill(to, byte, length));
}

/// A service's result; `None` if it was not done, which is then the library's to do.
pub fn ask<const N: usize>(service: Service, arguments: [u64; N]) -> Option<u64> {
    let mut values = [0; 6];
    values[..N].copy_from_slice(&arguments);
    (knock(service, &mut values) == Status::Done).then_some(values[0])
}

fn copy(to: *mut c_void, from: *const c_void, length: usize) -> Option<*mut c_void> {
    ask(Service::Move, [to as u64, from as u64, length as u64]).map(|_| to)
}

fn fill(to: *mut c_void, byte: c_int, length: usize) -> Option<*mut c_void> {
    ask(Service::Set, [to as u64, byte as u64, length as u64]).map(|_| to)
}

/// Only that they are equal: C promises no more than the sign of a difference, and the
/// guest's library has numbers of its own for it. It also finds a difference at the
/// start, where most are, sooner than the host is asked.
fn equal(a: *const c_void, b: *const c_void, length: usize) -> Option<c_int> {
    let may_be = first(a) == first(b);
    let order = may_be.then(|| ask(Service::Compare, [a as u64, b as u64, length as u64]))??;
    (order == 0).then_some(0)
}

/// The byte there. Where nothing is, the caller's mistake is to fault, as in the
/// library, and is not the compiler's to use.
pub fn first(address: *const c_void) -> u8 {
    let byte: u32;
    // SAFETY: the caller of the function that is stood in for says that it is there.
    unsafe {
        std::arch::asm!(
            "ldrb {:w}, [{}]",
            out(reg) byte,
            in(reg) address,
            options(nostack, readonly, preserves_flags),
        );
    }
    byte as u8
}

fn find(at: *const c_void, byte: c_int, length: usize) -> Option<*mut c_void> {
    let found = ask(Service::Find, [at as u64, byte as u64, length as u64])?;
    Some(found as *mut c_void)
}

/// What a copy onto itself gives is undefined, but the same every time in one library.
fn apart(to: *mut c_void, from: *const c_void, length: usize) -> Option<()> {
    (to.addr().abs_diff(from.addr()) >= length).then_some(())
}

/// Otherwise the library ends the process.
fn fits(length: usize, room: usize) -> Option<()> {
    (length <= room).then_some(())
}
