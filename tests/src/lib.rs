//! What the tests of iotdec as a whole share: pipelines that cannot hang a test,
//! frames as digests, the native library as the reference, and a look at
//! processes and files from outside.

pub mod clips;
pub mod compile;
pub mod copies;
pub mod crafted;
pub mod display;
pub mod downstream;
pub mod environment;
pub mod fetch;
pub mod film;
pub mod frames;
pub mod native;
pub mod pipeline;
pub mod pixels;
pub mod process;
pub mod random;
pub mod table;
pub mod vectors;
pub mod wrapped;

use std::sync::{Mutex, MutexGuard};

/// Runs the tests of one program one after the other: they count this process's
/// children and descriptors, and two emulators slow each other.
pub fn exclusive() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|failed| failed.into_inner())
}
