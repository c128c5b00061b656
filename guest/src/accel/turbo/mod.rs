//! Turbo, from the guest's side: calls that the accelerator's translator runs.
//!
//! | file | what it does |
//! |---|---|
//! | `enter` | the way in, system calls, and the way out |
//! | `step` | instructions that only QEMU knows |
//! | `leave` | the rest of a call in QEMU |
//! | `thread` | the library's own threads |

mod enter;
mod leave;
mod step;
mod thread;

pub use enter::Function as ThreadFunction;
pub use thread::{create_outside, run_threads_with};

use crate::parcel::Parcel;
use bytemuck::Zeroable;
use iotdec_wire::door::{Context, MAGIC};
use std::cell::Cell;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Unknown instructions in one call from which on it is worth a look whether QEMU alone is
/// faster: each takes as long as 70 others do in QEMU (measured: 435 ns), so that many
/// take 1.7 ms.
const TOO_MANY: u64 = 4_000;
/// Calls in a row with too many, after which turbo is given up.
const PATIENCE: u32 = 8;

/// Whether calls are made in turbo.
static ON: AtomicBool = AtomicBool::new(false);
/// Whether nobody is told when turbo is given up.
static SILENT: AtomicBool = AtomicBool::new(false);
/// Calls in a row with too many unknown instructions.
static BAD_CALLS: AtomicU32 = AtomicU32::new(0);

/// Makes calls in turbo from now on.
///
/// # Safety
/// The accelerator has turbo.
pub unsafe fn switch_on() {
    ON.store(true, Relaxed);
}

/// Has nobody be told when turbo is given up, which nobody has asked for.
pub fn be_silent() {
    SILENT.store(true, Relaxed);
}

/// Lets the calls of this thread alone be made in turbo.
///
/// # Safety
/// The accelerator has turbo.
pub unsafe fn try_out<R>(calls: impl FnOnce() -> R) -> R {
    TRIES.set(true);
    let result = calls();
    TRIES.set(false);
    result
}

/// Whether calls are made in turbo.
pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Every context there is, with the thread that it belongs to; 0 if to none.
static CONTEXTS: Mutex<Vec<(libc::pid_t, &'static Cells)>> = Mutex::new(Vec::new());

/// A context, which the accelerator changes.
struct Cells(Cell<Context>);

// SAFETY: used by the thread that it belongs to alone, which `CONTEXTS` notes.
unsafe impl Sync for Cells {}

thread_local! {
    /// The context of the call that this thread makes in turbo.
    static CURRENT: Cell<*mut Context> = const { Cell::new(ptr::null_mut()) };
    /// Whether this thread tries turbo out.
    static TRIES: Cell<bool> = const { Cell::new(false) };
    /// Whether QEMU has taken over what was begun in turbo.
    static LEFT: Cell<bool> = const { Cell::new(false) };
}

/// A thread's hold on a context.
///
/// Not given back by a thread that ends inside its call, by `pthread_exit`: it makes its
/// last system calls through the context. Another thread takes it once that one is gone.
struct Lease(&'static Cells);

impl Lease {
    fn take() -> Self {
        // SAFETY: asks for the thread's number.
        let own = unsafe { libc::gettid() };
        let mut contexts = CONTEXTS.lock().expect("no panic is survived");
        if let Some((thread, cells)) = contexts.iter_mut().find(|(t, _)| is_free(*t, own)) {
            *thread = own;
            return Self(cells);
        }
        let context = Context {
            call: iotdec_wire::door::Call {
                magic: MAGIC,
                ..Zeroable::zeroed()
            },
            ..Zeroable::zeroed()
        };
        let cells: &'static Cells = Box::leak(Box::new(Cells(Cell::new(context))));
        contexts.push((own, cells));
        Self(cells)
    }

    fn context(&self) -> *mut Context {
        self.0.0.as_ptr()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut contexts = CONTEXTS.lock().expect("no panic is survived");
        let entry = contexts
            .iter_mut()
            .find(|(_, cells)| ptr::eq(*cells, self.0));
        if let Some((thread, _)) = entry {
            *thread = 0;
        }
    }
}

/// Whether the thread that a context belongs to needs it no more, as the thread `own`,
/// which has none, sees it.
fn is_free(thread: libc::pid_t, own: libc::pid_t) -> bool {
    // SAFETY: signal 0 is not sent; whether it could be tells whether the thread exists.
    let exists = |thread: libc::pid_t| unsafe {
        libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, 0) == 0
    };
    thread == 0 || thread == own || !exists(thread)
}

/// Calls `function` in turbo if it is on and this thread is not in it already.
pub fn run<R>(function: impl FnOnce() -> R) -> R {
    if !(is_on() || TRIES.get()) || !CURRENT.get().is_null() {
        return function();
    }
    let lease = Lease::take();
    let context = lease.context();
    let mut parcel = Parcel::new(function);
    let (call, argument) = parcel.parts();
    // SAFETY: turbo is on; the lease keeps the context.
    unsafe {
        (*context).stepped = 0;
        LEFT.set(false);
        CURRENT.set(context);
        enter::iotdec_turbo_enter(context, call, argument);
        CURRENT.set(ptr::null_mut());
        judge((*context).stepped);
    }
    parcel.result().expect("the call has returned")
}

/// Whether this thread is in turbo, or would be there for nothing. Asked between two calls of
/// a thread that makes all of its calls within one [`run`]: what is counted by the call begins
/// anew.
pub fn is_well_placed() -> bool {
    let context = CURRENT.get();
    if context.is_null() {
        return !is_on();
    }
    // SAFETY: this thread's context, which the accelerator does not read there.
    let stepped = unsafe { std::mem::take(&mut (*context).stepped) };
    if stepped > 0 {
        judge(stepped);
    }
    !LEFT.get() && is_on()
}

/// Gives turbo up when calls fall back to QEMU again and again.
fn judge(stepped: u64) {
    if stepped <= TOO_MANY {
        BAD_CALLS.store(0, Relaxed);
    } else if BAD_CALLS.fetch_add(1, Relaxed) + 1 == PATIENCE {
        ON.store(false, Relaxed);
        if SILENT.load(Relaxed) {
            return;
        }
        let worst = unknown_instructions().max_by_key(|(_, hits)| *hits);
        let (word, hits) = worst.unwrap_or_default();
        eprintln!(
            "turbo is off: {stepped} instructions of one call were unknown to it, \
             most often {word:#010x} ({hits} times since the start)"
        );
    }
}

/// Instructions that the translator does not know, and how often each was executed.
pub fn unknown_instructions() -> impl Iterator<Item = (u32, u64)> {
    step::hits()
}

/// Where the library was when QEMU's program counter was `pc`, for the report of a fault.
pub fn library_pc(pc: u64) -> u64 {
    let context = CURRENT.get();
    if context.is_null() {
        return pc;
    }
    // SAFETY: this thread's context; the accelerator has noted where it was.
    let (fault, next) = unsafe { ((*context).fault, (*context).pc) };
    if step::contains(pc) {
        next
    } else if enter::contains(pc) && fault != 0 {
        fault
    } else {
        pc
    }
}
