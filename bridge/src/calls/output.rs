//! What libraries print: done by the program's own streams, on the thread that called the
//! library, so that it comes in the order in which both have printed.

use super::lane::HostLane;
use iotdec_wire::lane::{Kind as MailKind, Mail};
pub(super) use iotdec_wire::output::PART;
use iotdec_wire::output::{MOST, Stream};
use nix::libc;
use std::ffi::c_void;
use std::ptr::null_mut;

unsafe extern "C" {
    static stdout: *mut libc::FILE;
    static stderr: *mut libc::FILE;
    fn __fpending(stream: *mut libc::FILE) -> libc::size_t;
}

/// Serves a callback that prints.
///
/// # Safety
/// `lane` is the calling thread's, with so many frames.
pub(super) unsafe fn serve(
    lane: *mut HostLane,
    frames: usize,
    mail: &Mail,
) -> Result<(), &'static str> {
    let stream = Stream::from_code(mail.index).ok_or("it prints to no stream")?;
    let size = usize::try_from(mail.target).ok();
    let size = size
        .filter(|size| *size <= MOST && (*size == 0 || stream != Stream::All))
        .ok_or("it prints more than there can be")?;
    // SAFETY: the caller's promise; short borrows, for a stream of the program's may be one
    // that calls the library. What is printed is shared memory, which has a meaning for its
    // reader alone; the guest may write there meanwhile.
    unsafe {
        if !(*lane).worker.can_be_message(mail.message) {
            return Err("it prints from memory that is not shared");
        }
        if stream == Stream::Error {
            (*lane).worker.has_said(&read(mail.message, size));
        }
        (*lane).set_errno(mail.errno);
        let result = print(stream, mail.message as *const c_void, size);
        (mail.message as *mut i64).write_volatile(result);
        let answer = Mail {
            kind: MailKind::Return.code(),
            level: (*lane).level(frames),
            errno: (*lane).get_errno(),
            ..Mail::default()
        };
        if !(*lane).worker.is_over() {
            (*lane).post(&answer);
        }
    }
    Ok(())
}

/// Prints bytes, or, if there are none, what is in the stream's buffer.
///
/// # Safety
/// So many bytes can be read.
unsafe fn print(stream: Stream, bytes: *const c_void, size: usize) -> i64 {
    // SAFETY: the program's streams, which are there as long as it is, and the caller's promise.
    unsafe {
        let stream = match stream {
            Stream::All => null_mut(),
            Stream::Out => stdout,
            Stream::Error => stderr,
        };
        match size {
            0 => libc::fflush(stream).into(),
            size => libc::fwrite(bytes, 1, size, stream) as i64,
        }
    }
}

/// # Safety
/// So many bytes are mapped at the address.
unsafe fn read(address: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), size) };
    bytes
}

/// Has what libraries have printed come before what a program prints without C's streams.
pub(crate) fn write_out() {
    // SAFETY: the program's stream.
    unsafe {
        if __fpending(stdout) > 0 {
            libc::fflush(stdout);
        }
    }
}
