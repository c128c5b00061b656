//! Functions of a library's libraries, done by the host: which are, and that what is
//! wrong ends as it does without.

use iotdec_bridge::launch::find_qemu;
use iotdec_tests::compile::{self, GUEST};
use iotdec_tests::environment::{self, accelerator, variable_or_advice};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

/// guest/native.c, compiled.
struct Library {
    directory: TempDir,
    accelerator: PathBuf,
}

impl Library {
    fn new() -> Option<Self> {
        let accelerator = accelerator("native functions")?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut compiler = Command::new(GUEST);
        // Every call of a function is to be one.
        compiler.args(["-std=gnu11", "-O1", "-fno-builtin", "-shared", "-fPIC"]);
        let source = environment::root().join("tests/guest/native.c");
        let library = directory.path().join("libnative.so");
        compile::make(compiler.arg(source).arg("-lm"), &library);
        Some(Self {
            directory,
            accelerator,
        })
    }

    /// Calls one of its functions.
    fn call(&self, symbol: &str, mode: &str, list: Option<&str>) -> Output {
        Command::new(find_qemu(None).expect("qemu-user is installed"))
            .args(["-cpu", "cortex-a53", "-L"])
            .arg(variable_or_advice("IOTDEC_SYSROOT"))
            .arg("-plugin")
            .arg(&self.accelerator)
            .arg(variable_or_advice("IOTDEC_WORKER"))
            .args(["call", "--symbol", symbol, "--accel", mode, "--library"])
            .arg(self.directory.path().join("libnative.so"))
            .args(list.map(|list| ["--native", list]).into_iter().flatten())
            .output()
            .expect("it runs")
    }

    /// Native calls that `work` made.
    fn native_calls(&self, mode: &str, list: Option<&str>) -> u64 {
        // The worker makes some for itself.
        let [own, all] = ["nothing", "work"].map(|symbol| {
            let output = self.call(symbol, mode, list);
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{mode} {list:?}: {text}");
            let report: Value =
                serde_json::from_slice(&output.stdout).expect("the worker prints JSON");
            assert_eq!(report["result"], 0, "{mode} {list:?}: {text}");
            assert_eq!(report["accelerator"]["mode"], mode);
            report["accelerator"]["native_calls"]
                .as_u64()
                .expect("a count")
        });
        all - own
    }
}

#[test]
fn what_is_named_is_native() {
    let Some(library) = Library::new() else {
        return;
    };
    for mode in ["native", "turbo"] {
        for (list, calls) in [
            (Some(""), 0..=0),
            (Some("strlen,pow"), 0..=0),
            (Some("memcpy"), 100..=100),
            (Some("memset"), 30..=30),
            (Some("memcmp"), 10..=10),
            (Some("mem*"), 140..=140),
            (Some("memmove, memset ,e*"), 49..=50),
            (Some("*"), 159..=160),
            (None, 159..=160),
        ] {
            let made = library.native_calls(mode, list);
            assert!(calls.contains(&made), "{mode} {list:?}: {made}");
        }
    }
    assert_eq!(library.native_calls("off", Some("*")), 0);
}

#[test]
fn unknown_names_are_an_error() {
    let Some(library) = Library::new() else {
        return;
    };
    let output = library.call("nothing", "native", Some("memcpy,malloc"));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no function is called malloc"), "{text}");
}

#[test]
fn mistakes_end_as_they_do_without() {
    let Some(library) = Library::new() else {
        return;
    };
    for mode in ["off", "native", "turbo"] {
        let output = library.call("copy_from_nowhere", mode, None);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.signal(),
            Some(libc::SIGSEGV),
            "{mode}: {text}"
        );
        assert!(
            text.contains("SIGSEGV at address 0x1000 in "),
            "{mode}: {text}"
        );

        let output = library.call("copy_too_much", mode, None);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.signal(),
            Some(libc::SIGABRT),
            "{mode}: {text}"
        );
        assert!(text.contains("buffer overflow detected"), "{mode}: {text}");
    }
}
