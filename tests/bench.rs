//! What `iotdec bench` tells.

use iotdec_tests::clips::{self, Codec};
use iotdec_tests::exclusive;
use iotdec_tests::process::Running;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);
const FRAMES: u32 = 12;

/// Runs the benchmark, and reads its results.
fn bench(directory: &Path, arguments: &[&str]) -> Value {
    let clip = clips::encode(directory, Codec::H264, FRAMES, 6);
    let json = directory.join("result.json");
    let child = Command::new("iotdec")
        .arg("bench")
        .arg(&clip)
        .args(["--runs", "1", "--seconds", "1"])
        .arg(format!("--json={}", json.display()))
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("setup/devenv puts iotdec on PATH");
    let mut running = Running::new(child);
    let end = iotdec_tests::process::until(LIMIT, || running.end()).expect("an end");
    assert!(end.success(), "{end}");
    let text = std::fs::read(json).expect("results");
    serde_json::from_slice(&text).expect("JSON")
}

fn names(file: &Value) -> Vec<&str> {
    let contenders = file["contenders"].as_array().expect("a list");
    let names = contenders
        .iter()
        .map(|c| c["contender"].as_str().expect("a name"));
    names.collect()
}

fn contender<'a>(file: &'a Value, name: &str) -> &'a Value {
    let contenders = file["contenders"].as_array().expect("a list");
    let found = contenders.iter().find(|c| c["contender"] == name);
    found.unwrap_or_else(|| panic!("no contender {name}: {file}"))
}

#[test]
fn the_accelerator_is_compared_and_its_costs_are_told() {
    let _turn = exclusive();
    iotdec_tests::environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let results = bench(directory.path(), &["--accelerator"]);
    let file = &results["files"][0];
    assert_eq!(
        names(file),
        ["native", "plain", "calls", "turbo", "turbo+calls"]
    );
    let checksum = file["checksum"].as_str().expect("one for all of them");
    assert_eq!(checksum.len(), 16, "{checksum}");

    for standing in file["contenders"].as_array().expect("a list") {
        let samples = standing["samples"].as_array().expect("a list");
        assert_eq!(samples.len(), 1, "{standing}");
        for sample in samples {
            assert_eq!(sample["frames"], FRAMES, "{standing}");
        }
        let ratio = &standing["to_plain"];
        let [min, median, max] = ["min", "median", "max"].map(|key| ratio[key].as_f64());
        assert!(min.is_some() && min <= median && median <= max, "{ratio}");
    }
    let count = |name, counter: &str| {
        let counts = &contender(file, name)["samples"][0]["counts"];
        counts[counter]
            .as_u64()
            .unwrap_or_else(|| panic!("{counts}"))
    };
    assert_eq!(count("plain", "entries"), 0);
    assert_eq!(count("plain", "native_calls"), 0);
    assert_eq!(count("calls", "entries"), 0);
    assert!(count("calls", "native_calls") > u64::from(FRAMES));
    assert!(count("turbo", "entries") > u64::from(FRAMES));
    // The worker's own at its start.
    assert!(count("turbo", "native_calls") < u64::from(FRAMES));
    assert!(count("turbo+calls", "entries") > u64::from(FRAMES));
    assert!(count("turbo+calls", "native_calls") > u64::from(FRAMES));

    let costs = results["costs"].as_array().expect("a list");
    assert!(costs.len() > 5, "{costs:?}");
    for cost in costs {
        assert!(cost["ns"]["min"].as_f64() > Some(0.0), "{cost}");
    }
}

#[test]
fn calls_are_compared_with_other_ways_to_call() {
    let _turn = exclusive();
    let output = Command::new("iotdec")
        .args(["bench", "--calls", "--runs=1", "--seconds=0", "--json"])
        .stderr(Stdio::inherit())
        .output()
        .expect("setup/devenv puts iotdec on PATH");
    assert!(output.status.success(), "{}", output.status);
    let results: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = results["rows"].as_array().expect("a list");
    let names: Vec<_> = rows.iter().map(|it| it["row"].as_str()).collect();
    assert!(names.contains(&Some("so_lib_function_a")), "{names:?}");
    for row in rows {
        let contenders = row["contenders"].as_array().expect("a list");
        for name in [
            "wrapper", "api", "turnflag", "eventfd", "pipe", "socket", "native",
        ] {
            let found = contenders.iter().find(|it| it["contender"] == name);
            let found = found.unwrap_or_else(|| panic!("no {name}: {row}"));
            assert!(found["samples"].as_u64() > Some(0), "{found}");
            let [p1, p50, p99] = ["p1", "p50", "p99"].map(|it| found[it]["median"].as_f64());
            assert!(p1 <= p50 && p50 <= p99, "{found}");
            // No process is reached in a nanosecond.
            assert!(name == "native" || p50 > Some(1.0), "{found}");
        }
    }
    let steps = results["breakdown"].as_array().expect("a list");
    for step in ["pack and unpack", "dispatch", "call", "empty call"] {
        let found = steps.iter().find(|it| it["step"] == step);
        let found = found.unwrap_or_else(|| panic!("no {step}: {steps:?}"));
        assert!(found["ns"]["median"].as_f64() > Some(0.0), "{found}");
    }
    assert_eq!(results["targets"].as_array().map(Vec::len), Some(3));
}

#[test]
fn contenders_can_be_chosen() {
    let _turn = exclusive();
    iotdec_tests::environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let results = bench(directory.path(), &["--contenders", "iotdec,bare"]);
    let file = &results["files"][0];
    assert_eq!(
        names(file),
        ["bare", "iotdec"],
        "in the order of the report"
    );
    assert!(contender(file, "bare")["to_plain"].is_null());
    assert!(contender(file, "iotdec")["to_bare"]["median"].as_f64() > Some(0.0));
    assert!(file["paced"]["late"].as_u64() <= file["paced"]["frames"].as_u64());
    assert_eq!(results["costs"], serde_json::json!([]));
}
