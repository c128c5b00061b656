//! A worker for calls, as all threads of the program see it.

mod control;
mod descriptors;
mod lent;

use super::adopt;
use super::errno;
use super::error::{Kind, Record};
use super::exchange::{HostExchange, Segment, SharedLane, end_memory};
use super::functions::Functions;
use super::heap::{Freed, program};
use super::wrapper::State;
use crate::host_libraries::HostLibraries;
use crate::supervisor::Supervisor;
pub(crate) use control::Control;
use iotdec_wire::exchange::{Fault, Image, MAX_MESSAGE, Range};
use nix::libc;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes that are remembered of what the library printed last.
const LAST_WORDS: usize = 256;

static GENERATIONS: AtomicU64 = AtomicU64::new(0);
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether this process is the child of one that has workers, and must not disturb them.
#[inline]
pub(crate) fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Has the children of forks know that they are. Once, before anything is shared with a worker.
pub(crate) fn notice_forks() {
    // SAFETY: a function of the right type that stays loaded.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// Whether a worker has ended, or is not to be used any more.
#[derive(Debug, Default)]
pub(crate) struct Over(AtomicBool);

impl Over {
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) generation: u64,
    setting: usize,
    pub(crate) exchange: &'static HostExchange,
    /// The library's memory.
    pub(crate) memory: Range,
    functions: RwLock<Functions>,
    parts: RwLock<Vec<Option<&'static State>>>,
    /// What the libraries have in their files and we have, too.
    images: RwLock<Vec<Range>>,
    control: Mutex<Control>,
    /// Lanes of threads to give back when the process is gone.
    pub(crate) lanes: Mutex<Vec<usize>>,
    /// On which it is asked, and on which it asks, until its process has ended.
    own_lanes: [Arc<SharedLane>; 2],
    /// What it and the program free of each other's.
    pub(super) freed: Freed,
    over: Arc<Over>,
    verdict: OnceLock<Box<Record>>,
    /// The end of what it printed to stderr.
    said: Mutex<String>,
    supervisor: Supervisor,
    host: OnceLock<HostLibraries>,
}

impl Worker {
    /// The function pointers that were exchanged with it.
    pub(crate) fn known_functions(&self) -> RwLockReadGuard<'_, Functions> {
        self.functions.read().expect("nothing panics with it")
    }

    /// The same, to add some.
    pub(crate) fn change_functions(&self) -> RwLockWriteGuard<'_, Functions> {
        self.functions.write().expect("nothing panics with it")
    }

    pub(crate) fn new(
        setting: usize,
        exchange: &'static HostExchange,
        memory: Segment,
        supervisor: Supervisor,
        over: Arc<Over>,
        control: Control,
        (own_lanes, freed): ([Arc<SharedLane>; 2], Freed),
    ) -> Result<Arc<Self>, String> {
        let reverse = own_lanes[1].clone();
        let worker = Arc::new(Self {
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed) + 1,
            setting,
            exchange,
            memory: memory.range,
            functions: RwLock::default(),
            parts: RwLock::default(),
            // It has mapped them, or it would not be ready.
            images: RwLock::new(program().iter().map(Image::range).collect()),
            lanes: Mutex::default(),
            own_lanes,
            control: Mutex::new(control),
            freed,
            over,
            verdict: OnceLock::new(),
            said: Mutex::default(),
            supervisor,
            host: OnceLock::new(),
        });
        adopt::start(&worker, reverse).map_err(|error| format!("starting a thread: {error}"))?;
        Ok(worker)
    }

    /// Keeps what does the host's libraries for it.
    pub(crate) fn serve_with(&self, host: HostLibraries) {
        let _ = self.host.set(host);
    }

    /// Whether it has ended, or is not to be used any more.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_set()
    }

    pub(crate) fn over_flag(&self) -> Arc<Over> {
        self.over.clone()
    }

    /// Of its setting.
    pub(crate) fn setting_index(&self) -> usize {
        self.setting
    }

    /// Ends it for a reason of ours.
    pub(crate) fn condemn(&self, kind: Kind, text: &str) {
        let _ = self
            .verdict
            .set(Record::new(kind, text).of(self.generation));
        self.over.set();
        self.supervisor.kill();
        self.exchange.ring_all();
    }

    /// Remembers the end of what the library printed to stderr: often why it is about to crash.
    pub(crate) fn has_said(&self, bytes: &[u8]) {
        let mut said = self.said.lock().expect("nothing panics with it");
        *said += &String::from_utf8_lossy(bytes);
        let mut first = said.len().saturating_sub(LAST_WORDS);
        while !said.is_char_boundary(first) {
            first += 1;
        }
        said.drain(..first);
    }

    /// Waits until its process has ended, once it is over; not for ever.
    pub(crate) fn wait_for_end(&self) {
        self.supervisor.obituary();
    }

    /// Why it is over, once it is.
    pub(crate) fn loss(&self) -> Box<Record> {
        if let Some(verdict) = self.verdict.get() {
            return verdict.clone();
        }
        let Some(obituary) = self.supervisor.obituary() else {
            return Record::new(Kind::Crashed, "the worker was killed, but does not end");
        };
        let kind = match obituary.status.signal() {
            Some(_) => Kind::Crashed,
            None => Kind::Exited,
        };
        let mut text = format!("the library's process {obituary}");
        let said = self.said.lock().expect("nothing panics with it");
        if !said.is_empty() {
            text += "; it printed: ";
            text += &said.trim_end().replace('\n', " | ");
        }
        drop(said);
        let mut record = Record::new(kind, &text).of(self.generation);
        record.signal = obituary.status.signal().unwrap_or(0);
        record.status = obituary.status.code().unwrap_or(0);
        // SAFETY: mapped; its process has ended, and whatever is there is a value.
        let fault: Fault = unsafe {
            self.exchange
                .exchange
                .fault(self.control_lane())
                .read_volatile()
        };
        if record.signal != 0 && fault.signal == record.signal as u32 {
            record.add_fault(&fault);
        }
        record
    }

    /// Whether all of it is memory that the guest has at the same address.
    #[inline]
    pub(crate) fn shares(&self, address: u64, size: u64) -> bool {
        self.memory.contains(address, size)
            || self.exchange.exchange.range().contains(address, size)
            || self.is_image(address, size)
    }

    /// Whether it is in a library's file.
    #[cold]
    pub(crate) fn is_image(&self, address: u64, size: u64) -> bool {
        errno::keep(|| {
            let images = self.images.read().expect("nothing panics with it");
            images.iter().any(|image| image.contains(address, size))
        })
    }

    pub(crate) fn add_image(&self, range: Range) {
        self.images
            .write()
            .expect("nothing panics with it")
            .push(range);
    }

    /// Frees what the library has freed of the program's. False if that was nothing to free: it
    /// is ended then.
    #[inline]
    pub(crate) fn take_back(&self) -> bool {
        let taken = self.freed.take_back(self.exchange);
        if let Err(text) = taken {
            self.condemn(
                Kind::Misbehaved,
                &format!("the library's process was ended: {text}"),
            );
        }
        taken.is_ok()
    }

    /// Whether a message may be at an address: wherever it is, there is room for one.
    #[inline]
    pub(crate) fn can_be_message(&self, address: u64) -> bool {
        let size = MAX_MESSAGE as u64;
        address.is_multiple_of(16)
            && (self.memory.contains(address, size)
                || self.exchange.exchange.range().contains(address, size))
    }

    /// The wrapper of that number.
    pub(crate) fn part(&self, number: u32) -> Option<&'static State> {
        let parts = self.parts.read().expect("nothing panics with it");
        parts.get(number as usize).copied().flatten()
    }

    /// The first wrapper without generated code: the one that the worker calls back for.
    pub(crate) fn built_in(&self) -> Option<&'static State> {
        let parts = self.parts.read().expect("nothing panics with it");
        parts.iter().flatten().copied().find(|it| it.is_built_in())
    }

    /// Whether all of it is memory that both sides may write.
    pub(crate) fn can_be_written(&self, address: u64, size: u64) -> bool {
        self.memory.contains(address, size)
            || self.exchange.exchange.range().contains(address, size)
    }

    pub(crate) fn add_part(&self, number: u32, state: &'static State) -> Result<(), Box<Record>> {
        let mut parts = self.parts.write().expect("nothing panics with it");
        let number = number as usize;
        if number >= 4096 || parts.get(number).is_some_and(Option::is_some) {
            self.condemn(Kind::Misbehaved, "the worker numbers wrappers in no way");
            return Err(self.loss());
        }
        if parts.len() <= number {
            parts.resize(number + 1, None);
        }
        parts[number] = Some(state);
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.condemn(Kind::Exited, "nobody uses the worker any more");
        self.supervisor.obituary();
        // Nobody writes there any more; what is wrong in it has no consequences.
        let _ = self.freed.take_back(self.exchange);
        end_memory(self.memory);
        for number in self
            .lanes
            .get_mut()
            .expect("nothing panics with it")
            .drain(..)
        {
            self.exchange.give_lane(number);
        }
    }
}

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
}
