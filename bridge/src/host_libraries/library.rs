//! A library of the host, as generated code describes it.

use super::memory::Memory;
use iotdec_wire::host_lanes::{TEXT, TEXTS, WORDS};
use nix::libc;
use std::ffi::{CStr, CString, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a name is given to make it a file's.
const PREFIX: &[u8] = b"iotdec-native-";

/// `struct iotdec_guest` of `iotdec_checked.h`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Guest {
    memory: *const Memory,
    read: unsafe extern "C" fn(*const Memory, *mut u8, u64, u64) -> c_int,
    write: unsafe extern "C" fn(*const Memory, u64, *const u8, u64) -> c_int,
    texts: *mut [[u8; TEXT]; TEXTS],
    objects: NonNull<c_void>,
    error: c_int,
}

impl Guest {
    /// One whose memory this is, for one call.
    pub(super) fn new(
        memory: &Memory,
        texts: *mut [[u8; TEXT]; TEXTS],
        objects: NonNull<c_void>,
    ) -> Self {
        Self {
            memory,
            read,
            write,
            texts,
            objects,
            error: 0,
        }
    }
}

/// # Safety
/// `memory` is one, and `size` bytes can be written at `to`.
unsafe extern "C" fn read(memory: *const Memory, to: *mut u8, from: u64, size: u64) -> c_int {
    // SAFETY: the caller's promise; generated code has filled the memory.
    let (memory, to) = unsafe { (&*memory, std::slice::from_raw_parts_mut(to, size as usize)) };
    memory.read(to, from).map_or(-1, |()| 0)
}

/// # Safety
/// `memory` is one, and `size` bytes can be read at `from`.
unsafe extern "C" fn write(memory: *const Memory, to: u64, from: *const u8, size: u64) -> c_int {
    // SAFETY: the caller's promise.
    let (memory, from) = unsafe { (&*memory, std::slice::from_raw_parts(from, size as usize)) };
    memory.write(from, to).map_or(-1, |()| 0)
}

/// A function: what it fetches and puts back, and words for arguments and result. 0, or not
/// if the guest's arguments cannot be used.
type Function = unsafe extern "C" fn(*mut Guest, *mut u64) -> c_int;

/// A library, and what a guest has of it.
#[derive(Debug)]
pub(super) struct Library {
    pub(super) name: Vec<u8>,
    pub(super) fingerprint: u64,
    pub(super) calls: AtomicU64,
    functions: &'static [Option<Function>],
    objects: NonNull<c_void>,
    end: unsafe extern "C" fn(NonNull<c_void>),
}

// SAFETY: generated code locks what several threads use.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Loads one of a directory.
    pub(super) fn load(directory: &Path, name: &[u8]) -> Option<Self> {
        let mut file = directory.as_os_str().as_bytes().to_vec();
        file.extend([b"/", PREFIX, name].concat());
        let file = CString::new(file).ok()?;
        // SAFETY: the directory is the user's, who vouches for what is in it; it stays loaded.
        let opened = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        let opened = NonNull::new(opened)?;
        // SAFETY: what the generator writes has these symbols with these types.
        unsafe {
            let count = symbol::<u64>(opened, c"iotdec_count")?.read();
            let functions = symbol::<Option<Function>>(opened, c"iotdec_checked_functions")?;
            let make = symbol::<c_void>(opened, c"iotdec_objects")?;
            let make: unsafe extern "C" fn() -> *mut c_void = std::mem::transmute(make);
            let end = symbol::<c_void>(opened, c"iotdec_objects_end")?;
            Some(Self {
                name: name.to_vec(),
                fingerprint: symbol::<u64>(opened, c"iotdec_fingerprint")?.read(),
                calls: AtomicU64::new(0),
                functions: std::slice::from_raw_parts(functions.as_ptr(), count as usize),
                objects: NonNull::new(make())?,
                end: std::mem::transmute::<NonNull<c_void>, unsafe extern "C" fn(NonNull<c_void>)>(
                    end,
                ),
            })
        }
    }

    /// What the guest has of it.
    pub(super) fn objects(&self) -> NonNull<c_void> {
        self.objects
    }

    /// Calls a function: `errno`, unless there is none or the guest's arguments cannot be
    /// used.
    pub(super) fn call(
        &self,
        number: usize,
        guest: &mut Guest,
        words: &mut [u64; WORDS],
    ) -> Option<u32> {
        let function = (*self.functions.get(number)?)?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        // SAFETY: it takes any words, and trusts nothing that they lead to.
        let status = unsafe { function(guest, words.as_mut_ptr()) };
        (status == 0).then(|| guest.error.unsigned_abs())
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: nobody calls any more.
        unsafe { (self.end)(self.objects) };
    }
}

/// # Safety
/// `library` is an open library.
unsafe fn symbol<T>(library: NonNull<c_void>, name: &CStr) -> Option<NonNull<T>> {
    // SAFETY: the caller's promise.
    NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) }.cast())
}
