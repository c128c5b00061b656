//! The host's end of a lane: calls, the callbacks that come during them, and so on.
//!
//! The frames that callbacks run in may vanish: a program that leaves a callback by
//! longjmp never ends the calls it left. What is alive is seen by addresses: the stack
//! grows down, so a call that begins has a lower address than all that still run.
//! Functions that generated code is called from have nothing to drop meanwhile.
//!
//! `threads` gives each thread its lane, `serve` waits for a call's answer on it and serves
//! the callbacks that come instead.

mod head_start;
mod serve;
mod stack;
mod threads;

pub(crate) use serve::run;
pub(crate) use threads::{lane_for, serving};

use super::error::{Kind, Record};
use super::worker::Worker;
use head_start::HeadStart;
use iotdec_wire::lane::{End, Lane, Mail, SMALL_WORDS};
use nix::libc;
use stack::{Mark, MessageStack};
use std::io::{Write, stderr};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// `IOTDEC_MAX_DEPTH`
pub(crate) const MAX_DEPTH: usize = 64;
/// A sleep ends at least this often, which nothing depends on.
const NAP: Duration = Duration::from_secs(30);
/// Not read from the environment yet.
const UNKNOWN: u32 = u32::MAX;
/// Head starts that a lane learns: functions share them.
const HEAD_STARTS: usize = 32;

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
    /// What was on the message stack before and, once it runs, at the first callback.
    mark: Mark,
    served: Mark,
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
    pub(crate) stack: MessageStack,
    errno: *mut libc::c_int,
    retired_before: *mut Self,
    /// The last callback that was found to be allowed.
    allowed: (u64, u32, u32),
    head_starts: [HeadStart; HEAD_STARTS],
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
            stack: MessageStack::new(stack),
            // SAFETY: this thread's, for as long as it runs.
            errno: unsafe { libc::__errno_location() },
            retired_before: null_mut(),
            allowed: (0, 0, 0),
            head_starts: Default::default(),
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
        let mark = self.stack.mark();
        let message = self.stack.push(size).ok_or(Kind::NoMemory)?;
        self.frames.push(Frame {
            address,
            mark,
            served: mark,
            failure: None,
        });
        Ok((self.frames.len() - 1, message))
    }

    fn drop_frame(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.stack.rewind(frame.mark);
        }
    }

    /// Ends a call, and all that are within it.
    #[inline]
    pub(crate) fn end(&mut self, frame: usize) {
        while self.frames.len() > frame {
            self.drop_frame();
        }
    }

    /// The innermost frame's index, within which a callback is being served.
    pub(crate) fn innermost(&self) -> usize {
        self.frames.len().wrapping_sub(1)
    }

    /// Has a call fail when it returns. Of one that a thread of the library's makes, nobody
    /// else could be told.
    pub(crate) fn fail(&mut self, frame: usize, record: Box<Record>) {
        match self.frames.get_mut(frame) {
            Some(frame) => {
                frame.failure.get_or_insert(record);
            }
            // Where nobody listens, nothing is said.
            None => {
                let text = record.text();
                let _ = writeln!(stderr(), "iotdec: in a thread of the library's: {text}");
            }
        }
    }

    /// Posts to the guest.
    #[inline]
    pub(super) fn post(&mut self, mail: &Mail) {
        let lane = self.shared;
        self.end.post(&lane.to_guest, &lane.guest_bell.0, mail);
    }

    /// The same with the words of a small message that is at an address; none if it is not small.
    ///
    /// # Safety
    /// So many words are mapped there.
    #[inline]
    unsafe fn post_small(&mut self, mail: &Mail, message: u64, words: usize) {
        let mut small = [0; SMALL_WORDS];
        let words = words.min(SMALL_WORDS);
        for (index, word) in small[..words].iter_mut().enumerate() {
            // SAFETY: the caller's promise. Volatile, for the guest could write there too.
            *word = unsafe { (message as *const u64).add(index).read_volatile() };
        }
        let lane = self.shared;
        let bell = &lane.guest_bell.0;
        self.end
            .post_small(&lane.to_guest, bell, mail, &small[..words]);
    }

    /// Writes the words of the guest's last small message to an address.
    ///
    /// # Safety
    /// So many words are mapped there, which nobody has a reference to.
    #[inline]
    unsafe fn take_small(&self, message: u64, words: usize) {
        for (index, word) in self.shared.to_host.small(words).enumerate() {
            // SAFETY: the caller's promise.
            unsafe { (message as *mut u64).add(index).write_volatile(word) };
        }
    }

    /// Leaves the guest alone with a call that was posted.
    #[inline]
    fn give_head_start(&mut self, function: u32) {
        let end = &self.end;
        let post = &self.shared.to_host;
        self.head_starts[function as usize % HEAD_STARTS].give(|| end.has_next(post));
    }

    #[inline]
    fn wait(&mut self) -> Option<Mail> {
        let lane = self.shared;
        let worker = &self.worker;
        let mut start = None;
        // The native thread of one of the library's waits for that one to call back, which it may
        // never do again.
        let is_idle = self.base != 0 && self.frames.is_empty();
        let nap = || {
            let Some(timeout) = call_timeout().filter(|_| !is_idle) else {
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
}
