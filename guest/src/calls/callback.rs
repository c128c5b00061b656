//! Calling the program back, from any thread.

use super::lane::{self, GuestLane, Outcome};
use super::parts::{self, Part};
use super::{control, die};
use iotdec_wire::exchange::MAX_MESSAGE;
use iotdec_wire::lane::{Kind, Mail, small_words};
use iotdec_wire::output::PART;
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};

/// `struct iotdec_callback`: a callback that is being made.
#[repr(C)]
#[derive(Debug)]
pub struct Callback {
    lane: *mut GuestLane,
    message: u64,
    mark: u64,
    errno: i32,
    /// Words of the message, if it is small.
    words: u32,
    spare: [u64; 4],
}

const _: () = assert!(size_of::<Callback>() == 64);

/// `iotdec_callback_begin`
///
/// # Safety
/// `callback` is valid for writing.
pub unsafe fn callback_begin(callback: *mut Callback, size: usize) -> *mut c_void {
    // SAFETY: the calling thread's own.
    let errno = unsafe { *libc::__errno_location() };
    let mut lane = lane::current();
    if lane.is_null() {
        lane = control::adopt();
    }
    if size > MAX_MESSAGE {
        die("a callback's message is larger than there may be");
    }
    // SAFETY: the thread's lane; nobody else borrows it now.
    let Some((message, mark)) = (unsafe { (*lane).push(size) }) else {
        die("callbacks within callbacks take more messages than there is room for");
    };
    // SAFETY: `push` gave so many bytes of the lane's stack; `callback` by promise.
    unsafe {
        std::ptr::write_bytes(message as *mut u8, 0, size);
        callback.write(Callback {
            lane,
            message,
            mark,
            errno,
            words: small_words(size) as u32,
            spare: [0; 4],
        });
    }
    message as *mut c_void
}

/// `iotdec_callback_run`
///
/// # Safety
/// `callback` was begun on this thread and not yet ended, `part` is a part's constant.
pub unsafe fn callback_run(
    callback: *mut Callback,
    part: *const Part,
    signature: u32,
    target: *mut c_void,
) {
    // SAFETY: the caller's promise.
    unsafe { run_as(callback, number_of(part), signature, target) }
}

/// The same for a part of that number.
///
/// # Safety
/// `callback` was begun on this thread and not yet ended.
pub unsafe fn run_as(callback: *mut Callback, part: u32, index: u32, target: *mut c_void) {
    // SAFETY: `callback_begin` filled it in; the lane is the thread's.
    unsafe {
        let lane = (*callback).lane;
        let Some(level) = (*lane).next_level() else {
            die("callbacks are nested deeper than is served");
        };
        let mail = Mail {
            kind: Kind::Callback.code(),
            level,
            part,
            index,
            errno: (*callback).errno,
            target: target as u64,
            message: (*callback).message,
            ..Mail::default()
        };
        let message = (*callback).message as *mut u64;
        // What is printed is behind its address.
        let words = if part == PART { 0 } else { (*callback).words };
        // The message stack, as far as its message goes, is this thread's own: the host looks
        // there only for what is not small.
        let small = std::slice::from_raw_parts(message, words as usize);
        (*lane).post_small(&mail, small);
        // Abandoned by `unwind`, if the program does not come back: nothing here is dropped.
        match lane::serve(lane, level) {
            Outcome::Returned(answered) if answered == words => {
                (*lane).take_small(words as usize, message);
            }
            Outcome::Returned(_) => die("a callback's answer is none to its message"),
            Outcome::Closed | Outcome::Shifts => die("a loop that waits for a callback was closed"),
        }
    }
}

/// `iotdec_callback_end`
///
/// # Safety
/// `callback` was begun on this thread and not yet ended.
pub unsafe fn callback_end(callback: *mut Callback) {
    // SAFETY: `callback_begin` filled it in; the lane is the thread's.
    unsafe { (*(*callback).lane).pop((*callback).mark) }
}

/// A part's number, which is usually the last one's that was asked for.
fn number_of(part: *const Part) -> u32 {
    static LAST: AtomicPtr<Part> = AtomicPtr::new(std::ptr::null_mut());
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.load(Ordering::Relaxed);
    if LAST.load(Ordering::Relaxed).cast_const() == part
        && parts::part(number).is_some_and(|known| std::ptr::eq(known, part))
    {
        return number;
    }
    let Some(number) = parts::number_of(part) else {
        die("a callback of a guest part that was not loaded by this worker");
    };
    NUMBER.store(number, Ordering::Relaxed);
    LAST.store(part.cast_mut(), Ordering::Relaxed);
    number
}

/// Tells the host that a thread of the library's, which called back, is about to end.
pub fn release(lane: *mut GuestLane) {
    let mail = Mail {
        kind: Kind::Close.code(),
        ..Mail::default()
    };
    // SAFETY: called by the thread whose lane it is, while nothing runs on it.
    unsafe { (*lane).post(&mail) };
    GuestLane::detach();
}
