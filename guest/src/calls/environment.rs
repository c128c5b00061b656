//! The program's environment, moved from the stack that a process begins with to where the
//! program can follow a pointer that `getenv` gave to a library.

use std::ffi::{CStr, CString, c_char};

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// Moves it. While there is one thread, once memory is shared.
pub fn share() {
    // SAFETY: the C library's table of strings that ends with a null, or null; copies are kept,
    // as `putenv` wants it.
    unsafe {
        let mut at = environ;
        if at.is_null() {
            return;
        }
        let mut copies = Vec::new();
        while !(*at).is_null() {
            copies.push(CString::from(CStr::from_ptr(*at)).into_raw());
            at = at.add(1);
        }
        copies.push(std::ptr::null_mut());
        environ = copies.leak().as_mut_ptr();
    }
}
