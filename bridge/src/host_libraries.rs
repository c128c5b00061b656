//! Libraries of the host for a guest that has no accelerator: their functions run in this
//! process, on threads of this module, and the guest asks for them over shared memory
//! ([`iotdec_wire::host_lanes`]).
//!
//! The guest is not trusted. Generated code (`iotdec wrap --direction guest-to-host`) reads
//! the guest's memory once, through its process, and hands copies to the library; what it
//! cannot read so is refused. Yet the library then works, here, on data of the guest's
//! choice: whoever starts this trusts the host's build of the library with that.

mod library;
mod memory;

use crate::calls::without_signals;
use crate::link::NAP;
use crate::shm::sealed_memfd;
use iotdec_wire::door::{Service, Status, VERSION, is_library_name};
use iotdec_wire::doorbell::Spin;
use iotdec_wire::host_lanes::{LANES, Lane, MAGIC, Shared, VARIABLE, VERSION as LANES_VERSION};
use library::{Guest, Library};
use memmap2::MmapRaw;
use memory::Memory;
use nix::libc;
use std::ffi::OsString;
use std::io;
use std::iter;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Builder;
use std::time::Duration;

/// Names a directory of `iotdec wrap --direction guest-to-host` for programs that call
/// libraries with wrappers.
pub const DIRECTORY_VARIABLE: &str = "IOTDEC_NATIVE_LIBRARIES";

/// Libraries that one guest can have open.
const MOST: usize = 64;

/// The host's libraries for one guest process.
#[derive(Debug)]
pub struct HostLibraries {
    served: Arc<Served>,
    memory: OwnedFd,
    directory: PathBuf,
}

/// What the threads share that serve one guest.
#[derive(Debug)]
struct Served {
    map: MmapRaw,
    /// Where the host's parts are.
    directory: PathBuf,
    libraries: Mutex<Vec<Arc<Library>>>,
    /// Whether a thread serves a lane.
    serving: [AtomicBool; LANES],
    is_over: AtomicBool,
    /// The guest's process, 0 before it is known.
    process: AtomicI32,
    memory: OnceLock<Option<Memory>>,
    calls: AtomicU64,
}

impl HostLibraries {
    /// Gets ready to serve one process with the libraries of a directory that `iotdec wrap
    /// --direction guest-to-host` has made.
    ///
    /// # Errors
    /// There is no memory, or no thread.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let directory = std::path::absolute(directory)?;
        let memory = sealed_memfd(c"iotdec-host-lanes", size_of::<Shared>() as u64)?;
        let map = MmapRaw::map_raw(&memory)?;
        let served = Arc::new(Served {
            map,
            directory: directory.join("host"),
            libraries: Mutex::default(),
            serving: [const { AtomicBool::new(false) }; LANES],
            is_over: AtomicBool::new(false),
            process: AtomicI32::new(0),
            memory: OnceLock::new(),
            calls: AtomicU64::new(0),
        });
        let shared = served.shared();
        shared.magic.store(MAGIC, Ordering::Relaxed);
        shared.version.store(LANES_VERSION, Ordering::Relaxed);
        let dispatched = served.clone();
        without_signals(|| {
            Builder::new()
                .name("iotdec-host".into())
                .spawn(move || dispatch(&dispatched))
        })?;
        Ok(Self {
            served,
            memory,
            directory,
        })
    }

    /// The variable that the guest's environment needs.
    pub fn variable(&self) -> OsString {
        format!("{VARIABLE}={}", self.memory.as_raw_fd()).into()
    }

    /// Where the host's parts are.
    pub fn host_directory(&self) -> PathBuf {
        self.directory.join("host")
    }

    /// Where the guest finds its parts.
    pub fn guest_directory(&self) -> PathBuf {
        self.directory.join("guest")
    }

    /// Has a command hand the shared memory on to the guest. Not before whatever closes
    /// descriptors in it.
    pub fn attach(&self, command: &mut Command) {
        let memory = self.memory.as_raw_fd();
        // SAFETY: runs between fork and exec, and makes a system call alone.
        unsafe {
            command.pre_exec(move || match libc::fcntl(memory, libc::F_SETFD, 0) {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
    }

    /// Tells which process it is for; before, calls wait. It must be a child of this one.
    pub fn serve(&self, process: i32) {
        self.served.process.store(process, Ordering::Release);
    }

    /// How many functions were called.
    pub fn calls(&self) -> u64 {
        self.served.calls.load(Ordering::Relaxed)
    }
}

impl Drop for HostLibraries {
    fn drop(&mut self) {
        self.served.is_over.store(true, Ordering::Release);
        let shared = self.served.shared();
        shared.bell.ring();
        shared.lanes.iter().for_each(|lane| lane.host_bell.ring());
    }
}

impl Served {
    fn shared(&self) -> &Shared {
        // SAFETY: so much is mapped, page-aligned, for as long as `self` lives; all of it is
        // atomic, or a cell.
        unsafe { &*self.map.as_ptr().cast() }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// The guest's memory, if the system lets us have it.
    fn memory(&self) -> Option<&Memory> {
        let open = || {
            // The guest may be faster than whoever started it.
            let waits = (0..5000).map(|_| {
                std::thread::sleep(Duration::from_millis(1));
                self.process.load(Ordering::Acquire)
            });
            let now = self.process.load(Ordering::Acquire);
            let process = iter::once(now).chain(waits).find(|process| *process != 0)?;
            Memory::open(process).ok()
        };
        self.memory.get_or_init(open).as_ref()
    }

    /// Answers what is asked on a lane.
    fn answer(&self, lane: &Lane) -> Status {
        let words: [u64; 4] = std::array::from_fn(|at| lane.words[at].load(Ordering::Relaxed));
        match Service::from_code(lane.service.load(Ordering::Relaxed)) {
            Some(Service::Open) => match self.open(words) {
                Ok((handle, calls)) => {
                    lane.words[0].store(handle, Ordering::Relaxed);
                    lane.words[1].store(calls, Ordering::Relaxed);
                    Status::Done
                }
                Err(status) => status,
            },
            Some(Service::Invoke) => self.invoke(lane),
            _ => Status::NoService,
        }
    }

    fn open(&self, words: [u64; 4]) -> Result<(u64, u64), Status> {
        let [version, address, length, fingerprint] = words;
        if version != VERSION {
            return Err(Status::Declined);
        }
        if length > 64 {
            return Err(Status::BadArguments);
        }
        let mut name = vec![0; length as usize];
        let memory = self.memory().ok_or(Status::Declined)?;
        let read = memory.read(&mut name, address);
        read.map_err(|_| Status::Declined)?;
        if !is_library_name(&name) {
            return Err(Status::BadArguments);
        }
        let mut libraries = self.libraries.lock().expect("nothing panics with it");
        let known = libraries.iter().position(|library| library.name == name);
        let handle = match known {
            Some(handle) => handle,
            None if libraries.len() == MOST => return Err(Status::NoService),
            None => {
                let library = Library::load(&self.directory, &name).ok_or(Status::NoService)?;
                libraries.push(Arc::new(library));
                libraries.len() - 1
            }
        };
        let library = &libraries[handle];
        match library.fingerprint == fingerprint {
            true => Ok((handle as u64, library.calls.load(Ordering::Relaxed))),
            false => Err(Status::Declined),
        }
    }

    fn invoke(&self, lane: &Lane) -> Status {
        let handle = lane.library.load(Ordering::Relaxed) as usize;
        let number = lane.function.load(Ordering::Relaxed) as usize;
        let library = {
            let libraries = self.libraries.lock().expect("nothing panics with it");
            match libraries.get(handle) {
                Some(library) => library.clone(),
                None => return Status::BadArguments,
            }
        };
        let Some(memory) = self.memory() else {
            return Status::Declined;
        };
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut words = std::array::from_fn(|at| lane.words[at].load(Ordering::Relaxed));
        let mut guest = Guest::new(memory, lane.texts.get(), library.objects());
        let Some(errno) = library.call(number, &mut guest, &mut words) else {
            return Status::BadArguments;
        };
        lane.words[0].store(words[0], Ordering::Relaxed);
        lane.errno.store(errno, Ordering::Relaxed);
        Status::Done
    }
}

/// Finds a thread for each lane that is taken.
fn dispatch(served: &Arc<Served>) {
    let shared = served.shared();
    let is_new = |number: usize| {
        shared.lanes[number].taken.load(Ordering::Acquire) != 0
            && !served.serving[number].load(Ordering::Acquire)
    };
    while !served.is_over() {
        for number in (0..LANES).filter(|number| is_new(*number)) {
            served.serving[number].store(true, Ordering::Release);
            let thread = served.clone();
            let started = Builder::new()
                .name("iotdec-host-call".into())
                .spawn(move || serve(&thread, number));
            if started.is_err() {
                served.serving[number].store(false, Ordering::Release);
            }
        }
        shared
            .bell
            .sleep(NAP, || served.is_over() || (0..LANES).any(is_new));
    }
}

/// Serves a lane until its thread gives it back.
fn serve(served: &Served, number: usize) {
    let lane = &served.shared().lanes[number];
    let mut spin = Spin::default();
    let mut answered = lane.answered.load(Ordering::Relaxed);
    let asked = || lane.asked.load(Ordering::Acquire);
    let is_taken = || lane.taken.load(Ordering::Acquire) != 0;
    loop {
        let is_ready = || asked() != answered || served.is_over() || !is_taken();
        lane.host_bell.wait(&mut spin, NAP, is_ready);
        if served.is_over() {
            return;
        }
        let now = asked();
        if now != answered {
            let status = served.answer(lane);
            lane.status.store(status.code(), Ordering::Relaxed);
            answered = now;
            lane.answered.store(answered, Ordering::Release);
            lane.guest_bell.ring();
        } else if !is_taken() {
            break;
        }
    }
    served.serving[number].store(false, Ordering::Release);
    served.shared().bell.ring();
}
