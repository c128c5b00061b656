//! File descriptors that a library returns: the program has the same open files, under numbers
//! of its own, and nothing is left open by mistake on either side.
//!
//! One program runs with the library as it would natively be, and with the wrapper of the library
//! for aarch64, and what it prints has to be the same. The other one is about what goes wrong.

use iotdec_tests::compile::{self, GUEST, HOST};
use iotdec_tests::environment::{root, variable_or_advice};
use iotdec_wrap::wrap::{Request, wrap};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const SONAME: &str = "libgives.so.1";

fn source(name: &str) -> PathBuf {
    root().join("tests/bridge-descriptors").join(name)
}

fn compile(compiler: &str, name: &str, to: &Path, options: &[&str]) {
    let mut compiler = Command::new(compiler);
    compiler
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread"])
        .arg(source(name))
        .args(options);
    compile::make(&mut compiler, to);
}

/// Where both libraries and the programs are.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let to = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bridge-descriptors");
        let (native, wrapped) = (to.join("native"), to.join("wrapped"));
        for directory in [&native, &wrapped] {
            std::fs::create_dir_all(directory).expect("room");
        }
        let soname = format!("-Wl,-soname,{SONAME}");
        let library = ["-shared", "-fPIC", &soname];
        let guest = to.join("libgives-arm.so");
        compile(GUEST, "gives.c", &guest, &library);
        let own = native.join(SONAME);
        compile(HOST, "gives.c", &own, &library);
        let report = wrap(&Request {
            headers: vec![source("gives.h")],
            library: guest,
            config: Some(source("gives.toml")),
            output: wrapped,
            runtime: Some(variable_or_advice("IOTDEC_RUNTIME")),
            ..Request::default()
        });
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.refused.len(), 0, "{:?}", report.refused);
        let own = own.display().to_string();
        compile(HOST, "program.c", &to.join("program"), &[&own]);
        let include = format!("-I{}", root().join("bridge/runtime/include").display());
        let runtime = variable_or_advice("IOTDEC_RUNTIME").join("libiotdec.so");
        let runtime = runtime.display().to_string();
        let native_part = report.native.display().to_string();
        let options = [&include[..], &native_part, &runtime];
        compile(HOST, "wrong.c", &to.join("wrong"), &options);
        to
    })
}

/// Runs a program with the library that is in a directory.
fn run(directory: &str, program: &str, what: &str) -> Output {
    let mut search = made().join(directory).into_os_string();
    search.push(":");
    search.push(variable_or_advice("IOTDEC_RUNTIME"));
    Command::new("timeout")
        .arg("300")
        .arg("env")
        .arg(made().join(program))
        .arg(what)
        .env("LD_LIBRARY_PATH", search)
        .output()
        .expect("timeout is part of the system")
}

#[track_caller]
fn is_as_in_one_process(what: &str) -> String {
    let [native, wrapped] = ["native", "wrapped"].map(|library| run(library, "program", what));
    assert!(native.status.success(), "{native:?}");
    assert!(wrapped.status.success(), "{wrapped:?}");
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text(&native), text(&wrapped));
    text(&native)
}

#[track_caller]
fn goes_wrong_as_it_should(what: &str) {
    let output = run("wrapped", "wrong", what);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
}

#[test]
fn both_have_the_same_files() {
    let text = is_as_in_one_process("ways");
    // Or there were no two to compare.
    assert!(text.starts_with("1 3 0\n-1 1\n0 3 3 0 abc\n"), "{text}");
    assert!(text.contains("-1 1 7 1 11\n"), "{text}");
}

#[test]
fn ten_thousand_times_leave_nothing_open() {
    assert_eq!(is_as_in_one_process("many"), "0 0\n");
}

#[test]
fn threads_get_their_own() {
    assert_eq!(is_as_in_one_process("threads"), "0 0 0 0\n");
}

#[test]
fn what_is_no_file_is_an_error() {
    goes_wrong_as_it_should("numbers");
}

#[test]
fn a_program_without_room_gets_none_of_them() {
    goes_wrong_as_it_should("full");
}

#[test]
fn what_is_lent_stays_and_has_an_end() {
    goes_wrong_as_it_should("lent");
}

#[test]
fn the_librarys_end_leaves_nothing_open() {
    goes_wrong_as_it_should("ends");
}

#[test]
fn what_was_not_asked_for_ends_the_worker() {
    goes_wrong_as_it_should("abused");
}

#[test]
fn the_report_says_whose_they_are() {
    let report = std::fs::read_to_string(made().join("wrapped/abi.md")).expect("it is written");
    for (note, function) in [
        (
            "a file descriptor that it returns is the program's to close",
            "g_pipe",
        ),
        ("a file descriptor that it returns is lent", "g_event"),
    ] {
        let lines = report.lines().filter(|line| line.contains(note));
        let line = lines.collect::<String>();
        assert!(line.contains(&format!("`{function}`")), "{report}");
    }
}
