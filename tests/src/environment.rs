//! The build under test, and where its material lies.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;

/// What setup/devenv sets.
const VARIABLES: [&str; 5] = [
    "GST_PLUGIN_PATH",
    "IOTDEC_WORKER",
    "IOTDEC_NATIVE_WORKER",
    "IOTDEC_DECODER_PATH",
    "IOTDEC_SYSROOT",
];

/// Initialises GStreamer with the plugin of this tree.
///
/// # Panics
/// If the environment is not the one of setup/devenv.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for variable in VARIABLES {
            variable_or_advice(variable);
        }
        gst::init().expect("GStreamer starts");
        assert!(
            gst::ElementFactory::find("iotdec").is_some(),
            "GStreamer does not find the element iotdec in GST_PLUGIN_PATH; run make build"
        );
    });
}

/// The value of a variable that setup/devenv sets.
pub fn variable_or_advice(variable: &str) -> PathBuf {
    let value = env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set: run the tests with make check, or through setup/devenv")
    });
    value.into()
}

/// Threads that decoders called `decoder` are to have, if IOTDEC_TEST_THREADS says so.
pub fn decoder_threads() -> Option<u32> {
    let value = env::var("IOTDEC_TEST_THREADS").ok()?;
    Some(value.parse().expect("IOTDEC_TEST_THREADS is a number"))
}

/// The root of this source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the root")
}

/// A clip of samples/.
///
/// # Panics
/// If it is not there: the samples are part of the tree.
pub fn sample(name: &str) -> PathBuf {
    let path = root().join("samples").join(name);
    assert!(path.is_file(), "{} is missing", path.display());
    path
}

/// Says what cannot be tested here, and why: past the test harness, which shows nothing
/// of what tests that pass have printed.
pub fn skipped(what: &str, why: impl Display) {
    let _ = writeln!(io::stderr(), "skipped: {what}: {why}");
}

/// The folder of test vectors, which are not part of the tree. Says so and
/// returns `None` where it is absent.
///
/// # Panics
/// If IOTDEC_VECTORS names a folder that has none.
pub fn vectors(what: &str) -> Option<PathBuf> {
    let named = env::var_os("IOTDEC_VECTORS").map(PathBuf::from);
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| root().join("../shared/vectors"));
    if path.join("MANIFEST.tsv").is_file() {
        return Some(path);
    }
    let why = format!("no test vectors in {}", path.display());
    assert!(!is_named, "{why}, which IOTDEC_VECTORS names");
    skipped(what, why + " (IOTDEC_VECTORS names another folder)");
    None
}

/// Whether the long form of a test is wanted.
pub fn is_full() -> bool {
    env::var_os("IOTDEC_FULL").is_some_and(|value| value != "0")
}

/// The accelerator of this build. Says so and returns `None` where there is none: it
/// was configured without, or QEMU takes no plugins.
pub fn accelerator(what: &str) -> Option<PathBuf> {
    use iotdec_bridge::{Launch, LaunchError, Manifest, Obstacle, Overrides, Wish};
    let manifests = Manifest::read(&root().join("manifests/de265.toml")).expect("a good one");
    let overrides = Overrides {
        accel: Some(Wish::Turbo),
        ..Overrides::default()
    };
    match Launch::resolve(&manifests[0], &overrides) {
        Ok(launch) => Some(launch.accelerator.expect("an error otherwise").plugin),
        Err(LaunchError::Accelerator {
            obstacle: obstacle @ (Obstacle::NotBuilt | Obstacle::NoPlugins(_)),
            ..
        }) => {
            skipped(what, obstacle);
            None
        }
        Err(error) => panic!("{error}"),
    }
}
