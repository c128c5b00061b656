//! The guest parts of wrappers, and the libraries they call.

use super::registers;
use super::switch::Function;
use iotdec_wire::lane::Loaded;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Parts of a worker.
pub const MAX_PARTS: usize = 1024;
/// `IOTDEC_GUEST_VERSION`
const VERSION: u32 = 1;

/// `struct iotdec_guest`, which a guest part exports.
#[repr(C)]
#[derive(Debug)]
pub struct Part {
    version: u32,
    functions: u32,
    signatures: u32,
    reserved: u32,
    fingerprint: u64,
    function: *const Function,
    serve: *const Function,
    entries: *const *const c_void,
}

impl Part {
    /// One of ours: the functions, and for each signature what calls a function of it and what
    /// native ones are called through.
    pub const fn built_in(
        (function, functions): (&'static [Function], u32),
        (serve, entries, signatures): (&'static [Function], *const *const c_void, u32),
        fingerprint: u64,
    ) -> Self {
        Self {
            version: VERSION,
            functions,
            signatures,
            reserved: 0,
            fingerprint,
            function: function.as_ptr(),
            serve: serve.as_ptr(),
            entries,
        }
    }

    /// What the host is told.
    pub fn loaded(&self) -> Loaded {
        Loaded {
            version: self.version,
            functions: self.functions,
            signatures: self.signatures,
            reserved: 0,
            fingerprint: self.fingerprint,
        }
    }

    /// The function of that number.
    #[inline]
    pub fn function(&self, number: u32) -> Option<Function> {
        // SAFETY: the generated table has that many.
        (number < self.functions).then(|| unsafe { *self.function.add(number as usize) })
    }

    /// What calls a function of the signature of that number.
    #[inline]
    pub fn serve(&self, signature: u32) -> Option<Function> {
        // SAFETY: the generated table has that many.
        (signature < self.signatures).then(|| unsafe { *self.serve.add(signature as usize) })
    }

    /// What native functions of the signature of that number are called through.
    pub fn entry(&self, signature: u32) -> Option<u64> {
        // SAFETY: the generated table has that many.
        let entry = || unsafe { *self.entries.add(signature as usize) as u64 };
        (signature < self.signatures).then(entry)
    }
}

/// By number.
static PARTS: [AtomicPtr<Part>; MAX_PARTS] = [const { AtomicPtr::new(null_mut()) }; MAX_PARTS];
/// What `dlopen` gave for the library of each part, by number.
static LIBRARIES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// The part of that number.
#[inline]
pub fn part(number: u32) -> Option<&'static Part> {
    let part = PARTS.get(number as usize)?.load(Ordering::Acquire);
    // SAFETY: null, or a part's constant, and parts are never unloaded.
    unsafe { part.as_ref() }
}

/// The number of a part; the first one's of the built-in one, which may have several.
pub fn number_of(part: *const Part) -> Option<u32> {
    let same = |known: &AtomicPtr<Part>| known.load(Ordering::Acquire).cast_const() == part;
    PARTS.iter().position(same).map(|number| number as u32)
}

/// Loads a library and its guest part; the built-in one, if none is named.
pub fn load(library: &str, guest_part: &str) -> Result<(u32, Loaded), String> {
    let handle = open(library, libc::RTLD_NOW | libc::RTLD_GLOBAL)?;
    let symbol = if guest_part.is_empty() {
        registers::part()
    } else {
        open_part(guest_part)?
    };
    let mut libraries = LIBRARIES.lock().expect("no panic is survived");
    let number = libraries.len();
    let place = PARTS
        .get(number)
        .ok_or("too many wrappers in one program")?;
    libraries.push(handle as usize);
    place.store(symbol.cast_mut(), Ordering::Release);
    // SAFETY: a part's constant, and parts are never unloaded.
    Ok((number as u32, unsafe { (*symbol).loaded() }))
}

fn open_part(guest_part: &str) -> Result<*const Part, String> {
    let part_handle = open(guest_part, libc::RTLD_NOW | libc::RTLD_LOCAL)?;
    // SAFETY: a handle of `dlopen`.
    let symbol = unsafe { libc::dlsym(part_handle, c"iotdec_guest".as_ptr()) };
    // SAFETY: whoever exports this symbol means the struct; its version comes first.
    let part = unsafe { symbol.cast::<Part>().as_ref() };
    let part = part.ok_or_else(|| {
        format!("{guest_part} is no guest part of a wrapper: it exports no iotdec_guest")
    })?;
    if part.version != VERSION {
        return Err(format!(
            "{guest_part} is of version {}, this worker takes {VERSION}; generate the wrapper anew",
            part.version
        ));
    }
    Ok(part)
}

/// The address of a symbol of a part's library.
pub fn symbol(part: u32, name: &[u8]) -> Result<u64, String> {
    let name = CString::new(name).map_err(|_| "a name contains a zero byte".to_owned())?;
    let libraries = LIBRARIES.lock().expect("no panic is survived");
    let handle = libraries.get(part as usize).ok_or("no such part")?;
    // SAFETY: a handle of `dlopen`, which is never closed.
    let address = unsafe { libc::dlsym(*handle as *mut c_void, name.as_ptr()) };
    if address.is_null() {
        return Err(format!(
            "the library has no symbol {}",
            name.to_string_lossy()
        ));
    }
    Ok(address as u64)
}

fn open(path: &str, flags: c_int) -> Result<*mut c_void, String> {
    let text = CString::new(path).map_err(|_| "a path contains a zero byte".to_owned())?;
    // SAFETY: a C string; that constructors run is what loading a library means.
    let handle = unsafe { libc::dlopen(text.as_ptr(), flags) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: the message is this thread's, and copied at once.
    let message: *const c_char = unsafe { libc::dlerror() };
    if message.is_null() {
        return Err(format!("{path} cannot be loaded"));
    }
    // SAFETY: not null, so a C string.
    Err(unsafe { CStr::from_ptr(message) }
        .to_string_lossy()
        .into_owned())
}
