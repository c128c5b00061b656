//! Calls of Rust functions through functions that take and return a pointer.

use crate::accel::ThreadFunction;
use std::ffi::c_void;
use std::ptr;

/// A function, and what it returned.
pub struct Parcel<F, R> {
    function: Option<F>,
    result: Option<R>,
}

impl<F: FnOnce() -> R, R> Parcel<F, R> {
    pub fn new(function: F) -> Self {
        Self {
            function: Some(function),
            result: None,
        }
    }

    /// A function, and its argument, that make the call. For as long as it runs, nobody else
    /// uses this.
    pub fn parts(&mut self) -> (ThreadFunction, *mut c_void) {
        (Self::call, (&raw mut *self).cast())
    }

    /// What was returned; none if it was not called, or has not returned.
    pub fn result(self) -> Option<R> {
        self.result
    }

    unsafe extern "C-unwind" fn call(parcel: *mut c_void) -> *mut c_void {
        // SAFETY: `parts` gives both, and says who uses it.
        let parcel = unsafe { &mut *parcel.cast::<Self>() };
        parcel.result = parcel.function.take().map(|function| function());
        ptr::null_mut()
    }
}
