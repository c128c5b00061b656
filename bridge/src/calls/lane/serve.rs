//! Waiting for a call's answer, and serving the callbacks that come instead.

use super::{Frame, HostLane};
use crate::calls::call::Call;
use crate::calls::error::{Kind, Record};
use crate::calls::output;
use crate::calls::wrapper::{Serve, State};
use iotdec_wire::lane::{Kind as MailKind, Mail, SMALL_WORDS, small_words};
use std::ffi::c_void;

/// Why a callback's message is not taken.
const NO_ROOM: &str = "it calls back where there is no room for its message";

/// What a wait ended with.
pub(super) enum Answer {
    /// The call has, with so many words of a small message.
    Returned(usize),
    Failed(Box<Record>),
    Closed,
}

/// Runs a call that has begun, and serves its callbacks. `None` if it returned. A message that
/// is small goes there and comes back in the posts.
///
/// # Safety
/// `lane` is the calling thread's, `frame` that of a call that has begun on it, and its message
/// has `size` bytes.
#[inline]
pub(crate) unsafe fn run(
    lane: *mut HostLane,
    frame: usize,
    mail: Mail,
    size: usize,
) -> Option<Box<Record>> {
    let words = small_words(size);
    // Short borrows only: native functions that are called back use the lane too.
    // SAFETY: the caller's promise.
    unsafe {
        (*lane).end(frame + 1);
        let top = (*lane).stack.mark();
        let Some(own) = (*lane).frame(frame) else {
            return Some(Record::new(Kind::Misbehaved, "a call that has not begun"));
        };
        own.served = top;
        let mail = Mail {
            level: (*lane).level(frame),
            ..mail
        };
        (*lane).post_small(&mail, mail.message, words);
        (*lane).give_head_start(mail.index);
        match answer(lane, frame + 1) {
            Answer::Returned(answered) if answered != words => {
                Some((*lane).misbehaved("its answer is none to the call's message"))
            }
            Answer::Returned(_) => {
                (*lane).take_small(mail.message, words);
                (*lane).stack.rewind(top);
                if !(*lane).worker.take_back() {
                    return Some((*lane).loss());
                }
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
pub(super) unsafe fn answer(lane: *mut HostLane, frames: usize) -> Answer {
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
                return Answer::Returned(mail.words as usize);
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
        if mail.words == 0 && !self.worker.can_be_message(mail.message) {
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
        let frame = frames.checked_sub(1).and_then(|it| (*lane).frame(it));
        let served = match frame {
            Some(frame) => frame.served,
            None => (*lane).stack.bottom(),
        };
        // What the last callback left is no longer needed.
        (*lane).stack.rewind(served);
        let words = mail.words as usize;
        let message = if words == 0 {
            mail.message
        } else {
            // In the exchange: the guest has chosen how many words there are, and if it is
            // fewer than the signature's message has, the others are no memory of ours.
            let room = (*lane).stack.push(SMALL_WORDS * 8).ok_or(NO_ROOM)?;
            (*lane).take_small(room, words);
            room
        };
        (*lane).set_errno(mail.errno);
        if let Some(variables) = variables {
            variables.pull(&mut Call::within(lane, Some(state)));
        }
        // From here until it is back nothing of ours needs to be dropped: it may longjmp.
        serve(message as *mut c_void, mail.target as *mut c_void);
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
        (*lane).post_small(&mail, message, words);
    }
    Ok(())
}
