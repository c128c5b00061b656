//! The ways to call a library that are compared.

use super::api::Api;
use super::made::Made;
use super::peer::{Peer, Way};
use super::sample::tick;
use crate::failure::Failure;
use libloading::{Library, Symbol};
use serde::{Serialize, Serializer};
use std::ffi::c_int;
use std::path::Path;

/// Bytes that go there and come back in the row of that name.
pub const BYTES: usize = 4096;

/// The functions of `calls.h` and `so_lib.h`, however they are called.
pub trait Calls {
    /// `calls_empty`
    fn empty(&mut self) -> Result<(), Failure>;
    /// `calls_two`
    fn two(&mut self, a: i32, b: i32) -> Result<i32, Failure>;
    /// `calls_block`
    fn block(&mut self, block: [u64; 8]) -> Result<[u64; 8], Failure>;
    /// `calls_bytes`
    fn bytes(&mut self, data: &mut [u8; BYTES]) -> Result<(), Failure>;
    /// `calls_back` with [`tick`]
    fn back(&mut self, count: i32) -> Result<i32, Failure>;
    /// `so_lib_function_a`
    fn question(&mut self, numbers: &mut [u32; 2]) -> Result<u32, Failure>;
}

/// One way to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Through a library that `iotdec wrap` made, in QEMU alone.
    Wrapper,
    /// The same in turbo.
    Turbo,
    /// Through `iotdec_bridge::Library`.
    Api,
    /// A flag in shared memory that says whose turn it is, at which both look all the time.
    TurnFlag,
    /// Shared memory, and an eventfd for each direction.
    EventFd,
    /// Two pipes.
    Pipe,
    /// A pair of Unix sockets.
    Socket,
    /// The library built for this machine, in this process.
    Native,
    /// What the machine itself takes: two native threads without any library.
    Floor,
}

impl Serialize for Contender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Contender {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 9] = [
        Self::Wrapper,
        Self::Turbo,
        Self::Api,
        Self::TurnFlag,
        Self::EventFd,
        Self::Pipe,
        Self::Socket,
        Self::Native,
        Self::Floor,
    ];

    /// As people and programs know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wrapper => "wrapper",
            Self::Turbo => "turbo",
            Self::Api => "api",
            Self::TurnFlag => "turnflag",
            Self::EventFd => "eventfd",
            Self::Pipe => "pipe",
            Self::Socket => "socket",
            Self::Native => "native",
            Self::Floor => "floor",
        }
    }

    /// Gets ready to call; nothing of the floor's is called, nor of turbo where there is none.
    pub fn open(self, made: &Made) -> Result<Option<Box<dyn Calls>>, Failure> {
        Ok(Some(match self {
            Self::Wrapper => Box::new(Functions::load(&made.wrapper.native)?),
            Self::Turbo => match &made.in_turbo {
                Some(wrapper) => Box::new(Functions::load(&wrapper.native)?),
                None => return Ok(None),
            },
            Self::Native => Box::new(Functions::load(&made.native())?),
            Self::Api => Box::new(Api::open(&made.foreign())?),
            Self::TurnFlag => Box::new(Peer::start(made, Way::TurnFlag)?),
            Self::EventFd => Box::new(Peer::start(made, Way::EventFd)?),
            Self::Pipe => Box::new(Peer::start(made, Way::Pipe)?),
            Self::Socket => Box::new(Peer::start(made, Way::Socket)?),
            Self::Floor => return Ok(None),
        }))
    }
}

/// Fails unless each function does what it should: else something else is measured.
pub fn check(calls: &mut dyn Calls, who: Contender) -> Result<(), Failure> {
    let mut data = [7; BYTES];
    let mut changed = data;
    calls.empty()?;
    calls.bytes(&mut data)?;
    changed[0] += 1;
    changed[BYTES - 1] += 1;
    let mut numbers = [20, 1];
    let results = [
        calls.two(7, 9)? == -2,
        calls.block([1, 2, 3, 4, 5, 6, 7, 8])? == [2, 2, 3, 4, 5, 6, 7, 9],
        data == changed,
        calls.back(5)? == 10,
        calls.question(&mut numbers)? == 42 && numbers == [21, 1],
    ];
    if results.contains(&false) {
        return Err(Failure::Error(format!(
            "calls through {} give wrong results: {results:?}",
            who.name()
        )));
    }
    Ok(())
}

/// A loaded library with these functions: the wrapper, or the library itself.
struct Functions {
    empty: extern "C" fn(),
    two: extern "C" fn(c_int, c_int) -> c_int,
    block: extern "C" fn(Block) -> Block,
    bytes: unsafe extern "C" fn(*mut u8, usize),
    back: extern "C" fn(extern "C" fn(c_int) -> c_int, c_int) -> c_int,
    question: unsafe extern "C" fn(*mut u32) -> u32,
}

#[repr(C)]
struct Block([u64; 8]);

impl Functions {
    fn load(path: &Path) -> Result<Self, Failure> {
        let failed = |error: libloading::Error| Failure::Error(error.to_string());
        // SAFETY: a library that was made for us, whose constructors do nothing.
        let library = unsafe { Library::new(path) }.map_err(failed)?;
        // The runtime of a wrapper has threads: it is there for good.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the types are those of the headers that it was made of.
        unsafe {
            Ok(Self {
                empty: symbol(library, "calls_empty")?,
                two: symbol(library, "calls_two")?,
                block: symbol(library, "calls_block")?,
                bytes: symbol(library, "calls_bytes")?,
                back: symbol(library, "calls_back")?,
                question: symbol(library, "so_lib_function_a")?,
            })
        }
    }
}

/// A symbol's address as a function.
///
/// # Safety
/// `F` is a pointer to a function of the type that the symbol has.
pub unsafe fn symbol<F: Copy>(library: &'static Library, name: &str) -> Result<F, Failure> {
    // SAFETY: the caller's promise.
    let found: Result<Symbol<'_, F>, _> = unsafe { library.get(name.as_bytes()) };
    match found {
        Ok(found) => Ok(*found),
        Err(error) => Err(Failure::Error(error.to_string())),
    }
}

impl Calls for Functions {
    fn empty(&mut self) -> Result<(), Failure> {
        (self.empty)();
        Ok(())
    }

    fn two(&mut self, a: i32, b: i32) -> Result<i32, Failure> {
        Ok((self.two)(a, b))
    }

    fn block(&mut self, block: [u64; 8]) -> Result<[u64; 8], Failure> {
        Ok((self.block)(Block(block)).0)
    }

    fn bytes(&mut self, data: &mut [u8; BYTES]) -> Result<(), Failure> {
        // SAFETY: so many bytes.
        unsafe { (self.bytes)(data.as_mut_ptr(), BYTES) };
        Ok(())
    }

    fn back(&mut self, count: i32) -> Result<i32, Failure> {
        Ok((self.back)(tick, count))
    }

    fn question(&mut self, numbers: &mut [u32; 2]) -> Result<u32, Failure> {
        // SAFETY: two of them.
        Ok(unsafe { (self.question)(numbers.as_mut_ptr()) })
    }
}
