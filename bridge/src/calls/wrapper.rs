//! A wrapper library's native part, as generated code describes it.

use super::error::{self, Kind, Record};
use super::process::{self, Setting};
use super::variables::{Table, Variable};
use super::worker::Worker;
use crate::accel::Wish;
use iotdec_wire::exchange::Range;
use iotdec_wire::lane::{Loaded, Request};
use iotdec_wire::registers;
use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, null, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// `IOTDEC_WRAPPER_VERSION`
const VERSION: u32 = 3;

/// A function of a wrapper's `serve` table. It may be left by longjmp or an exception.
pub(crate) type Serve = unsafe extern "C-unwind" fn(*mut c_void, *mut c_void);

/// Beside the number of a [`Wish`]: it counts before the environment.
const FIRST: u32 = 1 << 31;

/// How much of the accelerator a wrapper is to get.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wished {
    pub(crate) wish: Option<Wish>,
    /// Whether it counts before what the environment says.
    pub(crate) counts_first: bool,
}

impl Wished {
    fn of_code(code: u32) -> Self {
        Self {
            wish: Wish::from_code(code & !FIRST),
            counts_first: code & FIRST != 0,
        }
    }

    fn code(self) -> u32 {
        let first = if self.counts_first { FIRST } else { 0 };
        self.wish.map_or(0, Wish::code) | first
    }
}

/// `struct iotdec_wrapper`
#[repr(C)]
#[derive(Debug)]
pub struct Wrapper {
    version: u32,
    pub(crate) functions: u32,
    pub(crate) signatures: u32,
    /// Of a [`Wished`].
    accel: u32,
    fingerprint: u64,
    name: *const c_char,
    library: *const c_char,
    guest_part: *const c_char,
    sysroot: *const c_char,
    pub(crate) serve: *const Serve,
    entries: *const *const c_void,
    state: AtomicPtr<State>,
    variables: *const Variable,
    variable_count: u64,
    reach: AtomicPtr<Reach>,
}

/// `struct iotdec_reach`
#[repr(C)]
#[derive(Debug, PartialEq, Eq)]
struct Reach([Range; 2]);

/// What the runtime knows of a wrapper.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) functions: u32,
    pub(crate) signatures: u32,
    fingerprint: u64,
    library: PathBuf,
    guest_part: PathBuf,
    serve: *const Serve,
    entries: *const *const c_void,
    pub(crate) setting: &'static Setting,
    /// The worker that has loaded it, by generation, and its number there.
    pub(crate) generation: AtomicU64,
    pub(crate) part: AtomicU32,
    /// What it exports besides functions.
    pub(crate) variables: Option<Table>,
}

// SAFETY: the pointers are to constant tables of generated code.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

// SAFETY: the tables are constants, and the state is atomic.
unsafe impl Sync for Wrapper {}

impl Wrapper {
    /// One without generated code: the worker's own part calls the library, and `serve` is
    /// called back, whatever the signature. It is there for ever, as is what it refers to.
    pub(crate) fn without_parts(
        library: &'static CStr,
        sysroot: Option<&'static CStr>,
        wished: Wished,
        serve: &'static [Serve; registers::SIGNATURES as usize],
    ) -> &'static Self {
        // Functions that the library returns are called by their addresses instead.
        static ENTRIES: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
        Box::leak(Box::new(Self {
            version: VERSION,
            functions: registers::FUNCTIONS,
            signatures: registers::SIGNATURES,
            accel: wished.code(),
            fingerprint: registers::FINGERPRINT,
            name: library.as_ptr(),
            library: library.as_ptr(),
            guest_part: c"".as_ptr(),
            sysroot: sysroot.map_or(null(), CStr::as_ptr),
            serve: serve.as_ptr(),
            entries: ENTRIES.as_ptr().cast_const().cast(),
            state: AtomicPtr::default(),
            variables: null(),
            variable_count: 0,
            reach: AtomicPtr::default(),
        }))
    }

    /// Tells generated code where a worker's memory is. What is of an earlier one stays mapped,
    /// so who still looks there does no harm.
    pub(crate) fn set_reach(&self, worker: &Worker) {
        let reach = Reach([worker.memory, worker.exchange.exchange.range()]);
        // SAFETY: null, or leaked below.
        let known = unsafe { self.reach.load(Ordering::Acquire).as_ref() };
        if known != Some(&reach) {
            // A few words for each worker that there ever is.
            self.reach
                .store(Box::leak(Box::new(reach)), Ordering::Release);
        }
    }

    /// What is known of it, if it was used before.
    #[inline]
    pub(crate) fn known(&self) -> Option<&'static State> {
        // SAFETY: null, or leaked by `state`.
        unsafe { self.state.load(Ordering::Acquire).as_ref() }
    }

    /// What is known of it, found out if need be.
    pub(crate) fn state(&self) -> Result<&'static State, Box<Record>> {
        static MAKING: Mutex<()> = Mutex::new(());
        let _guard = MAKING.lock().expect("nothing panics with it");
        if let Some(known) = self.known() {
            return Ok(known);
        }
        // Who calls without generated code is told of what fails as a result.
        if self
            .text(self.guest_part)
            .is_some_and(|part| !part.is_empty())
        {
            error::tell_on_stderr();
        }
        let failed = |text: String| Record::new(Kind::NotStarted, &text);
        if self.version != VERSION {
            let text = format!(
                "a wrapper of version {}, but the runtime takes {VERSION}; generate it anew",
                self.version
            );
            return Err(failed(text));
        }
        let name = self.text(self.name).unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let required = |text: Option<&OsStr>, what| {
            text.map(PathBuf::from)
                .ok_or_else(|| failed(format!("wrapper {name} names no {what}")))
        };
        let library = required(self.text(self.library), "library")?;
        let guest_part = required(self.text(self.guest_part), "guest part")?;
        let guest_part = match guest_part.as_os_str().is_empty() {
            true => guest_part,
            false => self.directory().join(guest_part),
        };
        let sysroot = self.text(self.sysroot).map(Path::new);
        let (setting, library) = process::setting(sysroot, &library, Wished::of_code(self.accel))
            .map_err(|text| failed(format!("{name}: {text}")))?;
        let state = Box::leak(Box::new(State {
            name,
            functions: self.functions,
            signatures: self.signatures,
            fingerprint: self.fingerprint,
            library,
            guest_part,
            serve: self.serve,
            entries: self.entries,
            setting,
            generation: AtomicU64::new(0),
            part: AtomicU32::new(0),
            // SAFETY: generated code has a table of so many there.
            variables: unsafe { Table::new(self.variables, self.variable_count as usize) },
        }));
        self.state.store(state, Ordering::Release);
        Ok(state)
    }

    fn text(&self, text: *const c_char) -> Option<&OsStr> {
        // SAFETY: generated code has null or a string constant there.
        let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) });
        text.map(|text| OsStr::from_bytes(text.to_bytes()))
    }

    /// That of the file the wrapper is in.
    fn directory(&self) -> PathBuf {
        // SAFETY: zeros are a valid value, which `dladdr` fills in.
        let name = unsafe {
            let mut info: nix::libc::Dl_info = std::mem::zeroed();
            nix::libc::dladdr((&raw const *self).cast(), &mut info);
            info.dli_fname
        };
        let file = self.text(name).map(Path::new).unwrap_or(Path::new(""));
        let file = std::path::absolute(file).unwrap_or_default();
        file.parent().unwrap_or(Path::new("/")).to_owned()
    }
}

impl State {
    /// The library's file.
    pub(crate) fn library(&self) -> &Path {
        &self.library
    }

    /// Whether the worker's own part does its calls.
    pub(crate) fn is_built_in(&self) -> bool {
        self.guest_part.as_os_str().is_empty()
    }

    /// What calls a native function of a signature.
    #[inline]
    pub(crate) fn serve(&self, signature: u32) -> Option<Serve> {
        // SAFETY: the generated table has that many.
        (signature < self.signatures).then(|| unsafe { *self.serve.add(signature as usize) })
    }

    /// What calls of a guest's function of a signature go through.
    pub(crate) fn entry(&self, signature: u32) -> Option<u64> {
        // SAFETY: the generated table has that many.
        let entry = || unsafe { *self.entries.add(signature as usize) as u64 };
        (signature < self.signatures).then(entry)
    }

    /// Has a worker load library and guest part, unless it has already.
    ///
    /// The workers of a setting load their libraries in the order in which the first one did: so
    /// they are where they were, and what the program has of them is right.
    pub(crate) fn load(&'static self, worker: &Arc<Worker>) -> Result<(), Box<Record>> {
        if self.is_in(worker) {
            return Ok(());
        }
        let mut order = self.setting.loaded.lock().expect("nothing panics with it");
        let before = order.iter().position(|it| ptr::eq(*it, self));
        for index in 0..before.unwrap_or(order.len()) {
            if order[index].load_alone(worker).is_err() && worker.is_over() {
                // If it is its fault, the next worker is to do without it.
                order.remove(index);
                break;
            }
        }
        self.load_alone(worker)?;
        if before.is_none() {
            order.push(self);
        }
        Ok(())
    }

    fn is_in(&self, worker: &Worker) -> bool {
        self.generation.load(Ordering::Acquire) == worker.generation
    }

    fn load_alone(&'static self, worker: &Arc<Worker>) -> Result<(), Box<Record>> {
        if self.is_in(worker) {
            return Ok(());
        }
        let paths = [&self.library, &self.guest_part].map(|path| path.as_os_str().as_bytes());
        let text = paths.join(&0);
        let (part, answer) = worker.ask(Request::Load, 0, &text)?;
        let failed = |text: &str| {
            let text = format!("{}: {text}", self.name);
            Err(Record::new(Kind::NotStarted, &text).of(worker.generation))
        };
        let loaded: Loaded = bytemuck::pod_read_unaligned(&answer);
        if (loaded.functions, loaded.signatures) != (self.functions, self.signatures)
            || loaded.fingerprint != self.fingerprint
        {
            return failed("its native and its guest part do not fit together; generate both anew");
        }
        let Ok(part) = u32::try_from(part) else {
            return failed("the worker numbers parts in no way");
        };
        worker.add_part(part, self)?;
        worker.share_images()?;
        self.part.store(part, Ordering::Release);
        self.generation.store(worker.generation, Ordering::Release);
        Ok(())
    }
}
