//! Serving a lane: the loops that nest as calls and callbacks do.

use super::die;
use super::gear::Gear;
use super::heap;
use super::memory::shared;
use super::parts::part;
use super::switch::{Function, Record, enter, unwind};
use iotdec_wire::exchange::Range;
use iotdec_wire::lane::{End, Kind, Lane, Mail, SMALL_WORDS};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::ptr::null_mut;
use std::time::Duration;

/// Loops within one another: one more than calls of the host's that nest, and one for what
/// the innermost prints.
const LEVELS: usize = 67;
/// A sleep ends at least this often, which nothing depends on.
const NAP: Duration = Duration::from_secs(30);

/// This thread's end of its lane.
#[derive(Debug)]
pub struct GuestLane {
    shared: &'static Lane,
    end: End,
    /// The innermost loop.
    level: u32,
    /// A post that was read by a loop it is not for.
    pending: Option<Mail>,
    /// Where each loop entered the library.
    records: Box<[Record]>,
    stack: Range,
    /// First free address of the message stack.
    top: u64,
    errno: *mut c_int,
    gear: Gear,
}

thread_local! {
    static CURRENT: Cell<*mut GuestLane> = const { Cell::new(null_mut()) };
}

/// The calling thread's lane, or null.
#[inline]
pub fn current() -> *mut GuestLane {
    CURRENT.get()
}

/// A small message while it is here: aligned as all are.
type Small = [u128; SMALL_WORDS.div_ceil(2)];

/// What a loop ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The callback that it waited for is done; so many words of its small message are to be read.
    Returned(u32),
    /// The host's thread is gone.
    Closed,
    /// The outermost loop is to be entered again, in turbo.
    Shifts,
}

impl GuestLane {
    /// An end of a lane, of the calling thread's errno.
    pub fn detached(number: usize) -> Box<Self> {
        let exchange = &shared().exchange;
        Self::on(exchange.lane(number), exchange.guest_stack(number))
    }

    /// The same, with a message stack.
    pub fn on(shared: &'static Lane, stack: Range) -> Box<Self> {
        Box::new(Self {
            shared,
            end: End::default(),
            level: 0,
            pending: None,
            records: vec![Record::default(); LEVELS].into_boxed_slice(),
            stack,
            top: stack.start,
            // SAFETY: this thread's, for as long as it runs.
            errno: unsafe { libc::__errno_location() },
            gear: Gear::new(),
        })
    }

    /// Makes a lane the calling thread's.
    pub fn attach(number: usize) -> *mut Self {
        let lane = Box::into_raw(Self::detached(number));
        CURRENT.set(lane);
        lane
    }

    /// Takes the calling thread's lane away from it.
    pub fn detach() {
        let lane = CURRENT.replace(null_mut());
        if !lane.is_null() {
            // SAFETY: `attach` made it, and nobody but this thread had it.
            drop(unsafe { Box::from_raw(lane) });
        }
    }

    /// Room in the message stack: its address, and what to give back to.
    #[inline]
    pub fn push(&mut self, size: usize) -> Option<(u64, u64)> {
        let mark = self.top;
        let size = (size as u64).next_multiple_of(16);
        if size > self.stack.end() - mark {
            return None;
        }
        self.top = mark + size;
        Some((mark, mark))
    }

    /// Gives back what was pushed since.
    #[inline]
    pub fn pop(&mut self, mark: u64) {
        self.top = mark;
    }

    /// Posts to the host.
    #[inline]
    pub fn post(&mut self, mail: &Mail) {
        self.post_small(mail, &[]);
    }

    /// The same with the words of a small message, if there are any.
    #[inline]
    pub fn post_small(&mut self, mail: &Mail, small: &[u64]) {
        let lane = self.shared;
        self.end
            .post_small(&lane.to_host, &lane.host_bell.0, mail, small);
    }

    /// Writes the small message that the host's last post carries to an address.
    ///
    /// # Safety
    /// So many words may be written there.
    #[inline]
    pub unsafe fn take_small(&self, words: usize, to: *mut u64) {
        for (index, word) in self.shared.to_guest.small(words).enumerate() {
            // SAFETY: the caller's promise.
            unsafe { to.add(index).write(word) };
        }
    }

    /// Waits for the host's next post.
    #[inline]
    pub fn wait(&mut self) -> Mail {
        let lane = self.shared;
        let gear = &mut self.gear;
        let mut nap = || {
            gear.rest();
            Some(NAP)
        };
        loop {
            let mail = self
                .end
                .wait(&lane.to_guest, &lane.guest_bell.0, || false, &mut nap);
            if let Some(mail) = mail {
                return mail;
            }
        }
    }

    /// The C library's `errno` of this thread.
    #[inline]
    pub fn errno(&self) -> c_int {
        // SAFETY: this thread's, which is running.
        unsafe { *self.errno }
    }

    /// Sets it.
    #[inline]
    pub fn set_errno(&self, value: c_int) {
        // SAFETY: this thread's, which is running.
        unsafe { *self.errno = value }
    }

    /// Where a loop's record is, for as long as the lane is attached.
    #[inline]
    fn record(&mut self, level: u32) -> *mut Record {
        &raw mut self.records[level as usize]
    }

    /// Room for text on a lane without callbacks, and how much.
    pub fn text_room(&self) -> (u64, usize) {
        (self.stack.start, self.stack.size as usize)
    }

    /// The loop that the next callback begins.
    pub fn next_level(&self) -> Option<u32> {
        ((self.level as usize) + 1 < LEVELS).then_some(self.level + 1)
    }
}

/// Serves the calling thread's lane: loop `level`, until what it waits for.
///
/// # Safety
/// `lane` is the calling thread's. Loop 0 is the outermost; loop n is entered from code
/// that loop n - 1 has called, or, on a thread of the library's, loop 1 from anywhere.
pub unsafe fn serve(lane: *mut GuestLane, level: u32) -> Outcome {
    // SAFETY: the caller's promise: the thread's own, alive until it is detached.
    unsafe { (*lane).level = level };
    loop {
        // SAFETY: as above.
        if let ControlFlow::Break(outcome) = unsafe { serve_next(lane, level) } {
            return outcome;
        }
    }
}

/// Serves the next post in loop `level`; breaks if it ends the loop.
///
/// # Safety
/// As for [`serve`], in whose innermost loop this is.
#[inline]
pub unsafe fn serve_next(lane: *mut GuestLane, level: u32) -> ControlFlow<Outcome> {
    // Only short borrows of the lane: what the library does in between uses it too.
    // SAFETY: the caller's promise.
    let mail = unsafe {
        match (*lane).pending.take() {
            Some(mail) => mail,
            None => (*lane).wait(),
        }
    };
    if mail.level != level {
        if mail.level > level {
            die("the program's bridge is out of step with its worker");
        }
        // SAFETY: the outer loop is in `enter` with this record; in between there are
        // the library's frames, and ours of `callback`, which have nothing to drop.
        unsafe {
            (*lane).pending = Some(mail);
            unwind((*lane).record(mail.level));
        }
    }
    heap::take_back();
    let (function, second) = match Kind::from_code(mail.kind) {
        Some(Kind::Call) => {
            let function = part(mail.part).and_then(|part| part.function(mail.index));
            (function, 0)
        }
        Some(Kind::CallPointer) => {
            let serve = part(mail.part).and_then(|part| part.serve(mail.index));
            (serve, mail.target)
        }
        Some(Kind::Return) if level > 0 => {
            // SAFETY: as above.
            unsafe {
                (*lane).level = level - 1;
                (*lane).set_errno(mail.errno);
            }
            return ControlFlow::Break(Outcome::Returned(mail.words));
        }
        Some(Kind::Close) if level == 0 => return ControlFlow::Break(Outcome::Closed),
        _ => die("the program's bridge speaks another protocol than its worker"),
    };
    let Some(function) = function else {
        die("the two parts of a wrapper do not fit together");
    };
    // SAFETY: as above.
    unsafe { (*lane).shared.to_host.claim() };
    // On our stack, so that whoever is called within the call does not write over it.
    let mut room = MaybeUninit::<Small>::uninit();
    let room = room.as_mut_ptr().cast::<u64>();
    let words = mail.words as usize;
    // SAFETY: as above; the function is generated code that takes this message. `room` has
    // SMALL_WORDS words, and there are no more.
    unsafe {
        let first = if words == 0 {
            mail.message
        } else {
            (*lane).take_small(words, room);
            room as u64
        };
        let mark = (*lane).top;
        if let Some(errno) = run(lane, level, function, first, second, mail.errno) {
            let mail = Mail {
                kind: Kind::Return.code(),
                errno,
                ..Mail::default()
            };
            (*lane).post_small(&mail, std::slice::from_raw_parts(room, words));
            if level == 0 && (*lane).gear.is_to_shift() {
                return ControlFlow::Break(Outcome::Shifts);
            }
        } else {
            (*lane).level = level;
            (*lane).pop(mark);
        }
    }
    ControlFlow::Continue(())
}

/// Runs a function with an `errno`, and returns what that is then; `None` if the function
/// was abandoned.
///
/// # Safety
/// As for [`serve`].
#[inline]
unsafe fn run(
    lane: *mut GuestLane,
    level: u32,
    function: Function,
    first: u64,
    second: u64,
    errno: c_int,
) -> Option<c_int> {
    // SAFETY: the caller's promise; the record is in a vector that never changes size.
    unsafe {
        (*lane).set_errno(errno);
        let record = (*lane).record(level);
        if !enter(
            record,
            function,
            first as *mut c_void,
            second as *mut c_void,
        ) {
            return None;
        }
        if (*lane).level != level {
            die("the library left a callback by longjmp past native code, which cannot be done");
        }
        Some((*lane).errno())
    }
}
