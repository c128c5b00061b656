//! The host's end of a lane: calls, the callbacks that come during them, and so on.
//!
//! The frames that callbacks run in may vanish: a program that leaves a callback by
//! longjmp never ends the calls it left. What is alive is seen by addresses: the stack
//! grows down, so a call that begins has a lower address than all that still run.
//! Functions that generated code is called from have nothing to drop meanwhile.

use super::call::Call;
use super::ending::close_with_thread;
use super::error::{Kind, Record};
use super::output;
use super::process::SETTINGS;
use super::worker::{Worker, is_forked};
use super::wrapper::{Serve, State, Wrapper};
use iotdec_wire::exchange::Range;
use iotdec_wire::lane::{End, Kind as MailKind, Lane, Mail, Request};
use nix::libc;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// `IOTDEC_MAX_DEPTH`
pub(crate) const MAX_DEPTH: usize = 64;
/// A sleep ends at least this often, which nothing depends on.
const NAP: Duration = Duration::from_secs(30);
/// How long a guest's thread may take to see that ours has ended.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// Not read from the environment yet.
const UNKNOWN: u32 = u32::MAX;

static TIMEOUT: AtomicU32 = AtomicU32::new(UNKNOWN);

/// How long calls may take, in ms; 0 is for ever.
pub fn set_call_timeout(milliseconds: u32) {
    TIMEOUT.store(milliseconds.min(UNKNOWN - 1), Ordering::Relaxed);
}

fn call_timeout() -> Option<Duration> {
    let mut timeout = TIMEOUT.load(Ordering::Relaxed);
    if timeout == UNKNOWN {
        let text = std::env::var("IOTDEC_CALL_TIMEOUT").unwrap_or_default();
        timeout = text.parse().unwrap_or(0).min(UNKNOWN - 1);
        // Whoever has set it meanwhile is right.
        let _ = TIMEOUT.compare_exchange(UNKNOWN, timeout, Ordering::Relaxed, Ordering::Relaxed);
    }
    (timeout != 0).then(|| Duration::from_millis(timeout.into()))
}

/// A call that has begun.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Of the caller's `struct iotdec_call`.
    address: usize,
    /// The message stack's top before and, once it runs, at the first callback.
    mark: u64,
    served: u64,
    /// What failed in a callback during it.
    failure: Option<Box<Record>>,
}

/// A thread's lane.
#[derive(Debug)]
pub(crate) struct HostLane {
    shared: &'static Lane,
    number: usize,
    pub(crate) worker: Arc<Worker>,
    end: End,
    /// The guest's serving loop outside of all frames.
    base: u32,
    frames: Vec<Frame>,
    stack: Range,
    top: u64,
    errno: *mut libc::c_int,
    retired_before: *mut Self,
    /// The last callback that was found to be allowed.
    allowed: (u64, u32, u32),
}

/// The lanes of a thread, by setting, and those of workers that ended while it used them.
struct Lanes {
    current: [Cell<*mut HostLane>; SETTINGS],
    /// The last one, which knows the one before.
    retired: Cell<*mut HostLane>,
}

// Without a destructor, so that it is there for whatever runs at the end of the thread or
// of the program.
thread_local! {
    static LANES: Lanes = const {
        Lanes {
            current: [const { Cell::new(null_mut()) }; SETTINGS],
            retired: Cell::new(null_mut()),
        }
    };
}
const _: () = assert!(!std::mem::needs_drop::<Lanes>());

/// Closes the calling thread's lanes, in none of which a call runs.
fn close_all() {
    LANES.with(|lanes| {
        for place in lanes.current.iter().chain([&lanes.retired]) {
            let mut lane = place.replace(null_mut());
            while !lane.is_null() {
                // SAFETY: made by `Box`; the thread, whose it is, is ending.
                let closing = unsafe { Box::from_raw(lane) };
                lane = closing.retired_before;
                closing.close();
            }
        }
    });
}

/// The calling thread's lane for a wrapper, which is loaded in its worker.
#[inline]
pub(crate) fn lane_for(wrapper: &Wrapper) -> Result<*mut HostLane, Box<Record>> {
    if let Some(state) = wrapper.known() {
        let lane = LANES.with(|lanes| lanes.current[state.setting.index].get());
        // SAFETY: null, or this thread's lane.
        if let Some(lane) = unsafe { lane.as_ref() }
            && state.generation.load(Ordering::Acquire) == lane.worker.generation
            && !lane.worker.is_over()
            && !is_forked()
        {
            return Ok(lane as *const _ as *mut _);
        }
    }
    find_lane(wrapper)
}

#[cold]
fn find_lane(wrapper: &Wrapper) -> Result<*mut HostLane, Box<Record>> {
    if is_forked() {
        let text = "calls of foreign libraries do not go on in the child of a fork; \
                    it must exec a program first";
        return Err(Record::new(Kind::Forked, text));
    }
    let state = wrapper.state()?;
    let worker = state
        .setting
        .worker()
        .map_err(|text| Record::new(Kind::NotStarted, &format!("{}: {text}", state.name)))?;
    state.load(&worker)?;
    let index = state.setting.index;
    let lane = LANES.with(|lanes| lanes.current[index].get());
    // SAFETY: null, or this thread's lane.
    if let Some(known) = unsafe { lane.as_ref() }
        && known.worker.generation == worker.generation
    {
        return Ok(lane);
    }
    let full = || {
        let text = "more threads call foreign libraries than there are lanes for";
        Record::new(Kind::NoMemory, text).of(worker.generation)
    };
    let number = worker.take_lane().ok_or_else(full)?;
    worker.ask_number(Request::Open, 0, number as u64, 0)?;
    let new = Box::into_raw(Box::new(HostLane::new(worker, number, 0)));
    LANES.with(|lanes| {
        let former = lanes.current[index].replace(new);
        // Its calls, if any run, find out by themselves.
        // SAFETY: null, or this thread's lane, which nobody borrows now.
        if let Some(former) = unsafe { former.as_mut() } {
            former.retired_before = lanes.retired.replace(former);
        }
    });
    close_with_thread(close_all);
    Ok(new)
}

/// What a wait ended with.
enum Answer {
    Returned,
    Failed(Box<Record>),
    Closed,
}

impl HostLane {
    fn new(worker: Arc<Worker>, number: usize, base: u32) -> Self {
        let exchange = &worker.exchange.exchange;
        let stack = exchange.host_stack(number);
        Self {
            shared: exchange.lane(number),
            number,
            end: End::default(),
            base,
            frames: Vec::with_capacity(MAX_DEPTH + 1),
            stack,
            top: stack.start,
            // SAFETY: this thread's, for as long as it runs.
            errno: unsafe { libc::__errno_location() },
            retired_before: null_mut(),
            allowed: (0, 0, 0),
            worker,
        }
    }

    /// Begins a call whose struct is at `address`: its frame's index and its message.
    #[inline]
    pub(crate) fn begin(&mut self, address: usize, size: usize) -> Result<(usize, u64), Kind> {
        while let Some(last) = self.frames.last()
            && last.address <= address
        {
            self.drop_frame();
        }
        if self.frames.len() >= MAX_DEPTH {
            return Err(Kind::TooDeep);
        }
        let mark = self.top;
        let message = self.push(size).ok_or(Kind::NoMemory)?;
        self.frames.push(Frame {
            address,
            mark,
            served: 0,
            failure: None,
        });
        Ok((self.frames.len() - 1, message))
    }

    fn drop_frame(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.top = frame.mark;
        }
    }

    /// Ends a call, and all that are within it.
    #[inline]
    pub(crate) fn end(&mut self, frame: usize) {
        while self.frames.len() > frame {
            self.drop_frame();
        }
    }

    /// Room on the message stack, 16-byte aligned.
    #[inline]
    pub(crate) fn push(&mut self, size: usize) -> Option<u64> {
        let address = self.top;
        let room = self.stack.end() - address;
        let size = size.checked_next_multiple_of(16)? as u64;
        if size > room {
            return None;
        }
        self.top = address + size;
        Some(address)
    }

    /// The innermost frame's index, within which a callback is being served.
    pub(crate) fn innermost(&self) -> usize {
        self.frames.len().wrapping_sub(1)
    }

    /// Has a call fail when it returns.
    pub(crate) fn fail(&mut self, frame: usize, record: Box<Record>) {
        if let Some(frame) = self.frames.get_mut(frame) {
            frame.failure.get_or_insert(record);
        }
    }

    #[inline]
    pub(super) fn post(&mut self, mail: &Mail) {
        let lane = self.shared;
        self.end.post(&lane.to_guest, &lane.guest_bell.0, mail);
    }

    #[inline]
    fn wait(&mut self) -> Option<Mail> {
        let lane = self.shared;
        let worker = &self.worker;
        let mut start = None;
        let nap = || {
            let Some(timeout) = call_timeout() else {
                return Some(NAP);
            };
            let left = timeout.checked_sub(start.get_or_insert_with(Instant::now).elapsed());
            if left.is_none_or(|left| left.is_zero()) {
                let text = format!("the library did not answer within {timeout:?} and was ended");
                worker.condemn(Kind::TimedOut, &text);
                return None;
            }
            left.map(|left| left.min(NAP))
        };
        self.end
            .wait(&lane.to_host, &lane.host_bell.0, || worker.is_over(), nap)
    }

    /// The loop of the guest's that waits for what is posted now.
    #[inline]
    pub(super) fn level(&self, frames: usize) -> u32 {
        self.base + frames as u32
    }

    #[inline]
    pub(super) fn get_errno(&self) -> i32 {
        // SAFETY: this thread's, which runs.
        unsafe { *self.errno }
    }

    #[inline]
    pub(super) fn set_errno(&self, value: i32) {
        // SAFETY: this thread's, which runs.
        unsafe { *self.errno = value }
    }

    /// The native thread of one of the library's.
    pub(crate) fn serve_adopted(worker: Arc<Worker>, number: usize) {
        let index = worker.setting_index();
        let lane = Box::into_raw(Box::new(Self::new(worker, number, 1)));
        LANES.with(|lanes| lanes.current[index].set(lane));
        close_with_thread(close_all);
        // SAFETY: this thread's lane.
        let answer = unsafe { answer(lane, 0) };
        if let Answer::Closed = answer {
            // SAFETY: as above; it is not to be closed again.
            unsafe {
                LANES.with(|lanes| lanes.current[index].set(null_mut()));
                let lane = Box::from_raw(lane);
                lane.worker.release_lane(lane.number);
            }
        }
    }

    /// Ends the guest's thread of a thread that ends.
    fn close(mut self) {
        if self.base != 0 || self.worker.is_over() || is_forked() {
            return;
        }
        self.post(&Mail {
            kind: MailKind::Close.code(),
            ..Mail::default()
        });
        let lane = self.shared;
        let start = Instant::now();
        let nap = || CLOSE_PATIENCE.checked_sub(start.elapsed());
        let worker = &self.worker;
        let answer = self
            .end
            .wait(&lane.to_host, &lane.host_bell.0, || worker.is_over(), nap);
        if answer.is_some_and(|mail| mail.kind == MailKind::Return.code()) {
            self.worker.release_lane(self.number);
        }
    }
}

/// Runs a call that has begun, and serves its callbacks. `None` if it returned.
///
/// # Safety
/// `lane` is the calling thread's, and `frame` that of a call that has begun on it.
#[inline]
pub(crate) unsafe fn run(lane: *mut HostLane, frame: usize, mail: Mail) -> Option<Box<Record>> {
    // Short borrows only: native functions that are called back use the lane too.
    // SAFETY: the caller's promise.
    unsafe {
        (*lane).end(frame + 1);
        let top = (*lane).top;
        let Some(own) = (*lane).frame(frame) else {
            return Some(Record::new(Kind::Misbehaved, "a call that has not begun"));
        };
        own.served = top;
        let mail = Mail {
            level: (*lane).level(frame),
            ..mail
        };
        (*lane).post(&mail);
        match answer(lane, frame + 1) {
            Answer::Returned => {
                (*lane).top = top;
                (*lane).frame(frame).and_then(|frame| frame.failure.take())
            }
            Answer::Failed(record) => Some(record),
            Answer::Closed => None,
        }
    }
}

impl HostLane {
    #[inline]
    fn frame(&mut self, index: usize) -> Option<&mut Frame> {
        self.frames.get_mut(index)
    }
}

/// Serves callbacks until the call of the innermost of so many frames has its answer.
///
/// # Safety
/// As for [`run`].
#[inline]
unsafe fn answer(lane: *mut HostLane, frames: usize) -> Answer {
    loop {
        // SAFETY: the caller's promise.
        let mail = unsafe { (*lane).wait() };
        let Some(mail) = mail else {
            // SAFETY: as above.
            return Answer::Failed(unsafe { (*lane).loss() });
        };
        match MailKind::from_code(mail.kind) {
            Some(MailKind::Return) if frames > 0 => {
                // SAFETY: as above.
                unsafe { (*lane).set_errno(mail.errno) };
                return Answer::Returned;
            }
            Some(MailKind::Callback) => {
                let serve = match mail.part {
                    output::PART => output::serve,
                    _ => serve,
                };
                // SAFETY: as above.
                if let Err(text) = unsafe { serve(lane, frames, &mail) } {
                    // SAFETY: as above.
                    return Answer::Failed(unsafe { (*lane).misbehaved(text) });
                }
            }
            Some(MailKind::Close) if frames == 0 => return Answer::Closed,
            _ => {
                // SAFETY: as above.
                return Answer::Failed(unsafe { (*lane).misbehaved("it posts nonsense") });
            }
        }
    }
}

impl HostLane {
    #[cold]
    fn loss(&self) -> Box<Record> {
        self.worker.loss()
    }

    #[cold]
    fn misbehaved(&self, text: &str) -> Box<Record> {
        let text = format!("the library's process was ended: {text}");
        self.worker.condemn(Kind::Misbehaved, &text);
        self.loss()
    }

    /// The function that serves a callback, if it may be called with this.
    #[inline]
    fn check(&mut self, mail: &Mail) -> Result<(Serve, &'static State), &'static str> {
        let state = self
            .worker
            .part(mail.part)
            .ok_or("it calls back for no wrapper")?;
        let serve = state
            .serve(mail.index)
            .ok_or("it calls back with no signature")?;
        if !self.worker.can_be_message(mail.message) {
            return Err("it calls back with a message that is not shared");
        }
        let key = (mail.target, mail.part, mail.index);
        if self.allowed != key {
            if !self.worker.known_functions().is_given(key) {
                return Err("it calls back a function that it was not given with this signature");
            }
            self.allowed = key;
        }
        Ok((serve, state))
    }
}

/// Serves one callback.
///
/// # Safety
/// As for [`run`].
#[inline]
unsafe fn serve(lane: *mut HostLane, frames: usize, mail: &Mail) -> Result<(), &'static str> {
    // SAFETY: the caller's promise. The native function was given by the program with this
    // signature, and the message is memory that both sides have.
    unsafe {
        let (serve, state) = (*lane).check(mail)?;
        let variables = state.variables.as_ref();
        let top = match frames.checked_sub(1) {
            Some(index) => (*lane).frame(index).map_or(0, |frame| frame.served),
            None => (*lane).stack.start,
        };
        // What the last callback left is no longer needed.
        (*lane).top = top;
        (*lane).set_errno(mail.errno);
        if let Some(variables) = variables {
            variables.pull(&mut Call::within(lane, Some(state)));
        }
        // From here until it is back nothing of ours needs to be dropped: it may longjmp.
        serve(mail.message as *mut c_void, mail.target as *mut c_void);
        (*lane).end(frames);
        if let Some(variables) = variables.filter(|_| !(*lane).worker.is_over()) {
            variables.push(&mut Call::within(lane, Some(state)));
        }
        let mail = Mail {
            kind: MailKind::Return.code(),
            level: (*lane).level(frames),
            errno: (*lane).get_errno(),
            ..Mail::default()
        };
        if (*lane).worker.is_over() {
            return Ok(());
        }
        (*lane).post(&mail);
    }
    Ok(())
}

impl Worker {
    /// A lane for a thread.
    pub(crate) fn take_lane(&self) -> Option<usize> {
        let number = self.exchange.take_lane()?;
        self.lanes
            .lock()
            .expect("nothing panics with it")
            .push(number);
        Some(number)
    }

    /// Gives one back that the worker does not use any more.
    pub(crate) fn release_lane(&self, number: usize) {
        let mut lanes = self.lanes.lock().expect("nothing panics with it");
        if let Some(index) = lanes.iter().position(|lane| *lane == number) {
            lanes.swap_remove(index);
            self.exchange.give_lane(number);
        }
    }
}

/// The calling thread's lane that serves a callback of this wrapper.
pub(crate) fn serving(wrapper: &Wrapper) -> *mut HostLane {
    let Some(state) = wrapper.known() else {
        return null_mut();
    };
    LANES.with(|lanes| lanes.current[state.setting.index].get())
}
