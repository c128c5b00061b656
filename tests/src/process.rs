//! This process and its children, as the kernel sees them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A child of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its process id.
    pub pid: i32,
    /// The kernel's letter: R, S, D, Z ...
    pub state: char,
    /// Its command line, words separated by spaces.
    pub command: String,
}

/// The children of this process, dead ones that nobody reaped included.
pub fn children() -> Vec<Child> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // pid (name) state ppid ...; the name may contain anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let is_ours = fields.next()? == own;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        is_ours.then_some(Child {
            pid,
            state,
            command,
        })
    })
    .collect()
}

/// Process ids of the running iotdec workers that this process started.
pub fn workers() -> Vec<i32> {
    let is_worker = |child: &Child| child.state != 'Z' && child.command.contains("iotdec-worker");
    children()
        .iter()
        .filter(|child| is_worker(child))
        .map(|child| child.pid)
        .collect()
}

/// Fails unless every child has ended and was reaped, which may take a moment.
#[track_caller]
pub fn assert_no_children() {
    let left = until(Duration::from_secs(5), || {
        let left = children();
        left.is_empty().then_some(())
    });
    assert!(left.is_some(), "processes left behind: {:#?}", children());
}

/// Looks again and again until `look` finds something, for `limit` at most.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What this process's file descriptors refer to, sorted.
pub fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let mut targets: Vec<_> = entries
        .flatten()
        // The directory that is being read is one of them, and gone afterwards.
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| !target.starts_with("/proc/"))
        .collect();
    targets.sort();
    targets
}

/// The same without the numbers that tell one pipe or socket from another.
pub fn kinds_of_descriptors() -> Vec<String> {
    let mut kinds = descriptors();
    for kind in &mut kinds {
        kind.retain(|letter| !letter.is_ascii_digit());
    }
    kinds.sort();
    kinds
}

/// Fails if there are descriptors of other kinds, or more of one kind, than `before`.
/// Threads that end close theirs a moment later, now as well as before.
#[track_caller]
pub fn assert_kinds_of_descriptors(before: &[String]) {
    let more = || {
        let mut now = kinds_of_descriptors();
        for kind in before {
            if let Some(at) = now.iter().position(|other| other == kind) {
                now.remove(at);
            }
        }
        now
    };
    until(Duration::from_secs(5), || more().is_empty().then_some(()));
    assert!(more().is_empty(), "descriptors leaked: {:?}", more());
}

/// Inodes of the memfds of that name which `pid` has mapped.
pub fn mapped_memfds(pid: i32, name: &str) -> Vec<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let wanted = format!("/memfd:{name}");
    let mut inodes: Vec<u64> = maps
        .lines()
        // address perms offset device inode path
        .filter(|line| line.contains(&wanted))
        .filter_map(|line| line.split_whitespace().nth(4)?.parse().ok())
        .collect();
    inodes.sort_unstable();
    inodes.dedup();
    inodes
}

/// A value of /proc/PID/status in KiB, such as VmRSS or VmHWM.
pub fn status_kib(pid: i32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Lets this process and its children dump core, as far as the system allows.
pub fn allow_core_dumps() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).expect("a limit there is");
    setrlimit(Resource::RLIMIT_CORE, hard, hard).expect("up to the hard limit");
}

/// Core dumps in a directory.
pub fn core_dumps(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let names = entries
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name == "core" || name.ends_with(".core") || name.starts_with("core."))
        .collect()
}

/// A program that does not outlive the test that started it.
#[derive(Debug)]
pub struct Running(std::process::Child);

impl Running {
    /// Takes charge of it.
    pub fn new(child: std::process::Child) -> Self {
        Self(child)
    }

    /// How it ended; `None` if it has not.
    pub fn end(&mut self) -> Option<std::process::ExitStatus> {
        self.0.try_wait().expect("our child")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        use nix::sys::signal::{Signal, kill};
        // Not SIGKILL at once: timeout(1) hands this one on to what it runs.
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        let ended = self.0.try_wait().is_ok_and(|status| status.is_some());
        if !ended && kill(pid, Signal::SIGTERM).is_ok() {
            let limit = Duration::from_secs(10);
            until(limit, || self.0.try_wait().ok().flatten());
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
