//! Calls of a guest's threads to functions of the host's libraries, over shared memory:
//! where there is no [door](crate::door).
//!
//! A thread of the guest takes a [`Lane`], writes a request into it, counts
//! [`Lane::asked`] up, and waits until [`Lane::answered`] is the same. What it asks are
//! [`Service::Open`](crate::door::Service::Open) and
//! [`Service::Invoke`](crate::door::Service::Invoke), with the arguments in the words
//! instead of in a call's values: of `Open` all of them, of `Invoke` those of the function.
//!
//! The guest's end is C (`iotdec_native.c` of the generator), which gets the offsets from
//! here.

use crate::doorbell::Doorbell;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// [`Shared::magic`].
pub const MAGIC: u64 = u64::from_le_bytes(*b"hostlane");
/// [`Shared::version`]; counted up whenever something in this module changes.
pub const VERSION: u64 = 1;
/// The variable of the guest's environment that has the number of the shared memory's file
/// descriptor.
pub const VARIABLE: &str = "IOTDEC_HOST_LANES";
/// Threads that can call at a time.
pub const LANES: usize = 128;
/// Arguments that a function can have.
pub const WORDS: usize = 24;
/// Strings that can be left in objects by one call.
pub const TEXTS: usize = 4;
/// Bytes of such a string, with the zero at its end.
pub const TEXT: usize = 256;

/// All of the shared memory.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct Shared {
    /// [`MAGIC`]
    pub magic: AtomicU64,
    /// [`VERSION`]
    pub version: AtomicU64,
    /// Rung when a lane was taken.
    pub bell: Doorbell,
    /// The lanes.
    pub lanes: [Lane; LANES],
}

/// Where one thread of the guest asks. Both sides may write any of it at any time: what is
/// read is used once, and copied before it is judged.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Lane {
    /// Not 0 while a thread has it.
    pub taken: AtomicU32,
    /// Requests so far.
    pub asked: AtomicU32,
    /// Answers so far.
    pub answered: AtomicU32,
    /// A [`Service`](crate::door::Service).
    pub service: AtomicU32,
    /// The library's handle.
    pub library: AtomicU32,
    /// The function's number.
    pub function: AtomicU32,
    /// A [`Status`](crate::door::Status).
    pub status: AtomicU32,
    /// What the function set `errno` to, or 0.
    pub errno: AtomicU32,
    /// Rung when `asked` or `taken` has changed.
    pub host_bell: Doorbell,
    /// Rung when `answered` has changed.
    pub guest_bell: Doorbell,
    /// Arguments, then results, from the first.
    pub words: [AtomicU64; WORDS],
    /// Strings that the library has left in objects.
    pub texts: UnsafeCell<[[u8; TEXT]; TEXTS]>,
}

// SAFETY: shared with another process anyway; the one cell in it is only reached through
// raw pointers.
unsafe impl Sync for Shared {}
