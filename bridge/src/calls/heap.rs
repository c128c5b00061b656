//! The program's heap in the exchange, and what becomes of pointers that are freed on the
//! side that did not allocate them.

use super::error::Kind;
use super::exchange::{HostExchange, is_guest_memory};
use super::process::{with_workers, workers};
use super::worker::{Worker, is_forked};
use iotdec_heap::process::{Foreign, Interface, Process, Start, preloaded};
use iotdec_wire::exchange::{Image, Range};
use iotdec_wire::freed::{Giver, Taker};
use iotdec_wire::lane::Request;
use nix::libc;
use std::ffi::c_void;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, OnceLock};

/// Where nothing is preloaded.
static PROCESS: Process = Process::new(Start::Exchange, "libiotdec.so");
static OWN: Interface = iotdec_heap::interface!(PROCESS);

/// What the program frees and this side did not allocate.
static FOREIGN: Foreign = Foreign {
    owns: is_in_guest,
    free: free_in_guest,
    usable_size: usable_size_in_guest,
    reclaim,
};

/// What a worker and the program free of each other's memory.
#[derive(Debug)]
pub(crate) struct Freed {
    giver: Mutex<Giver>,
    taker: Taker,
}

impl Freed {
    /// Of a worker that does not run yet.
    pub(crate) fn new(exchange: &HostExchange, reverse: usize) -> Self {
        let [by_program, by_library] = exchange.exchange.freed(reverse);
        for queue in [by_program, by_library] {
            queue.reset();
        }
        Self {
            giver: Mutex::new(Giver::new(by_program)),
            taker: Taker::new(by_library),
        }
    }

    /// Frees what the library has freed, up to what is none of the program's allocations.
    #[inline]
    pub(crate) fn take_back(&self, exchange: &HostExchange) -> Result<(), &'static str> {
        match self.taker.is_empty() {
            true => Ok(()),
            false => self.take_all(exchange),
        }
    }

    #[cold]
    fn take_all(&self, exchange: &HostExchange) -> Result<(), &'static str> {
        let mut is_right = true;
        let taken = self
            .taker
            .take(|address| is_right &= free_for_guest(exchange, address));
        match (taken, is_right) {
            (Ok(()), true) => Ok(()),
            (Ok(()), false) => Err("it frees memory of the program's that is not allocated"),
            (Err(_), _) => Err("it frees more than there can be"),
        }
    }
}

extern "C" fn reclaim() {
    with_workers(|worker| {
        worker.take_back();
    });
}

/// The heap in the exchange: libiotdec-malloc.so's, if the program was started with it.
pub fn heap() -> &'static Interface {
    static HEAP: OnceLock<&Interface> = OnceLock::new();
    HEAP.get_or_init(|| {
        let heap = preloaded().unwrap_or(&OWN);
        (heap.set_foreign)(&FOREIGN);
        heap
    })
}

/// Whether the whole program allocates from it.
pub(super) fn is_all_shared() -> bool {
    preloaded().is_some()
}

/// The exchange that the heap is in, and its file.
pub(super) fn exchange() -> Result<(Range, OwnedFd), String> {
    let (mut start, mut size) = (null_mut(), 0);
    // SAFETY: two variables of ours.
    let fd = unsafe { (heap().exchange)(&mut start, &mut size) };
    if size == 0 {
        return Err("the system gives no shared memory for calls".to_owned());
    }
    if fd < 0 {
        return Err(
            "the program has closed the descriptor of its shared memory (a memfd named \
                    iotdec-exchange), which workers are to be given"
                .to_owned(),
        );
    }
    // SAFETY: the heap's, open and the right one a moment ago.
    let file = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned();
    let file = file.map_err(|error| format!("a descriptor for shared memory: {error}"))?;
    let range = Range {
        start: start as u64,
        size: size as u64,
    };
    Ok((range, file))
}

/// What the program's file has in the exchange: nothing, or what libiotdec-malloc.so has put there.
pub(super) fn program() -> &'static [Image] {
    // SAFETY: looks a name up.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"iotdec_preloaded_program".as_ptr()) };
    if found.is_null() {
        return &[];
    }
    let mut count = 0;
    // SAFETY: the name is ours; the function has this type, and its table does not change any more.
    unsafe {
        let get = std::mem::transmute::<
            *mut c_void,
            unsafe extern "C" fn(*mut usize) -> *const Image,
        >(found);
        let images = get(&mut count);
        std::slice::from_raw_parts(images, count)
    }
}

/// Frees memory of the program's for a library, which may be wrong; whether it was allocated.
pub(super) fn free_for_guest(exchange: &HostExchange, address: u64) -> bool {
    exchange.exchange.heap().contains(address, 1) && (heap().try_free)(address as *mut c_void)
}

/// How many bytes an allocation of the program's has, for a library.
pub(super) fn usable_size_for_guest(exchange: &HostExchange, address: u64) -> usize {
    if !exchange.exchange.heap().contains(address, 1) {
        return 0;
    }
    // SAFETY: in this heap, which answers for any pointer.
    unsafe { (heap().usable_size)(address as *mut c_void) }
}

/// The worker that has an address in its memory.
fn worker_of(address: u64) -> Option<Arc<Worker>> {
    let all = workers();
    all.into_iter()
        .find(|worker| worker.memory.contains(address, 1))
}

extern "C" fn is_in_guest(pointer: *mut c_void) -> bool {
    is_guest_memory(pointer as u64)
}

unsafe extern "C" fn free_in_guest(pointer: *mut c_void) -> bool {
    let address = pointer as u64;
    if !is_guest_memory(address) {
        return false;
    }
    // What has ended is free; and a child does not own what its parent's worker has.
    let Some(worker) = worker_of(address).filter(|worker| !is_forked() && !worker.is_over()) else {
        return true;
    };
    let given = worker
        .freed
        .giver
        .lock()
        .is_ok_and(|mut giver| giver.give(address));
    if given {
        return true;
    }
    // If the worker ends meanwhile, that is free too.
    if let Ok(0) = worker.ask_number(Request::Free, 0, address, 0) {
        // As it does itself where such an address comes over the queue.
        let text =
            format!("the program frees {address:#x}, where the library has allocated nothing");
        worker.condemn(Kind::Exited, &text);
    }
    true
}

unsafe extern "C" fn usable_size_in_guest(pointer: *mut c_void) -> usize {
    let address = pointer as u64;
    let Some(worker) = worker_of(address).filter(|worker| !is_forked() && !worker.is_over()) else {
        return 0;
    };
    let size = worker
        .ask_number(Request::UsableSize, 0, address, 0)
        .unwrap_or(0);
    // No more than there is.
    size.min(worker.memory.end() - address) as usize
}
