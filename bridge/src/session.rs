//! Starting a worker and shaking hands with it.
//!
//! The worker's end of a SOCK_SEQPACKET pair is its standard input. Over it go
//! the control block's memfd, the greetings, and later the frame slots' memfds;
//! everything else goes through the block.

use crate::accel::{Obstacle, Report};
use crate::feed::Feeder;
use crate::host_libraries::HostLibraries;
use crate::launch::{Launch, LaunchError};
use crate::link::Link;
use crate::manifest::Place;
use crate::receive::Receiver;
use crate::shm::ControlBlock;
use crate::slots::{SlotPolicy, SlotPool};
use crate::supervisor::{LogSink, Obituary, Supervisor};
use crate::worker::Worker;
use iotdec_wire::layout::{MAGIC, RingSizes, VERSION};
use iotdec_wire::msg::{Acceleration, Greeting, GreetingHead, Hello, MAX_GREETING, Refusal};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair,
};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest reason of a worker's that is passed on, in letters.
const MAX_REASON: usize = 500;

/// Why a worker was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something it needs is missing.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// All was there, but it did not work.
    #[error("cannot decode with {library}: {problem}")]
    Failed {
        /// The decoder library.
        library: PathBuf,
        /// What happened.
        problem: StartProblem,
    },
}

/// What went wrong while a worker started.
#[derive(Debug, thiserror::Error)]
pub enum StartProblem {
    /// An operating system call failed.
    #[error("{what} failed: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error(
        "{qemu} ended while the library was being loaded ({obituary}); it must be QEMU's user-mode \
         emulator for aarch64, and the library one that works in the sysroot"
    )]
    Died {
        /// The emulator.
        qemu: PathBuf,
        /// How it ended.
        obituary: Obituary,
    },
    /// It took too long.
    #[error(
        "it was not ready within {0:?} and was killed; it may wait for a device that is not there"
    )]
    TimedOut(Duration),
    /// It declined.
    #[error("{}", describe_refusal(*.0, .1))]
    Refused(Refusal, String),
    /// The accelerator does not work, and it was asked for.
    #[error("accel={wanted} cannot be had: {reason}; accel=auto does without")]
    Accelerator {
        /// The mode's name.
        wanted: &'static str,
        /// Why it cannot.
        reason: String,
    },
    /// It answered nonsense.
    #[error(
        "the worker does not speak iotdec's protocol {VERSION} ({0}); \
         install matching versions of plugin and worker"
    )]
    Protocol(String),
}

fn describe_refusal(refusal: Refusal, text: &str) -> String {
    match refusal {
        Refusal::Protocol => {
            format!("plugin and worker are of different versions ({text}); install matching ones")
        }
        Refusal::Adapter => format!("the worker has no such adapter; there are: {text}"),
        Refusal::Library => format!("it cannot be loaded: {text}"),
        Refusal::Symbol => format!(
            "it has no symbol {text}; it is not the library this adapter is for, \
             or a version that is too old or too new"
        ),
        Refusal::Decoder => format!("it makes no decoder: {text}"),
        Refusal::System => format!("the worker failed: {text}"),
    }
}

/// Starts a worker and waits until its decoder is ready.
///
/// With an accelerator that nobody insists on, one that dies of it is started again
/// without.
pub fn start(
    launch: &Launch,
    policy: SlotPolicy,
    log: LogSink,
) -> Result<(Arc<Worker>, Feeder, Receiver), StartError> {
    let failed = |problem| StartError::Failed {
        library: launch.library.clone(),
        problem,
    };
    let obituary = match (try_start(launch, policy, log.clone()), &launch.accelerator) {
        (Err(StartProblem::Died { obituary, .. }), Ok(accelerator))
            if accelerator.is_optional() =>
        {
            obituary
        }
        (result, _) => return result.map_err(failed),
    };
    let plain = launch.without_accelerator(Obstacle::Died(obituary.to_string()));
    try_start(&plain, policy, log).map_err(failed)
}

fn try_start(
    launch: &Launch,
    policy: SlotPolicy,
    log: LogSink,
) -> Result<(Arc<Worker>, Feeder, Receiver), StartProblem> {
    let failed = |what| move |source: io::Error| StartProblem::System { what, source };
    let (block, memory) =
        ControlBlock::create(RingSizes::default()).map_err(failed("making shared memory"))?;
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(|errno| failed("making a socket pair")(errno.into()))?;

    let link = Arc::new(Link::new(block));
    let host = match &launch.native_libraries {
        Some((directory, Place::Program)) => {
            let host = HostLibraries::new(directory);
            Some(host.map_err(failed("serving the guest with native libraries"))?)
        }
        _ => None,
    };
    let mut command = launch.command(host.as_ref());
    command
        .args(launch.worker_arguments("serve"))
        .stdin(Stdio::from(theirs))
        .stderr(Stdio::piped());
    let hang_up = link.clone();
    let supervisor = Supervisor::start(command, log, move || hang_up.hang_up())
        .map_err(failed("starting the emulator"))?;

    if let Some(host) = &host {
        host.serve(supervisor.pid());
    }

    let handshake = Handshake {
        socket: &ours,
        supervisor: &supervisor,
        launch,
    };
    let (library_version, accelerator) = handshake.perform(&memory)?;

    let sizes = link.block.sizes;
    // SAFETY: the block is mapped while `link` lives, and these are its host's only
    // ends: `block` was made above.
    let (commands, events) = unsafe { sizes.host_ends(link.block.base(), link.clone()) };
    let pool = Arc::new(SlotPool::new(link.clone(), ours, policy));
    let worker = Arc::new(Worker::new(
        link,
        pool,
        supervisor,
        library_version,
        accelerator,
        host,
        launch.hang_timeout,
    ));
    let feeder = Feeder::new(worker.clone(), commands);
    let receiver = Receiver::new(worker.clone(), events);
    Ok((worker, feeder, receiver))
}

struct Handshake<'a> {
    socket: &'a OwnedFd,
    supervisor: &'a Supervisor,
    launch: &'a Launch,
}

impl Handshake<'_> {
    /// Hello, Welcome, Accelerator, Ready; returns the library's version, and what is on
    /// of the accelerator.
    fn perform(&self, memory: &OwnedFd) -> Result<(String, Report), StartProblem> {
        let hello = Hello {
            magic: MAGIC,
            kind: Greeting::Hello.code(),
            version: VERSION,
            features: 0,
            reserved: 0,
        };
        let sent = sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(bytemuck::bytes_of(&hello))],
            &[ControlMessage::ScmRights(&[memory.as_raw_fd()])],
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        if sent.is_err() {
            return Err(self.died());
        }
        let message = self.receive()?;
        match bytemuck::try_from_bytes::<Hello>(&message) {
            Ok(welcome) if welcome.magic == MAGIC && welcome.version == VERSION => {}
            Ok(welcome) => {
                let theirs = format!("it speaks version {}", welcome.version);
                return Err(StartProblem::Protocol(theirs));
            }
            Err(_) => return Err(self.not_ready(&message)),
        }
        let accelerator = self.accelerator(&self.receive()?)?;
        let message = self.receive()?;
        match head_and_text(&message) {
            Some((head, text)) if head.kind == Greeting::Ready.code() => Ok((text, accelerator)),
            _ => Err(self.not_ready(&message)),
        }
    }

    /// What the worker says of its accelerator, which may be less than was hoped for.
    fn accelerator(&self, message: &[u8]) -> Result<Report, StartProblem> {
        let told = head_and_text(message)
            .filter(|(head, _)| head.kind == Greeting::Accelerator.code())
            .and_then(|(head, text)| Some((Acceleration::from_code(head.detail)?, text)));
        let Some((mode, text)) = told else {
            return Err(self.not_ready(message));
        };
        let (most, least, obstacle) = match &self.launch.accelerator {
            Ok(chosen) => (chosen.mode, chosen.least, chosen.obstacle.as_ref()),
            Err(obstacle) => (Acceleration::Off, Acceleration::Off, Some(obstacle)),
        };
        if mode > most {
            let unasked = format!("accelerator {} without being asked", mode.name());
            return Err(StartProblem::Protocol(unasked));
        }
        let reason = match mode < most {
            true => text.chars().take(MAX_REASON).collect(),
            false => obstacle.map_or(String::new(), ToString::to_string),
        };
        if mode < least {
            let wanted = least.name();
            return Err(StartProblem::Accelerator { wanted, reason });
        }
        Ok(Report {
            mode,
            reason,
            disappoints: mode < most || matches!(obstacle, Some(Obstacle::Died(_))),
        })
    }

    fn not_ready(&self, message: &[u8]) -> StartProblem {
        if let Some((head, text)) = head_and_text(message)
            && head.kind == Greeting::Refused.code()
            && let Some(refusal) = Refusal::from_code(head.detail)
        {
            return StartProblem::Refused(refusal, text);
        }
        StartProblem::Protocol(format!("unexpected greeting of {} bytes", message.len()))
    }

    fn receive(&self) -> Result<Vec<u8>, StartProblem> {
        let patience = self.launch.step_timeout;
        let (start, starved) = (Instant::now(), self.supervisor.starved());
        loop {
            let starved = self.supervisor.starved().saturating_sub(starved);
            let left = (patience + starved).saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(StartProblem::TimedOut(patience));
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if !matches!(poll(&mut fds, timeout), Ok(1..)) {
                continue; // Timed out or interrupted; the deadline decides.
            }
            let mut buffer = vec![0; MAX_GREETING];
            return match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) | Err(_) => Err(self.died()),
                Ok(length) => {
                    buffer.truncate(length);
                    Ok(buffer)
                }
            };
        }
    }

    /// The socket is closed: the worker is gone, or as good as.
    fn died(&self) -> StartProblem {
        match self.supervisor.obituary() {
            Some(obituary) => StartProblem::Died {
                qemu: self.launch.qemu.clone(),
                obituary,
            },
            None => StartProblem::Protocol("it closed its socket".into()),
        }
    }
}

fn head_and_text(message: &[u8]) -> Option<(GreetingHead, String)> {
    let (head, text) = message.split_at_checked(size_of::<GreetingHead>())?;
    let head = bytemuck::pod_read_unaligned(head);
    Some((head, String::from_utf8_lossy(text).into_owned()))
}
