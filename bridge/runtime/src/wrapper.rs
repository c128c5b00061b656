//! `iotdec_wrapper.h`
//!
//! Generated code keeps its promises: a call is begun, used and ended on one thread, in the
//! frame of one function.

use iotdec_bridge::calls::{Call, Descriptor, Wrapper, call, variables};
use std::ffi::{CStr, c_char, c_int, c_void};

/// # Safety
/// `call` is valid for writing and in the caller's frame, `wrapper` a generated constant.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_call_begin(
    call: *mut Call,
    wrapper: *const Wrapper,
    message: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { Call::begin(call, &*wrapper, message) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn iotdec_call_run(call: *mut Call, function: u32) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { Call::run(call, function) }.into()
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn iotdec_call_pointer(
    call: *mut Call,
    signature: u32,
    target: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { Call::run_pointer(call, signature, target as u64) }.into()
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_call_end(call: *mut Call) {
    // SAFETY: the caller's promise.
    unsafe { (*call).end() }
}

/// # Safety
/// `call` was begun and not yet ended; `text` is a string.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_call_fail(call: *mut Call, text: *const c_char) {
    // SAFETY: the caller's promise.
    unsafe { (*call).fail_because(&CStr::from_ptr(text).to_string_lossy()) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_call_failed(call: *const Call) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { (*call).has_failed() }.into()
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_take(call: *mut Call, size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { (*call).take_memory(size) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_is_there(call: *mut Call, memory: *const u8, size: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { (*call).is_there(memory, size) }.into()
}

/// # Safety
/// `call` was begun and not yet ended; `memory` is null or readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_in(call: *mut Call, memory: *const u8, size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { (*call).copy_in(memory, size) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_out(call: *mut Call, memory: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { (*call).room_for(memory, size) }
}

/// # Safety
/// `call` was begun and not yet ended; `copy` is what was given for `memory`.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_back(call: *mut Call, memory: *mut u8, copy: *const u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { (*call).copy_back(memory, copy, size) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_give_function(
    call: *mut Call,
    function: *const c_void,
    signature: u32,
) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (*call).give_function(function as u64, signature) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_take_function(
    call: *mut Call,
    function: u64,
    signature: u32,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { (*call).take_function(function, signature) as *mut c_void }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_meet_function(
    call: *mut Call,
    function: *const c_void,
    signature: u32,
) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (*call).meet_function(function as u64, signature) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_check(call: *mut Call, pointer: u64, size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { (*call).check(pointer, size) }
}

/// # Safety
/// `call` was begun and not yet ended; `text` is a string.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_check_or(
    call: *mut Call,
    pointer: u64,
    size: usize,
    text: *const c_char,
) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { (*call).check_or(pointer, size, || CStr::from_ptr(text).to_string_lossy()) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_check_string(call: *mut Call, pointer: u64) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { (*call).check_string(pointer) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_handle(call: *mut Call, handle: *const c_void) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (*call).check_handle(handle as u64) }
}

/// # Safety
/// `call` was begun and not yet ended; `parameter` is a string.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_shared(
    call: *mut Call,
    pointer: *const c_void,
    parameter: *const c_char,
) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (*call).check_shared(pointer as u64, &CStr::from_ptr(parameter).to_string_lossy()) }
}

/// # Safety
/// `call` was begun and not yet ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_give_descriptor(call: *mut Call, descriptor: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { (*call).give_descriptor(descriptor) }
}

/// # Safety
/// `call` was begun and not yet ended; `descriptors` are `count`, the program's alone.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_take_descriptors(
    call: *mut Call,
    descriptors: *mut Descriptor,
    count: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { (*call).take_descriptors(std::slice::from_raw_parts_mut(descriptors, count)) }
}

/// # Safety
/// `call` is valid for writing, `wrapper` a generated constant.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_serve_begin(call: *mut Call, wrapper: *const Wrapper) {
    // SAFETY: the caller's promise.
    unsafe { Call::serve(call, &*wrapper) }
}

/// # Safety
/// `wrapper` is a generated constant, `name` a string.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_symbol(
    wrapper: *const Wrapper,
    name: *const c_char,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe {
        call::find(
            &*wrapper,
            &CStr::from_ptr(name).to_string_lossy(),
            Some(size),
        )
    }
}

/// # Safety
/// `wrapper` is a generated constant, `name` a string.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_function(wrapper: *const Wrapper, name: *const c_char) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { call::find(&*wrapper, &CStr::from_ptr(name).to_string_lossy(), None) }
}

/// # Safety
/// `wrapper` is a generated constant of a library that stays loaded.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_variables_begin(wrapper: *const Wrapper) {
    // SAFETY: the caller's promise.
    variables::begin(unsafe { &*wrapper });
}
