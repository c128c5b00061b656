//! Why a call failed, for the thread whose call it was.

use iotdec_wire::exchange::Fault;
use std::cell::RefCell;
use std::ffi::c_void;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, Once};

/// `enum iotdec_error_kind`
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No worker could be started, or a wrapper not loaded.
    NotStarted = 1,
    /// A signal ended the worker.
    Crashed = 2,
    /// The library ended its process.
    Exited = 3,
    /// No answer in time.
    TimedOut = 4,
    /// The worker wrote what no correct worker writes.
    Misbehaved = 5,
    /// A pointer to memory that is not shared.
    BadPointer = 6,
    /// Something of a worker that is no more.
    Stale = 7,
    /// Too many calls within callbacks within calls.
    TooDeep = 8,
    /// No shared memory, lane or place for a function pointer is left.
    NoMemory = 9,
    /// Called in the child of a fork.
    Forked = 10,
    /// A file descriptor that cannot cross.
    BadDescriptor = 11,
}

/// `struct iotdec_error`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// A [`Kind`], or 0.
    pub kind: i32,
    /// That ended the worker, or 0.
    pub signal: i32,
    /// The worker's exit status, or 0.
    pub status: i32,
    reserved: i32,
    /// Of the instruction that crashed.
    pub pc: u64,
    /// That was accessed or refused.
    pub address: u64,
    /// The worker's.
    pub generation: u64,
    /// File name of the library that crashed, zero-terminated.
    pub library: [u8; 128],
    /// The nearest symbol, zero-terminated.
    pub symbol: [u8; 128],
    /// Cause and remedy, zero-terminated.
    pub text: [u8; 512],
}

const _: () = assert!(size_of::<Record>() == 40 + 128 + 128 + 512);

impl Record {
    /// No error.
    pub const NONE: Self = Self {
        kind: 0,
        signal: 0,
        status: 0,
        reserved: 0,
        pc: 0,
        address: 0,
        generation: 0,
        library: [0; 128],
        symbol: [0; 128],
        text: [0; 512],
    };

    /// An error with this text.
    pub fn new(kind: Kind, text: &str) -> Box<Self> {
        let mut record = Box::new(Self {
            kind: kind as i32,
            ..Self::NONE
        });
        copy(&mut record.text, text.as_bytes());
        record
    }

    /// The same, about an address.
    pub(crate) fn at(mut self: Box<Self>, address: u64) -> Box<Self> {
        self.address = address;
        self
    }

    /// The same, in a worker.
    pub(crate) fn of(mut self: Box<Self>, generation: u64) -> Box<Self> {
        self.generation = generation;
        self
    }

    /// Adds what a worker noted of its fault. Nothing in it is trusted.
    pub(crate) fn add_fault(&mut self, fault: &Fault) {
        self.pc = fault.pc;
        self.address = fault.address;
        copy(&mut self.library, &fault.library);
        copy(&mut self.symbol, &fault.symbol);
    }

    /// The text.
    pub fn text(&self) -> &str {
        let length = self.text.iter().position(|byte| *byte == 0);
        std::str::from_utf8(&self.text[..length.unwrap_or(0)]).unwrap_or("?")
    }
}

/// As much as fits with a zero behind it, without the half of a letter.
fn copy(to: &mut [u8], from: &[u8]) {
    let zero = from.iter().position(|byte| *byte == 0);
    let text = String::from_utf8_lossy(&from[..zero.unwrap_or(from.len())]);
    let mut length = text.len().min(to.len() - 1);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    to.fill(0);
    to[..length].copy_from_slice(&text.as_bytes()[..length]);
}

// Without a destructor: handlers that run at the end of a thread may ask, too.
thread_local! {
    static LAST: RefCell<Record> = const { RefCell::new(Record::NONE) };
}

/// The calling thread's last error.
pub fn last() -> Record {
    LAST.with(|last| *last.borrow())
}

/// Forgets it.
pub fn clear() {
    LAST.set(Record::NONE);
}

/// Makes it the calling thread's last one.
pub(crate) fn record(record: &Record) {
    LAST.set(*record);
    if TELLING.load(Ordering::Relaxed) != NOTHING {
        tell(record);
    }
}

const NOTHING: u8 = 0;
const FIRST: u8 = 1;
const ALL: u8 = 2;

/// Which errors go to `stderr`.
static TELLING: AtomicU8 = AtomicU8::new(NOTHING);

/// From now on `stderr` has the process's first error, or, as `IOTDEC_ERRORS` says, `all` or
/// `none`: whoever runs a program that knows nothing of wrappers could not learn of it otherwise.
pub fn tell_on_stderr() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let telling = match std::env::var("IOTDEC_ERRORS").as_deref() {
            Ok("all") => ALL,
            Ok("none") => NOTHING,
            _ => FIRST,
        };
        TELLING.store(telling, Ordering::Relaxed);
    });
}

#[cold]
fn tell(record: &Record) {
    let (handler, _) = *HANDLER.lock().expect("nothing panics with it");
    if handler.is_some() {
        return;
    }
    let once = TELLING.compare_exchange(FIRST, NOTHING, Ordering::Relaxed, Ordering::Relaxed);
    let further = match once {
        Ok(_) => " (IOTDEC_ERRORS=all tells of later failures too, IOTDEC_ERRORS=none of no one)",
        Err(ALL) => "",
        Err(_) => return,
    };
    // Nobody is to be told otherwise if there is no stderr.
    let _ = writeln!(std::io::stderr(), "iotdec: {}{further}", record.text());
}

/// `iotdec_crash_handler`
pub type Handler = unsafe extern "C-unwind" fn(*const Record, *mut c_void);

static HANDLER: Mutex<(Option<Handler>, usize)> = Mutex::new((None, 0));

/// Sets what runs when a call fails because its worker ended; the former one.
pub fn set_handler(handler: Option<Handler>, data: *mut c_void) -> Option<Handler> {
    let mut place = HANDLER.lock().expect("nothing panics with it");
    std::mem::replace(&mut *place, (handler, data as usize)).0
}

/// Has it run, on the thread whose call failed. It may not come back.
pub(crate) fn tell_handler(record: &Record) {
    let (handler, data) = *HANDLER.lock().expect("nothing panics with it");
    if let Some(handler) = handler {
        // SAFETY: the program's function, of this type, with the program's data.
        unsafe { handler(record, data as *mut c_void) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_letters() {
        let long = "ä".repeat(400);
        let record = Record::new(Kind::Exited, &long);
        assert_eq!(record.text(), "ä".repeat(255));
        assert_eq!(Record::new(Kind::Exited, "short").text(), "short");
    }

    #[test]
    fn a_hostile_note_stays_within_its_bounds() {
        let fault = Fault {
            signal: 11,
            reserved: 0,
            pc: 1,
            address: 2,
            library: [0xff; 128],
            symbol: [b'x'; 128],
        };
        let mut record = Record::new(Kind::Crashed, "");
        record.add_fault(&fault);
        assert_eq!(record.library[127], 0);
        assert_eq!(record.symbol[126..], [b'x', 0]);
    }
}
