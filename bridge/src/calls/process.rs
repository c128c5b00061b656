//! Starting workers for calls.

use super::accelerator::{self, Choice};
use super::confine::Confinement;
use super::exchange::{HostExchange, Segment, release};
use super::heap::{Freed, program};
use super::worker::{Control, Over, Worker};
use crate::accel::{Obstacle, Wish};
use crate::host_libraries::{DIRECTORY_VARIABLE, HostLibraries};
use crate::launch::{find_qemu, find_sysroot, installed};
use crate::library::{find_in_sysroot, needs};
use crate::supervisor::{LogSink, Supervisor};
use iotdec_wire::exchange::Image;
use iotdec_wire::lane::{End, Kind, Request};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::ffi::{CStr, OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Workers of one program.
pub(crate) const SETTINGS: usize = 16;
/// Bytes of addresses that the libraries of one setting may take, so that those of all can be seen
/// in the program at their own.
const LIBRARIES: u64 = 128 << 20;
/// How often a worker is started if its addresses are not free in it.
const TRIES: u32 = 8;
/// Exit status with which it says so.
const OTHER_ADDRESSES: i32 = 75;
/// How long emulated dynamic linking may take, besides the time that it gets no processor.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long threads of a former worker may keep all lanes.
const LANE_PATIENCE: Duration = Duration::from_secs(2);

/// What decides whether two wrappers share a worker, and that worker.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its number.
    pub(crate) index: usize,
    sysroot: PathBuf,
    /// Where libraries are that are not the sysroot's.
    directory: Option<PathBuf>,
    /// The emulator's CPU model, where the accelerator needs no other.
    cpu: String,
    accelerator: Choice,
    /// What became of a worker with the accelerator: the next ones have none.
    given_up: OnceLock<Obstacle>,
    state: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    worker: Option<Arc<Worker>>,
    failure: Option<String>,
}

static SETTINGS_MADE: Mutex<Vec<&'static Setting>> = Mutex::new(Vec::new());

/// The setting for a library in a sysroot, and the library's path.
pub(crate) fn setting(
    sysroot: Option<&Path>,
    library: &Path,
    wish: Option<Wish>,
) -> Result<(&'static Setting, PathBuf), String> {
    let sysroot = find_sysroot(sysroot).map_err(|error| error.to_string())?;
    let path = if library.components().count() > 1 {
        std::path::absolute(library).map_err(|error| format!("{}: {error}", library.display()))?
    } else {
        let name = library.to_str().unwrap_or_default();
        find_in_sysroot(&sysroot, name).ok_or_else(|| {
            format!(
                "library {name} is not in sysroot {}; install its arm64 package there",
                sysroot.display()
            )
        })?
    };
    let needs = needs(&path, &sysroot).map_err(|error| error.to_string())?;
    let set_cpu = std::env::var("IOTDEC_CPU").ok();
    let accelerator = accelerator::choose(wish, &path, needs, set_cpu.as_deref());
    let accelerator = accelerator.map_err(|error| error.to_string())?;
    let cpu = set_cpu.unwrap_or_else(|| needs.cpu_model().to_owned());
    let outside = !path.starts_with(&sysroot);
    let directory = path.parent().filter(|_| outside).map(Path::to_owned);
    let mut made = SETTINGS_MADE.lock().expect("nothing panics with it");
    let mode = |choice: &Choice| choice.as_ref().ok().map(|it| (it.mode, it.least));
    let same = |it: &&&Setting| {
        it.sysroot == sysroot
            && it.cpu == cpu
            && mode(&it.accelerator) == mode(&accelerator)
            && (!outside || it.directory == directory)
    };
    if let Some(known) = made.iter().find(same) {
        return Ok((known, path));
    }
    if made.len() == SETTINGS {
        return Err(format!(
            "more than {SETTINGS} sysroots and directories in one program"
        ));
    }
    let setting = Box::leak(Box::new(Setting {
        index: made.len(),
        sysroot,
        directory,
        cpu,
        accelerator,
        given_up: OnceLock::new(),
        state: Mutex::default(),
    }));
    made.push(setting);
    Ok((setting, path))
}

/// Every worker that was started last.
pub(crate) fn workers() -> Vec<Arc<Worker>> {
    let made = SETTINGS_MADE.lock().expect("nothing panics with it");
    let running = made
        .iter()
        .filter_map(|setting| setting.state.lock().ok()?.worker.clone());
    running.collect()
}

/// Does something with each of them, without allocating or waiting: but for those that are being
/// started.
pub(crate) fn with_workers(f: impl Fn(&Worker)) {
    let Ok(made) = SETTINGS_MADE.try_lock() else {
        return;
    };
    for setting in made.iter() {
        if let Ok(running) = setting.state.try_lock()
            && let Some(worker) = &running.worker
        {
            f(worker);
        }
    }
}

impl Setting {
    /// The worker, started if none runs.
    pub(crate) fn worker(&'static self) -> Result<Arc<Worker>, String> {
        let mut running = self.state.lock().expect("nothing panics with it");
        if let Some(worker) = running.worker.as_ref().filter(|worker| !worker.is_over()) {
            return Ok(worker.clone());
        }
        // What could not be started for want of a file is not tried at every call.
        if let Some(failure) = &running.failure {
            return Err(failure.clone());
        }
        if let Some(former) = running.worker.take() {
            // What it still writes would be over what the next one is told.
            former.wait_for_end();
        }
        match self.start() {
            Ok(worker) => Ok(running.worker.insert(worker).clone()),
            Err(failure) if failure.passes => Err(failure.text),
            Err(failure) => Err(running.failure.insert(failure.text).clone()),
        }
    }

    fn start(&'static self) -> Result<Arc<Worker>, Failure> {
        let exchange = HostExchange::get()?;
        let mut tries = 1;
        loop {
            let [control, reverse] = two_lanes(exchange).ok_or_else(|| Failure {
                passes: true,
                ..Failure::from("all lanes are taken".to_owned())
            })?;
            match self.try_start(exchange, control, reverse) {
                Ok(worker) => return Ok(worker),
                Err(failure) => {
                    exchange.give_lane(control);
                    exchange.give_lane(reverse);
                    if failure.other_addresses && tries < TRIES {
                        tries += 1;
                        continue;
                    }
                    match failure.died_with_accelerator {
                        Some(how) => self.given_up.get_or_init(|| Obstacle::Died(how)),
                        None => return Err(failure),
                    };
                }
            }
        }
    }

    /// The accelerator for the next worker.
    fn accelerator(&self) -> Choice {
        match self.given_up.get() {
            Some(obstacle) => Err(obstacle.clone()),
            None => self.accelerator.clone(),
        }
    }

    fn try_start(
        &'static self,
        exchange: &'static HostExchange,
        control: usize,
        reverse: usize,
    ) -> Result<Arc<Worker>, Failure> {
        let memory = Segment::guest_memory()?;
        let range = memory.range;
        let started = self.try_start_with(exchange, memory, control, reverse);
        if started.is_err() {
            release(range);
        }
        started
    }

    fn try_start_with(
        &'static self,
        exchange: &'static HostExchange,
        memory: Segment,
        control: usize,
        reverse: usize,
    ) -> Result<Arc<Worker>, Failure> {
        let host = match std::env::var_os(DIRECTORY_VARIABLE).filter(|it| !it.is_empty()) {
            Some(directory) => {
                let failed = |error| format!("{DIRECTORY_VARIABLE}: {error}");
                Some(HostLibraries::new(Path::new(&directory)).map_err(failed)?)
            }
            None => None,
        };
        let (socket, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .map_err(|error| format!("a socket for the worker: {error}"))?;
        // A former worker may have written over it.
        exchange.exchange.initialise();
        let freed = Freed::new(exchange, reverse);
        let accelerator = self.accelerator();
        let mut command = self.command(&accelerator, host.as_ref())?;
        self.tell(&mut command, exchange, &memory, theirs, [control, reverse])?;
        if let Some(host) = &host {
            host.attach(&mut command);
        }
        let over = Arc::new(Over::default());
        let hang_up = over.clone();
        let on_death = move || {
            hang_up.set();
            exchange.ring_all();
        };
        let supervisor = without_signals(|| Supervisor::start(command, log(), on_death))
            .map_err(|error| format!("starting the emulator failed: {error}"))?;
        if let Some(host) = &host {
            host.serve(supervisor.pid());
        }
        let lane = exchange.exchange.lane(control);
        let mut end = End::default();
        let start = Instant::now();
        let nap = || (START_PATIENCE + supervisor.starved()).checked_sub(start.elapsed());
        let ready = end.wait(&lane.to_host, &lane.host_bell.0, || over.is_set(), nap);
        match ready {
            Some(mail)
                if (mail.kind, mail.index) == (Kind::Request.code(), Request::Ready.code()) =>
            {
                accelerator::judge(&accelerator, exchange, &mail)
                    .map_err(|problem| problem.to_string())?;
                let control = Control {
                    end,
                    lane: control,
                    socket,
                };
                let worker = Worker::new(
                    self.index,
                    exchange,
                    memory,
                    supervisor,
                    over,
                    control,
                    (reverse, freed),
                )?;
                if let Some(host) = host {
                    worker.serve_with(host);
                }
                Ok(worker)
            }
            Some(_) => Err(
                "the worker speaks another protocol; install matching versions"
                    .to_owned()
                    .into(),
            ),
            None if !over.is_set() => Err(Failure {
                passes: true,
                ..format!("the worker was not ready within {START_PATIENCE:?}").into()
            }),
            None => {
                let obituary = supervisor.obituary();
                let status = obituary.as_ref().and_then(|it| it.status.code());
                let text = obituary.map_or("it was killed".to_owned(), |it| it.to_string());
                let optional = accelerator.is_ok_and(|it| it.is_optional());
                Err(Failure {
                    died_with_accelerator: optional.then(|| text.clone()),
                    text: format!(
                        "the worker ended before it was ready ({text}); qemu must be QEMU's user-mode \
                         emulator for aarch64, and the sysroot one that the worker runs in"
                    ),
                    other_addresses: status == Some(OTHER_ADDRESSES),
                    passes: false,
                })
            }
        }
    }

    /// The command that runs the worker.
    fn command(
        &self,
        accelerator: &Choice,
        host: Option<&HostLibraries>,
    ) -> Result<Command, String> {
        let qemu = find_qemu(None).map_err(|error| error.to_string())?;
        let worker = installed("IOTDEC_CALLS", "iotdec-calls-aarch64");
        if !worker.is_file() {
            return Err(format!(
                "worker {} not found; install iotdec completely, or set IOTDEC_CALLS to its path",
                worker.display()
            ));
        }
        let mut command = Command::new(qemu);
        command
            // Meant for native code.
            .env_remove("LD_PRELOAD")
            .env_remove("LD_LIBRARY_PATH")
            .arg("-L")
            .arg(&self.sysroot)
            .arg("-cpu");
        match accelerator {
            Ok(chosen) => {
                let host = host.map(HostLibraries::host_directory);
                command
                    .arg(chosen.cpu.unwrap_or(&self.cpu))
                    .arg("-plugin")
                    .arg(chosen.argument(host.as_deref()));
            }
            Err(_) => {
                command.arg(&self.cpu);
            }
        }
        let directories = host.map(HostLibraries::guest_directory).into_iter();
        let directories: Vec<_> = directories.chain(self.directory.clone()).collect();
        if !directories.is_empty() {
            let mut variable = OsString::from("LD_LIBRARY_PATH=");
            let directories = std::env::join_paths(directories);
            variable.push(directories.map_err(|error| error.to_string())?);
            command.arg("-E").arg(variable);
        }
        if let Some(host) = host {
            command.arg("-E").arg(host.variable());
        }
        command.arg(worker);
        if let Ok(chosen) = accelerator {
            command.args(["--accel", chosen.mode.name()]);
            if !chosen.is_optional() {
                command.arg("--at-once");
            }
        }
        Ok(command)
    }

    /// Tells the worker what it shares with us, and with nobody else.
    fn tell(
        &self,
        command: &mut Command,
        exchange: &HostExchange,
        memory: &Segment,
        socket: OwnedFd,
        [control, reverse]: [usize; 2],
    ) -> Result<(), String> {
        let shared = exchange.exchange.range();
        for (name, number) in [
            ("--exchange", shared.start),
            ("--exchange-size", shared.size),
            ("--exchange-fd", exchange.file.as_raw_fd() as u64),
            ("--memory", memory.range.start),
            ("--memory-size", memory.range.size),
            ("--memory-fd", memory.file.as_raw_fd() as u64),
            ("--socket-fd", socket.as_raw_fd() as u64),
            ("--program", tell_program(exchange, control)),
            ("--control", control as u64),
            ("--reverse", reverse as u64),
            ("--clear", self.index as u64 * LIBRARIES),
        ] {
            command.arg(name).arg(number.to_string());
        }
        command
            .arg("--locale")
            .arg(locale())
            // The program's, which a process group in the background could not read.
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let files = [exchange.file.as_raw_fd(), memory.file.as_raw_fd()];
        let mut confinement = Confinement::new()?;
        // SAFETY: runs between fork and exec, and makes system calls alone.
        unsafe {
            // The socket's end is the command's: nobody else has it.
            command.pre_exec(move || {
                pass_only(&[files[0], files[1], socket.as_raw_fd()])?;
                take_signals()?;
                confinement.enter()
            })
        };
        Ok(())
    }
}

/// The program's, as `setlocale` takes it.
fn locale() -> OsString {
    // SAFETY: asks; the answer is copied at once, and a program sets its locale before others
    // ask for it.
    unsafe {
        let names = libc::setlocale(libc::LC_ALL, std::ptr::null());
        match names.is_null() {
            true => "C".into(),
            false => OsStr::from_bytes(CStr::from_ptr(names).to_bytes()).to_owned(),
        }
    }
}

/// A worker's own lanes. A former worker, with all threads that called it, gives its back soon
/// after its end.
fn two_lanes(exchange: &HostExchange) -> Option<[usize; 2]> {
    let start = Instant::now();
    loop {
        if let Some(first) = exchange.take_lane() {
            if let Some(second) = exchange.take_lane() {
                return Some([first, second]);
            }
            exchange.give_lane(first);
        }
        if start.elapsed() > LANE_PATIENCE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes into a lane's messages what the program shares of its file. How much it is.
fn tell_program(exchange: &HostExchange, lane: usize) -> u64 {
    let images = program();
    let stack = exchange.exchange.host_stack(lane);
    assert!(size_of_val(images) as u64 <= stack.size, "a short table");
    // SAFETY: this lane's part of the exchange, which nobody uses yet.
    unsafe {
        let to = stack.start as *mut Image;
        std::ptr::copy_nonoverlapping(images.as_ptr(), to, images.len());
    }
    images.len() as u64
}

/// Why a worker did not start.
struct Failure {
    text: String,
    other_addresses: bool,
    /// How it ended, with an accelerator that nobody insists on.
    died_with_accelerator: Option<String>,
    /// Whether it may start the next time.
    passes: bool,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self {
            text,
            other_addresses: false,
            died_with_accelerator: None,
            passes: false,
        }
    }
}

/// In the child: unblocks what the thread blocks that starts it. Signals are the library's own
/// affair, as in any program.
fn take_signals() -> io::Result<()> {
    // SAFETY: a set of signals on our stack.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        if libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// In the child: the program's descriptors are not the library's, but these are.
fn pass_only(files: &[RawFd]) -> io::Result<()> {
    // SAFETY: takes numbers only. A kernel that does not know it (before 5.11) leaves the
    // program's descriptors open, as any program does that it starts.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
        for file in files {
            if libc::fcntl(*file, libc::F_SETFD, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// What the library writes to its stderr goes to the program's.
fn log() -> LogSink {
    Arc::new(|line| {
        let _ = writeln!(io::stderr(), "{line}");
    })
}

/// Starts threads in such a way that the program's signals are not delivered to them.
pub(crate) fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    // SAFETY: sets of signals on our stack; the thread's own mask, which is restored.
    unsafe {
        let mut all = std::mem::zeroed();
        let mut former = std::mem::zeroed();
        libc::sigfillset(&mut all);
        for fault in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
        ] {
            libc::sigdelset(&mut all, fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut former);
        let result = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, &former, std::ptr::null_mut());
        result
    }
}
