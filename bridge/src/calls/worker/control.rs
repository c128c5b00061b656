//! The control lane, over which the worker is asked for things.

use super::Worker;
use crate::calls::error::{Kind, Record};
use crate::calls::images::{self, MAX_IMAGES};
use iotdec_wire::exchange::Image;
use iotdec_wire::lane::{End, Kind as MailKind, Lane, Loaded, Mail, Request};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long loading a library, with its constructors, may take.
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);
/// How long exit handlers of the library may take when the program exits.
const EXIT_PATIENCE: Duration = Duration::from_secs(3);
/// Longest text that is asked for or answered.
const MAX_TEXT: usize = 8192;

/// How the worker is asked for something.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) end: End,
    /// Over which descriptors go.
    pub(crate) socket: OwnedFd,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) request: Request,
    /// The wrapper that it is about.
    pub(super) part: u32,
    pub(super) about: About<'a>,
}

/// What goes with a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    Bytes(&'a [u8]),
    Numbers(u64, u64),
}

/// A number, and the start of the message.
pub(super) type Answer = (u64, [u8; size_of::<Loaded>()]);

impl Worker {
    pub(super) fn control_lane(&self) -> usize {
        self.own_lanes[0].number
    }

    /// Asks about text, if there is any.
    pub(crate) fn ask(
        &self,
        request: Request,
        part: u32,
        text: &[u8],
    ) -> Result<Answer, Box<Record>> {
        let about = About::Bytes(text);
        self.put(Question {
            request,
            part,
            about,
        })
    }

    /// Asks for something that takes numbers.
    pub(crate) fn ask_number(
        &self,
        request: Request,
        part: u32,
        target: u64,
        number: u64,
    ) -> Result<u64, Box<Record>> {
        let about = About::Numbers(target, number);
        let (answer, _) = self.put(Question {
            request,
            part,
            about,
        })?;
        Ok(answer)
    }

    fn put(&self, question: Question<'_>) -> Result<Answer, Box<Record>> {
        let mut control = self.control.lock().expect("nothing panics with it");
        self.put_over(&mut control, question)
    }

    /// Puts a question while the control lane is the caller's.
    pub(super) fn put_over(
        &self,
        control: &mut Control,
        question: Question<'_>,
    ) -> Result<Answer, Box<Record>> {
        let lane = self.exchange.exchange.lane(self.control_lane());
        let stack = self.exchange.exchange.host_stack(self.control_lane());
        let (target, message) = match question.about {
            About::Numbers(target, number) => (target, number),
            About::Bytes([]) => (0, 0),
            About::Bytes(bytes) if bytes.len() > MAX_TEXT => {
                let text = "a path is too long";
                return Err(Record::new(Kind::NotStarted, text).of(self.generation));
            }
            About::Bytes(bytes) => {
                let to = stack.start as *mut u8;
                // SAFETY: this lane's part of the exchange, which is larger, and used under the
                // lock alone.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
                (bytes.len() as u64, stack.start)
            }
        };
        let mail = Mail {
            kind: MailKind::Request.code(),
            index: question.request.code(),
            part: question.part,
            target,
            message,
            ..Mail::default()
        };
        let answer = self.transact(&mut control.end, lane, &mail)?;
        match MailKind::from_code(answer.kind) {
            Some(MailKind::Return) => {
                let message = stack.start as *const [u8; size_of::<Loaded>()];
                // SAFETY: as above; the guest may write there, and any bytes are valid.
                Ok((answer.target, unsafe { message.read_volatile() }))
            }
            Some(MailKind::Refused) => {
                let text = self.text(answer.message, answer.target);
                Err(Record::new(Kind::NotStarted, &text).of(self.generation))
            }
            _ => {
                self.condemn(
                    Kind::Misbehaved,
                    "the worker answers a request with something else",
                );
                Err(self.loss())
            }
        }
    }

    /// Maps what the libraries that were loaded last have in their files.
    pub(crate) fn share_images(&self) -> Result<(), Box<Record>> {
        let room = MAX_IMAGES * size_of::<Image>();
        let mut control = self.control.lock().expect("nothing panics with it");
        let lane = self.exchange.exchange.lane(self.control_lane());
        let stack = self.exchange.exchange.host_stack(self.control_lane());
        let mail = Mail {
            kind: MailKind::Request.code(),
            index: Request::Images.code(),
            target: room as u64,
            message: stack.start,
            ..Mail::default()
        };
        let answer = self.transact(&mut control.end, lane, &mail)?;
        let count = (answer.target as usize).min(MAX_IMAGES);
        let mut images = vec![Image::default(); count];
        // SAFETY: this lane's part of the exchange, which is larger; any bytes are valid, and
        // the copy is what is looked at.
        unsafe {
            let from = stack.start as *const Image;
            std::ptr::copy_nonoverlapping(from, images.as_mut_ptr(), count);
        }
        drop(control);
        images::map(self, &images);
        Ok(())
    }

    /// Posts a request and waits for its answer.
    fn transact(&self, end: &mut End, lane: &Lane, mail: &Mail) -> Result<Mail, Box<Record>> {
        end.post(&lane.to_guest, &lane.guest_bell.0, mail);
        let start = Instant::now();
        let nap = || REQUEST_PATIENCE.checked_sub(start.elapsed());
        let answer = end.wait(&lane.to_host, &lane.host_bell.0, || self.is_over(), nap);
        answer.ok_or_else(|| {
            if !self.is_over() {
                self.condemn(Kind::TimedOut, "the library does not get ready");
            }
            self.loss()
        })
    }

    /// A copy of text that the guest wrote.
    fn text(&self, address: u64, length: u64) -> String {
        let length = length.min(MAX_TEXT as u64);
        if !self.shares(address, length) {
            return "for a reason that cannot be read".to_owned();
        }
        let mut text = vec![0; length as usize];
        // SAFETY: shared, so mapped; the copy is what is looked at.
        unsafe {
            std::ptr::copy_nonoverlapping(address as *const u8, text.as_mut_ptr(), text.len());
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Lets the libraries' exit handlers run, and ends the process.
    pub(crate) fn exit(&self) {
        if let Ok(mut control) = self.control.try_lock() {
            let end = &mut control.end;
            let lane = self.exchange.exchange.lane(self.control_lane());
            let mail = Mail {
                kind: MailKind::Request.code(),
                index: Request::Exit.code(),
                ..Mail::default()
            };
            end.post(&lane.to_guest, &lane.guest_bell.0, &mail);
            let start = Instant::now();
            let nap = || EXIT_PATIENCE.checked_sub(start.elapsed());
            end.wait(&lane.to_host, &lane.host_bell.0, || self.is_over(), nap);
        }
        self.condemn(Kind::Exited, "the program exits");
        self.supervisor.obituary();
    }
}
