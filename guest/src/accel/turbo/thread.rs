//! The library's own threads run in turbo too, and as the worker wants: its `pthread_create`
//! and `thrd_create` are found before the C library's, and hand on to it.

use super::{CURRENT, Lease, enter, is_on};
use crate::c_library::{self, Cancellation};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

type Create = unsafe extern "C" fn(
    *mut libc::pthread_t,
    *const libc::pthread_attr_t,
    enter::Function,
    *mut c_void,
) -> c_int;

/// threads.h of glibc.
const THRD_SUCCESS: c_int = 0;
const THRD_ERROR: c_int = 2;
const THRD_NOMEM: c_int = 3;

/// Calls a thread's function with its argument.
pub type Run = unsafe extern "C-unwind" fn(enter::Function, *mut c_void) -> *mut c_void;

static RUN: OnceLock<Run> = OnceLock::new();

/// Has `run` call the functions of all threads that are created from now on. Once.
pub fn run_threads_with(run: Run) {
    let _ = RUN.set(run);
}

/// What a thread was to run.
struct Start {
    function: enter::Function,
    argument: *mut c_void,
}

/// `pthread_create` of POSIX, for every library in this process.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    function: enter::Function,
    argument: *mut c_void,
) -> c_int {
    let first = match (is_on(), RUN.get()) {
        (true, _) => begin,
        (false, Some(_)) => run,
        // SAFETY: the caller's promise.
        (false, None) => return unsafe { create_outside(thread, attributes, function, argument) },
    };
    let start = Box::into_raw(Box::new(Start { function, argument }));
    // SAFETY: as above; the new thread owns `start`.
    let error = unsafe { create_outside(thread, attributes, first, start.cast()) };
    if error != 0 {
        // SAFETY: no thread got it.
        drop(unsafe { Box::from_raw(start) });
    }
    error
}

/// Creates a thread that is not in turbo.
///
/// # Safety
/// As the C library's `pthread_create`.
pub unsafe fn create_outside(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    function: enter::Function,
    argument: *mut c_void,
) -> c_int {
    let Some(create) = next() else {
        return libc::ENOSYS;
    };
    // SAFETY: the caller's promise.
    unsafe { create(thread, attributes, function, argument) }
}

/// `thrd_create` of C11. Threads of both kinds are the same in glibc, and so is where
/// their functions return an `int` or a pointer: in x0, of which `thrd_join` takes an `int`.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn thrd_create(
    thread: *mut libc::pthread_t,
    function: enter::Function,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise; null stands for the default attributes.
    match unsafe { pthread_create(thread, ptr::null(), function, argument) } {
        0 => THRD_SUCCESS,
        libc::ENOMEM => THRD_NOMEM,
        _ => THRD_ERROR,
    }
}

/// The C library's own.
fn next() -> Option<Create> {
    static NEXT: OnceLock<Option<Create>> = OnceLock::new();
    // SAFETY: POSIX gives the function of that name this type.
    *NEXT.get_or_init(|| unsafe { c_library::next(c"pthread_create") })
}

/// Runs a new thread's function. `pthread_exit` unwinds through here, so nothing is to be
/// dropped while the function runs.
unsafe extern "C-unwind" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create` handed it over.
    let Start { function, argument } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    // SAFETY: what whoever created the thread wants.
    unsafe {
        match RUN.get() {
            Some(run) => run(function, argument),
            None => function(argument),
        }
    }
}

/// The same in turbo.
unsafe extern "C-unwind" fn begin(start: *mut c_void) -> *mut c_void {
    let lease = std::mem::ManuallyDrop::new(Lease::take());
    let context = lease.context();
    CURRENT.set(context);
    // SAFETY: turbo is on; the lease keeps the context. `run` is called with what
    // `pthread_create` handed over.
    let result = unsafe {
        (*context).stepped = 0;
        enter::iotdec_turbo_enter(context, run, start)
    };
    // What follows is not to be interrupted for good.
    Cancellation::disable();
    CURRENT.set(ptr::null_mut());
    drop(std::mem::ManuallyDrop::into_inner(lease));
    result
}
