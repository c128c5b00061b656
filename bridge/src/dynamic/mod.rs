//! Calls of a library for aarch64 without generated code: who calls says in each case what a
//! function takes and returns.
//!
//! ```no_run
//! use iotdec_bridge::dynamic::{CallError, Library, Options, Signature, Type, Value};
//!
//! # fn main() -> Result<(), CallError> {
//! let library = Library::open("libm.so.6", &Options::default())?;
//! let power = library.function("pow", Signature::new(Type::F64, [Type::F64, Type::F64])?)?;
//! assert_eq!(power.call(&[2.0.into(), 10.0.into()])?, Value::Float(1024.0));
//! # Ok(())
//! # }
//! ```
//!
//! It is the machinery of [`calls`](crate::calls), with one wrapper for all functions: the
//! host computes what is in which register (`place.rs`), and the worker calls with that.
//!
//! * Whatever the library does with a wrong signature, it does in its own process and in
//!   shared memory; here it is a [`CallError`]. So calls are not `unsafe`. (A program that is run
//!   with `LD_PRELOAD=libiotdec-malloc.so` has made all of its heap shared.)
//! * Pointers are addresses in shared memory: [`Library::allocate`], what the library
//!   returned ([`Library::read`]), and [`Callback`]s.
//! * When the library's process has ended, the next call starts another one. What the former
//!   one had is gone: its objects and variables.
//! * Not passed are unions, bit-fields, `long double`, complex numbers and vectors.

mod callback;
mod error;
mod function;
mod memory;
mod place;
mod types;
mod value;

pub use callback::Callback;
pub use error::CallError;
pub use function::Function;
pub use memory::Memory;
pub use types::{Signature, Type};
pub use value::Value;

use crate::accel::Wish;
use crate::calls::lane_for;
use crate::calls::wrapper::{Serve, Wished, Wrapper};
use bytemuck::Pod;
use iotdec_wire::lane::Request;
use iotdec_wire::msg::Acceleration;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSymbol, SymbolKind};
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// How a library is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The aarch64 system that it runs in; `IOTDEC_SYSROOT` or the installed one, if none.
    pub sysroot: Option<PathBuf>,
    /// How much of the accelerator it gets, where the environment does not say
    /// ([`MODE_VARIABLE`](crate::accel::MODE_VARIABLE)).
    pub accel: Option<Wish>,
    /// `accel` counts, whatever the environment says.
    pub accel_first: bool,
}

/// A library for aarch64. It stays loaded; opening it again gives the same.
#[derive(Clone, Debug)]
pub struct Library {
    wrapper: &'static Wrapper,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    functions: Vec<String>,
}

/// All libraries, with path and sysroot as they were asked for.
static OPENED: Mutex<Vec<(PathBuf, Options, Library)>> = Mutex::new(Vec::new());
static SERVE: [Serve; 1] = [callback::serve];

impl Library {
    /// Loads a library: a path, or a name without a slash, which is then looked for in the
    /// sysroot.
    ///
    /// # Errors
    /// It is not there or no such library, something that it needs is missing, or there
    /// is no emulator.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self, CallError> {
        let path = path.as_ref();
        let mut opened = OPENED.lock().unwrap_or_else(|it| it.into_inner());
        let known = opened
            .iter()
            .find(|known| known.0 == path && known.1 == *options);
        if let Some((_, _, library)) = known {
            return Ok(library.clone());
        }
        let sysroot = options.sysroot.as_deref().map(Path::as_os_str);
        let sysroot = sysroot.map(kept).transpose()?;
        let wished = Wished {
            wish: options.accel,
            counts_first: options.accel_first,
        };
        let name = kept(path.as_os_str())?;
        let wrapper = Wrapper::without_parts(name, sysroot, wished, &SERVE);
        lane_for(wrapper).map_err(CallError::Failed)?;
        let found = wrapper.known().map(|state| state.library().to_owned());
        let found = found.unwrap_or_else(|| path.to_owned());
        let library = Self {
            wrapper,
            inner: Arc::new(Inner {
                functions: functions(&found),
                path: found,
            }),
        };
        opened.push((path.to_owned(), options.clone(), library.clone()));
        Ok(library)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What is on of the accelerator in the library's process now, and how often turbo's code
    /// was entered. Turbo comes on when calls have taken some time, and at once if
    /// [`MODE_VARIABLE`](crate::accel::MODE_VARIABLE) asks for it.
    ///
    /// # Errors
    /// The library's process has ended just now and cannot be started.
    pub fn accelerator(&self) -> Result<(Acceleration, u64), CallError> {
        let lane = lane_for(self.wrapper).map_err(CallError::Failed)?;
        // SAFETY: this thread's lane, which stays while the thread runs.
        let worker = unsafe { (*lane).worker.clone() };
        let ask = |request| {
            let answer = worker.ask_number(request, 0, 0, 0);
            answer.map_err(CallError::Failed)
        };
        let mode = u32::try_from(ask(Request::Accelerator)?).ok();
        let mode = mode.and_then(Acceleration::from_code);
        Ok((mode.unwrap_or(Acceleration::Off), ask(Request::Entries)?))
    }

    /// The names of the functions that it exports, in alphabetical order.
    pub fn functions(&self) -> &[String] {
        &self.inner.functions
    }

    /// A function by its name.
    ///
    /// # Errors
    /// Neither the library nor what it needs exports it, or its process has ended just now.
    pub fn function(&self, name: &str, signature: Signature) -> Result<Function, CallError> {
        Function::named(self, name, signature)
    }

    /// A function by its address, which the library has returned. It is gone when the
    /// library's process ends.
    ///
    /// # Errors
    /// The library's process has ended just now and cannot be started.
    pub fn function_at(&self, address: u64, signature: Signature) -> Result<Function, CallError> {
        Function::at(self, address, signature)
    }

    /// A function that the library can call, made of a closure that returns what the signature
    /// says: its [`Value`] is the pointer to it.
    ///
    /// # Errors
    /// There are too many already.
    pub fn callback(
        &self,
        signature: Signature,
        closure: impl Fn(&[Value]) -> Value + Send + Sync + 'static,
    ) -> Result<Callback, CallError> {
        Callback::new(self.wrapper, signature, Arc::new(closure)).ok_or(CallError::Callbacks)
    }

    /// Memory that the library can reach, for `count` values.
    ///
    /// # Errors
    /// There is not so much.
    pub fn allocate<T: Pod>(&self, count: usize) -> Result<Memory<T>, CallError> {
        Memory::new(count)
    }

    /// The same, with a copy of these values.
    ///
    /// # Errors
    /// There is not so much.
    pub fn share<T: Pod>(&self, values: &[T]) -> Result<Memory<T>, CallError> {
        let memory = Memory::new(values.len())?;
        memory.write(values);
        Ok(memory)
    }

    /// A string that the library can read.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn share_string(&self, text: &CStr) -> Result<Memory<u8>, CallError> {
        self.share(text.to_bytes_with_nul())
    }

    /// A copy of `count` values at an address that the library returned.
    ///
    /// # Errors
    /// That is not in memory that the library shares with the program.
    pub fn read<T: Pod>(&self, address: u64, count: usize) -> Result<Vec<T>, CallError> {
        memory::read(address, count)
    }

    /// A copy of a string at an address that the library returned.
    ///
    /// # Errors
    /// The same, or it has no end.
    pub fn read_string(&self, address: u64) -> Result<CString, CallError> {
        memory::read_string(address)
    }
}

/// A C string that stays.
fn kept(text: &OsStr) -> Result<&'static CStr, CallError> {
    let text = CString::new(text.as_bytes()).map_err(|_| CallError::Path)?;
    Ok(Box::leak(text.into_boxed_c_str()))
}

/// What a library exports; nothing, if it cannot be read any more.
fn functions(path: &Path) -> Vec<String> {
    let data = std::fs::read(path).unwrap_or_default();
    let Ok(file) = ElfFile64::<Endianness>::parse(&*data) else {
        return Vec::new();
    };
    let symbols = file.dynamic_symbols();
    let symbols =
        symbols.filter(|symbol| symbol.is_definition() && symbol.kind() == SymbolKind::Text);
    let mut names: Vec<_> = symbols
        .filter_map(|symbol| symbol.name().ok().map(str::to_owned))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
