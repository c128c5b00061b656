//! What the accelerator, a plugin in the QEMU that runs this worker, does for it.
//! Without one, and in a native worker, everything here is a plain call.

#[cfg(target_arch = "aarch64")]
mod selftest;
#[cfg(target_arch = "aarch64")]
mod turbo;

pub use iotdec_wire::msg::Acceleration as Mode;

/// What came of opening the accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is on.
    pub mode: Mode,
    /// Why that is less than was wanted; empty if it is not.
    pub reason: String,
}

impl Report {
    fn less(mode: Mode, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { mode, reason }
    }

    /// What is on, and what it did so far, as JSON.
    pub fn json(&self) -> String {
        let (mode, reason) = (self.mode.name(), &self.reason);
        let iotdec_wire::door::Counters {
            entries,
            syscalls,
            unknown,
            leaves,
            pauses,
            blocks,
            code_bytes,
            native_calls,
        } = counters().unwrap_or_default();
        format!(
            "{{\"mode\":\"{mode}\",\"reason\":{reason:?},\"entries\":{entries},\
             \"syscalls\":{syscalls},\"unknown\":{unknown},\"leaves\":{leaves},\
             \"pauses\":{pauses},\"blocks\":{blocks},\"code_bytes\":{code_bytes},\
             \"native_calls\":{native_calls}}}"
        )
    }
}

/// Makes use of the accelerator, as far as it is there and works. Before the library is
/// loaded: threads that its constructors create are to be in turbo as well.
pub fn open(wanted: Mode) -> Report {
    if wanted == Mode::Off {
        return Report::less(Mode::Off, "");
    }
    imp::open(wanted)
}

/// Switches turbo on if it works, in a thread of its own, after [`open`] with native functions
/// only. Once; with threads that make their calls meanwhile. Says nothing, whatever comes of it.
#[cfg(target_arch = "aarch64")]
pub fn warm_up() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        imp::be_silent();
        // Without the thread everything works as before.
        let _ = std::thread::Builder::new().spawn(imp::start_turbo);
    });
}

/// Calls `function`, in turbo if that is on.
pub fn run<R>(function: impl FnOnce() -> R) -> R {
    imp::run(function)
}

#[cfg(target_arch = "aarch64")]
pub use imp::{ThreadFunction, create_outside, is_well_placed, mode, run_threads_with};

/// Where the library was when the program counter was `pc`: while code runs in turbo,
/// that says nothing.
pub fn library_pc(pc: u64) -> u64 {
    imp::library_pc(pc)
}

/// What the accelerator counted; `None` if there is none.
pub fn counters() -> Option<iotdec_wire::door::Counters> {
    imp::counters()
}

/// How often each instruction was executed that turbo does not know, as JSON.
pub fn unknown_json() -> String {
    let hits: Vec<_> = imp::unknown_instructions()
        .map(|(word, hits)| format!("\"{word:08x}\":{hits}"))
        .collect();
    format!("{{{}}}", hits.join(","))
}

#[cfg(target_arch = "aarch64")]
mod imp {
    use super::{Mode, Report, selftest, turbo};
    use bytemuck::Zeroable;
    use iotdec_wire::door::{Counters, Service, Status, VERSION, features};
    use iotdec_wire::knock::{knock, processor};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    pub use turbo::{
        ThreadFunction, be_silent, create_outside, is_well_placed, library_pc, run,
        run_threads_with, unknown_instructions,
    };

    static IS_THERE: AtomicBool = AtomicBool::new(false);
    static HAS_TURBO: AtomicBool = AtomicBool::new(false);

    pub fn open(wanted: Mode) -> Report {
        let [ctr_el0, dczid_el0, cntfrq_el0] = processor();
        let mut values = [VERSION, ctr_el0, dczid_el0, cntfrq_el0, 0, 0];
        let status = knock(Service::Hello, &mut values);
        match (status, values) {
            (Status::Done, _) => IS_THERE.store(true, Relaxed),
            (Status::Unanswered, _) => {
                return Report::less(Mode::Off, "QEMU runs without the accelerator");
            }
            (_, [VERSION, ..]) => {
                return Report::less(Mode::Off, "the accelerator declines this QEMU");
            }
            (_, [other, ..]) => {
                let reason = format!("the accelerator has version {other}, the worker {VERSION}");
                return Report::less(Mode::Off, reason);
            }
        }
        HAS_TURBO.store(values[1] & features::TURBO != 0, Relaxed);
        match wanted {
            Mode::Native => Report::less(Mode::Native, ""),
            _ => start_turbo(),
        }
    }

    /// Switches turbo on, if it works.
    pub fn start_turbo() -> Report {
        if !HAS_TURBO.load(Relaxed) {
            return Report::less(Mode::Native, "the accelerator has no second translator");
        }
        if let Err(reason) = tell_executable() {
            return Report::less(Mode::Native, reason);
        }
        // SAFETY: it says that it has.
        match unsafe { turbo::try_out(selftest::run) } {
            Ok(()) => {
                // SAFETY: as above.
                unsafe { turbo::switch_on() };
                Report::less(Mode::Turbo, "")
            }
            Err(reason) => Report::less(Mode::Native, reason),
        }
    }

    /// What is on now.
    pub fn mode() -> Mode {
        match IS_THERE.load(Relaxed) {
            true if turbo::is_on() => Mode::Turbo,
            true => Mode::Native,
            false => Mode::Off,
        }
    }

    /// Tells what may be executed of what is mapped already.
    fn tell_executable() -> Result<(), String> {
        let maps = std::fs::read_to_string("/proc/self/maps")
            .map_err(|error| format!("/proc/self/maps: {error}"))?;
        for line in maps.lines() {
            // address perms offset device inode path (proc(5))
            let mut fields = line.split(' ');
            let (range, permissions) = (fields.next(), fields.next());
            if !permissions.is_some_and(|letters| letters.contains('x')) {
                continue;
            }
            let number = |digits| u64::from_str_radix(digits, 16).ok();
            let range = range.and_then(|range| range.split_once('-'));
            let range = range.and_then(|(start, end)| Some((number(start)?, number(end)?)));
            let (start, end) = range.ok_or_else(|| format!("/proc/self/maps: {line}"))?;
            let mut values = [start, end - start, 0, 0, 0, 0];
            if knock(Service::Executable, &mut values) != Status::Done {
                return Err("the accelerator does not take memory that is code".to_owned());
            }
        }
        Ok(())
    }

    pub fn counters() -> Option<Counters> {
        let mut counters = Counters::zeroed();
        let mut values = [&raw mut counters as u64, 0, 0, 0, 0, 0];
        let is_there = IS_THERE.load(Relaxed);
        (is_there && knock(Service::Count, &mut values) == Status::Done).then_some(counters)
    }
}

#[cfg(not(target_arch = "aarch64"))]
mod imp {
    use super::{Mode, Report};

    pub fn open(_: Mode) -> Report {
        Report::less(Mode::Off, "the worker runs natively")
    }

    pub fn run<R>(function: impl FnOnce() -> R) -> R {
        function()
    }

    pub fn library_pc(pc: u64) -> u64 {
        pc
    }

    pub fn counters() -> Option<iotdec_wire::door::Counters> {
        None
    }

    pub fn unknown_instructions() -> impl Iterator<Item = (u32, u64)> {
        std::iter::empty()
    }
}
