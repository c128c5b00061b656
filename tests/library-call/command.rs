//! `iotdec call`: what it prints, and what it says of what it cannot do.

use super::{place, sample_path};
use std::path::Path;
use std::process::{Command, Output};

fn command(library: &Path, words: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["100", "iotdec", "call"]).arg(library);
    let output = command.args(words).output();
    output.expect("timeout is part of the system")
}

#[track_caller]
fn prints(library: &Path, words: &[&str], expected: &str) {
    let output = command(library, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        expected,
        "{words:?}"
    );
}

#[track_caller]
fn refuses(library: &Path, words: &[&str], why: &str) {
    let output = command(library, words);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
    assert!(text.contains(why), "{words:?}: {text}");
}

#[test]
fn the_command_takes_and_prints_every_kind() {
    const POINT: &str = "struct point { int16_t x; double y; char name[8]; }";
    let library = sample_path();
    prints(
        library,
        &[
            "double weighted(float a, double b, int n)",
            "1.5",
            "0.25",
            "-4",
        ],
        "-7.0\n",
    );
    let moved = format!("{POINT} moved(struct point p, int by)");
    prints(
        library,
        &[&moved, r#"{"x": 5, "y": 0.5, "name": "here"}"#, "-1"],
        "{\"name\":\"mere\",\"x\":4,\"y\":-0.5}\n",
    );
    prints(
        library,
        &["void reverse(char *text)", "abc"],
        "text = \"cba\"\n",
    );
    prints(
        library,
        &[
            "int64_t sum(const int32_t *values, size_t n, int64_t squares[4])",
            "[3, -4]",
            "2",
            "[0;3]",
        ],
        "-1\nsquares = [9,16,0,0]\n",
    );
    prints(
        library,
        &[
            "size_t total_length(const char *const *texts)",
            r#"["ab","cde",null]"#,
        ],
        "5\n",
    );
    prints(Path::new("libc.so.6"), &["int toupper(int)", "'q'"], "81\n");
    prints(library, &["int is_null(const void *p)", "NULL"], "1\n");
    prints(library, &["int is_null(const void *p)", "\"NULL\""], "0\n");
    prints(
        library,
        &["enum c { RED, GREEN = 7 } other(enum c c)", "RED"],
        "7\n",
    );
    prints(
        library,
        &["const char *greeting(void)"],
        "\"hello from aarch64\"\n",
    );
    prints(
        library,
        &["int fails(void)"],
        "-1\nerrno = 28: No space left on device\n",
    );
}

#[test]
fn the_command_says_what_it_cannot_do() {
    let library = sample_path();
    refuses(library, &["void crash(void)"], "SIGSEGV");
    refuses(library, &["int counts(void)"], "is it count");
    refuses(
        library,
        &["int count(void)", "1"],
        "takes no argument, not 1",
    );
    refuses(
        library,
        &["void reverse(char *text)"],
        "takes one argument (char * text), not 0",
    );
    refuses(
        library,
        &["enum c { RED, GREEN = 7 } other(enum c c)", "BLUE"],
        "one of GREEN, RED",
    );
    refuses(
        library,
        &["int apply(int (*f)(int), int n)", "7x", "1"],
        "points to a function",
    );
    refuses(library, &["long double f(void)"], "another type here");
    refuses(library, &["int f(union { int a; } u)", "1"], "unions");
    refuses(library, &["int count(vendor_t v)", "1"], "--header");
    refuses(
        Path::new("libnothing.so.9"),
        &["int f(void)"],
        "is not in sysroot",
    );
}

#[test]
fn the_command_tells_in_json_what_came_of_a_call() {
    let prototype = "double frexp(double, int *exponent)";
    let output = command(Path::new("libm.so.6"), &[prototype, "48", "0", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected =
        serde_json::json!({ "result": 0.75, "arguments": { "exponent": [6] }, "errno": 0 });
    assert_eq!(json, expected);
}

/// Without the plugin that it names, whoever insists on it gets an error.
#[test]
fn the_command_line_chooses_the_accelerator_before_the_environment() {
    let prototype = "double frexp(double, int *exponent)";
    let call = |option: &[&str], mode: &str| {
        let mut command = Command::new("timeout");
        command.args(["100", "iotdec", "call", "libm.so.6", prototype, "48", "0"]);
        command.args(option).env("IOTDEC_ACCEL_MODE", mode);
        command.env("IOTDEC_ACCEL", "/there/is/no/accelerator.so");
        let output = command.output().expect("timeout is part of the system");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() || text.contains("accelerator"),
            "{text}"
        );
        output.status.success()
    };
    assert!(call(&[], "off"));
    assert!(!call(&[], "turbo"));
    assert!(call(&["--accel", "off"], "turbo"));
    assert!(!call(&["--accel", "auto"], "turbo"));
    for insists in ["native", "turbo"] {
        assert!(!call(&["--accel", insists], "off"));
    }
}

#[test]
fn headers_give_prototypes() {
    let crc32 = "unsigned long crc32(unsigned long, const unsigned char *, unsigned int)";
    let library = Path::new("libz.so.1");
    prints(library, &[crc32, "0", "123456789", "9"], "3421780262\n");
    let place = place();
    let text = "#include \"kinds.h\"\nsum_t crc32(sum_t, const unsigned char *, unsigned int);\n";
    std::fs::write(place.join("sums.h"), text).expect("room");
    std::fs::write(place.join("kinds.h"), "typedef unsigned long sum_t;\n").expect("room");
    let header = format!("--header={}", place.join("sums.h").display());
    prints(
        library,
        &["crc32", "0", "123456789", "9", &header],
        "3421780262\n",
    );
    refuses(library, &["crc32", "0", "123456789", "9"], "--header");
}
