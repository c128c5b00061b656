//! What the C library has beyond the crate `libc`, and how functions here get along with its own.

use std::ffi::{CStr, c_int};
use std::ptr::null_mut;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// The C library's function of a name that a function here has, too.
///
/// # Safety
/// `F` is that function's type.
pub unsafe fn next<F>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<usize>()) };
    // SAFETY: looks a name up; the caller promises what it stands for.
    unsafe {
        let found = libc::dlsym(libc::RTLD_NEXT, name.as_ptr());
        (!found.is_null()).then(|| std::mem::transmute_copy(&found))
    }
}

/// Whether the calling thread can be cancelled.
#[derive(Clone, Copy)]
pub struct Cancellation(c_int);

impl Cancellation {
    /// From now on it cannot; what was is returned.
    pub fn disable() -> Self {
        /// pthread.h of glibc.
        const PTHREAD_CANCEL_DISABLE: c_int = 1;
        let mut former = 0;
        // SAFETY: takes any state.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut former) };
        Self(former)
    }

    /// As it was.
    pub fn restore(self) {
        // SAFETY: what it was.
        unsafe { pthread_setcancelstate(self.0, null_mut()) };
    }
}

/// Returns `value`, and `error` in errno.
pub fn fail<T>(error: c_int, value: T) -> T {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() = error };
    value
}
