//! Ctrl-C and its relatives, as a question that long work asks now and then.

use crate::failure::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From here on a signal only asks to stop. A second one stops at once: the
/// workers then die with us, by the kernel's hand.
pub fn install() -> Result<(), Failure> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 130, REQUESTED.clone())
            .and_then(|_| flag::register(signal, REQUESTED.clone()))
            .map_err(|error| Failure::Error(format!("cannot handle signals: {error}")))?;
    }
    Ok(())
}

/// Fails if a signal has asked to stop.
pub fn check() -> Result<(), Failure> {
    if REQUESTED.load(Ordering::Relaxed) {
        return Err(Failure::Interrupted);
    }
    Ok(())
}
