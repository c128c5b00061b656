//! What the library says, as lines on stderr: only errors, and not more than a few
//! for each packet.

use super::api::{Api, LOG_ERROR, VaList};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Lines a packet.
const LINES: u32 = 2;

static FORMAT: OnceLock<Formatter> = OnceLock::new();
static LEFT: AtomicU32 = AtomicU32::new(LINES);

/// `av_log_format_line2`.
type Formatter = unsafe extern "C" fn(
    *mut c_void,
    c_int,
    *const c_char,
    VaList,
    *mut c_char,
    c_int,
    *mut c_int,
) -> c_int;

/// Takes over the library's log.
pub fn install(api: &Api) {
    let _ = FORMAT.set(api.av_log_format_line2);
    // SAFETY: the callback may run on any thread at any time.
    unsafe { (api.av_log_set_callback)(Some(log)) };
}

/// A new packet has its own lines.
pub fn begin_packet() {
    LEFT.store(LINES, Ordering::Relaxed);
}

unsafe extern "C" fn log(
    object: *mut c_void,
    level: c_int,
    format: *const c_char,
    arguments: VaList,
) {
    let (Some(formatter), true) = (FORMAT.get(), level <= LOG_ERROR) else {
        return;
    };
    let take = |left: u32| left.checked_sub(1);
    if LEFT
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_err()
    {
        return;
    }
    let mut line = [0 as c_char; 200];
    let mut print_prefix = 0;
    // SAFETY: the library's own arguments, handed on; a buffer of that size, in which
    // the line ends with a zero.
    let line = unsafe {
        formatter(
            object,
            level,
            format,
            arguments,
            line.as_mut_ptr(),
            line.len() as c_int,
            &mut print_prefix,
        );
        CStr::from_ptr(line.as_ptr())
    };
    eprintln!("libavcodec: {}", line.to_string_lossy().trim_end());
}
