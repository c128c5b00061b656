//! A process's heap, as one library hands it to another.

use core::ffi::{CStr, c_int, c_void};

/// Who frees what is not of this process's own heaps. All functions may be called from any thread.
#[repr(C)]
pub struct Foreign {
    /// Whether an address is in memory of others, who may have ended.
    pub owns: extern "C" fn(*mut c_void) -> bool,
    /// Frees an allocation; false if the pointer is nothing of it.
    pub free: unsafe extern "C" fn(*mut c_void) -> bool,
    /// Says how many bytes an allocation has; 0 if the pointer is nothing of it.
    pub usable_size: unsafe extern "C" fn(*mut c_void) -> usize,
    /// Looks for memory of these heaps that others have freed and that has not come back yet; there is none left.
    pub reclaim: extern "C" fn(),
}

/// The functions of a process's heap, as one library hands them to another.
#[repr(C)]
pub struct Interface {
    /// [`VERSION`]
    pub version: u32,
    /// As in C.
    pub malloc: extern "C" fn(usize) -> *mut c_void,
    /// As in C.
    pub calloc: extern "C" fn(usize, usize) -> *mut c_void,
    /// As in C.
    pub realloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    /// As in C.
    pub free: unsafe extern "C" fn(*mut c_void),
    /// As in C.
    pub memalign: extern "C" fn(usize, usize) -> *mut c_void,
    /// As in C.
    pub usable_size: unsafe extern "C" fn(*mut c_void) -> usize,
    /// The exchange: its memfd or -1 (closed by the program, or there is none), its address and size.
    pub exchange: unsafe extern "C" fn(start: *mut *mut c_void, size: *mut usize) -> c_int,
    /// Frees for somebody who is not trusted: false instead of an end if there is nothing to free.
    pub try_free: extern "C" fn(*mut c_void) -> bool,
    /// Sets who frees what is not of this heap.
    pub set_foreign: extern "C" fn(&'static Foreign),
}

/// Changes with [`Interface`].
pub const VERSION: u32 = 3;

/// The name of the function that hands out a preloaded library's interface.
pub const PRELOADED: &CStr = c"iotdec_preloaded_heap";

/// The interface of the library that is this program's malloc, if it was started with one (LD_PRELOAD).
pub fn preloaded() -> Option<&'static Interface> {
    // SAFETY: looks a name up.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, PRELOADED.as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: the name is ours, and this is the type it has in all versions.
    let get = unsafe {
        core::mem::transmute::<*mut c_void, extern "C" fn() -> &'static Interface>(found)
    };
    Some(get()).filter(|interface| interface.version == VERSION)
}
