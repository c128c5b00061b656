//! The accelerator's translator against QEMU: random code, the self-test at the worker's
//! start, and that neither would miss a mistake.

use iotdec_bridge::launch::find_qemu;
use iotdec_tests::environment::{self, variable_or_advice};
use iotdec_tests::exclusive;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// QEMU with the accelerator, which is told `mistranslate` if that is not empty.
fn qemu(accelerator: &Path, mistranslate: &str) -> Command {
    let mut plugin = accelerator.as_os_str().to_owned();
    if !mistranslate.is_empty() {
        plugin.push(format!(",mistranslate={mistranslate}"));
    }
    let mut command = Command::new(find_qemu(None).expect("qemu-user is installed"));
    command
        .args(["-cpu", "cortex-a53", "-L"])
        .arg(variable_or_advice("IOTDEC_SYSROOT"))
        .arg("-plugin")
        .arg(plugin);
    command
}

/// The fuzzer, a program for the guest that nothing else needs.
fn fuzzer() -> &'static Path {
    static PROGRAM: OnceLock<std::path::PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = Command::new(environment::root().join("setup/cargo-guest"))
            .args(["build", "--release", "-p", "iotdec-fuzz"])
            .current_dir(environment::root())
            .status()
            .expect("setup/cargo-guest runs");
        assert!(built.success(), "the fuzzer does not compile");
        environment::root().join("target/guest/aarch64-unknown-linux-gnu/release/iotdec-fuzz")
    })
}

fn fuzz(accelerator: &Path, mistranslate: &str, arguments: &[&str]) -> (Output, Value) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let json = directory.path().join("counts");
    let output = qemu(accelerator, mistranslate)
        .arg(fuzzer())
        .args(arguments)
        .arg("--json")
        .arg(&json)
        .output()
        .expect("QEMU runs");
    let text = std::fs::read(&json).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, serde_json::from_slice(&text).expect("JSON"))
}

/// docs/accelerator-fuzzing.md tells of the long run.
#[test]
fn random_code_does_the_same_in_both() {
    let Some(accelerator) = environment::accelerator("the fuzzer") else {
        return;
    };
    let _turn = exclusive();
    let (singles, sequences) = if environment::is_full() {
        ("20", "100000")
    } else {
        ("1", "4000")
    };
    let arguments = [
        "--singles",
        singles,
        "--sequences",
        sequences,
        "--states",
        "2",
    ];
    let (output, counts) = fuzz(&accelerator, "", &arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(counts["different"], 0);
    let count = |field: &str| counts[field].as_u64().expect("a number");
    let wanted: u64 = sequences.parse().expect("a number");
    assert!(count("sequences") >= wanted && count("executions") > wanted);
    let classes = counts["table"].as_array().expect("a list");
    for class in classes {
        let (name, encodings) = (&class[0], class[1].as_array().expect("a list"));
        assert!(!encodings.is_empty(), "{name}: none were executed");
    }
}

/// Mistakes of the translator, and where they are to be found.
#[test]
fn the_fuzzer_finds_mistakes() {
    let Some(accelerator) = environment::accelerator("the fuzzer's mistakes") else {
        return;
    };
    let _turn = exclusive();
    for (mistranslate, what, class) in [
        // `adds` sets no flags.
        (
            "7f800000/31000000/20000000",
            "flags",
            "Add/subtract (immediate)",
        ),
        // `ldr x` is off by eight bytes.
        (
            "ffc00000/f9400000/00000400",
            "a load",
            "Load/store (unsigned immediate)",
        ),
        // `stp q` stores the second register twice as far away.
        (
            "ffc00000/ad000000/00008000",
            "a store",
            "Load/store pair (offset)",
        ),
        // `fadd` subtracts.
        (
            "ff20fc00/1e202800/00001000",
            "a number",
            "Floating-point data-processing (2 source)",
        ),
        // `sqadd` is unsigned.
        (
            "bf20fc00/0e200c00/20000000",
            "saturation",
            "SIMD three same",
        ),
        // `b.lt` is `b.ge`.
        (
            "ff00001f/5400000b/00000001",
            "a branch",
            "Conditional branch (immediate)",
        ),
    ] {
        let only = if what == "a branch" {
            "(immediate)"
        } else {
            class
        };
        let arguments = ["--sequences", "1500", "--only", only];
        let (output, counts) = fuzz(&accelerator, mistranslate, &arguments);
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        let findings = counts["differences"].as_array().expect("a list");
        let is_there = findings.iter().any(|finding| {
            let classes = finding["classes"].as_array().expect("a list");
            classes.iter().any(|name| name == class)
        });
        assert!(is_there, "{what}: {findings:?}");
    }
}

/// What the worker says of the accelerator: the mode, and why not more.
fn opened(accelerator: &Path, mistranslate: &str) -> (String, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let packets = directory.path().join("none");
    std::fs::write(&packets, "").expect("writable");
    let library = variable_or_advice("IOTDEC_SYSROOT").join("lib/aarch64-linux-gnu/libde265.so.0");
    let output = qemu(accelerator, mistranslate)
        .arg(variable_or_advice("IOTDEC_WORKER"))
        .args([
            "bare",
            "--adapter",
            "libde265",
            "--accel",
            "turbo",
            "--library",
        ])
        .arg(library)
        .arg("--packets")
        .arg(packets)
        .output()
        .expect("QEMU runs");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |field: &str| {
        report["accelerator"][field]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    (text("mode"), text("reason"))
}

/// A translator that the self-test finds wrong is not used; native functions are.
#[test]
fn the_self_test_finds_mistakes() {
    let Some(accelerator) = environment::accelerator("the self-test") else {
        return;
    };
    let _turn = exclusive();
    assert_eq!(opened(&accelerator, ""), ("turbo".into(), "".into()));
    for (mistranslate, snippet) in [
        ("7f200000/0b000000/40000000", "branches"),
        ("ff20fc00/6e208400/20000000", "vector sums"),
        ("ff20fc00/1e202800/00001000", "floating point"),
        ("bfe0fc00/0e600c00/20000000", "saturation"),
        ("ffe00c00/3cc00000/00001000", "vector loads and stores"),
    ] {
        let (mode, reason) = opened(&accelerator, mistranslate);
        assert_eq!(mode, "native", "{snippet}");
        let expected = format!("the self-test failed at {snippet}: ");
        assert!(reason.starts_with(&expected), "{snippet}: {reason}");
    }
}
