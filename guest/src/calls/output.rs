//! What libraries print. Their C library's `stdout` and `stderr` have no buffer here: the
//! program's own streams do the printing, as callbacks.

use super::callback::{self, Callback};
use crate::c_library::next;
use iotdec_wire::output::{MOST, PART, Stream};
use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::OnceLock;

type Write = unsafe extern "C" fn(*mut c_void, *const c_char, libc::size_t) -> libc::ssize_t;

/// `cookie_io_functions_t`
#[repr(C)]
struct Functions {
    read: *const c_void,
    write: Option<Write>,
    seek: *const c_void,
    close: *const c_void,
}

unsafe extern "C" {
    static mut stdout: *mut libc::FILE;
    static mut stderr: *mut libc::FILE;
    fn fopencookie(
        cookie: *mut c_void,
        mode: *const c_char,
        functions: Functions,
    ) -> *mut libc::FILE;
}

/// Where `struct _IO_FILE` has the number that `fileno` tells, in every version of glibc.
const FILENO: usize = 112;

/// Has libraries print to the program's streams. Before any is loaded.
pub fn take_over() -> Result<(), String> {
    // SAFETY: two variables of the C library that every program may set; no other thread prints.
    unsafe {
        stdout = open(Stream::Out, libc::STDOUT_FILENO)?;
        stderr = open(Stream::Error, libc::STDERR_FILENO)?;
    }
    Ok(())
}

fn open(stream: Stream, number: c_int) -> Result<*mut libc::FILE, String> {
    let functions = Functions {
        read: null_mut(),
        write: Some(write),
        seek: null_mut(),
        close: null_mut(),
    };
    let cookie = without_provenance_mut(stream.code() as usize);
    // SAFETY: functions of the right types; the stream is new and nobody else has it.
    unsafe {
        let file = fopencookie(cookie, c"w".as_ptr(), functions);
        if file.is_null() {
            return Err("no memory for a stream".to_owned());
        }
        libc::setvbuf(file, null_mut(), libc::_IONBF, 0);
        // What asks whether it is a terminal, or writes there itself, is to find what it would
        // in the program.
        file.cast::<u8>().add(FILENO).cast::<c_int>().write(number);
        Ok(file)
    }
}

unsafe extern "C" fn write(
    stream: *mut c_void,
    bytes: *const c_char,
    size: libc::size_t,
) -> libc::ssize_t {
    let mut done = 0;
    while done < size {
        let part = MOST.min(size - done);
        // SAFETY: the C library has so many bytes there.
        let printed = unsafe { tell(stream.addr() as u32, bytes.add(done), part) };
        done += printed.clamp(0, part as i64) as usize;
        if printed != part as i64 {
            break;
        }
    }
    done as libc::ssize_t
}

/// Has the program print bytes, or, if there are none, write out what a stream has in its buffer.
///
/// # Safety
/// So many bytes can be read.
unsafe fn tell(stream: u32, bytes: *const c_char, size: usize) -> i64 {
    let mut callback = MaybeUninit::<Callback>::uninit();
    let callback = callback.as_mut_ptr();
    // SAFETY: begun, run and ended here; the message has room for the bytes, and for the result.
    unsafe {
        let message = callback::callback_begin(callback, size.max(size_of::<i64>()));
        std::ptr::copy_nonoverlapping(bytes, message.cast(), size);
        let size = without_provenance_mut(size);
        callback::run_as(callback, PART, stream, size);
        let result = message.cast::<i64>().read();
        callback::callback_end(callback);
        result
    }
}

/// What libraries call as `fflush`: the program's buffer is theirs, too.
///
/// # Safety
/// As in C.
pub unsafe fn flush(file: *mut libc::FILE) -> c_int {
    type Flush = unsafe extern "C" fn(*mut libc::FILE) -> c_int;
    static REAL: OnceLock<Option<Flush>> = OnceLock::new();
    // SAFETY: its type.
    let real = REAL.get_or_init(|| unsafe { next(c"fflush") });
    // SAFETY: the caller's promise; the variables are only set before there are libraries.
    unsafe {
        let own = real.map_or(libc::EOF, |real| real(file));
        let stream = match file {
            file if file.is_null() => Stream::All,
            file if file == stdout => Stream::Out,
            // stderr has no buffer in the program either, as a rule.
            file if file == stderr => Stream::Error,
            _ => return own,
        };
        match tell(stream.code(), std::ptr::null(), 0) {
            0 => own,
            _ => libc::EOF,
        }
    }
}
