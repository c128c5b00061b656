//! The shared memory between an iotdec host and its guest worker: the only
//! definition of it, compiled into both sides.
//!
//! One sealed memfd holds a [`layout::Control`] block: two byte rings
//! ([`ring`]), a table of frame slots ([`slots`]) and the doorbells
//! ([`doorbell`]) with which one side wakes the other. What travels in the
//! rings, and over the socket before the rings exist, is in [`msg`].
//!
//! Either side may be of another instruction set, so every field is fixed-width
//! little-endian and no atomic is wider than 8 bytes: QEMU emulates wider ones
//! by stopping its own threads, which another process does not notice.
//!
//! Calls of libraries have shared memory of their own: the [`exchange`], where every calling
//! thread has a [`lane`]; [`stubs`] are what function pointers point to on the other side.
//! Functions that no generated code knows are called with [`registers`]; what a library prints is
//! [`output`].
//!
//! The host trusts nothing it reads here. Values are read once, validated, then
//! used; a violation is a [`ring::Corrupt`] or a rejected message, after which
//! the host kills the worker.
#![cfg_attr(not(any(test, loom)), no_std)]

#[cfg(not(loom))]
extern crate alloc;

#[cfg(target_endian = "big")]
compile_error!("the wire format is the memory of little-endian machines");

#[cfg(not(loom))]
pub mod bench;
mod codes;
pub mod door;
pub mod doorbell;
#[cfg(not(loom))]
pub mod exchange;
#[cfg(not(loom))]
pub mod freed;
mod futex;
#[cfg(not(loom))]
pub mod host_lanes;
pub mod knock;
#[cfg(not(loom))]
pub mod lane;
pub mod layout;
pub mod msg;
pub mod order;
#[cfg(not(loom))]
pub mod output;
pub mod picture;
#[cfg(not(loom))]
pub mod registers;
pub mod ring;
pub mod slots;
#[cfg(not(loom))]
pub mod stubs;
mod sync;
pub mod tally;
pub mod wish;
