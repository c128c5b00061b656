//! Libraries of the guest that the host does: zlib, by the walk-through of
//! docs/native-libraries.md, with zlib's own tests and with what is hard about it.

use iotdec_tests::compile;
use iotdec_tests::environment::{is_full, root, variable_or_advice};
use iotdec_wrap::native::{Report, Side, native_library};
use iotdec_wrap::wrap::Request;
use iotdec_wrap::{Error, elf};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use zlib::{Way, Zlib, accelerator, config, host_calls, same, same_everywhere, zlib};

#[path = "native-libraries/zlib.rs"]
mod zlib;

const SIGSEGV: i32 = 11;
const SIGABRT: i32 = 6;

#[test]
fn the_walk_through_works_as_it_is_written() {
    if accelerator().is_none() {
        return;
    }
    let page = std::fs::read_to_string(root().join("docs/native-libraries.md")).expect("docs");
    let (_, from_code) = page.split_once("```sh\n").expect("a block of commands");
    let (code, _) = from_code.split_once("```").expect("the end of the block");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", code])
        .current_dir(root())
        .output()
        .expect("bash is part of the system");
    assert!(output.status.success(), "{output:?}");
    let calls = host_calls(&output).expect("the host did it");
    let promised = format!("iotdec: libz.so.1: the host did {calls} calls");
    assert!(
        page.contains(&promised),
        "the page says something else than {promised}"
    );
}

#[test]
fn upstreams_test_passes() {
    let calls = same_everywhere("example", &[]);
    println!("example: {calls} calls of the host");
}

#[test]
fn minigzip_writes_the_same_file_and_reads_it_again() {
    let zlib = zlib();
    let text: Vec<u8> = (0..200_000u32)
        .flat_map(|n| (n / 7).to_le_bytes())
        .collect();
    let mut packed: Vec<Vec<u8>> = Vec::new();
    for way in [Way::Own, Way::NoPlugin, Way::Host, Way::Ring] {
        if way == Way::Host && accelerator().is_none() {
            continue;
        }
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("file");
        std::fs::write(&file, &text).expect("room");
        let output = zlib.run_in(place.path(), way, "minigzip", &["file"]);
        assert!(
            output.status.success() && !file.exists(),
            "{way:?}: {output:?}"
        );
        packed.push(std::fs::read(file.with_extension("gz")).expect("minigzip made it"));
        let output = zlib.run_in(place.path(), way, "minigzip", &["-d", "file.gz"]);
        assert!(output.status.success(), "{way:?}: {output:?}");
        assert_eq!(
            std::fs::read(&file).expect("minigzip made it"),
            text,
            "{way:?}"
        );
    }
    assert!(packed.windows(2).all(|two| two[0] == two[1]));
    assert!(packed[0].len() < text.len() / 2);
}

#[test]
fn streams_stay_with_the_library_that_made_them() {
    same_everywhere("uses-zlib", &["allocators"]);
}

#[test]
fn two_threads_with_streams_of_both_sides() {
    same_everywhere("uses-zlib", &["threads"]);
}

#[test]
fn callbacks_messages_and_code_in_the_hosts_hands() {
    same_everywhere("uses-zlib", &["callbacks", "errors"]);
    // Over the ring, nobody would tell QEMU that code has changed.
    let ways = [Way::NoPlugin, Way::NoLibraries, Way::Host];
    same(&ways, "uses-zlib", &["code"]);
    let output = zlib().run(Way::Ring, "uses-zlib", &["code"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        errors.contains("the host refuses what it is given: uncompress"),
        "{errors}"
    );
}

/// The worker runs a library with the second translator, and that calls zlib.
#[test]
fn from_code_that_runs_in_turbo() {
    if accelerator().is_none() {
        return;
    }
    let zlib = zlib();
    let program = root().join("tests/native-libraries/uses-zlib.c");
    zlib.compile(&program, &["-shared", "-fPIC"]);
    let library = zlib.made.join("uses-zlib-shared-fPIC");
    let worker = variable_or_advice("IOTDEC_WORKER");
    let worker = worker.to_str().expect("a plain path");
    let library = library.to_str().expect("a plain path");
    for mode in ["off", "turbo"] {
        let words = [
            "call",
            "--accel",
            mode,
            "--library",
            library,
            "--symbol",
            "use_zlib",
        ];
        let output = zlib.run(Way::Host, worker, &words);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{mode}: {output:?}");
        assert!(
            text.contains("threads: as they should be"),
            "{mode}: {text}"
        );
        assert!(text.contains("\"result\":0"), "{mode}: {text}");
        assert!(text.contains(&format!("\"{mode}\"")), "{mode}: {text}");
        assert!(host_calls(&output) > Some(1000), "{mode}: {output:?}");
        println!("{mode}: {text}");
    }
}

#[test]
fn a_wild_pointer_ends_the_program_as_ever() {
    for way in [Way::Own, Way::Host] {
        if way == Way::Host && accelerator().is_none() {
            return;
        }
        let output = zlib().run(way, "uses-zlib", &["wild"]);
        // The shell that timeout started has become QEMU.
        let signal = output
            .status
            .signal()
            .or(output.status.code().map(|code| code - 128));
        assert_eq!(signal, Some(SIGSEGV), "{way:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{way:?}: {output:?}");
    }
}

#[test]
fn over_the_ring_a_wild_pointer_ends_the_guest_alone() {
    let output = zlib().run(Way::Ring, "uses-zlib", &["wild"]);
    assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("the host refuses what it is given"),
        "{errors}"
    );
    assert!(output.stdout.is_empty(), "{output:?}");
}

/// A guest that asks for anything at all, with numbers of objects it was never given.
#[test]
fn a_hostile_guest_does_the_host_no_harm() {
    let zlib = zlib();
    let generated = zlib.made.join("source/guest.c");
    let generated = std::fs::read_to_string(generated).expect("it was generated");
    let line = |start: &str| generated.lines().find(|line| line.starts_with(start));
    let fingerprint = line("const uint64_t iotdec_fingerprint").expect("a fingerprint");
    let functions = generated.find("enum {\n    HOST_").expect("their numbers");
    let functions = generated[functions..].split_inclusive("};").next();
    let numbers = format!("{}\n{fingerprint}\n", functions.expect("an end"));
    std::fs::write(zlib.made.join("source/numbers.h"), numbers).expect("room");
    let mut compiler = zlib.compiler(&root().join("tests/native-libraries/hostile.c"));
    compiler.arg("-I").arg(zlib.made.join("source"));
    compile::make(&mut compiler, &zlib.made.join("hostile"));
    let rounds: u64 = if is_full() { 30_000 } else { 3000 };
    let output = zlib.run(Way::Ring, "hostile", &[&rounds.to_string()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    println!("{said}");
    let counts: Vec<u64> = said
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [done, refused] = counts[..] else {
        panic!("{said}");
    };
    assert_eq!(done + refused, rounds, "{said}");
    assert!(done > 100 && refused > 1000, "{said}");
    // And serves another one.
    assert!(zlib.run(Way::Ring, "example", &[]).status.success());
}

#[test]
fn parts_that_do_not_fit_together_are_not_used() {
    if accelerator().is_none() {
        return;
    }
    let zlib = zlib();
    let other = tempfile::tempdir().expect("a directory");
    let less = other.path().join("less.toml");
    let text = std::fs::read_to_string(config()).expect("the configuration");
    std::fs::write(&less, text + "[function.compress]\nserve = \"guest\"\n").expect("room");
    let request = Request {
        output: other.path().to_owned(),
        ..zlib.request(Some(less))
    };
    let report = native_library(&request).unwrap_or_else(|error| panic!("{error}"));
    let mixed = Zlib {
        report,
        source: zlib.source.clone(),
        own: zlib.own.clone(),
        made: other.path().to_owned(),
    };
    std::fs::copy(zlib.made.join("example"), mixed.made.join("example")).expect("room");
    assert!(host_calls(&mixed.run(Way::Host, "example", &[])).is_some());
    let name = "iotdec-native-libz.so.1";
    let host = mixed.made.join("host").join(name);
    std::fs::copy(zlib.made.join("host").join(name), host).expect("room");
    let output = mixed.run(Way::Host, "example", &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(host_calls(&output), None);
}

#[test]
fn the_library_exports_what_the_original_does() {
    let zlib = zlib();
    let original = elf::exports(&zlib.own).expect("the sysroot's");
    let made = elf::exports(&zlib.made.join("guest/libz.so.1")).expect("the generated one");
    assert_eq!(made.name, original.name);
    assert_eq!(made.functions, original.functions);
    assert!(
        made.functions.values().any(Option::is_some),
        "no versions at all"
    );
    assert!(made.variables.is_empty());
}

/// With a configuration that has this line replaced.
fn with_line(line: &str, by: &str) -> Result<Report, Error> {
    let place = tempfile::tempdir().expect("a directory");
    let text = std::fs::read_to_string(config()).expect("the configuration");
    assert!(text.contains(line), "{line}");
    let file = place.path().join("zlib.toml");
    std::fs::write(&file, text.replace(line, by)).expect("room");
    native_library(&Request {
        output: place.path().to_owned(),
        ..zlib().request(Some(file))
    })
}

#[test]
fn what_is_not_said_is_not_guessed() {
    let served = |report: &Report, name: &str| {
        let function = report.functions.iter().find(|f| f.name == name);
        function.expect("a function of zlib").served_by
    };
    let full = &zlib().report;
    for (name, side) in [
        ("deflate", Side::Host),
        ("crc32", Side::Host),
        ("gzprintf", Side::Guest),
        ("gzread", Side::Guest),
        ("inflateBack", Side::Guest),
    ] {
        assert_eq!(served(full, name), side, "{name}");
    }

    // Without a word on structs, whatever takes them stays with the guest.
    let place = tempfile::tempdir().expect("a directory");
    let bare = native_library(&Request {
        output: place.path().to_owned(),
        ..zlib().request(None)
    });
    let bare = bare.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(served(&bare, "crc32"), Side::Host);
    assert_eq!(served(&bare, "deflate"), Side::Guest);
    assert_eq!(served(&bare, "deflateInit_"), Side::Guest);

    for (line, replaced, says) in [
        (
            "[function.\"inflateBack*\"]\nserve = \"guest\"",
            "",
            "inflateBack: ",
        ),
        ("flags = [\"-D_LARGEFILE64_SOURCE=1\"]", "", "gzopen64: "),
        (
            "next_in = \"in[avail_in], moves\"",
            "",
            "z_stream_s.next_in",
        ),
        ("as = \"shared\" ", "", "gz_header_s.extra"),
        (
            "identity = \"state\"",
            "state = \"value\"",
            "has no identity",
        ),
        ("msg = \"text\"", "message = \"text\"", "no field message"),
        (
            "makes = \"dest\"",
            "makes = \"destination\"",
            "no parameter destination",
        ),
        (
            "[function.\"*lateEnd\"]",
            "[function.\"*lateEnds\"]",
            "function.*lateEnds",
        ),
        ("serve = \"guest\"", "serve = \"gast\"", "gast"),
    ] {
        let error = with_line(line, replaced).expect_err(line).to_string();
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn the_host_is_faster() {
    if accelerator().is_none() {
        return;
    }
    let size = if is_full() { "20" } else { "2" };
    let times = |way: Way| -> Vec<f64> {
        let output = zlib().run(way, "uses-zlib", &[size]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{way:?}, {size} MB, ms to compress and to decompress; a call: {text}");
        let words = text.split_whitespace().take(2);
        words
            .map(|word| word.parse().expect("milliseconds"))
            .collect()
    };
    let (own, host) = (times(Way::Own), times(Way::Host));
    assert!(own[0] > 1.5 * host[0], "compressing: {own:?}, {host:?}");
}
