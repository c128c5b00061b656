//! The heap of the whole process, libraries included: in guest memory, so that the program
//! can follow every pointer it gets.
//!
//! Until `main` knows where that is, memory comes from a private heap; what was allocated
//! there is freed there. Memory of the program's that a library frees is the host's to free.

use super::memory::shared;
use super::{control, die};
use iotdec_heap::process::{Foreign, Process, Start};
use iotdec_heap::{Backing, File, Heap};
use iotdec_wire::exchange::{GUEST_HEAP, MAX_MESSAGE, Range};
use iotdec_wire::freed::{Giver, Taker};
use iotdec_wire::lane::Request;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock};

/// malloc and its family are made of this in the program iotdec-calls.
pub static PROCESS: Process = Process::new(Start::Private, "iotdec-calls");

static FOREIGN: Foreign = Foreign {
    owns: is_programs,
    free: free_in_program,
    usable_size: usable_size_in_program,
    reclaim,
};

/// What the libraries free of the program's.
static GIVER: Mutex<Option<Giver>> = Mutex::new(None);
/// What the program frees of the libraries'.
static TAKER: OnceLock<Taker> = OnceLock::new();

/// From now on, memory comes from guest memory.
///
/// # Safety
/// The range is mapped from the start of the file behind `fd`, which stays open; nobody
/// else uses it from [`GUEST_HEAP`] on.
pub unsafe fn take_over(memory: Range, fd: libc::c_int) -> Result<(), String> {
    let base = NonNull::new(memory.start as *mut u8).ok_or("guest memory at 0")?;
    let size = memory.size as usize - GUEST_HEAP - MAX_MESSAGE;
    let file = File::new(fd, base).map_err(|error| error.to_string())?;
    // SAFETY: the caller's promise; GUEST_HEAP is less than the range's size.
    let heap = unsafe { Heap::new(base.add(GUEST_HEAP), size, Backing::File(file)) };
    PROCESS.take_over(heap.map_err(|error| error.to_string())?);
    let [by_program, by_library] = shared().exchange.freed(shared().reverse);
    let _ = TAKER.set(Taker::new(by_program));
    *GIVER.lock().expect("no panic is survived") = Some(Giver::new(by_library));
    PROCESS.set_foreign(&FOREIGN);
    Ok(())
}

/// Whether memory at this address is the program's.
extern "C" fn is_programs(pointer: *mut c_void) -> bool {
    shared().exchange.heap().contains(pointer as u64, 1)
}

unsafe extern "C" fn free_in_program(pointer: *mut c_void) -> bool {
    if !is_programs(pointer) {
        return false;
    }
    let mut giver = GIVER.lock().expect("no panic is survived");
    let is_given = giver
        .as_mut()
        .is_some_and(|giver| giver.give(pointer as u64));
    drop(giver);
    is_given || control::ask(Request::Free, pointer as u64) == Some(1)
}

extern "C" fn reclaim() {
    take_back();
}

/// Frees what the program has freed.
#[inline]
pub fn take_back() {
    if let Some(taker) = TAKER.get().filter(|taker| !taker.is_empty()) {
        take_all(taker);
    }
}

#[cold]
fn take_all(taker: &Taker) {
    let free = |address| {
        if !free_for_program(address) {
            let text =
                format!("the program frees {address:#x}, where the library has allocated nothing");
            die(&text);
        }
    };
    if taker.take(free).is_err() {
        die("the program's bridge frees more than there can be");
    }
}

unsafe extern "C" fn usable_size_in_program(pointer: *mut c_void) -> usize {
    if !is_programs(pointer) {
        return 0;
    }
    control::ask(Request::UsableSize, pointer as u64).unwrap_or(0) as usize
}

/// Frees memory of this process for the program; whether it was allocated.
pub fn free_for_program(address: u64) -> bool {
    PROCESS.try_free(address as *mut c_void).is_ok()
}

/// How many bytes an allocation of this process has, for the program.
pub fn usable_size_for_program(address: u64) -> usize {
    if is_programs(address as *mut c_void) {
        return 0;
    }
    // SAFETY: not the program's, so one of this process's heaps answers, for any pointer.
    unsafe { PROCESS.usable_size(address as *mut c_void) }
}
