//! Stacks of the threads that libraries create: in guest memory, as those are that serve lanes, so
//! that the program can follow pointers to local variables with which such a thread calls it.
//!
//! A thread begins on the stack that the C library has mapped for it, and runs its function on one
//! of ours. That is given back when the function has been left, in whichever way: the C library
//! destroys what is specific to a thread on its own stack again.

use super::{mappings, memory};
use crate::accel::{self, ThreadFunction};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
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
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}
/// pthread.h of glibc.
const PTHREAD_CANCEL_DISABLE: c_int = 1;

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
pub fn run_privately<R>(function: impl FnOnce() -> R) -> Option<R> {
    const SIZE: usize = 1 << 20;
    const PROTECTION: c_int = libc::PROT_READ | libc::PROT_WRITE;
    // What is mapped with the last flag is not shared.
    const FLAGS: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let start = mappings::map(null_mut(), SIZE, PROTECTION, FLAGS, -1, 0);
    if start == libc::MAP_FAILED {
        return None;
    }
    let mut call = Call {
        function: Some(function),
        result: None,
    };
    let (run, argument) = call.parts();
    // SAFETY: the end of memory that is ours until we unmap it, with a guard below; `call` is what
    // `run` takes, and lives.
    unsafe {
        libc::mprotect(start, GUARD, libc::PROT_NONE);
        iotdec_stack_call(run, argument, start.wrapping_byte_add(SIZE));
        mappings::unmap(start, SIZE);
    }
    call.result
}

/// A function and what it returns.
struct Call<F, R> {
    function: Option<F>,
    result: Option<R>,
}

impl<F: FnOnce() -> R, R> Call<F, R> {
    /// A function, and its argument, that make the call.
    fn parts(&mut self) -> (ThreadFunction, *mut c_void) {
        (Self::run, (&raw mut *self).cast())
    }

    unsafe extern "C-unwind" fn run(call: *mut c_void) -> *mut c_void {
        // SAFETY: `parts` gives both; nobody else uses it meanwhile.
        let call = unsafe { &mut *call.cast::<Self>() };
        call.result = call.function.take().map(|function| function());
        null_mut()
    }
}

/// Nothing is to be dropped while the function runs: `pthread_exit` leaves it for good.
unsafe extern "C-unwind" fn run(function: ThreadFunction, argument: *mut c_void) -> *mut c_void {
    let mut state = 0;
    // SAFETY: takes any state. A thread that is cancelled while it gets its stack would lose it.
    unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut state) };
    let top = top_of_new();
    // SAFETY: what it was.
    unsafe { pthread_setcancelstate(state, null_mut()) };
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
    let stack = Box::new(Stack::new(size)?);
    let top = stack.start.wrapping_byte_add(stack.size);
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
    // SAFETY: takes any state; the thread ends.
    unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, null_mut()) };
    // SAFETY: `top_of_new` has set it, and the C library hands it over once. The thread has left
    // the function that ran there.
    drop(unsafe { Box::from_raw(stack.cast::<Stack>()) });
}

/// Memory of a stack, above a guard.
struct Stack {
    start: *mut c_void,
    size: usize,
}

impl Stack {
    fn new(size: usize) -> Option<Self> {
        const PROTECTION: c_int = libc::PROT_READ | libc::PROT_WRITE;
        const FLAGS: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        if USED.fetch_add(size, Relaxed) + size > MOST {
            USED.fetch_sub(size, Relaxed);
            return None;
        }
        let start = mappings::map(null_mut(), size, PROTECTION, FLAGS, -1, 0);
        if start == libc::MAP_FAILED {
            USED.fetch_sub(size, Relaxed);
            return None;
        }
        let stack = Self { start, size };
        // SAFETY: the low end of new memory.
        let error = unsafe { libc::mprotect(start, GUARD, libc::PROT_NONE) };
        let is_shared = memory::own()?.contains(start as u64, size as u64);
        (error == 0 && is_shared).then_some(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; nobody runs there.
        unsafe { mappings::unmap(self.start, self.size) };
        USED.fetch_sub(self.size, Relaxed);
    }
}
