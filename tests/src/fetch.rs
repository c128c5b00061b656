//! Libraries that set-up fetches only when they are asked for.

use crate::environment::root;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

/// libavcodec for arm64, in a sysroot of its own. Call it before GStreamer looks for
/// decoders.
///
/// # Panics
/// If it is not there and cannot be fetched.
pub fn avcodec_sysroot() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| run(&["setup/sysroot.sh", "avcodec"]));
}

/// Wheels for aarch64, unpacked. The folder they are in.
///
/// # Panics
/// If they are not there and cannot be fetched.
pub fn wheels() -> PathBuf {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| run(&["setup/wheels.sh"]));
    root().join(".deps/wheels")
}

/// What wrapping libraries and testing the wrappers needs: see setup/libraries.sh.
///
/// # Panics
/// If it is not there and cannot be fetched.
pub fn libraries() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| run(&["setup/libraries.sh"]));
}

/// The source of a Debian package. The folder it is in.
///
/// # Panics
/// If it is not there and cannot be fetched.
pub fn source(package: &str) -> PathBuf {
    run(&["setup/sources.sh", package]);
    root().join(".deps/sources").join(package)
}

#[track_caller]
fn run(command: &[&str]) {
    let (script, arguments) = command.split_first().expect("a script");
    let status = Command::new(root().join(script)).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("{script}: {error}"));
    assert!(status.success(), "{command:?}: {status}, see above");
}
