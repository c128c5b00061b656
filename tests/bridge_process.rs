//! What a program shares with a library beside memory, though the library is in a process of
//! its own: streams, environment, locale, files; and what each sees of the other's end.
//!
//! The same program runs with the library as it would natively be, and with the wrapper of the
//! library for aarch64. What it prints has to be the same.

use iotdec_tests::compile::{self, GUEST, HOST};
use iotdec_tests::environment::{root, variable_or_advice};
use iotdec_wrap::wrap::{Request, wrap};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const SONAME: &str = "libshared.so.1";

fn source(name: &str) -> PathBuf {
    root().join("tests/bridge-process").join(name)
}

/// Where both libraries and the programs are.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let to = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bridge-process");
        let (native, wrapped) = (to.join("native"), to.join("wrapped"));
        for directory in [&native, &wrapped] {
            std::fs::create_dir_all(directory).expect("room");
        }
        let soname = format!("-Wl,-soname,{SONAME}");
        let library = ["-shared", "-fPIC", "-pthread", &soname];
        let guest = to.join("libshared-arm.so");
        compile(GUEST, "shared.c", &guest, &library);
        let own = native.join(SONAME);
        compile(HOST, "shared.c", &own, &library);
        let report = wrap(&Request {
            headers: vec![source("shared.h")],
            library: guest,
            config: Some(source("shared.toml")),
            output: wrapped.clone(),
            runtime: Some(variable_or_advice("IOTDEC_RUNTIME")),
            ..Request::default()
        });
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.refused.len(), 0, "{:?}", report.refused);
        let own = own.display().to_string();
        compile(HOST, "program.c", &to.join("program"), &["-pthread", &own]);
        compile(HOST, "opens.c", &to.join("opens"), &[]);
        let include = format!("-I{}", root().join("bridge/runtime/include").display());
        let runtime = variable_or_advice("IOTDEC_RUNTIME").join("libiotdec.so");
        let runtime = runtime.display().to_string();
        let native_part = report.native.display().to_string();
        compile(
            HOST,
            "fails.c",
            &to.join("fails"),
            &[&include, &native_part, &runtime],
        );
        to
    })
}

fn compile(compiler: &str, name: &str, to: &Path, options: &[&str]) {
    let mut compiler = Command::new(compiler);
    compiler
        .args(["-O1", "-Wall", "-Wextra", "-Werror"])
        .arg(source(name))
        .args(options);
    compile::make(&mut compiler, to);
}

/// Runs a program with the library that is in a directory.
fn run(directory: &str, program: &str, words: &[&str]) -> Output {
    let runtime = variable_or_advice("IOTDEC_RUNTIME");
    let mut search = made().join(directory).into_os_string();
    search.push(":");
    search.push(runtime);
    Command::new("timeout")
        .arg("100")
        .arg("env")
        .arg(made().join(program))
        .args(words)
        .env("LD_LIBRARY_PATH", search)
        .output()
        .expect("timeout is part of the system")
}

#[track_caller]
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[track_caller]
fn is_as_in_one_process(what: &str) -> Output {
    let [native, wrapped] = ["native", "wrapped"].map(|library| run(library, "program", &[what]));
    assert_eq!(native.status, wrapped.status, "{wrapped:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&native.stdout), text(&wrapped.stdout));
    assert_eq!(text(&native.stderr), text(&wrapped.stderr));
    wrapped
}

#[test]
fn what_both_print_comes_in_order() {
    let output = is_as_in_one_process("prints");
    let text = String::from_utf8_lossy(&output.stdout);
    // Or there were no two to compare.
    assert!(text.starts_with("one two three four five\n"), "{text}");
    assert!(text.ends_with("the library ends after 1\n"), "{text}");
}

#[test]
fn what_is_not_written_out_is_lost_with_exit_alone() {
    let output = is_as_in_one_process("leaves");
    assert_eq!(output.stdout, b"one two ");
}

#[test]
fn a_callback_may_end_the_program() {
    let output = is_as_in_one_process("exits");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn environment_directory_and_locale_are_the_programs() {
    is_as_in_one_process("finds");
}

#[test]
fn what_the_program_changes_later_the_library_does_not_see() {
    let now = text(&run("native", "program", &["later"]));
    assert_eq!(now, "first, -1\nsecond, 2\n");
    let first = text(&run("wrapped", "program", &["later"]));
    assert_eq!(first, "first, -1\nfirst, -1\n");
}

#[test]
fn a_thread_may_call_until_its_very_end() {
    is_as_in_one_process("threads");
}

#[test]
fn other_programs_are_started_while_calls_run() {
    is_as_in_one_process("children");
}

#[test]
fn files_are_given_and_lent() {
    is_as_in_one_process("files");
}

/// As `dlclose` may have it: the library stays.
#[test]
fn a_wrapper_that_is_closed_and_opened_again_is_the_same() {
    let wrapper = made().join("wrapped").join(SONAME);
    let output = run("wrapped", "opens", &[&wrapper.to_string_lossy()]);
    assert_eq!(
        text(&output),
        "constructed 1, called 1\nclosed: 0\nconstructed 1, called 2\nclosed: 0\n\
         the library's handler\nthe library ends after 2\n"
    );
}

/// What it printed before it aborted is in the error, and a handler of the program's that
/// runs at its end finds another worker.
#[test]
fn a_library_that_aborts_is_told_of_with_its_last_words() {
    let output = run("wrapped", "fails", &[]);
    assert_eq!(text(&output), "1 2 -7 2 1 1\n1\n2 0\n");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("something is wrong\n"), "{errors}");
}

/// What a program has of a library, and what it is given later, is right after a crash, whichever
/// library it uses first then.
#[test]
fn libraries_are_where_they_were_after_a_crash() {
    let to = made().join("order");
    let wrapped = ["first", "other"].map(|name| {
        let output = to.join(name);
        std::fs::create_dir_all(&output).expect("room");
        let library = to.join(format!("lib{name}-arm.so"));
        let soname = format!("-Wl,-soname,lib{name}.so.1");
        let define = format!("-D{}", name.to_uppercase());
        let options = ["-shared", "-fPIC", &soname, &define];
        compile(GUEST, "order.c", &library, &options);
        let report = wrap(&Request {
            headers: vec![source("order.h")],
            library,
            output,
            runtime: Some(variable_or_advice("IOTDEC_RUNTIME")),
            ..Request::default()
        });
        report.unwrap_or_else(|error| panic!("{error}")).native
    });
    let program = to.join("restarts");
    let natives = wrapped
        .each_ref()
        .map(|native| native.display().to_string());
    compile(
        HOST,
        "restarts.c",
        &program,
        &natives.each_ref().map(|it| &it[..]),
    );
    let runtime = variable_or_advice("IOTDEC_RUNTIME");
    let search = [to.join("first"), to.join("other"), runtime];
    let search = std::env::join_paths(search).expect("no colon in a path");
    let output = Command::new("timeout")
        .arg("100")
        .arg(&program)
        .env("LD_LIBRARY_PATH", search)
        .env("IOTDEC_ERRORS", "none")
        .output()
        .expect("timeout is part of the system");
    let names = "the first, the other\n";
    assert_eq!(
        text(&output),
        format!("{names}the other, the first\n{names}")
    );
}
