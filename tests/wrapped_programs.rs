//! Ordinary programs with wrapped libraries, at length: functions of the program's that a
//! library calls back, from its own threads, too; threads that must not see each other. Each
//! says with the wrapper what it says with the native library.

use iotdec_bridge::Library;
use iotdec_bridge::dynamic::{Options, Signature, Type, Value};
use iotdec_tests::compile::{self, GUEST, HOST};
use iotdec_tests::environment::{is_full, root, variable_or_advice};
use iotdec_tests::wrapped::{Material, material};
use iotdec_wrap::wrap::{Report, Request, wrap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

#[path = "wrapped-programs/hostile.rs"]
mod hostile;

fn place(name: &str) -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join("wrapped-programs")
        .join(name);
    fs::create_dir_all(&place).expect("room");
    place
}

fn sources() -> PathBuf {
    root().join("tests/wrapped-programs")
}

fn make(request: Request) -> Report {
    let request = Request {
        runtime: Some(variable_or_advice("IOTDEC_RUNTIME")),
        ..request
    };
    let report = wrap(&request);
    report.unwrap_or_else(|error| panic!("{error}"))
}

/// Words after the source are libraries and what concerns them.
fn compile(compiler: &str, options: &[&str], source: &Path, to: &Path, libraries: &[&Path]) {
    let mut compiler = Command::new(compiler);
    compiler
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"])
        .args(options)
        .arg(source)
        .args(libraries);
    compile::make(&mut compiler, to);
}

/// Runs a program with the libraries that are in a directory.
fn run(program: &Path, words: &[String], libraries: &Path, variables: &[(&str, &Path)]) -> Output {
    Command::new("timeout")
        .arg("500")
        .arg(program)
        .args(words)
        .env("LD_LIBRARY_PATH", libraries)
        .envs(variables.iter().copied())
        .output()
        .expect("timeout is part of the system")
}

#[track_caller]
fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && errors.is_empty(),
        "{}: {text}{errors}",
        output.status
    );
    text
}

/// Short or full, as things are.
fn amount(short: u64, full: u64) -> u64 {
    if is_full() { full } else { short }
}

/// A program of ours that uses Debian's library: what it says natively and with the wrapper.
struct Compared {
    program: PathBuf,
    native: PathBuf,
    wrapped: PathBuf,
    sysroot: PathBuf,
}

impl Compared {
    fn new(name: &str, soname: &str, headers_of: &[&str], program: &str) -> Self {
        let Material {
            headers,
            native,
            sysroot,
        } = material();
        let place = place(program.trim_end_matches(".c"));
        let library = sysroot.join("lib/aarch64-linux-gnu").join(soname);
        let report = make(Request {
            headers: headers_of.iter().map(|it| headers.join(it)).collect(),
            include: vec![headers.clone(), headers.join(name)],
            library,
            config: Some(root().join(format!("examples/library-bridge/{name}.toml"))),
            output: place.join("wrapper"),
            ..Request::default()
        });
        let source = sources().join(program);
        let compiled = place.join("program");
        let include = format!("-I{}", headers.display());
        let own = format!("{include}/{name}");
        compile(
            HOST,
            &[&include, &own],
            &source,
            &compiled,
            &[&native.join(soname)],
        );
        Self {
            program: compiled,
            native,
            wrapped: report.native.parent().expect("a directory").to_owned(),
            sysroot,
        }
    }

    #[track_caller]
    fn assert_same(&self, word: u64) {
        self.assert_same_with(word, &[]);
    }

    /// The same of a program whose memory is shared.
    #[track_caller]
    fn assert_same_where_all_is_shared(&self, word: u64) {
        let malloc = variable_or_advice("IOTDEC_MALLOC");
        let yes = Path::new("1");
        self.assert_same_with(
            word,
            &[("LD_PRELOAD", &malloc), ("IOTDEC_SHARE_PROGRAM", yes)],
        );
    }

    #[track_caller]
    fn assert_same_with(&self, word: u64, more: &[(&str, &Path)]) {
        let words = [word.to_string()];
        let expected = said(&run(&self.program, &words, &self.native, &[]));
        let start = Instant::now();
        let variables = [&[("IOTDEC_SYSROOT", self.sysroot.as_path())], more].concat();
        let found = said(&run(&self.program, &words, &self.wrapped, &variables));
        println!("{word}: {:?}\n{found}", start.elapsed());
        assert_eq!(found, expected);
    }
}

#[test]
fn expat_calls_back_a_million_times() {
    let expat = Compared::new("expat", "libexpat.so.1", &["expat.h"], "parsing.c");
    // Three callbacks for each element.
    expat.assert_same(amount(30_000, 333_334));
}

#[test]
fn sqlite_calls_functions_of_the_program() {
    let sqlite = Compared::new("sqlite3", "libsqlite3.so.0", &["sqlite3.h"], "database.c");
    sqlite.assert_same(amount(2_000, 100_000));
}

/// Variadic functions: functions, structs of them, numbers and out-parameters, by what the
/// first argument is.
#[test]
fn sqlite_is_configured() {
    let sqlite = Compared::new(
        "sqlite3",
        "libsqlite3.so.0",
        &["sqlite3.h"],
        "configuration.c",
    );
    sqlite.assert_same(0);
}

/// Functions like printf that a library calls: what they are told is text.
#[test]
fn libxml2_tells_functions_of_the_program_what_is_wrong() {
    let headers = ["xmlreader", "xmlschemas", "relaxng", "xmlerror", "parser"];
    let headers = headers.map(|name| format!("libxml2/libxml/{name}.h"));
    let headers = headers.each_ref().map(String::as_str);
    let xml = Compared::new("libxml2", "libxml2.so.2", &headers, "documents.c");
    xml.assert_same(0);
}

/// Objects with tables of functions, in C.
#[test]
fn openh264_encodes_and_decodes_for_a_program_in_c() {
    let openh264 = Compared::new(
        "openh264",
        "libopenh264.so.7",
        &["wels/codec_api.h"],
        "pictures.c",
    );
    openh264.assert_same_where_all_is_shared(amount(10, 100));
}

/// The library for events, compiled for both and wrapped, and its program.
struct Events {
    report: Report,
    program: PathBuf,
    native: PathBuf,
}

fn events() -> &'static Events {
    static EVENTS: OnceLock<Events> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let place = place("events");
        let source = sources().join("events.c");
        let native = place.join("native");
        fs::create_dir_all(&native).expect("room");
        let guest = place.join("aarch64-libevents.so.1");
        let options = ["-shared", "-fPIC", "-Wl,-soname,libevents.so.1"];
        compile(GUEST, &options, &source, &guest, &[]);
        let twin = native.join("libevents.so.1");
        compile(HOST, &options, &source, &twin, &[]);
        let program = place.join("program");
        compile(
            HOST,
            &["-g"],
            &sources().join("uses-events.c"),
            &program,
            &[&twin],
        );
        let report = make(Request {
            headers: vec![sources().join("events.h")],
            library: guest,
            output: place.join("wrapper"),
            ..Request::default()
        });
        Events {
            report,
            program,
            native,
        }
    })
}

#[track_caller]
fn assert_events(what: &str, count: u64) {
    let events = events();
    assert_eq!(
        events.report.refused.len(),
        0,
        "{:?}",
        events.report.refused
    );
    let words = [what.to_owned(), count.to_string()];
    let native = run(&events.program, &words, &events.native, &[]);
    assert_eq!(said(&native), "ok\n", "natively");
    let start = Instant::now();
    let wrapped = events.report.native.parent().expect("a directory");
    let output = run(&events.program, &words, wrapped, &[]);
    println!("{what} {count}: {:?}", start.elapsed());
    assert_eq!(said(&output), "ok\n");
}

#[test]
fn handlers_come_back_as_they_went() {
    assert_events("identity", amount(20_000, 1_000_000));
}

#[test]
fn threads_of_the_library_call_back() {
    assert_events("ticks", amount(5_000, 200_000));
}

#[test]
fn the_program_reads_stacks_of_the_librarys_threads() {
    // More than have room at a time: what a thread had, another gets.
    assert_events("stacks", amount(400, 10_000));
}

#[test]
fn the_library_starts_programs() {
    assert_events("programs", amount(120, 2_000));
}

#[test]
fn eight_threads_do_not_see_each_other() {
    assert_events("threads", amount(10_000, 100_000));
}

/// The C library for aarch64 sorts and searches with a function of ours, without a wrapper.
#[test]
fn the_c_library_sorts_with_a_native_function() {
    let library = Library::open("libc.so.6", &Options::default());
    let library = library.unwrap_or_else(|error| panic!("{error}"));
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let shared = library.clone();
    let two = [Type::Pointer, Type::Pointer];
    let signature = Signature::new(Type::I32, two.clone()).expect("it can be passed");
    let compare = library.callback(signature, move |values| {
        CALLS.fetch_add(1, Ordering::Relaxed);
        let number = |value: &Value| {
            let at = value.pointer().expect("a pointer");
            shared.read::<u64>(at, 1).expect("shared memory")[0]
        };
        let order = number(&values[0]).cmp(&number(&values[1]));
        Value::from(order as i32)
    });
    let compare = compare.expect("not too many");
    let count = amount(2_000, 50_000);
    let mut numbers: Vec<u64> = (0..count)
        .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)
        .collect();
    let memory = library.share(&numbers).expect("memory");
    let kinds = [Type::Pointer, Type::U64, Type::U64, Type::Pointer];
    let signature = Signature::new(Type::Void, kinds).expect("it can be passed");
    let qsort = library.function("qsort", signature).expect("it is there");
    qsort
        .call(&[
            (&memory).into(),
            count.into(),
            8u64.into(),
            (&compare).into(),
        ])
        .expect("it returns");
    numbers.sort_unstable();
    assert!(memory.read() == numbers, "sorted");
    let least = count * u64::from(count.ilog2()) / 2;
    assert!(CALLS.load(Ordering::Relaxed) > least, "it was asked");

    let kinds = [
        Type::Pointer,
        Type::Pointer,
        Type::U64,
        Type::U64,
        Type::Pointer,
    ];
    let signature = Signature::new(Type::Pointer, kinds).expect("it can be passed");
    let bsearch = library.function("bsearch", signature);
    let bsearch = bsearch.expect("it is there");
    for (wanted, is_there) in [(numbers[17], true), (u64::MAX, false)] {
        let key = library.share(&[wanted]).expect("memory");
        let found = bsearch.call(&[
            (&key).into(),
            (&memory).into(),
            count.into(),
            8u64.into(),
            (&compare).into(),
        ]);
        let found = found.expect("it returns").pointer().expect("a pointer");
        assert_eq!(found != 0, is_there);
        if is_there {
            assert_eq!(library.read::<u64>(found, 1).expect("shared"), [wanted]);
        }
    }
}
