//! The memory functions of `iotdec.h`.

use iotdec_bridge::calls::heap::heap;
use std::ffi::c_void;

#[unsafe(no_mangle)]
extern "C" fn iotdec_malloc(size: usize) -> *mut c_void {
    (heap().malloc)(size)
}

#[unsafe(no_mangle)]
extern "C" fn iotdec_calloc(count: usize, size: usize) -> *mut c_void {
    (heap().calloc)(count, size)
}

/// # Safety
/// As `realloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { (heap().realloc)(memory, size) }
}

#[unsafe(no_mangle)]
extern "C" fn iotdec_memalign(alignment: usize, size: usize) -> *mut c_void {
    (heap().memalign)(alignment, size)
}

/// # Safety
/// As `free`.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_free(memory: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { (heap().free)(memory) }
}

/// # Safety
/// As `malloc_usable_size`.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_usable_size(memory: *mut c_void) -> usize {
    // SAFETY: the caller's promise.
    unsafe { (heap().usable_size)(memory) }
}
