//! The threads that serve lanes. Their stacks are in guest memory, so that the program
//! can follow pointers to the library's local variables.

use super::lane::{self, GuestLane, Outcome};
use super::memory::shared;
use crate::accel;
use iotdec_wire::exchange::{LANES, THREAD_STACK};
use iotdec_wire::lane::{Kind, Mail};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::Mutex;

/// Bytes of a signal stack.
const SIGNAL_STACK: usize = 64 << 10;
/// At the low end of each stack nothing is mapped for access: a stack that overflows must
/// not run into its neighbour.
const GUARD: usize = 64 << 10;

/// The thread that serves or served each lane, not yet joined.
static THREADS: Mutex<[Option<libc::pthread_t>; LANES]> = Mutex::new([None; LANES]);

/// Starts a thread that serves a lane.
pub fn start(number: usize) -> Result<(), String> {
    let mut threads = THREADS.lock().expect("no panic is survived");
    let place = threads.get_mut(number).ok_or("no such lane")?;
    if let Some(former) = place.take() {
        // SAFETY: one of ours that nobody has joined. It has ended or is about to: the
        // host gives a lane away again only when the thread has said so.
        unsafe { libc::pthread_join(former, std::ptr::null_mut()) };
    }
    let stack = (shared().memory.start as usize + number * THREAD_STACK) as *mut c_void;
    let failed = |what: &str, error: c_int| {
        Err(format!(
            "{what} failed: {}",
            std::io::Error::from_raw_os_error(error)
        ))
    };
    // SAFETY: the range is this lane's part of guest memory, which no thread uses now.
    unsafe {
        if libc::mprotect(stack, GUARD, libc::PROT_NONE) != 0 {
            return Err(format!(
                "mprotect failed: {}",
                std::io::Error::last_os_error()
            ));
        }
        let mut attributes = MaybeUninit::uninit();
        libc::pthread_attr_init(attributes.as_mut_ptr());
        let error = libc::pthread_attr_setstack(
            attributes.as_mut_ptr(),
            stack.add(GUARD),
            THREAD_STACK - GUARD,
        );
        if error != 0 {
            return failed("pthread_attr_setstack", error);
        }
        let mut thread = 0;
        let error =
            accel::create_outside(&mut thread, attributes.as_ptr(), run, number as *mut c_void);
        if error != 0 {
            return failed("pthread_create", error);
        }
        *place = Some(thread);
    }
    Ok(())
}

unsafe extern "C-unwind" fn run(number: *mut c_void) -> *mut c_void {
    let signal_stack = SignalStack::new();
    let lane = GuestLane::attach(number as usize);
    // SAFETY: this thread's, and its outermost loop.
    while accel::run(|| unsafe { lane::serve(lane, 0) }) != Outcome::Closed {}
    let mail = Mail {
        kind: Kind::Return.code(),
        ..Mail::default()
    };
    // SAFETY: this thread's.
    unsafe { (*lane).post(&mail) };
    GuestLane::detach();
    drop(signal_stack);
    std::ptr::null_mut()
}

/// A thread's signal stack: the handler must run even if the stack has overflowed.
struct SignalStack(Box<[u8]>);

impl SignalStack {
    fn new() -> Self {
        let mut memory = vec![0; SIGNAL_STACK].into_boxed_slice();
        let stack = libc::stack_t {
            ss_sp: memory.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: SIGNAL_STACK,
        };
        // SAFETY: the memory lives until `drop`, which takes it away again.
        unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) };
        Self(memory)
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let none = libc::stack_t {
            ss_sp: std::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: self.0.len(),
        };
        // SAFETY: no signal is being handled: the thread is here.
        unsafe { libc::sigaltstack(&none, std::ptr::null_mut()) };
    }
}
