//! Which workers for calls there are, and which libraries share one.

mod command;
mod start;

use super::accelerator::{self, Choice};
use super::worker::Worker;
use super::wrapper::{State, Wished};
use crate::accel::Obstacle;
use crate::launch::find_sysroot;
use crate::library::{find_in_sysroot, needs};
pub(crate) use start::without_signals;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// Workers of one program.
pub(crate) const SETTINGS: usize = 16;

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
    /// Held while a worker is started, which may take long: `state` is not, as others ask for it to
    /// free something.
    starting: Mutex<()>,
    /// What its workers have loaded, in this order.
    pub(crate) loaded: Mutex<Vec<&'static State>>,
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
    wished: Wished,
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
    let accelerator = accelerator::choose(wished, &path, needs, set_cpu.as_deref());
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
        starting: Mutex::default(),
        loaded: Mutex::default(),
    }));
    made.push(setting);
    Ok((setting, path))
}

/// Every worker that was started last.
pub(crate) fn workers() -> Vec<Arc<Worker>> {
    let made = SETTINGS_MADE.lock().expect("nothing panics with it");
    let running = made
        .iter()
        .filter_map(|setting| setting.state().worker.clone());
    running.collect()
}

/// Does something with each of them, without allocating or waiting.
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
        if let Some(worker) = self.running() {
            return Ok(worker);
        }
        let _starting = self.starting.lock().expect("nothing panics with it");
        if let Some(worker) = self.running() {
            return Ok(worker);
        }
        let former = {
            let mut state = self.state();
            // What could not be started for want of a file is not tried at every call.
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            state.worker.take()
        };
        if let Some(former) = former {
            // What it still writes would be over what the next one is told.
            former.wait_for_end();
        }
        match self.start() {
            Ok(worker) => Ok(self.state().worker.insert(worker).clone()),
            Err(failure) if failure.passes => Err(failure.text),
            Err(failure) => Err(self.state().failure.insert(failure.text).clone()),
        }
    }

    /// The worker, if one runs.
    fn running(&self) -> Option<Arc<Worker>> {
        let state = self.state();
        state.worker.as_ref().filter(|it| !it.is_over()).cloned()
    }

    fn state(&self) -> MutexGuard<'_, Running> {
        self.state.lock().expect("nothing panics with it")
    }
}
