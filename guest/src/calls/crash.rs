//! A note of where the process crashed, in shared memory.

use super::memory::shared;
use crate::fault::{self, Place};
use iotdec_wire::exchange::Fault;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The number of the process that serves lanes.
static OWN: AtomicU32 = AtomicU32::new(0);

/// Has the fault handler leave a note for the host.
pub fn leave_notes() {
    OWN.store(std::process::id(), Relaxed);
    fault::also(note);
}

fn note(signal: i32, address: u64, place: &Place) {
    // Not of a child that is about to become another program.
    if std::process::id() != OWN.load(Relaxed) {
        return;
    }
    let mut fault = Fault {
        signal: signal as u32,
        reserved: 0,
        pc: place.pc(),
        address,
        library: [0; 128],
        symbol: [0; 128],
    };
    let (library, symbol) = place.names();
    for (to, from) in [(&mut fault.library, library), (&mut fault.symbol, symbol)] {
        // The last byte stays zero.
        let length = from.len().min(to.len() - 1);
        to[..length].copy_from_slice(&from.as_bytes()[..length]);
    }
    // SAFETY: this worker's place in the exchange, which stays mapped; the host reads it
    // when the process has ended.
    unsafe {
        shared()
            .exchange
            .fault(shared().control)
            .write_volatile(fault)
    };
}
