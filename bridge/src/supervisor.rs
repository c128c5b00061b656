//! One thread per worker process: starts it, logs its stderr, notices its death
//! at once, and reaps it.
//!
//! It also *is* the parent that the kernel watches: PR_SET_PDEATHSIG fires when
//! the thread that forked ends, and streaming threads come and go, this one does
//! not.

use crossbeam_channel::{Receiver, bounded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::os::unix::thread::JoinHandleExt;
use std::process::{Child, ChildStderr, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a killed process may take to be reaped before its end is reported
/// without its last words.
const REAP_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest line of a worker's stderr that is passed on whole.
const MAX_LINE: usize = 4096;
/// Lines kept to explain a death with.
const LAST_WORDS: usize = 8;
/// Reads of what a dead worker left in the pipe. Bounded, because something it
/// forked may still write there.
const MAX_LAST_READS: usize = 64;

/// Receives each line that a worker writes to its stderr, without the newline.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// How a worker ended.
#[derive(Clone, Debug)]
pub struct Obituary {
    /// Its exit status, as the kernel told it.
    pub status: ExitStatus,
    /// The last lines of its stderr.
    pub last_words: String,
}

impl std::fmt::Display for Obituary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.status.signal(), self.status.code()) {
            (Some(signal), _) => {
                let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
                write!(f, "killed by {name}")?;
            }
            (None, code) => write!(f, "exited with status {}", code.unwrap_or(-1))?,
        }
        if !self.last_words.is_empty() {
            write!(f, "; it said: {}", self.last_words)?;
        }
        Ok(())
    }
}

/// A running process. Dropping it kills and reaps the process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pid: Pid,
    pidfd: Arc<OwnedFd>,
    obituary: Arc<Mutex<Option<Obituary>>>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts `command`, whose stderr must be piped. `on_death` runs on the
    /// supervisor's thread once the process is reaped.
    pub(crate) fn start(
        mut command: Command,
        log: LogSink,
        on_death: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        // Its own group: a Ctrl-C at the player is the player's to handle, and
        // whatever the library forks can be killed with it.
        command.process_group(0);
        let parent = std::process::id();
        // SAFETY: runs between fork and exec and makes only async-signal-safe
        // calls: setrlimit, prctl and getppid.
        unsafe {
            command.pre_exec(move || {
                forbid_core_dumps()?;
                die_with(parent)
            });
        }
        let (started, start) = bounded(1);
        let (end, ended) = bounded(0);
        let obituary = Arc::new(Mutex::new(None));
        let filed = obituary.clone();
        let thread = std::thread::Builder::new()
            .name("iotdec-worker".into())
            .spawn(move || {
                let spawned = command.spawn().and_then(|child| {
                    let pid = rustix::process::Pid::from_child(&child);
                    let pidfd = Arc::new(pidfd_open(pid, PidfdFlags::empty())?);
                    Ok((child, pidfd))
                });
                let (child, pidfd) = match spawned {
                    Ok(spawned) => spawned,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let pid = Pid::from_raw(child.id() as i32);
                // The command holds the child's ends of its pipes and sockets;
                // while it does, their HUP cannot be seen.
                drop(command);
                let _ = started.send(Ok((pid, pidfd.clone())));
                let last = watch(child, &pidfd, &log);
                *filed.lock().expect("not poisoned") = last;
                on_death();
                drop(end);
            })?;
        let (pid, pidfd) = start
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the supervisor thread died")))?;
        Ok(Self {
            pid,
            pidfd,
            obituary,
            ended,
            thread: Some(thread),
        })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How long the process's first thread was ready to run without getting a processor:
    /// time that is not to be held against it. The second number of `/proc/PID/schedstat`,
    /// in nanoseconds (Linux, Documentation/scheduler/sched-stats.rst); zero where the
    /// kernel does not count it.
    pub(crate) fn starved(&self) -> Duration {
        let statistics = std::fs::read_to_string(format!("/proc/{}/schedstat", self.pid));
        let nanoseconds = statistics
            .ok()
            .and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        Duration::from_nanos(nanoseconds.unwrap_or(0))
    }

    /// Kills the process if it still runs.
    pub(crate) fn kill(&self) {
        // ESRCH only: it is gone already.
        let _ = pidfd_send_signal(&*self.pidfd, rustix::process::Signal::KILL);
    }

    /// How the process ended. Called when it is ending; `None` if it takes too long.
    pub(crate) fn obituary(&self) -> Option<Obituary> {
        // Disconnected or timed out: either way the note is there or is not.
        let _ = self.ended.recv_timeout(REAP_TIMEOUT);
        self.obituary.lock().expect("not poisoned").clone()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.kill();
        if let Some(thread) = self.thread.take() {
            // `on_death` may drop the last reference to us, on that very thread. Not asked of
            // std: another thread, which ends, may have nothing of std's any more.
            // SAFETY: takes nothing, and fails never.
            let own = unsafe { nix::libc::pthread_self() };
            if thread.as_pthread_t() != own {
                let _ = thread.join();
            }
        }
    }
}

/// In the child: QEMU writes one for the guest, and the kernel one for QEMU, into
/// the player's working directory, 170 MB for a decoder that crashed.
fn forbid_core_dumps() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

/// In the child: die when the parent's thread ends, or at once if it has already.
fn die_with(parent: u32) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other("parent is gone"));
    }
    Ok(())
}

/// Logs stderr until the process ends; then kills its group and reaps it.
fn watch(mut child: Child, pidfd: &OwnedFd, log: &LogSink) -> Option<Obituary> {
    let mut stderr = child.stderr.take();
    let mut lines = Lines::default();
    loop {
        let (has_ended, says) = is_readable(pidfd, stderr.as_ref(), PollTimeout::NONE);
        if has_ended {
            break;
        }
        // Neither after an interruption: reading would wait for what may never be written.
        if says && !lines.read_from(&mut stderr, log) {
            stderr = None;
        }
    }
    // Before reaping, so that the group id cannot have been reused.
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    for _ in 0..MAX_LAST_READS {
        let (_, says) = is_readable(pidfd, stderr.as_ref(), PollTimeout::ZERO);
        if !says || !lines.read_from(&mut stderr, log) {
            break;
        }
    }
    lines.flush(log);
    let status = child.wait().ok()?;
    let last_words = Vec::from(lines.last).join(" | ");
    Some(Obituary { status, last_words })
}

/// Waits until the process has ended or wrote something; says which.
fn is_readable(
    pidfd: &OwnedFd,
    stderr: Option<&ChildStderr>,
    timeout: PollTimeout,
) -> (bool, bool) {
    let mut fds = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    fds.extend(stderr.map(|stderr| PollFd::new(stderr.as_fd(), PollFlags::POLLIN)));
    // An interrupted poll found nothing; the caller polls again.
    let _ = poll(&mut fds, timeout);
    let readable = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
    (readable(0), readable(1))
}

/// Cuts a byte stream into lines.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    last: VecDeque<String>,
}

impl Lines {
    /// Reads once, blocking; false at the end of the stream.
    fn read_from(&mut self, stderr: &mut Option<ChildStderr>, log: &LogSink) -> bool {
        let Some(stderr) = stderr else { return false };
        let mut chunk = [0; 4096];
        let count = match stderr.read(&mut chunk) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) => return error.kind() == io::ErrorKind::Interrupted,
        };
        for byte in &chunk[..count] {
            if *byte == b'\n' || self.partial.len() >= MAX_LINE {
                self.flush(log);
            }
            if *byte != b'\n' {
                self.partial.push(*byte);
            }
        }
        true
    }

    fn flush(&mut self, log: &LogSink) {
        if self.partial.is_empty() {
            return;
        }
        let line = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.clear();
        log(&line);
        if self.last.len() == LAST_WORDS {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}
