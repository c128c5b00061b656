//! Libraries for native programs whose functions libraries for aarch64 do: one of our own
//! with every kind of parameter, the question's, and zlib with its own test program. All
//! programs are ordinary ones, compiled against the same headers as the library.

use iotdec_tests::compile::{self, GUEST, HOST};
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
    let mut compiler = compile::shared(GUEST, soname);
    compile::make(compiler.arg("-O2").arg(source), &library);
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
    let mut compiler = Command::new(HOST);
    compiler.args(["-O1", "-g", "-I"]).arg(headers).arg(source);
    compile::make(compiler.args(options.split_whitespace()), &program);
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

/// The library is not called, as nobody knows what to hand over.
#[test]
fn a_variant_that_is_not_declared_fails() {
    let (_, program) = kinds();
    let output = run(program, &["untold"], &[]);
    assert_succeeds(&output);
    let errors = String::from_utf8_lossy(&output.stderr);
    let untold = "k_control: nothing says what follows when what is 12; say in wrap.toml: \
                  [function.k_control] variants.12 = ";
    assert!(errors.contains(untold), "{errors}");
}

#[test]
fn functions_that_the_program_writes_into_shared_structs_are_called() {
    let (_, program) = kinds();
    let malloc = variable_or_advice("IOTDEC_MALLOC");
    let variables = [("LD_PRELOAD", malloc.as_path())];
    assert_succeeds(&run(program, &["shared"], &variables));
}

#[test]
fn a_crash_of_the_library_is_a_value_in_the_program() {
    let (_, program) = kinds();
    let output = run(program, &["crash"], &[]);
    assert_succeeds(&output);
    let errors = String::from_utf8_lossy(&output.stderr);
    let told = errors.lines().find(|line| line.starts_with("iotdec: "));
    let told = told.unwrap_or_else(|| panic!("{errors}"));
    assert!(
        told.contains("SIGSEGV") && told.contains("k_crash"),
        "{errors}"
    );
}

/// Nobody but its user could learn why a program gets nothing from a library.
#[test]
fn failures_are_told_as_often_as_is_wanted() {
    let (_, program) = kinds();
    let nowhere = [("IOTDEC_SYSROOT", Path::new("/nonexistent"))];
    for (wanted, least, most) in [("", 1, 1), ("none", 0, 0), ("all", 2, usize::MAX)] {
        let output = run(
            program,
            &[],
            &[nowhere[0], ("IOTDEC_ERRORS", Path::new(wanted))],
        );
        assert!(!output.status.success());
        let errors = String::from_utf8_lossy(&output.stderr);
        let told = errors.matches("/nonexistent").count();
        assert!((least..=most).contains(&told), "{wanted}: {errors}");
    }
}

#[test]
fn the_program_itself_is_right() {
    // Or the tests above show nothing.
    let place = place("native");
    let source = root().join("tests/wrap");
    let program = place.join("uses-kinds");
    let mut compiler = Command::new(HOST);
    compiler.args(["-O1", "-Wall", "-Wextra", "-Werror"]);
    compiler.args(["uses-kinds.c", "kinds.c"].map(|file| source.join(file)));
    compile::make(&mut compiler, &program);
    assert_succeeds(&run(&program, &[], &[]));
    assert_succeeds(&run(&program, &["shared"], &[]));
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

/// A library with exported variables, wrapped.
fn variables() -> &'static (Report, PathBuf) {
    static VARIABLES: OnceLock<(Report, PathBuf)> = OnceLock::new();
    VARIABLES.get_or_init(|| {
        let place = place("variables");
        let source = root().join("tests/wrap");
        let library = compile_library(&source.join("variables.c"), "libvariables.so.1", &place);
        let report = make(&source.join("variables.h"), &library, None, &place);
        (report, place)
    })
}

/// The program that uses them, compiled for one of the ways in which programs reach variables.
fn user_of_variables(name: &str, options: &[&str], library: &[&str]) -> PathBuf {
    let (_, place) = variables();
    let program = place.join(name);
    let mut compiler = Command::new(HOST);
    compiler
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread"])
        .args(options)
        .arg(root().join("tests/wrap/uses-variables.c"))
        .args(library)
        .arg("-ldl")
        .current_dir(place);
    compile::make(&mut compiler, &program);
    program
}

fn run_with_variables(program: &Path, words: &[&str], more: &[(&str, &Path)]) {
    let (_, place) = variables();
    let runtime = variable_or_advice("IOTDEC_RUNTIME");
    let path = std::env::join_paths([place.as_path(), &runtime]).expect("no colons");
    let path = [("LD_LIBRARY_PATH", Path::new(&path))];
    let output = run(program, words, &[&path[..], more].concat());
    assert_succeeds(&output);
}

#[test]
fn variables_that_cannot_cross_are_refused_with_a_reason() {
    let (report, place) = variables();
    let refused = report.variables.iter();
    let refused = refused.filter_map(|(name, why)| Some((name.as_str(), why.as_deref()?)));
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(
        refused[0].0 == "var_own" && refused[0].1.contains("thread"),
        "{refused:?}"
    );
    assert!(
        refused[1].0 == "var_precise" && refused[1].1.contains("long double"),
        "{refused:?}"
    );
    let header = fs::read_to_string(place.join("iotdec-variables.h")).expect("made");
    assert!(
        header.contains("int *iotdec_at_var_level(void);"),
        "{header}"
    );
}

#[test]
fn the_program_that_uses_variables_is_right() {
    let source = root().join("tests/wrap/variables.c");
    let source = source.to_str().expect("UTF-8");
    let program = user_of_variables("native", &["-rdynamic"], &[source]);
    let output = run(&program, &[], &[("NATIVE", Path::new("1"))]);
    assert_succeeds(&output);
}

#[test]
fn programs_read_and_write_variables() {
    // Copied into the program, from a library in which constants are variables.
    let copied = user_of_variables("copied", &["-no-pie", "-fno-pie"], &["libvariables.so.1"]);
    run_with_variables(&copied, &["anew"], &[]);
    // Found through the program's table of addresses.
    let found = user_of_variables("found", &["-fPIC", "-pie"], &["libvariables.so.1"]);
    run_with_variables(&found, &["anew"], &[]);
    // All of the program shared with the library.
    let shared = [
        ("LD_PRELOAD", variable_or_advice("IOTDEC_MALLOC")),
        ("IOTDEC_SHARE_PROGRAM", PathBuf::from("1")),
    ];
    let shared = shared
        .each_ref()
        .map(|(name, value)| (*name, value.as_path()));
    run_with_variables(&copied, &["anew"], &shared);
}

#[test]
fn a_program_linked_with_the_native_library_reads_and_writes_variables() {
    // Its linker has put copies of the library's constants among constants.
    let source = root().join("tests/wrap/variables.c");
    let (_, place) = variables();
    let native = place.join("native-library");
    fs::create_dir_all(&native).expect("room");
    let library = native.join("libvariables.so.1");
    let mut compiler = compile::shared(HOST, "libvariables.so.1");
    compile::make(compiler.arg("-O2").arg(source), &library);
    let library = library.to_str().expect("UTF-8");
    let program = user_of_variables("linked-natively", &["-no-pie", "-fno-pie"], &[library]);
    run_with_variables(&program, &["anew"], &[]);
}

/// The library whose header is hard on generated code.
fn odd(place: &Path) -> (PathBuf, PathBuf) {
    let source = root().join("tests/wrap");
    let library = compile_library(&source.join("odd.c"), "libodd.so.1", place);
    (source, library)
}

#[test]
fn what_is_declared_oddly_spoils_nothing() {
    let place = place("odd");
    let (source, library) = odd(&place);
    let config = Some(source.join("odd.toml"));
    let report = make(&source.join("odd.h"), &library, config, &place);
    let refused: Vec<_> = report.refused.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(refused, ["odd_float", "odd_inline_refused", "odd_refused"]);
    assert!(report.refused[0].why.contains("_Float32"), "{report:?}");
    assert_eq!(report.undeclared, [""; 0]);
    assert_eq!(report.missing, [""; 0]);
    let program = compile_program(&source.join("uses-odd.c"), &source, &report, &place);
    assert_succeeds(&run(&program, &[], &[]));
}

#[test]
fn a_function_that_does_not_compile_is_named() {
    let place = place("odd-lost");
    let (source, library) = odd(&place);
    let config = place.join("wrap.toml");
    let text = fs::read_to_string(source.join("odd.toml")).expect("text");
    let make = |text: &str| {
        fs::write(&config, text).expect("room");
        wrap(&Request {
            headers: vec![source.join("odd.h")],
            library: library.clone(),
            config: Some(config.clone()),
            output: place.clone(),
            runtime: Some(variable_or_advice("IOTDEC_RUNTIME")),
            ..Request::default()
        })
    };
    let text = text.replace("ODD_LOST", "NOT_DECLARED");
    let error = make(&text).expect_err("there is no such constant");
    let error = error.to_string();
    let advice = "[defaults] refuse = { odd_fails = \"does not compile\" }";
    assert!(error.ends_with(advice), "{error}");
    let line = advice.strip_prefix("[defaults] ").expect("a table");
    make(&format!("{text}\n[defaults]\n{line}\n")).expect("all others are wrapped");
}
