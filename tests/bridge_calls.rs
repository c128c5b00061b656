//! Calls of an aarch64 library by a native program, and everything that can come of them:
//! hand-written wrapper, real worker. `library-bridge/program.c` has what is tried.

use iotdec_tests::compile::{self, GUEST, HOST};
use iotdec_tests::environment::{is_full, root, variable_or_advice};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Where what is compiled once for all tests is.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let to = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("library-bridge");
        std::fs::create_dir_all(&to).expect("room");
        let library = to.join("libsample-arm.so");
        let guest_part = to.join("libsample-guest.so");
        let native_part = to.join("libsample.so");
        compile(
            GUEST,
            "sample.c",
            &library,
            &["-fPIC -shared -pthread -Wno-infinite-recursion -Wl,-soname,libsample.so".into()],
        );
        compile(
            GUEST,
            "guest.c",
            &guest_part,
            &[
                "-fPIC -shared -ffixed-x18 -DIOTDEC_ENTRIES".into(),
                format!("{}", library.display()),
            ],
        );
        compile(
            HOST,
            "native.c",
            &native_part,
            &[
                "-fPIC -shared -ffixed-r10 -DIOTDEC_ENTRIES -Wl,-soname,libsample.so".into(),
                format!("-DLIBRARY=\"{}\"", library.display()),
                runtime(),
            ],
        );
        compile(
            HOST,
            "program.c",
            &to.join("program"),
            &[
                "-pthread".into(),
                format!("{} -Wl,-rpath,{}", native_part.display(), to.display()),
                runtime(),
            ],
        );
        to
    })
}

fn runtime() -> String {
    let directory = variable_or_advice("IOTDEC_RUNTIME");
    let directory = directory.display();
    format!("-L{directory} -liotdec -Wl,-rpath,{directory}")
}

/// Options are separated by blanks, which the paths of a build have none of.
fn compile(compiler: &str, source: &str, to: &Path, options: &[String]) {
    let sources = root().join("tests/library-bridge");
    let mut compiler = Command::new(compiler);
    compiler
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root().join("bridge/runtime/include"))
        .arg(sources.join(source))
        .args(options.iter().flat_map(|option| option.split(' ')));
    compile::make(&mut compiler, to);
}

fn command(what: &str) -> Command {
    let mut command = Command::new("timeout");
    command.arg("100").arg(made().join("program")).arg(what);
    if !is_full() {
        command.env("SHORT", "1");
    }
    command
}

fn run(what: &str) -> Output {
    let output = command(what)
        .output()
        .expect("timeout is part of the system");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text == "ok\n", "{output:?}");
    output
}

#[test]
fn numbers_and_arrays_cross() {
    run("calls");
}

#[test]
fn errno_crosses_both_ways() {
    run("errno");
}

#[test]
fn eight_threads_call_at_once_and_do_not_see_each_other() {
    run("threads");
}

#[test]
fn lanes_are_used_again() {
    run("many-threads");
}

#[test]
fn the_library_calls_back() {
    run("callbacks");
}

#[test]
fn function_pointers_keep_their_addresses() {
    run("pointers");
}

#[test]
fn what_the_library_has_in_its_file_is_shared() {
    run("data");
}

#[test]
fn calls_nest_as_deep_as_promised() {
    run("nesting");
}

#[test]
fn callbacks_may_longjmp() {
    run("jumping");
}

#[test]
fn threads_of_the_library_call_back() {
    run("library-threads");
}

#[test]
fn a_crash_is_an_error_and_the_next_call_starts_anew() {
    let output = run("crashing");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("after misbehave"), "{text}");
}

#[test]
fn hostile_libraries_do_not_end_the_program() {
    run("hostile");
}

#[test]
fn what_is_written_over_shared_memory_does_not_end_the_program() {
    run("scribbling");
}

#[test]
fn a_child_is_told_that_it_cannot_call() {
    run("child");
}

/// Processes that have this in their environment, which workers have of their program.
fn processes_with(mark: &str) -> Vec<u32> {
    let mark = format!("IOTDEC_TEST_MARK={mark}");
    let all = std::fs::read_dir("/proc").expect("Linux");
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|process| {
            let environment = std::fs::read(format!("/proc/{process}/environ"));
            let environment = environment.unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
        })
        .collect()
}

#[track_caller]
fn gone(mark: &str) {
    let start = Instant::now();
    while !processes_with(mark).is_empty() {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "something is left behind"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nothing_is_left_behind() {
    for kill in [false, true] {
        let mark = format!("{}-{kill}", std::process::id());
        let mut child = Command::new(made().join("program"))
            .arg("lingering")
            .env("IOTDEC_TEST_MARK", &mark)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was compiled");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        // Kept, for the program still has something to say.
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        assert_eq!(processes_with(&mark).len(), 2, "program and worker");
        if kill {
            child.kill().expect("it runs");
        } else {
            drop(child.stdin.take());
        }
        assert_eq!(child.wait().expect("it was started").success(), !kill);
        gone(&mark);
    }
}

#[test]
fn what_is_missing_is_named() {
    for (variable, value, says) in [
        ("IOTDEC_QEMU", "/nonexistent/qemu", "/nonexistent/qemu"),
        ("IOTDEC_CALLS", "/nonexistent/calls", "IOTDEC_CALLS"),
        (
            "IOTDEC_SYSROOT",
            "/nonexistent/sysroot",
            "/nonexistent/sysroot",
        ),
        ("IOTDEC_GUEST_MEMORY", "many", "IOTDEC_GUEST_MEMORY"),
        ("IOTDEC_QEMU", "/bin/true", "ended before it was ready"),
    ] {
        let output = command("calls")
            .env(variable, OsString::from(value))
            // Whoever insists on the accelerator hears of that first.
            .env("IOTDEC_ACCEL_MODE", "auto")
            .output();
        let output = output.expect("timeout is part of the system");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("error 1: ") && text.contains(says), "{text}");
    }
}
