//! Stacks of the threads that libraries create: in guest memory, as those are that serve lanes, so
//! that the program can follow pointers to local variables with which such a thread calls it.
//!
//! A thread begins on the stack that the C library has mapped for it, and runs its function on one
//! of ours. That is given back when the function has been left, in whichever way: the C library
//! destroys what is specific to a thread on its own stack again.

use super::{mappings, memory};
use crate::accel::{self, ThreadFunction};
use crate::c_library::Cancellation;
use crate::parcel::Parcel;
use std::ffi::{c_int, c_void};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes for all of these stacks together; the library needs memory for other things, too.
/// Threads beyond that stay on their private stacks.
const MOST: usize = 512 << 20;
/// At the low end of each stack nothing is mapped for access.
const GUARD: usize = 16 << 10;

/// Bytes of the stacks that there are.
static USED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn pthread_getattr_np(thread: libc::pthread_t, attributes: *mut libc::pthread_attr_t) -> c_int;
}

unsafe extern "C-unwind" {
    /// Calls `function(argument)` on the stack that ends at `top`.
    fn iotdec_stack_call(
        function: ThreadFunction,
        argument: *mut c_void,
        top: *mut c_void,
    ) -> *mut c_void;
}

// Exceptions, `pthread_exit` and cancellation unwind through here: the frame is found by x29,
// which says nothing of where the stack pointer is.
std::arch::global_asm!(
    "    .text",
    "    .balign 16",
    "    .globl iotdec_stack_call",
    "    .hidden iotdec_stack_call",
    "    .type iotdec_stack_call, %function",
    "iotdec_stack_call:",
    "    .cfi_startproc",
    "    stp x29, x30, [sp, #-16]!",
    "    .cfi_def_cfa_offset 16",
    "    .cfi_offset x29, -16",
    "    .cfi_offset x30, -8",
    "    mov x29, sp",
    "    .cfi_def_cfa x29, 16",
    "    mov x9, x0",
    "    mov x0, x1",
    "    mov sp, x2",
    "    blr x9",
    "    mov sp, x29",
    "    .cfi_def_cfa sp, 16",
    "    ldp x29, x30, [sp], #16",
    "    .cfi_def_cfa_offset 0",
    "    .cfi_restore x29",
    "    .cfi_restore x30",
    "    ret",
    "    .cfi_endproc",
    "    .size iotdec_stack_call, . - iotdec_stack_call",
);

/// From now on, threads that libraries create run on such stacks.
pub fn share() {
    accel::run_threads_with(run);
}

/// Calls a function on a stack that is this process's alone. None if there is no memory for one.
///
/// Who leaves the function otherwise is still on that stack, which is not given back then.
pub fn run_privately<R>(function: impl FnOnce() -> R) -> Option<R> {
    // What is mapped with this is not shared.
    let stack = ManuallyDrop::new(Stack::new(1 << 20, libc::MAP_NORESERVE)?);
    let mut parcel = Parcel::new(function);
    let (run, argument) = parcel.parts();
    // SAFETY: the end of memory that is ours until it is dropped; `run` takes `argument`.
    unsafe { iotdec_stack_call(run, argument, stack.top()) };
    drop(ManuallyDrop::into_inner(stack));
    parcel.result()
}

/// Nothing is to be dropped while the function runs: `pthread_exit` leaves it for good.
unsafe extern "C-unwind" fn run(function: ThreadFunction, argument: *mut c_void) -> *mut c_void {
    // A thread that is cancelled while it gets its stack would lose it.
    let cancellation = Cancellation::disable();
    let top = top_of_new();
    cancellation.restore();
    match top {
        // SAFETY: the end of memory that is this thread's until its function has been left; what
        // the function is called with is what whoever created the thread wants.
        Some(top) => unsafe { iotdec_stack_call(function, argument, top) },
        // SAFETY: as above.
        None => unsafe { function(argument) },
    }
}

/// A new stack for the calling thread, which loses it when it ends. None if it has one in guest
/// memory already, or if there is no memory for it.
fn top_of_new() -> Option<*mut c_void> {
    let key = key()?;
    let (former, size) = present()?;
    let guest = memory::own()?;
    if guest.contains(former as u64, 1) || size <= 2 * GUARD {
        return None;
    }
    let stack = Box::new(Shared::new(size)?);
    let top = stack.stack.top();
    let stack = Box::into_raw(stack);
    // SAFETY: a key that is never deleted; it takes any address.
    if unsafe { libc::pthread_setspecific(key, stack.cast()) } != 0 {
        // SAFETY: made a moment ago, and nobody else has it.
        drop(unsafe { Box::from_raw(stack) });
        return None;
    }
    Some(top)
}

/// The calling thread's stack as the C library made it: its lowest address and its bytes.
fn present() -> Option<(*mut c_void, usize)> {
    let mut attributes = MaybeUninit::uninit();
    let (mut start, mut size) = (null_mut(), 0);
    // SAFETY: fills in the attributes, of which the two variables get something, and which are
    // destroyed if they were made.
    unsafe {
        if pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let error = libc::pthread_attr_getstack(attributes.as_ptr(), &mut start, &mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        (error == 0).then_some((start, size))
    }
}

fn key() -> Option<libc::pthread_key_t> {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: a function of the right type that stays.
        let error = unsafe { libc::pthread_key_create(&mut key, Some(give_back)) };
        (error == 0).then_some(key)
    })
}

unsafe extern "C" fn give_back(stack: *mut c_void) {
    Cancellation::disable();
    // SAFETY: `top_of_new` has set it, and the C library hands it over once. The thread has left
    // the function that ran there.
    drop(unsafe { Box::from_raw(stack.cast::<Shared>()) });
}

/// A stack in guest memory.
struct Shared {
    stack: Stack,
    _share: Share,
}

impl Shared {
    fn new(size: usize) -> Option<Self> {
        let share = Share::take(size)?;
        let stack = Stack::new(size, 0)?;
        let is_shared = memory::own()?.contains(stack.start as u64, size as u64);
        is_shared.then_some(Self {
            stack,
            _share: share,
        })
    }
}

/// Bytes of [`MOST`].
struct Share(usize);

impl Share {
    fn take(size: usize) -> Option<Self> {
        let share = Self(size);
        (USED.fetch_add(size, Relaxed) + size <= MOST).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        USED.fetch_sub(self.0, Relaxed);
    }
}

/// Memory of a stack, above a guard.
struct Stack {
    start: *mut c_void,
    size: usize,
}

impl Stack {
    /// Flags are those of `mmap`, beyond the usual ones.
    fn new(size: usize, flags: c_int) -> Option<Self> {
        const PROTECTION: c_int = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
        let start = mappings::map(null_mut(), size, PROTECTION, flags, -1, 0);
        if start == libc::MAP_FAILED {
            return None;
        }
        let stack = Self { start, size };
        // SAFETY: the low end of new memory.
        let error = unsafe { libc::mprotect(start, GUARD, libc::PROT_NONE) };
        (error == 0).then_some(stack)
    }

    fn top(&self) -> *mut c_void {
        self.start.wrapping_byte_add(self.size)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; nobody runs there.
        unsafe { mappings::unmap(self.start, self.size) };
    }
}
