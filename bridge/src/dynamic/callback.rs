//! Closures of the program's as functions that a library can call.

use super::place::{self, Returned};
use super::types::{Parts, Signature};
use super::value::Value;
use crate::calls::{self, Call, ErrorKind, Record, Wrapper, errno};
use iotdec_wire::registers::Registers;
use nix::libc;
use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::{null_mut, read_volatile};
use std::sync::{Arc, Mutex, OnceLock};

/// Callbacks of a program, those that were dropped included.
const MAX_CALLBACKS: u64 = 1 << 16;
/// Bytes from one's address to the next one's.
const STEP: u64 = 16;

type Closure = dyn Fn(&[Value]) -> Value + Send + Sync;

struct Known {
    wrapper: &'static Wrapper,
    signature: Signature,
    /// None once it was dropped.
    closure: Option<Arc<Closure>>,
}

static KNOWN: Mutex<Option<HashMap<u64, Known>>> = Mutex::new(None);

/// Addresses that nothing else has: what they stand for is looked up.
fn addresses() -> Option<u64> {
    static START: OnceLock<Option<u64>> = OnceLock::new();
    *START.get_or_init(|| {
        // SAFETY: new memory that nobody can access, and that is kept.
        let start = unsafe {
            libc::mmap(
                null_mut(),
                (MAX_CALLBACKS * STEP) as usize,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        (start != libc::MAP_FAILED).then_some(start as u64)
    })
}

/// Whether an address is a callback's.
pub(super) fn is_callback(address: u64) -> bool {
    addresses().is_some_and(|start| address.wrapping_sub(start) < MAX_CALLBACKS * STEP)
}

/// A closure that a library can call, for as long as this is not dropped; then such a call
/// makes the program's call fail.
///
/// It may be called on other threads, when the library has some. A panic in it ends the calls
/// that it is within.
pub struct Callback {
    address: u64,
}

impl fmt::Debug for Callback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Callback({:#x})", self.address)
    }
}

impl Callback {
    pub(super) fn new(
        wrapper: &'static Wrapper,
        signature: Signature,
        closure: Arc<Closure>,
    ) -> Option<Self> {
        let mut known = KNOWN.lock().expect("nothing panics with it");
        let known = known.get_or_insert_default();
        let number = known.len() as u64;
        let start = addresses().filter(|_| number < MAX_CALLBACKS)?;
        let address = start + number * STEP;
        let closure = Some(closure);
        known.insert(
            address,
            Known {
                wrapper,
                signature,
                closure,
            },
        );
        Some(Self { address })
    }
}

impl From<&Callback> for Value {
    fn from(callback: &Callback) -> Self {
        Self::Pointer(callback.address)
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        let closure = {
            let mut known = KNOWN.lock().expect("nothing panics with it");
            let known = known.as_mut().and_then(|it| it.get_mut(&self.address));
            known.and_then(|known| known.closure.take())
        };
        // Without the lock, for it may own callbacks.
        drop(closure);
    }
}

/// Serves all callbacks.
pub(super) unsafe extern "C-unwind" fn serve(message: *mut c_void, target: *mut c_void) {
    let found = errno::keep(|| {
        let known = KNOWN.lock().expect("nothing panics with it");
        let known = known.as_ref().and_then(|it| it.get(&(target as u64)));
        known.map(|it| (it.wrapper, it.signature.clone(), it.closure.clone()))
    });
    // The host is called back with nothing that it did not give.
    let Some((wrapper, signature, closure)) = found else {
        return;
    };
    let message = message.cast::<Registers>();
    let done = match closure {
        // SAFETY: a message has room for this, and any bytes are a value.
        Some(closure) => unsafe { answer(wrapper, message, &signature.0, &*closure) },
        None => Err("the library called a callback that was dropped".to_owned()),
    };
    if let Err(text) = done {
        let mut call = MaybeUninit::<Call>::uninit();
        // SAFETY: written by `serve`, used and forgotten here; this is within a callback.
        unsafe {
            Call::serve(call.as_mut_ptr(), wrapper);
            call.assume_init_mut()
                .fail(Record::new(ErrorKind::BadPointer, &text));
        }
    }
}

/// Calls a closure with what a library called it with, and stores what it returned.
///
/// # Safety
/// The message is shared memory with room for registers.
unsafe fn answer(
    wrapper: &Wrapper,
    message: *mut Registers,
    parts: &Parts,
    closure: &Closure,
) -> Result<(), String> {
    // SAFETY: the caller's promise. Once: the copy is what is looked at.
    let mut registers = unsafe { read_volatile(message) };
    let assignment = &parts.assignment;
    let read = |address: u64, size: usize| {
        let bad = || "the library called back with arguments that are not shared".to_owned();
        match calls::can_be_written(wrapper, address, size) {
            // SAFETY: shared, so mapped, and it stays so.
            true => Ok(unsafe { copy_from(address, size) }),
            false => Err(bad()),
        }
    };
    let stack = match assignment.stack {
        0 => Vec::new(),
        size => read(registers.stack, size)?,
    };
    let mut values = Vec::with_capacity(parts.parameters.len());
    for (argument, kind) in assignment.arguments.iter().zip(&parts.parameters) {
        let bytes = if argument.copy.is_some() {
            let address = place::get(&registers, &stack, argument.place, 8);
            let address = u64::from_le_bytes(address.try_into().expect("8 bytes"));
            read(address, kind.size())?
        } else {
            place::get(&registers, &stack, argument.place, kind.size())
        };
        values.push(Value::read(kind, &bytes));
    }
    // May be left by a panic, past all of this.
    let result = closure(&values);
    let mut bytes = Vec::new();
    result
        .write(&parts.result, &mut bytes)
        .map_err(|what| format!("a callback returned {what}"))?;
    match assignment.returned {
        Returned::Nowhere => {}
        Returned::Here(place) => {
            place::put(&mut registers, &mut [], place, &bytes);
            // SAFETY: the caller's promise.
            unsafe { message.write(registers) };
        }
        Returned::Indirect(_) => {
            let to = registers.indirect;
            if !calls::can_be_written(wrapper, to, bytes.len()) {
                return Err("the library wants a result where nothing is shared".to_owned());
            }
            // SAFETY: shared, so mapped, and writable.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
        }
    }
    Ok(())
}

/// # Safety
/// So many bytes are mapped at the address.
unsafe fn copy_from(address: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), size) };
    bytes
}
