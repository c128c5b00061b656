//! Starting a worker, until it says that it is ready.

use super::Setting;
use crate::accel::Obstacle;
use crate::calls::accelerator::{self, Choice};
use crate::calls::exchange::{HostExchange, Segment, SharedLane, release};
use crate::calls::heap::Freed;
use crate::calls::worker::{Control, Over, Worker};
use crate::host_libraries::{DIRECTORY_VARIABLE, HostLibraries};
use crate::supervisor::{LogSink, Supervisor};
use iotdec_wire::lane::{End, Kind, Request};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a worker is started if its addresses are not free in it.
const TRIES: u32 = 8;
/// Exit status with which it says so.
const OTHER_ADDRESSES: i32 = 75;
/// How long emulated dynamic linking may take, besides the time that it gets no processor.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long threads of a former worker may keep all lanes.
const LANE_PATIENCE: Duration = Duration::from_secs(2);

impl Setting {
    /// Starts one, in several tries if need be.
    pub(super) fn start(&'static self) -> Result<Arc<Worker>, Failure> {
        let exchange = HostExchange::get()?;
        let mut tries = 1;
        loop {
            let lanes = two_lanes(exchange).ok_or_else(|| Failure {
                passes: true,
                ..Failure::from("all lanes are taken".to_owned())
            })?;
            match self.try_start(exchange, lanes) {
                Ok(worker) => return Ok(worker),
                Err(failure) => {
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
        lanes: [Arc<SharedLane>; 2],
    ) -> Result<Arc<Worker>, Failure> {
        let memory = Segment::guest_memory()?;
        let range = memory.range;
        let started = self.try_start_with(exchange, memory, lanes);
        if started.is_err() {
            release(range);
        }
        started
    }

    fn try_start_with(
        &'static self,
        exchange: &'static HostExchange,
        memory: Segment,
        lanes: [Arc<SharedLane>; 2],
    ) -> Result<Arc<Worker>, Failure> {
        let [control, reverse] = [lanes[0].number, lanes[1].number];
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
                let control = Control { end, socket };
                let worker = Worker::new(
                    self.index,
                    exchange,
                    memory,
                    supervisor,
                    over,
                    control,
                    (lanes, freed),
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
}

/// A worker's own lanes. A former worker, with all threads that called it, gives its back soon
/// after its end.
fn two_lanes(exchange: &'static HostExchange) -> Option<[Arc<SharedLane>; 2]> {
    let start = Instant::now();
    loop {
        if let Some(first) = SharedLane::take(exchange)
            && let Some(second) = SharedLane::take(exchange)
        {
            return Some([first, second]);
        }
        if start.elapsed() > LANE_PATIENCE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Why a worker did not start.
pub(super) struct Failure {
    pub(super) text: String,
    other_addresses: bool,
    /// How it ended, with an accelerator that nobody insists on.
    died_with_accelerator: Option<String>,
    /// Whether it may start the next time.
    pub(super) passes: bool,
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
