//! One call, from begin to end: what generated code makes of a lane.

use super::errno;
use super::error::{self, Kind, Record};
use super::lane::{self, HostLane, lane_for};
use super::worker::Worker;
use super::wrapper::{State, Wrapper};
use iotdec_wire::lane::{Kind as MailKind, Mail, Request};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `IOTDEC_MAX_MESSAGE`
const MAX_MESSAGE: usize = iotdec_wire::exchange::MAX_MESSAGE;

/// `struct iotdec_call`
#[repr(C)]
#[derive(Debug)]
pub struct Call {
    lane: *mut HostLane,
    state: *const State,
    message: u64,
    frame: usize,
    /// Whether something failed; a byte of C's.
    failed: u64,
    /// `errno` when it began, which is what the library shall see.
    errno: i32,
    /// Bytes of the message.
    size: u64,
    /// Whether it was posted to the library.
    has_run: u64,
}

const _: () = assert!(size_of::<Call>() == 64);

/// What lanes give is aligned to so many bits; what is taken of them, to at most so many.
const ALIGNED: u32 = 4;
const MOST_ALIGNED: u32 = 12;

/// Where taken memory is if there is none: written by all, read by nobody who matters.
#[repr(align(64))]
struct Nowhere(std::cell::UnsafeCell<[u8; MAX_MESSAGE]>);
// SAFETY: never borrowed; what is there has no meaning.
unsafe impl Sync for Nowhere {}

impl Call {
    /// `iotdec_call_begin`
    ///
    /// # Safety
    /// `call` is valid for writing and lies in the caller's frame.
    #[inline]
    pub unsafe fn begin(call: *mut Self, wrapper: &Wrapper, size: usize) -> *mut c_void {
        let errno = errno::get();
        let begun = lane_for(wrapper).and_then(|lane| {
            let size = Some(size).filter(|size| *size <= MAX_MESSAGE);
            // SAFETY: this thread's lane, which nobody borrows now.
            let begun = unsafe { (*lane).begin(call as usize, size.unwrap_or(usize::MAX)) };
            begun
                .map(|(frame, message)| (lane, frame, message))
                .map_err(no_room)
        });
        let (lane, frame, message) = match begun {
            Ok(begun) => begun,
            Err(record) => {
                // Nothing to drop any more: the handler may longjmp.
                let record = *record;
                fail_now(&record);
                return null_mut();
            }
        };
        // SAFETY: `call` by promise; the message is so many bytes of the lane's.
        unsafe {
            call.write(Self {
                lane,
                state: wrapper
                    .known()
                    .map_or(std::ptr::null(), |state| &raw const *state),
                message,
                frame,
                failed: 0,
                errno,
                size: size as u64,
                has_run: 0,
            });
            std::ptr::write_bytes(message as *mut u8, 0, size);
        }
        message as *mut c_void
    }

    /// `iotdec_serve_begin`
    ///
    /// # Safety
    /// `call` is valid for writing.
    pub unsafe fn serve(call: *mut Self, wrapper: &Wrapper) {
        let lane = lane::serving(wrapper);
        // SAFETY: the caller's promise; null or this thread's lane, which nobody borrows now.
        unsafe { call.write(Self::within(lane, wrapper.known())) };
    }

    /// A callback's, in which nothing can be run.
    ///
    /// # Safety
    /// `lane` is null or the calling thread's, which nobody borrows now.
    pub(crate) unsafe fn within(lane: *mut HostLane, state: Option<&'static State>) -> Self {
        // SAFETY: the caller's promise.
        let frame = unsafe { lane.as_ref() }.map_or(usize::MAX, HostLane::innermost);
        Self {
            lane,
            state: state.map_or(std::ptr::null(), |state| &raw const *state),
            message: 0,
            frame,
            failed: u64::from(lane.is_null()),
            errno: 0,
            size: 0,
            has_run: 0,
        }
    }

    /// The lane, but not if something failed.
    #[inline]
    pub(crate) fn lane(&mut self) -> Option<&mut HostLane> {
        if self.failed != 0 {
            return None;
        }
        // SAFETY: the calling thread's lane, and nobody else borrows it while generated
        // code calls us.
        unsafe { self.lane.as_mut() }
    }

    /// The wrapper.
    #[inline]
    pub(crate) fn state(&self) -> Option<&'static State> {
        // SAFETY: null, or leaked on purpose.
        unsafe { self.state.as_ref() }
    }

    /// Lane and wrapper, but not if something failed.
    #[inline]
    pub(crate) fn parties(&mut self) -> Option<(&mut HostLane, &'static State)> {
        let state = self.state()?;
        self.lane().map(|lane| (lane, state))
    }

    /// Has it fail.
    #[cold]
    pub(crate) fn fail(&mut self, record: Box<Record>) {
        // SAFETY: as in `lane`.
        let lane = unsafe { self.lane.as_mut() };
        let generation = lane.as_ref().map_or(0, |lane| lane.worker.generation);
        let record = record.of(generation);
        if self.failed == 0 {
            error::record(&record);
            if let Some(lane) = lane.filter(|_| self.message == 0) {
                lane.fail(self.frame, record);
            }
        }
        self.failed = 1;
    }

    /// Whether something failed.
    pub fn has_failed(&self) -> bool {
        self.failed != 0
    }

    /// `iotdec_call_fail`
    pub fn fail_because(&mut self, text: &str) {
        self.fail(Record::new(Kind::BadPointer, text));
    }

    /// `iotdec_call_run`
    ///
    /// # Safety
    /// `call` was begun on this thread and not yet ended.
    #[inline]
    pub unsafe fn run(call: *mut Self, function: u32) -> bool {
        // SAFETY: the caller's promise.
        let Some(state) = (unsafe { (*call).state() }) else {
            return false;
        };
        if function >= state.functions {
            // SAFETY: as above.
            unsafe { (*call).fail(Record::new(Kind::NotStarted, "no such function")) };
        }
        let mail = Mail {
            kind: MailKind::Call.code(),
            part: state.part.load(Ordering::Relaxed),
            index: function,
            ..Mail::default()
        };
        // SAFETY: the caller's promise.
        unsafe { Self::cross(call, mail) }
    }

    /// `iotdec_call_pointer`
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    #[inline]
    pub unsafe fn run_pointer(call: *mut Self, signature: u32, target: u64) -> bool {
        // SAFETY: the caller's promise.
        let Some((lane, state)) = (unsafe { (*call).parties() }) else {
            return false;
        };
        if let Err(record) = lane.check_function(state, target, signature) {
            // SAFETY: as above.
            unsafe { (*call).fail(record) };
            return false;
        }
        let mail = Mail {
            kind: MailKind::CallPointer.code(),
            part: state.part.load(Ordering::Relaxed),
            index: signature,
            target,
            ..Mail::default()
        };
        // SAFETY: the caller's promise.
        unsafe { Self::cross(call, mail) }
    }

    #[inline]
    unsafe fn cross(call: *mut Self, mail: Mail) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let variables = (*call).state().and_then(|state| state.variables.as_ref());
            if let Some(variables) = variables {
                variables.push(&mut *call);
            }
            if (*call).failed != 0 {
                return false;
            }
            let mail = Mail {
                message: (*call).message,
                errno: (*call).errno,
                ..mail
            };
            let size = (*call).size as usize;
            (*call).has_run = 1;
            let Some(failure) = lane::run((*call).lane, (*call).frame, mail, size) else {
                if let Some(variables) = variables {
                    variables.pull(&mut *call);
                }
                return (*call).failed == 0;
            };
            (*call).failed = 1;
            // As in `begin`.
            let record = *failure;
            fail_now(&record);
            false
        }
    }

    /// The worker of a call that the library has returned from, even if it failed.
    pub(crate) fn returned(&self) -> Option<&Worker> {
        // SAFETY: as in `lane`.
        let lane = unsafe { self.lane.as_ref() }?;
        (self.has_run != 0 && !lane.worker.is_over()).then_some(&*lane.worker)
    }

    /// `iotdec_call_end`
    #[inline]
    pub fn end(&mut self) {
        // SAFETY: as in `lane`; what was given back once is not there again.
        if let Some(lane) = unsafe { self.lane.as_mut() } {
            lane.end(self.frame);
        }
        self.lane = null_mut();
    }

    /// The worker's that it is in.
    pub(crate) fn generation(&mut self) -> Option<u64> {
        self.lane().map(|lane| lane.worker.generation)
    }

    /// A function that is called back without generated code, as the library is to see it.
    pub(crate) fn give_to_built_in(&mut self, function: u64) -> Result<u64, Box<Record>> {
        let lane = self
            .lane()
            .ok_or_else(|| Record::new(Kind::NotStarted, "the call has failed"))?;
        let state = lane.worker.built_in();
        let state = state.ok_or_else(|| Record::new(Kind::NotStarted, "nothing is loaded"))?;
        lane.give_function(state, function, iotdec_wire::registers::ANY)
    }

    /// Memory until the end.
    pub(crate) fn take(&mut self, size: usize) -> *mut u8 {
        static NOWHERE: Nowhere = Nowhere(std::cell::UnsafeCell::new([0; MAX_MESSAGE]));
        if let Some(lane) = self.lane() {
            // A type's alignment divides its size, and so that of any number of them.
            let alignment = 1 << size.trailing_zeros().clamp(ALIGNED, MOST_ALIGNED);
            if let Some(address) = lane.stack.push_any(size, alignment) {
                return address as *mut u8;
            }
            let text = "the data of one call is larger than there is shared memory for; \
                        IOTDEC_EXCHANGE_SIZE is how many MiB there are";
            self.fail(Record::new(Kind::NoMemory, text));
        }
        if size <= MAX_MESSAGE {
            return NOWHERE.0.get().cast();
        }
        nowhere(size)
    }
}

/// As much memory as is wanted, in which nothing is kept for long.
fn nowhere(size: usize) -> *mut u8 {
    use nix::libc;
    use std::sync::Mutex;
    static LARGEST: Mutex<(usize, usize)> = Mutex::new((0, 0));
    let mut largest = LARGEST.lock().expect("nothing panics with it");
    if largest.1 < size {
        // SAFETY: new memory, which is kept.
        let start = unsafe {
            libc::mmap(
                null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert!(
            start != libc::MAP_FAILED,
            "no address space for {size} bytes"
        );
        *largest = (start as usize, size);
    }
    largest.0 as *mut u8
}

#[cold]
fn no_room(kind: Kind) -> Box<Record> {
    let text = match kind {
        Kind::TooDeep => "calls within callbacks are nested deeper than 64",
        _ => "no room for a call's message",
    };
    Record::new(kind, text)
}

/// Records a failure for the calling thread, and runs the program's handler if it is the
/// end of a worker. Nothing of ours may need to be dropped.
#[cold]
fn fail_now(record: &Record) {
    error::record(record);
    let ended = [
        Kind::Crashed,
        Kind::Exited,
        Kind::TimedOut,
        Kind::Misbehaved,
    ];
    if ended.iter().any(|kind| *kind as i32 == record.kind) {
        error::tell_handler(record);
    }
}

/// The generation of the worker that runs a wrapper's library, started if there is none.
pub(crate) fn generation(wrapper: &Wrapper) -> Result<u64, Box<Record>> {
    let lane = lane_for(wrapper)?;
    // SAFETY: this thread's lane, which nobody borrows now.
    let worker = unsafe { &(*lane).worker };
    Ok(worker.generation)
}

/// The generation of the worker and where it has a function, if there is one.
pub(crate) fn function(wrapper: &Wrapper, name: &str) -> Result<Option<(u64, u64)>, Box<Record>> {
    let lane = lane_for(wrapper)?;
    // SAFETY: this thread's lane, which nobody borrows now.
    let worker = unsafe { Arc::clone(&(*lane).worker) };
    let part = wrapper
        .known()
        .map_or(0, |state| state.part.load(Ordering::Acquire));
    match worker.ask(Request::Function, part, name.as_bytes()) {
        Ok((address, _)) => Ok(Some((worker.generation, address))),
        Err(_) if !worker.is_over() => Ok(None),
        Err(record) => Err(record),
    }
}

/// Whether both sides may write there, during a callback of this wrapper's library.
pub(crate) fn can_be_written(wrapper: &Wrapper, address: u64, size: usize) -> bool {
    // SAFETY: null, or this thread's lane, which nobody borrows now.
    let lane = unsafe { lane::serving(wrapper).as_ref() };
    lane.is_some_and(|lane| lane.worker.can_be_written(address, size as u64))
}

/// `iotdec_symbol` and `iotdec_function`
pub fn find(wrapper: &Wrapper, name: &str, size: Option<usize>) -> *mut c_void {
    let found = lane_for(wrapper).and_then(|lane| {
        let missing = || Record::new(Kind::NotStarted, "the wrapper is not loaded");
        let state = wrapper.known().ok_or_else(missing)?;
        // SAFETY: this thread's lane, which nobody borrows now.
        let worker = unsafe { Arc::clone(&(*lane).worker) };
        let request = size.map_or(Request::Function, |_| Request::Symbol);
        let part = state.part.load(Ordering::Acquire);
        let (address, _) = worker.ask(request, part, name.as_bytes())?;
        match size {
            None => {
                worker.change_functions().add_named(address);
            }
            Some(size) if !worker.shares(address, size as u64) => {
                let text = format!("variable {name} of the library is not in shared memory");
                let record = Record::new(Kind::BadPointer, &text).at(address);
                return Err(record.of(worker.generation));
            }
            Some(_) => {}
        }
        Ok(address as *mut c_void)
    });
    found.unwrap_or_else(|record| {
        error::record(&record);
        null_mut()
    })
}
