//! Whole libraries of the guest, done by the host's.
//!
//! For each there is a generated counterpart in a directory that the plugin was given:
//! a table of functions that take their arguments out of words in memory. What these
//! functions are is between the two generated parts, which a fingerprint ties together;
//! here are only their numbers.

use crate::counters::COUNTERS;
use crate::door::{guest_base, host};
use crate::native::END_OF_MEMORY;
use iotdec_wire::door::{Status, VERSION, is_library_name};
use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

/// Libraries that can be open in a process.
const MOST: usize = 64;
/// What a name is given to make it a file's.
const PREFIX: &[u8] = b"iotdec-native-";

/// A function of a counterpart: arguments in, result out.
type Function = unsafe extern "C" fn(*mut u64);

struct Library {
    name: Vec<u8>,
    fingerprint: u64,
    functions: &'static [Function],
    calls: AtomicU64,
}

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
static LIBRARIES: [OnceLock<Library>; MOST] = [const { OnceLock::new() }; MOST];
/// Held while one is opened.
static OPENING: Mutex<()> = Mutex::new(());

/// Where counterparts are looked for; nowhere before. The first call counts.
pub fn set_directory(directory: PathBuf) {
    let _ = DIRECTORY.set(directory);
}

/// Answers `Service::Open`.
pub fn open(values: &mut [u64; 6]) -> Status {
    let [version, name, length, fingerprint, ..] = *values;
    // The functions take the guest's addresses for their own.
    if version != VERSION || guest_base() != 0 {
        return Status::Declined;
    }
    if length > 64
        || name
            .checked_add(length)
            .is_none_or(|end| end > END_OF_MEMORY)
    {
        return Status::BadArguments;
    }
    // A copy, as the guest may change its memory at any time.
    let name: Vec<u8> = (0..length)
        // SAFETY: the guest says that it is there; if not, the access faults as the
        // guest's own would.
        .map(|at| unsafe { host::<u8>(name + at).read_volatile() })
        .collect();
    if !is_library_name(&name) {
        return Status::BadArguments;
    }
    let Some((handle, library)) = find(&name) else {
        return Status::NoService;
    };
    if library.fingerprint != fingerprint {
        return Status::Declined;
    }
    values[..2].copy_from_slice(&[handle as u64, library.calls.load(Relaxed)]);
    Status::Done
}

/// Finds a library, or loads it.
fn find(name: &[u8]) -> Option<(usize, &'static Library)> {
    let _guard = OPENING
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    for (handle, place) in LIBRARIES.iter().enumerate() {
        match place.get() {
            Some(library) if library.name == name => return Some((handle, library)),
            Some(_) => {}
            None => {
                let library = load(name)?;
                return Some((handle, place.get_or_init(|| library)));
            }
        }
    }
    None
}

fn load(name: &[u8]) -> Option<Library> {
    let mut file = DIRECTORY.get()?.as_os_str().as_bytes().to_vec();
    file.extend([b"/", PREFIX, name].concat());
    let file = CString::new(file).ok()?;
    // SAFETY: the directory is the user's, who vouches for what is in it.
    let opened = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if opened.is_null() {
        return None;
    }
    // SAFETY: what the generator writes has these symbols with these types; the library
    // is never unloaded.
    unsafe {
        let count = *symbol::<u64>(opened, c"iotdec_count")?;
        let functions = symbol::<Function>(opened, c"iotdec_functions")?;
        Some(Library {
            name: name.to_vec(),
            fingerprint: *symbol::<u64>(opened, c"iotdec_fingerprint")?,
            functions: std::slice::from_raw_parts(functions, count as usize),
            calls: AtomicU64::new(0),
        })
    }
}

/// # Safety
/// `library` is an open library.
unsafe fn symbol<T>(library: *mut c_void, name: &CStr) -> Option<*const T> {
    // SAFETY: the caller's promise.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!address.is_null()).then(|| address.cast_const().cast())
}

/// Answers `Service::Invoke`.
pub fn invoke(values: &mut [u64; 6]) -> Status {
    let [handle, number, words, ..] = *values;
    let library = LIBRARIES.get(handle as usize).and_then(OnceLock::get);
    let Some(library) = library else {
        return Status::BadArguments;
    };
    let Some(function) = library.functions.get(number as usize) else {
        return Status::BadArguments;
    };
    if words >= END_OF_MEMORY || !words.is_multiple_of(align_of::<u64>() as u64) {
        return Status::BadArguments;
    }
    library.calls.fetch_add(1, Relaxed);
    COUNTERS.native_calls.fetch_add(1, Relaxed);
    // SAFETY: the guest's part was generated with this one, and passes what the function
    // takes. If it does not, or if an argument points nowhere, the function does to the
    // guest's process what the guest's own would: the process is one.
    unsafe {
        let errno = libc::__errno_location();
        errno.write(0);
        function(host(words));
        values[0] = u64::from(errno.read().unsigned_abs());
    }
    Status::Done
}
