//! The library that a whole program's heap is put into the exchange with: `LD_PRELOAD=libiotdec-malloc.so program`.
//!
//! Every pointer that the program gets from malloc (and so from `new`) is then valid in wrapped libraries as it is. The
//! runtime of the wrapped libraries finds this library's heap by [`iotdec_preloaded_heap`] and makes no other.
//!
//! A forked child gets a copy of the heap (`iotdec_heap::process`), so that programs that fork run as without.

use iotdec_heap::process::{Foreign, Interface, Process, Start, VERSION};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

/// Bytes of the exchange.
const EXCHANGE: usize = 16 << 30;

static PROCESS: Process = Process::new(
    Start::Exchange {
        size: EXCHANGE,
        variable: c"IOTDEC_EXCHANGE_SIZE",
        before: 0,
        behind: 0,
    },
    "libiotdec-malloc.so",
);

iotdec_heap::malloc_family!(PROCESS);

static INTERFACE: Interface = Interface {
    version: VERSION,
    malloc,
    calloc,
    realloc,
    free,
    memalign,
    usable_size: malloc_usable_size,
    exchange,
    try_free,
    set_foreign,
};

/// What the runtime of wrapped libraries is to use instead of a heap of its own.
#[unsafe(no_mangle)]
pub extern "C" fn iotdec_preloaded_heap() -> &'static Interface {
    &INTERFACE
}

extern "C" fn exchange(start: *mut *mut c_void, size: *mut usize) -> c_int {
    let (address, len, fd) = match PROCESS.exchange() {
        Some(segment) => (
            segment.start().as_ptr().cast(),
            segment.len(),
            segment.fd().unwrap_or(-1),
        ),
        None => (null_mut(), 0, -1),
    };
    // SAFETY: the runtime passes the addresses of two variables.
    unsafe {
        start.write(address);
        size.write(len);
    }
    fd
}

extern "C" fn try_free(pointer: *mut c_void) -> bool {
    PROCESS.try_free(pointer).is_ok()
}

extern "C" fn set_foreign(foreign: &'static Foreign) {
    PROCESS.set_foreign(foreign);
}
