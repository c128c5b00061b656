//! What libraries do that are broken or hostile, and that the program goes on.

use super::{compile, make, place, run, sources};
use iotdec_tests::compile::{GUEST, HOST};
use iotdec_tests::environment::{is_full, variable_or_advice};
use iotdec_wrap::wrap::Request;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

/// The program, and the directory of the wrapper.
fn made() -> &'static (PathBuf, PathBuf) {
    static MADE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    MADE.get_or_init(|| {
        let place = place("hostile");
        let guest = place.join("aarch64-libhostile.so.1");
        let options = ["-shared", "-fPIC", "-Wl,-soname,libhostile.so.1"];
        let source = sources().join("hostile.c");
        compile(GUEST, &options, &source, &guest, &[]);
        let report = make(Request {
            headers: vec![sources().join("hostile.h")],
            library: guest,
            config: Some(sources().join("hostile.toml")),
            output: place.join("wrapper"),
            ..Request::default()
        });
        assert_eq!(report.refused.len(), 0, "{:?}", report.refused);
        let program = place.join("program");
        let runtime = variable_or_advice("IOTDEC_RUNTIME");
        let path = format!("-Wl,-rpath,{}", runtime.display());
        let include = super::root().join("bridge/runtime/include");
        let include = format!("-I{}", include.display());
        let source = sources().join("uses-hostile.c");
        let libraries: [&Path; 2] = [&report.native, &runtime.join("libiotdec.so")];
        compile(
            HOST,
            &["-g", &include, &path],
            &source,
            &program,
            &libraries,
        );
        let wrapper = report.native.parent().expect("a directory").to_owned();
        (program, wrapper)
    })
}

/// What the library has written to its standard error meanwhile.
#[track_caller]
fn goes_on(what: &str) -> String {
    let (program, wrapper) = made();
    let short = [("SHORT", Path::new("1"))];
    let variables = if is_full() { &short[..0] } else { &short[..] };
    let start = Instant::now();
    let output = run(program, &[what.to_owned()], wrapper, variables);
    println!("{what}: {:?}", start.elapsed());
    // QEMU writes there as well when it fails by an assertion, as GLib's assertions do.
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.ends_with("ok\n"),
        "{}: {said}{}",
        output.status,
        // What the library writes comes here, too.
        String::from_utf8_lossy(&output.stderr[..output.stderr.len().min(4000)])
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wild_pointers_are_refused() {
    goes_on("pointers");
}

#[test]
fn callbacks_are_not_given_wild_pointers() {
    goes_on("arguments");
}

#[test]
fn signals_end_the_worker_alone() {
    goes_on("signals");
}

#[test]
fn memory_that_is_taken_away_is_missed_by_the_worker_alone() {
    goes_on("memory");
}

#[test]
fn jumps_into_nothing_and_garbage_are_errors() {
    goes_on("jumps");
}

#[test]
fn a_worker_that_ends_hangs_or_becomes_another_program_is_replaced() {
    goes_on("ends");
}

#[test]
fn whatever_is_written_over_the_lanes_the_program_goes_on() {
    goes_on("scribbling");
}

#[test]
fn floods_of_threads_that_call_back_and_print_end_or_are_served() {
    const THREADS: usize = 60;
    const ROUNDS: usize = 6;
    const LINES: usize = 20;
    let printed = goes_on("floods");
    let printed = printed.lines().filter(|line| line.starts_with("thread "));
    let mut next = [0; THREADS];
    for line in printed {
        let thread: usize = line
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .expect(line);
        let number = next[thread] % LINES;
        next[thread] += 1;
        let whole = format!(
            "thread {thread} line {number}, of which all is to be seen, and nothing in between"
        );
        assert_eq!(line, whole);
    }
    assert_eq!(next, [ROUNDS * LINES; THREADS]);
}

#[test]
fn callbacks_after_the_call_are_served() {
    goes_on("later");
}
