//! Libraries for native programs whose functions libraries for aarch64 do: one of our own
//! with every kind of parameter, the question's, and zlib with its own test program. All
//! programs are ordinary ones, compiled against the same headers as the library.

use iotdec_tests::environment::{root, variable_or_advice};
use iotdec_tests::fetch;
use iotdec_wrap::elf;
use iotdec_wrap::wrap::{Report, Request, wrap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Where everything is made, by name.
fn place(name: &str) -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join("wrap")
        .join(name);
    fs::create_dir_all(&place).expect("room");
    place
}

fn make(header: &Path, library: &Path, config: Option<PathBuf>, output: &Path) -> Report {
    let report = wrap(&Request {
        headers: vec![header.to_owned()],
        library: library.to_owned(),
        config,
        output: output.to_owned(),
        runtime: Some(variable_or_advice("IOTDEC_RUNTIME")),
        ..Request::default()
    });
    report.unwrap_or_else(|error| panic!("{error}"))
}

/// Compiles a library for aarch64.
fn compile_library(source: &Path, soname: &str, output: &Path) -> PathBuf {
    let library = output.join(format!("aarch64-{soname}"));
    let status = Command::new("aarch64-linux-gnu-gcc")
        .args(["-O2", "-shared", "-fPIC"])
        .arg(format!("-Wl,-soname,{soname}"))
        .arg(source)
        .arg("-o")
        .arg(&library)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "{source:?}");
    library
}

/// Compiles a program, and links it as `pkg-config` says.
fn compile_program(source: &Path, headers: &Path, report: &Report, output: &Path) -> PathBuf {
    let package = report.pkg_config.file_stem().expect("a name");
    let options = Command::new("pkg-config")
        .args(["--libs", "--cflags"])
        .arg(package)
        .env(
            "PKG_CONFIG_PATH",
            report.pkg_config.parent().expect("a directory"),
        )
        .output()
        .expect("pkg-config is installed");
    assert!(options.status.success(), "{options:?}");
    let options = String::from_utf8(options.stdout).expect("text");
    let program = output.join(source.file_stem().expect("a C file"));
    let status = Command::new("gcc")
        .args(["-O1", "-g", "-I"])
        .arg(headers)
        .arg(source)
        .args(options.split_whitespace())
        .arg("-o")
        .arg(&program)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "{source:?}");
    program
}

fn run(program: &Path, words: &[&str], variables: &[(&str, &Path)]) -> Output {
    Command::new("timeout")
        // cargo's would be searched before the directories that were linked with.
        .env_remove("LD_LIBRARY_PATH")
        .arg("100")
        .arg(program)
        .args(words)
        .envs(variables.iter().copied())
        .current_dir(program.parent().expect("a directory"))
        .output()
        .expect("it starts")
}

#[track_caller]
fn assert_succeeds(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}{errors}", output.status);
    text
}

/// A library with every kind of parameter, wrapped, and the program that uses it.
fn kinds() -> &'static (Report, PathBuf) {
    static KINDS: OnceLock<(Report, PathBuf)> = OnceLock::new();
    KINDS.get_or_init(|| {
        let place = place("kinds");
        let source = root().join("tests/wrap");
        let library = compile_library(&source.join("kinds.c"), "libkinds.so.1", &place);
        let config = source.join("kinds.toml");
        let report = make(&source.join("kinds.h"), &library, Some(config), &place);
        let program = compile_program(&source.join("uses-kinds.c"), &source, &report, &place);
        (report, program)
    })
}

#[test]
fn every_kind_of_parameter_crosses() {
    let (report, program) = kinds();
    assert_eq!(report.refused.len(), 0, "{:?}", report.refused);
    assert_eq!(report.wrapped, report.functions);
    assert_succeeds(&run(program, &[], &[]));
}

#[test]
fn a_crash_of_the_library_is_a_value_in_the_program() {
    let (_, program) = kinds();
    assert_succeeds(&run(program, &["crash"], &[]));
}

#[test]
fn the_program_itself_is_right() {
    // Or the tests above show nothing.
    let place = place("native");
    let source = root().join("tests/wrap");
    let program = place.join("uses-kinds");
    let status = Command::new("gcc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror"])
        .args(["uses-kinds.c", "kinds.c"].map(|file| source.join(file)))
        .arg("-o")
        .arg(&program)
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    assert_succeeds(&run(&program, &[], &[]));
}

#[test]
fn the_question_has_an_answer() {
    let place = place("question");
    let source = root().join("examples/library-bridge");
    let library = compile_library(&source.join("so_lib.c"), "libso_lib.so.1", &place);
    let report = make(&source.join("so_lib.h"), &library, None, &place);
    let program = compile_program(&source.join("program.c"), &source, &report, &place);
    assert_eq!(assert_succeeds(&run(&program, &[], &[])), "42 21 1\n");
}

/// zlib, wrapped.
fn zlib() -> &'static (Report, PathBuf, PathBuf) {
    static ZLIB: OnceLock<(Report, PathBuf, PathBuf)> = OnceLock::new();
    ZLIB.get_or_init(|| {
        let source = fetch::source("zlib");
        let library = variable_or_advice("IOTDEC_SYSROOT").join("lib/aarch64-linux-gnu/libz.so.1");
        let config = root().join("examples/library-bridge/zlib.toml");
        let place = place("zlib");
        let report = make(&source.join("zlib.h"), &library, Some(config), &place);
        (report, source, place)
    })
}

#[test]
fn the_native_part_of_zlib_stands_in_for_it() {
    let (report, _, place) = zlib();
    let refused: Vec<_> = report
        .refused
        .iter()
        .map(|refusal| &refusal.name[..])
        .collect();
    assert_eq!(refused, [""; 0]);
    let output = Command::new("readelf")
        .args(["-dW", "--dyn-syms"])
        .arg(&report.native)
        .output();
    let text = String::from_utf8(output.expect("binutils").stdout).expect("text");
    assert!(text.contains("[libz.so.1]"), "the SONAME: {text}");
    let own =
        elf::exports(&variable_or_advice("IOTDEC_SYSROOT").join("lib/aarch64-linux-gnu/libz.so.1"));
    for (name, version) in own.expect("zlib").functions {
        let symbol = match version {
            Some(version) => format!(" {name}@@{version}"),
            None => format!(" {name}"),
        };
        assert!(text.lines().any(|line| line.ends_with(&symbol)), "{symbol}");
    }
    assert!(place.join("libz.so").exists() && place.join("z.pc").exists());
}

#[test]
fn zlibs_own_test_passes() {
    let (report, source, place) = zlib();
    let program = compile_program(&source.join("test/example.c"), source, report, place);
    let text = assert_succeeds(&run(&program, &[], &[]));
    for step in [
        "uncompress(): hello",
        "gzread(): hello",
        "gzgets() after gzseek:",
        "inflate(): hello",
        "large_inflate(): OK",
        "after inflateSync(): hello",
        "inflate with dictionary: hello",
    ] {
        assert!(text.contains(step), "{step}: {text}");
    }
}

#[test]
fn a_program_packs_and_unpacks_a_file() {
    let (report, source, place) = zlib();
    // Nothing but its name says where zlib is: the program was linked long before.
    let program = compile_program(&source.join("test/minigzip.c"), source, report, place);
    let file = place.join("file");
    let content: Vec<u8> = (0..300_000_u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    fs::write(&file, &content).expect("room");
    assert_succeeds(&run(&program, &["file"], &[]));
    assert!(!file.exists() && place.join("file.gz").exists());
    let unpacked = Command::new("gzip")
        .args(["-dc", "file.gz"])
        .current_dir(place)
        .output();
    assert!(
        unpacked.expect("gzip").stdout == content,
        "another unpacks it"
    );
    assert_succeeds(&run(&program, &["-d", "file.gz"], &[]));
    assert!(fs::read(&file).expect("it is back") == content);
}
