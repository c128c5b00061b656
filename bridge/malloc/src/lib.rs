//! The library that a whole program's heap is put into the exchange with: `LD_PRELOAD=libiotdec-malloc.so program`.
//!
//! Every pointer that the program gets from malloc (and so from `new`) is then valid in wrapped libraries as it is. The
//! runtime of the wrapped libraries finds this library's heap by [`iotdec_preloaded_heap`] and makes no other.
//!
//! With `IOTDEC_SHARE_PROGRAM=1`, so is what the program has elsewhere (`program.rs`).
//!
//! A forked child gets a copy of the heap (`iotdec_heap::process`), so that programs that fork run as without.

mod program;

use iotdec_heap::process::{Interface, Process, Start};

static PROCESS: Process = Process::new(Start::Exchange, "libiotdec-malloc.so");

iotdec_heap::malloc_family!(PROCESS);

static INTERFACE: Interface = iotdec_heap::interface!(PROCESS);

/// What the runtime of wrapped libraries is to use instead of a heap of its own.
#[unsafe(no_mangle)]
pub extern "C" fn iotdec_preloaded_heap() -> &'static Interface {
    &INTERFACE
}
