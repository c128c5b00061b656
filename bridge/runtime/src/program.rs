//! `iotdec.h`

use iotdec_bridge::calls::error::{self, Handler, Record};
use iotdec_bridge::calls::{pointers, set_call_timeout};
use std::ffi::{c_int, c_void};

/// # Safety
/// `to` is null or valid for writing.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_last_error(to: *mut Record) -> c_int {
    let last = error::last();
    if !to.is_null() {
        // SAFETY: the caller's promise.
        unsafe { to.write(last) };
    }
    last.kind
}

#[unsafe(no_mangle)]
extern "C" fn iotdec_clear_error() {
    error::clear();
}

#[unsafe(no_mangle)]
extern "C" fn iotdec_set_crash_handler(
    handler: Option<Handler>,
    data: *mut c_void,
) -> Option<Handler> {
    error::set_handler(handler, data)
}

#[unsafe(no_mangle)]
extern "C" fn iotdec_set_call_timeout(milliseconds: u32) {
    set_call_timeout(milliseconds);
}

#[unsafe(no_mangle)]
extern "C" fn iotdec_is_shared(memory: *const c_void, size: usize) -> c_int {
    pointers::is_shared(memory as u64, size).into()
}
