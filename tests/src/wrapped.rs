//! Libraries that native programs use through wrappers, and their upstreams' tests as
//! the judges of that. A *recipe*, one of `tests/wrapped/*.toml`, says how the tests of
//! one library are compiled and run; they are compiled once, natively, against the
//! library's own headers and its native twin, and then run with whatever library of the
//! same name a directory has: the twin, a broken one, or the wrapper.

pub mod broken;
pub mod programs;
pub mod recipe;
pub mod run;
pub mod table;
pub mod wrapper;

use crate::environment::root;
use crate::fetch;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What set-up fetched for wrapping: see setup/libraries.sh.
#[derive(Clone, Debug)]
pub struct Material {
    /// The headers of all libraries; those that differ, in a directory by target.
    pub headers: PathBuf,
    /// The amd64 twins, and what they need.
    pub native: PathBuf,
    /// The arm64 libraries, and what they need.
    pub sysroot: PathBuf,
}

/// Fetches what is missing.
///
/// # Panics
/// If it cannot be fetched.
pub fn material() -> Material {
    fetch::libraries();
    let deps = root().join(".deps");
    Material {
        headers: deps.join("libraries/include"),
        native: deps.join("libraries/native"),
        sysroot: deps.join("sysroot-libraries"),
    }
}

impl Material {
    /// The arm64 library of that name.
    pub fn guest_library(&self, name: &str) -> PathBuf {
        self.sysroot.join("lib/aarch64-linux-gnu").join(name)
    }
}

/// Does something with each item, on all processors; results are in the items' order.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = work(item);
                    done.lock().expect("no panic inside").push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic inside");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
