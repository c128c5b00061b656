//! Turbo: the guest's code run by the second translator, on the guest's own memory and
//! thread, until something turns up that is QEMU's to do.

mod forks;
mod watch;

use crate::code::{Code, PAGE};
use crate::counters::COUNTERS;
use crate::door;
use crate::fault;
use crate::finish::finish;
use crate::routing;
use crate::translator::{Setup, Translator};
use iotdec_wire::door::{Call, Context, Exit, KNOCK, Status};
use std::cell::{Cell, OnceCell, RefCell};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

/// Bytes that one thread's translated code may take; the whole of it is thrown away
/// when it is full. Decoders need 1 to 2 MiB (measured).
const CODE_CACHE: u64 = 64 << 20;
/// Threads that can be in turbo at a time; more run in QEMU.
const MOST_THREADS: usize = 256;
/// `svc` with a number that Linux ignores and no program uses: what the translator
/// sees where the function returns to.
const RETURN: u32 = 0x7e01;
/// The same for a knock.
const KNOCKED: u32 = 0x7e02;
/// The same for code that may not be executed.
const NO_CODE: u32 = 0x7e03;

/// `clone` (asm-generic/unistd.h), and its flag for a child in the same memory.
const CLONE: u64 = 220;
const CLONE_VM: u64 = 0x100;

/// Registers of the guest's processor that the translator answers for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Processor {
    /// Sizes of cache lines.
    pub ctr_el0: u32,
    /// The block that `dc zva` clears.
    pub dczid_el0: u32,
    /// Ticks a second of the counter.
    pub cntfrq_el0: u32,
}

static PROCESSOR: Mutex<Processor> = Mutex::new(Processor {
    ctr_el0: 0,
    dczid_el0: 0,
    cntfrq_el0: 0,
});
/// Every translator there ever was; a thread that ends leaves its own to the next.
static THREADS: Mutex<Vec<&'static Thread>> = Mutex::new(Vec::new());
/// What the guest's memory is. Taken before [`THREADS`] by who needs both.
static CODE: Mutex<Code> = Mutex::new(Code::new());
/// Whether the guest has told what it may execute.
static KNOWS_EXECUTABLE: AtomicBool = AtomicBool::new(false);
/// Whether everything is left to QEMU.
static DECLINES: AtomicBool = AtomicBool::new(false);
/// Whether translated code gets the last touch.
static FINISHES: AtomicBool = AtomicBool::new(true);
/// Counted up whenever something about [`CODE`] changes but for pages that come to it.
static CHANGES: AtomicU64 = AtomicU64::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Sets the processor that later translators answer for.
pub fn set_processor(processor: Processor) {
    *lock(&PROCESSOR) = processor;
}

/// Leaves translated code as the translator made it.
pub fn leave_unfinished() {
    FINISHES.store(false, Relaxed);
}

/// A translator and what its thread is doing. Only `translator`, `taken`, `running` and
/// `entries` are touched by other threads.
#[derive(Debug)]
pub struct Thread {
    translator: OnceCell<Translator>,
    taken: AtomicBool,
    running: AtomicBool,
    entries: AtomicU64,
    context: Cell<*mut Context>,
    return_address: Cell<u64>,
    exit: Cell<(Exit, u64)>,
    /// The last page that code was read from, and [`CHANGES`] then.
    page: Cell<(u64, u64)>,
    /// What was emitted: where it starts and ends, and the guest's address of it; in
    /// the order of emission, which is that of the addresses.
    emitted: RefCell<Vec<Emitted>>,
}

#[derive(Clone, Copy, Debug)]
struct Emitted {
    start: u64,
    end: u64,
    pc: u64,
}

// SAFETY: what is not atomic is used by the thread that holds the lease alone, which
// `taken` hands from one to the next; `translator` is set before anyone else knows of it.
unsafe impl Sync for Thread {}

/// A thread's hold on its translator, given back when the thread ends.
struct Lease(&'static Thread);

impl Drop for Lease {
    fn drop(&mut self) {
        CURRENT.set(ptr::null());
        self.0.running.store(false, Relaxed);
        self.0
            .taken
            .store(false, std::sync::atomic::Ordering::Release);
    }
}

thread_local! {
    static LEASE: OnceCell<Option<Lease>> = const { OnceCell::new() };
    /// The same, for a signal handler.
    static CURRENT: Cell<*const Thread> = const { Cell::new(ptr::null()) };
}

/// The calling thread's translator, if it ever had one.
pub fn current() -> Option<&'static Thread> {
    // SAFETY: null, or of a `Thread` that is never freed.
    unsafe { CURRENT.get().as_ref() }
}

/// The calling thread's translator; `None` when all are taken.
fn obtain() -> Option<&'static Thread> {
    current().or_else(|| {
        LEASE.with(|lease| {
            let lease = lease.get_or_init(|| Thread::take().map(Lease));
            let thread = lease.as_ref()?.0;
            CURRENT.set(thread);
            Some(thread)
        })
    })
}

/// Runs `context` until it exits.
///
/// # Safety
/// The guest asked for it with this address, on this thread.
pub unsafe fn run(context: *mut Context, return_address: u64) -> Status {
    if DECLINES.load(Relaxed) {
        return Status::Declined;
    }
    let Some(thread) = obtain().filter(|thread| !thread.running.load(Relaxed)) else {
        return Status::Declined;
    };
    forks::survive();
    watch::begin();
    thread.entries.fetch_add(1, Relaxed);
    thread.context.set(context);
    thread.return_address.set(return_address);
    thread.exit.set((Exit::Pause, 0));
    thread.running.store(true, Relaxed);
    // SAFETY: the guest does not touch the context of a thread that is here, which is
    // what this translator is leased to.
    unsafe {
        thread.translator().run(&mut *context);
        let (exit, detail) = thread.exit.get();
        (*context).exit = exit.code();
        (*context).detail = detail;
        if exit == Exit::Leave {
            // The translator is behind the instruction already.
            (*context).pc = detail;
        }
        let counters = &COUNTERS;
        counters.entries.fetch_add(1, Relaxed);
        let counter = match exit {
            Exit::Returned => None,
            Exit::Syscall => Some(&counters.syscalls),
            Exit::Unknown => Some(&counters.unknown),
            Exit::Leave => Some(&counters.leaves),
            Exit::Pause => Some(&counters.pauses),
        };
        counter.map(|counter| counter.fetch_add(1, Relaxed));
    }
    thread.running.store(false, Relaxed);
    Status::Done
}

impl Thread {
    /// One that no other thread uses, a new one if need be.
    fn take() -> Option<&'static Self> {
        let mut threads = lock(&THREADS);
        let free = threads.iter().find(|thread| {
            !thread
                .taken
                .swap(true, std::sync::atomic::Ordering::Acquire)
        });
        if let Some(free) = free {
            return Some(free);
        }
        if threads.len() == MOST_THREADS {
            return None;
        }
        let thread: &'static Self = Box::leak(Box::new(Self {
            translator: OnceCell::new(),
            taken: AtomicBool::new(true),
            running: AtomicBool::new(false),
            entries: AtomicU64::new(0),
            context: Cell::new(ptr::null_mut()),
            return_address: Cell::new(0),
            exit: Cell::new((Exit::Pause, 0)),
            page: Cell::new((u64::MAX, 0)),
            emitted: RefCell::new(Vec::new()),
        }));
        let processor = *lock(&PROCESSOR);
        let setup = Setup {
            owner: ptr::from_ref(thread).cast_mut().cast(),
            index: threads.len() as u64,
            guest_base: door::guest_base(),
            code_cache_size: CODE_CACHE,
            ctr_el0: processor.ctr_el0,
            dczid_el0: processor.dczid_el0,
            cntfrq_el0: processor.cntfrq_el0,
        };
        let translator = fault::around_handlers(|| Translator::new(&setup));
        thread.translator.set(translator).expect("set once");
        threads.push(thread);
        Some(thread)
    }

    fn translator(&self) -> &Translator {
        self.translator.get().expect("set by `take`")
    }

    /// Stops for good with what QEMU is to do.
    fn exit(&self, exit: Exit, detail: u64) {
        self.exit.set((exit, detail));
        self.translator().stop();
    }

    /// Leaves a program counter where a report of a fault finds it.
    pub fn note_fault(&self, pc: u64) {
        // SAFETY: set by `run` before any code runs.
        unsafe { (*self.context.get()).fault = pc };
    }

    /// Answers what instruction is to be translated.
    pub fn code(&self, address: u64) -> u32 {
        if address == self.return_address.get() {
            return svc(RETURN);
        }
        let here = (address & !(PAGE - 1), CHANGES.load(Relaxed));
        if self.page.get() != here {
            let mut code = lock(&CODE);
            if KNOWS_EXECUTABLE.load(Relaxed) && !code.is_executable(address) {
                return svc(NO_CODE);
            }
            // Before it is read: a change from here on makes this thread forget it.
            code.translate(here.0);
            drop(code);
            // If there is no memory, that shows in the next line.
            self.note_fault(address);
        }
        let host = address.wrapping_add(door::guest_base()) as *const u32;
        // SAFETY: the guest is about to execute it; if that is impossible, it faults,
        // as it would have anyway.
        let word = unsafe { host.read_volatile() };
        if self.page.replace(here) != here {
            self.note_fault(0);
        }
        if word == KNOCK[0] && !(address + 4).is_multiple_of(PAGE) {
            // SAFETY: on the same page.
            let next = unsafe { host.add(1).read_volatile() };
            if next == KNOCK[1] {
                return svc(KNOCKED);
            }
        }
        routing::instead_of(word)
    }

    /// The word of code at an address, if it is near what is being translated and not where
    /// the function returns to.
    fn peek(&self, pc: u64, address: u64) -> Option<u32> {
        let is_known = address / PAGE == pc / PAGE && address != self.return_address.get();
        let host = address.wrapping_add(door::guest_base()) as *const u32;
        // SAFETY: on a page that the translator has just read from.
        is_known.then(|| unsafe { host.read_volatile() })
    }

    /// Notes the exit that an `svc` means; the address of a [`Call`] if it is a knock.
    pub fn supervisor_call(&self, number: u32) -> Option<u64> {
        let translator = self.translator();
        let pc = translator.pc();
        match number {
            RETURN if pc - 4 == self.return_address.get() => self.exit(Exit::Returned, 0),
            KNOCKED => {
                self.note_fault(pc - 4);
                return Some(translator.x(0));
            }
            NO_CODE => self.exit(Exit::Leave, pc - 4),
            _ if translator.x(8) == CLONE && translator.x(0) & CLONE_VM != 0 => {
                // The child has these registers too, and goes its own way.
                self.exit(Exit::Leave, pc - 4);
            }
            _ => self.exit(Exit::Syscall, 0),
        }
        None
    }

    /// The service that a knock asks for.
    pub fn knocked_service(&self) -> u32 {
        self.translator().x(1) as u32
    }

    /// The translator does not know these instructions.
    pub fn unknown(&self, count: u64) {
        self.exit(Exit::Unknown, count);
    }

    /// Something that ends in a signal: QEMU knows how, when it executes this again.
    pub fn exception(&self, pc: u64) {
        self.exit(Exit::Leave, pc);
    }

    /// The guest's code whose translation begins at this address of the host.
    fn block_at(&self, host: u64) -> Option<u64> {
        let emitted = self.emitted.borrow();
        let index = emitted.binary_search_by_key(&host, |code| code.start);
        index.ok().map(|index| emitted[index].pc)
    }

    /// The guest's code that this address of the host is the translation of.
    pub fn guest_code(&self, host: u64) -> Option<u64> {
        let emitted = self.emitted.try_borrow().ok()?;
        let index = emitted.partition_point(|code| code.end <= host);
        let code = emitted.get(index)?;
        (code.start <= host).then_some(code.pc)
    }
}

fn svc(number: u32) -> u32 {
    0xd400_0001 | number << 5
}

/// The calling thread's translator has emitted something.
pub fn emitted(start: u64, end: u64, name: &[u8]) {
    // "a64_" and sixteen digits; other things are not translated code.
    let digits = name.strip_prefix(b"a64_").and_then(|name| name.get(..16));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let pc = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    if let (Some(pc), Some(thread)) = (pc, current()) {
        if FINISHES.load(Relaxed) {
            // SAFETY: the translator has just written this code, and runs it when this
            // returns.
            let code =
                unsafe { std::slice::from_raw_parts_mut(start as *mut u8, (end - start) as usize) };
            let read = |address| thread.peek(pc, address);
            finish(code, start, &read, &|host| thread.block_at(host));
        }
        thread.emitted.borrow_mut().push(Emitted { start, end, pc });
        COUNTERS.blocks.fetch_add(1, Relaxed);
        COUNTERS.code_bytes.fetch_add(end - start, Relaxed);
    }
}

/// The calling thread's translator has thrown everything away.
pub fn cleared() {
    if let Some(thread) = current() {
        let emitted = std::mem::take(&mut *thread.emitted.borrow_mut());
        let bytes: u64 = emitted.iter().map(|code| code.end - code.start).sum();
        COUNTERS.code_bytes.fetch_sub(bytes, Relaxed);
    }
}

/// Code in this range may be another from now on.
pub fn code_changed(start: u64, length: u64) {
    // Held to the end: whoever translates this again does so after it was forgotten.
    let mut code = lock(&CODE);
    let pages = code.forget(start, length);
    if pages.is_empty() {
        return;
    }
    CHANGES.fetch_add(1, Relaxed);
    for thread in lock(&THREADS).iter() {
        for page in &pages {
            thread.translator().forget(*page, PAGE);
        }
    }
}

/// The guest tells what it may execute, by which alone everything is known.
pub fn tell_executable(start: u64, length: u64) {
    set_executable(start, length, true);
    KNOWS_EXECUTABLE.store(true, Relaxed);
}

/// Notes whether this range may be executed.
pub fn set_executable(start: u64, length: u64, is_executable: bool) {
    lock(&CODE).set_executable(start, length, is_executable);
    CHANGES.fetch_add(1, Relaxed);
}

/// Whether this address may be executed, as far as is known.
pub fn is_executable(address: u64) -> bool {
    lock(&CODE).is_executable(address)
}

/// Leaves everything to QEMU from now on, or no longer.
pub fn decline(declines: bool) {
    DECLINES.store(declines, Relaxed);
    if declines {
        for thread in lock(&THREADS).iter() {
            thread.translator().stop();
        }
    }
}

/// The call that a knock in translated code announces, filled in as far as the store
/// that follows will.
///
/// # Safety
/// The guest is about to store to `call`.
pub unsafe fn complete(call: *mut Call) {
    if let Some(thread) = current().filter(|thread| thread.running.load(Relaxed)) {
        // SAFETY: the caller's promise.
        unsafe { (*call).service = thread.knocked_service() };
    }
}

#[cfg(test)]
mod tests;
