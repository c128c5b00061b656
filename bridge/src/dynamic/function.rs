//! One function, and its calls.

use super::error::{last, nearest};
use super::place::{self, Returned};
use super::{CallError, Library, Signature, Value, callback};
use crate::calls::{self, Call, ErrorKind, Record, errno, lane_for, write_out};
use iotdec_wire::registers::{self, Registers};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Mutex;

/// A function of a library, with what it takes and returns.
#[derive(Debug)]
pub struct Function {
    library: Library,
    name: String,
    signature: Signature,
    /// Whether another worker has it too.
    is_named: bool,
    /// The worker's generation, and where the function is there.
    place: Mutex<(u64, u64)>,
}

impl Function {
    pub(super) fn named(
        library: &Library,
        name: &str,
        signature: Signature,
    ) -> Result<Self, CallError> {
        let place = find(library, name)?;
        Ok(Self {
            library: library.clone(),
            name: name.to_owned(),
            signature,
            is_named: true,
            place: Mutex::new(place),
        })
    }

    pub(super) fn at(
        library: &Library,
        address: u64,
        signature: Signature,
    ) -> Result<Self, CallError> {
        let generation = calls::generation(library.wrapper).map_err(CallError::Failed)?;
        Ok(Self {
            library: library.clone(),
            name: format!("the function at {address:#x}"),
            signature,
            is_named: false,
            place: Mutex::new((generation, address)),
        })
    }

    /// What it takes and returns.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Calls it.
    ///
    /// # Errors
    /// The arguments are not what it takes, or the library did not return: it crashed, ended
    /// its process, or took longer than `IOTDEC_CALL_TIMEOUT` (ms).
    pub fn call(&self, arguments: &[Value]) -> Result<Value, CallError> {
        self.call_with_errno(arguments).map(|(result, _)| result)
    }

    /// The same; also gives the library's `errno`, which was 0 before.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_with_errno(&self, arguments: &[Value]) -> Result<(Value, i32), CallError> {
        let wanted = self.signature.parameters().len();
        if arguments.len() != wanted {
            return Err(CallError::Arguments {
                name: self.name.clone(),
                wanted,
                given: arguments.len(),
            });
        }
        loop {
            // Before the call begins: this may start another worker.
            let (generation, target) = self.target()?;
            let mut call = MaybeUninit::<Call>::uninit();
            let call = call.as_mut_ptr();
            let size = self.signature.0.assignment.size;
            // SAFETY: begun, run and ended here, in this frame; `errno` is this thread's. A
            // panic of a callback leaves what the next call that begins finds dead.
            unsafe {
                errno::set(0);
                let message = Call::begin(call, self.library.wrapper, size);
                if message.is_null() {
                    return Err(last());
                }
                // Where it was in a worker that has ended meanwhile, anything may be.
                let is_there = (*call).generation() == Some(generation);
                let result = is_there.then(|| self.run(call, message, target, arguments));
                (*call).end();
                // Rust's streams are not C's.
                write_out();
                if let Some(result) = result {
                    return result;
                }
            }
        }
    }

    /// The generation of the worker that runs now, and where it is there.
    fn target(&self) -> Result<(u64, u64), CallError> {
        let generation = calls::generation(self.library.wrapper).map_err(CallError::Failed)?;
        let mut place = self.place.lock().unwrap_or_else(|it| it.into_inner());
        if place.0 != generation {
            if !self.is_named {
                let text = format!("{}: of a library's process that has ended", self.name);
                return Err(CallError::Failed(Record::new(ErrorKind::Stale, &text)));
            }
            *place = find(&self.library, &self.name)?;
        }
        Ok(*place)
    }

    /// # Safety
    /// The call has begun, and the message is its.
    unsafe fn run(
        &self,
        call: *mut Call,
        message: *mut c_void,
        target: u64,
        arguments: &[Value],
    ) -> Result<(Value, i32), CallError> {
        let parts = &*self.signature.0;
        let assignment = &parts.assignment;
        let head = size_of::<Registers>();
        let mut image = vec![0; assignment.size];
        let mut registers = Registers {
            target,
            stack: assignment.stack as u64,
            ..Registers::default()
        };
        let kinds = assignment.arguments.iter().zip(&parts.parameters);
        for (index, (value, (argument, kind))) in arguments.iter().zip(kinds).enumerate() {
            // SAFETY: the caller's promise.
            let value = unsafe { given(call, value)? };
            let mut bytes = Vec::with_capacity(kind.size());
            let written = value.write(kind, &mut bytes);
            written.map_err(|what| CallError::Argument {
                name: self.name.clone(),
                number: index + 1,
                what,
            })?;
            if let Some(copy) = argument.copy {
                image[copy..copy + bytes.len()].copy_from_slice(&bytes);
                bytes = (message as u64 + copy as u64).to_le_bytes().to_vec();
            }
            let stack = &mut image[head..head + assignment.stack];
            place::put(&mut registers, stack, argument.place, &bytes);
        }
        if let Returned::Indirect(at) = assignment.returned {
            registers.indirect = message as u64 + at as u64;
        }
        image[..head].copy_from_slice(bytemuck::bytes_of(&registers));
        // SAFETY: the message has so many bytes, and the library does not run; afterwards its
        // bytes are copied before they are looked at.
        unsafe {
            std::ptr::copy_nonoverlapping(image.as_ptr(), message.cast::<u8>(), image.len());
            if !Call::run(call, registers::CALL) {
                return Err(last());
            }
            let errno = errno::get();
            std::ptr::copy_nonoverlapping(message.cast::<u8>(), image.as_mut_ptr(), image.len());
            registers = bytemuck::pod_read_unaligned(&image[..head]);
            let size = parts.result.size();
            let bytes = match assignment.returned {
                Returned::Nowhere => Vec::new(),
                Returned::Here(place) => place::get(&registers, &[], place, size),
                Returned::Indirect(at) => image[at..at + size].to_vec(),
            };
            Ok((Value::read(&parts.result, &bytes), errno))
        }
    }
}

/// A value as the library is to see it: callbacks where it can call them.
///
/// # Safety
/// The call has begun, on this thread.
unsafe fn given(call: *mut Call, value: &Value) -> Result<Value, CallError> {
    Ok(match value {
        Value::Pointer(address) if callback::is_callback(*address) => {
            // SAFETY: the caller's promise.
            let given = unsafe { (*call).give_to_built_in(*address) };
            Value::Pointer(given.map_err(CallError::Failed)?)
        }
        Value::List(values) => {
            // SAFETY: as above.
            let values = values.iter().map(|value| unsafe { given(call, value) });
            Value::List(values.collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

/// The worker's generation, and where the function is there.
fn find(library: &Library, name: &str) -> Result<(u64, u64), CallError> {
    lane_for(library.wrapper).map_err(CallError::Failed)?;
    let found = calls::function(library.wrapper, name).map_err(CallError::Failed)?;
    found.ok_or_else(|| CallError::NoFunction {
        library: library.path().display().to_string(),
        name: name.to_owned(),
        nearest: nearest(name, library.functions()),
    })
}
