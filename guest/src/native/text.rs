//! Functions of `string.h` on strings.

use super::function::{NEVER, stand_in};
use super::memory::{ask, first};
use iotdec_wire::door::Service;
use std::ffi::{c_char, c_int};

/// The size of a string, which is not known: greater than any limit but [`NEVER`].
const ANY: usize = NEVER - 1;
/// Pays for nearly all.
const ALWAYS: usize = 0;
/// Bytes that have to be exceeded, under QEMU and in turbo.
const PREFIX: usize = 8;

stand_in! {
    fn strlen(text: *const c_char) -> usize,
    as strlen, of ANY over NEVER or NEVER =>
        ask(Service::Length, [text as u64]).map(|length| length as usize);

    fn strchr(text: *const c_char, byte: c_int) -> *mut c_char,
    as strchr, of ANY over ALWAYS or NEVER =>
        ask(Service::FindText, [text as u64, byte as u64]).map(|found| found as *mut c_char);

    fn strcmp(a: *const c_char, b: *const c_char) -> c_int,
    as strcmp, of ANY over ALWAYS or ALWAYS =>
        equal(a, b, || ask(Service::CompareText, [a as u64, b as u64]));

    fn strncmp(a: *const c_char, b: *const c_char, length: usize) -> c_int,
    as strncmp, of length over PREFIX or PREFIX =>
        equal(a, b, || ask(Service::ComparePrefix, [a as u64, b as u64, length as u64]));
}

/// Only that they are equal, as for memory.
fn equal(a: *const c_char, b: *const c_char, order: impl FnOnce() -> Option<u64>) -> Option<c_int> {
    let may_be = first(a.cast()) == first(b.cast());
    let order = may_be.then(order)??;
    (order == 0).then_some(0)
}
