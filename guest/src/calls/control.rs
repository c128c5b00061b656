//! What the two processes ask of each other, beside calls.

use super::lane::GuestLane;
use super::memory::shared;
use super::{callback, crash, data, descriptors, die, heap, parts, threads};
use crate::accel;
use iotdec_wire::exchange::Image;
use iotdec_wire::lane::{Descriptor, Kind, Loaded, Mail, Request};
use iotdec_wire::stubs::{Full, Stubs};
use std::cell::Cell;
use std::collections::HashMap;
use std::ptr::null_mut;
use std::sync::Mutex;

/// Serves the control lane, until the host asks us to exit.
pub fn serve(accelerator: &accel::Report) -> Result<(), String> {
    crash::leave_notes();
    // What is here already is known from now on, and not to be moved.
    let mut early = data::share();
    let mut stubs = Natives {
        stubs: Stubs::new().ok_or("no memory for function pointers")?,
        known: HashMap::new(),
    };
    let mut lane = Control::new(shared().control);
    let ready = Mail {
        kind: Kind::Request.code(),
        index: Request::Ready.code(),
        part: accelerator.mode.code(),
        ..lane.text(&accelerator.reason)
    };
    lane.post(&ready);
    loop {
        let mail = lane.wait();
        let request = Request::from_code(mail.index).filter(|_| mail.kind == Kind::Request.code());
        // Text that the host wrote into its part of the lane's message stack.
        let text = || {
            // SAFETY: so many bytes are there, and the host waits for the answer.
            unsafe { std::slice::from_raw_parts(mail.message as *const u8, mail.target as usize) }
        };
        let answer = match request {
            Some(Request::Open) => threads::start(mail.target as usize).map(|()| 0),
            Some(Request::Load) => load(text()).map(|(number, loaded)| {
                // SAFETY: room for it; the request has been read.
                unsafe { (mail.message as *mut Loaded).write(loaded) };
                u64::from(number)
            }),
            Some(Request::Symbol | Request::Function) => parts::symbol(mail.part, text()),
            Some(Request::Stub) => stubs.add(mail.part, mail.message as u32, mail.target),
            Some(Request::Free) => {
                heap::take_back();
                Ok(heap::free_for_program(mail.target).into())
            }
            Some(Request::UsableSize) => Ok(heap::usable_size_for_program(mail.target) as u64),
            Some(Request::Images) => {
                let mut images = std::mem::take(&mut early);
                images.extend(data::share());
                let room = mail.target as usize / size_of::<Image>();
                let count = images.len().min(room);
                // SAFETY: so much room is at the message, and the host waits.
                unsafe {
                    let to = mail.message as *mut Image;
                    std::ptr::copy_nonoverlapping(images.as_ptr(), to, count);
                }
                Ok(count as u64)
            }
            Some(Request::Descriptor) => descriptors::take(),
            Some(Request::GiveDescriptors) => descriptors::give(&returned(text())),
            Some(Request::CloseDescriptors) => {
                descriptors::close(&returned(text()));
                Ok(0)
            }
            Some(Request::Accelerator) => Ok(accel::mode().code().into()),
            Some(Request::Entries) => Ok(accel::counters().map_or(0, |it| it.entries)),
            Some(Request::Exit) => {
                // The libraries' exit handlers run; the host waits for our end.
                std::process::exit(0)
            }
            _ => return Err("the program's bridge speaks another protocol".to_owned()),
        };
        lane.answer(answer);
    }
}

fn returned(message: &[u8]) -> Vec<Descriptor> {
    let all = message.chunks_exact(size_of::<Descriptor>());
    all.map(bytemuck::pod_read_unaligned).collect()
}

/// A lane on which nothing nests.
struct Control(Box<GuestLane>);

// SAFETY: what belongs to the thread that made a lane is its `errno` alone, which is not
// used here.
unsafe impl Send for Control {}

impl Control {
    fn new(number: usize) -> Self {
        Self(GuestLane::detached(number))
    }

    fn post(&mut self, mail: &Mail) {
        self.0.post(mail);
    }

    fn wait(&mut self) -> Mail {
        self.0.wait()
    }

    fn answer(&mut self, answer: Result<u64, String>) {
        let mail = match answer {
            Ok(target) => Mail {
                kind: Kind::Return.code(),
                target,
                ..Mail::default()
            },
            Err(text) => self.refusal(&text),
        };
        self.post(&mail);
    }

    fn refusal(&mut self, text: &str) -> Mail {
        Mail {
            kind: Kind::Refused.code(),
            ..self.text(text)
        }
    }

    /// A post with text.
    fn text(&mut self, text: &str) -> Mail {
        let (message, room) = self.0.text_room();
        let length = text.len().min(room);
        // SAFETY: the guest's part of this lane's message stack, which nothing else uses.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), message as *mut u8, length) };
        Mail {
            target: length as u64,
            message,
            ..Mail::default()
        }
    }
}

fn load(text: &[u8]) -> Result<(u32, Loaded), String> {
    let text = std::str::from_utf8(text).map_err(|_| "a path is not UTF-8".to_owned())?;
    let (library, guest_part) = text
        .split_once('\0')
        .ok_or("a request without a guest part")?;
    parts::load(library, guest_part)
}

/// Native functions that the libraries may call.
struct Natives {
    stubs: Stubs,
    known: HashMap<u64, Vec<(u32, u32, u64)>>,
}

impl Natives {
    /// Makes one callable; the address at which it is.
    fn add(&mut self, part: u32, signature: u32, target: u64) -> Result<u64, String> {
        let known = self.known.entry(target).or_default();
        if let Some(stub) = known.iter().find(|it| (it.0, it.1) == (part, signature)) {
            return Ok(stub.2);
        }
        let entry = parts::part(part).and_then(|part| part.entry(signature));
        let entry = entry.ok_or("the guest part has no such signature")?;
        // One of two signatures can be at the function's own address.
        let stub = self.stubs.add(target, entry, known.is_empty());
        let stub = stub.map_err(|full| match full {
            Full::Pages => "too many different function pointers".to_owned(),
            Full::System => "the system gives no memory for function pointers".to_owned(),
        })?;
        known.push((part, signature, stub));
        Ok(stub)
    }
}

/// The lane over which threads of the libraries ask for one of their own, and the heap for
/// what is not its.
static REVERSE: Mutex<Option<Control>> = Mutex::new(None);

/// Asks the host for something that takes and gives a number; none if it refuses.
pub fn ask(request: Request, target: u64) -> Option<u64> {
    let mut reverse = REVERSE.lock().expect("no panic is survived");
    let control = reverse.get_or_insert_with(|| Control::new(shared().reverse));
    control.post(&Mail {
        kind: Kind::Request.code(),
        index: request.code(),
        target,
        ..Mail::default()
    });
    let mail = control.wait();
    (mail.kind == Kind::Return.code()).then_some(mail.target)
}

/// Gets a lane for the calling thread, which is one of the library's.
pub fn adopt() -> *mut GuestLane {
    let Some(number) = ask(Request::Adopt, 0) else {
        die("a thread of the library's calls back, and the program has no lane for it");
    };
    let lane = GuestLane::attach(number as usize);
    // A thread that is about to exit the process keeps it.
    let _ = RELEASE.try_with(|release| release.0.set(lane));
    lane
}

thread_local! {
    static RELEASE: Release = const { Release(Cell::new(null_mut())) };
}

/// Gives the lane of a thread back when it ends.
struct Release(Cell<*mut GuestLane>);

impl Drop for Release {
    fn drop(&mut self) {
        if !self.0.get().is_null() {
            callback::release(self.0.get());
        }
    }
}
