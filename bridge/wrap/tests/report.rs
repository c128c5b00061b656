//! The ABI report of a made-up library, for people and for programs.

use iotdec_wrap::constants;
use iotdec_wrap::elf::{self, Exports};
use iotdec_wrap::parse::{self, GUEST, HOST, Source};
use iotdec_wrap::report::{AbiReport, Facts, Outcome, report};
use iotdec_wrap::wrap::{Request, wrap};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const HEADER: &str = r#"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#define LIB_DIRECTORY O_DIRECTORY
enum mode { MODE_FAST, MODE_SLOW };
struct point { double x, y; };
struct opaque;
struct handlers { void (*log)(const char *format, ...); int (*read)(struct opaque *); };
struct point plain(struct point p, enum mode mode, char letter);
int of_stat(const struct stat *s);
int of_file(FILE *file);
int other_file(const char *name, FILE *stream);
int with_handlers(struct handlers *h);
int precise(long double x);
void prints(const char *format, ...) __attribute__((format(printf, 1, 2)));
void configures(int what, ...);
void prints_list(const char *format, va_list list) __attribute__((format(printf, 1, 0)));
void takes_list(const char *format, va_list list);
int not_exported(void);
static inline int in_the_header(void) { return 1; }
extern const char *version;
extern struct stat last;
"#;

const OTHER_HEADER: &str = "int of_another_library(void);\n";

fn made_up() -> AbiReport {
    let place = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let file = place.path().join(name);
        std::fs::write(&file, text).expect("room");
        file
    };
    let other = write("other.h", OTHER_HEADER);
    let header = write(
        "library.h",
        &format!("#include \"{}\"\n{HEADER}", other.display()),
    );
    let mut exports = Exports {
        name: "liblibrary.so.1".into(),
        variables: ["version", "last", "hidden"]
            .map(|name| (name.into(), elf::Variable::default()))
            .into(),
        ..Exports::default()
    };
    for name in [
        "plain",
        "of_stat",
        "of_file",
        "other_file",
        "with_handlers",
        "precise",
        "prints",
        "configures",
        "prints_list",
        "takes_list",
        "undeclared",
    ] {
        exports.functions.insert(name.into(), None);
    }
    let wanted =
        |name: &str| exports.functions.contains_key(name) || exports.variables.contains_key(name);
    let source = Source::of(&[header], &["-D_GNU_SOURCE".into()]);
    let [guest, host] =
        parse::read(&source, &wanted, [GUEST, HOST]).unwrap_or_else(|error| panic!("{error}"));
    let constants = constants::differing(&source, &guest, &host);
    let constants = constants.unwrap_or_else(|error| panic!("{error}"));
    let outcomes: BTreeMap<String, Option<String>> = [
        ("plain", None),
        ("prints_list", None),
        ("of_file", Some("a FILE stays where it is")),
        ("other_file", Some("a FILE stays where it is")),
    ]
    .map(|(name, why)| (name.to_owned(), why.map(str::to_owned)))
    .into();
    report(Facts {
        exports: &exports,
        guest: &guest,
        host: &host,
        constants: &constants,
        outcomes: Some(&outcomes),
        notes: &BTreeMap::from([("plain".into(), BTreeSet::from(["it is plain"]))]),
    })
}

#[test]
fn what_is_in_it() {
    let report = made_up();
    let function = |name: &str| {
        let found = report
            .functions
            .iter()
            .find(|function| function.name == name);
        found.unwrap_or_else(|| panic!("{name} is not there"))
    };
    for (name, verdict) in [
        ("plain", Outcome::Identical),
        ("of_stat", Outcome::Repacked),
        ("of_file", Outcome::Refused),
        ("with_handlers", Outcome::Limited),
        ("precise", Outcome::Refused),
        ("prints", Outcome::Identical),
        ("configures", Outcome::Identical),
        ("prints_list", Outcome::Identical),
        ("takes_list", Outcome::Refused),
    ] {
        assert_eq!(function(name).finding.verdict, verdict, "{name}");
    }
    let plain = function("plain");
    assert_eq!(
        plain.prototype,
        "struct point plain(struct point p, enum mode mode, char letter)"
    );
    let passing: Vec<_> = plain
        .passing
        .iter()
        .map(|p| (&*p.what, &*p.guest, &*p.host))
        .collect();
    assert_eq!(
        passing[..2],
        [
            ("result", "HFA: 2 v registers of 8 bytes", "SSE, SSE"),
            ("p", "HFA: 2 v registers of 8 bytes", "SSE, SSE"),
        ]
    );
    assert!(
        plain
            .finding
            .notes
            .iter()
            .any(|note| note.starts_with("char is unsigned"))
    );
    let notes = |name: &str| function(name).finding.notes.join(" ");
    assert!(notes("configures").contains("no attribute names a format"));
    assert!(!notes("prints").contains("format"));
    assert!(notes("prints_list").contains("as the format says"));
    assert_eq!(
        (plain.wrapped, function("of_file").wrapped),
        (Some(true), Some(false))
    );
    assert_eq!(function("precise").wrapped, None);

    let verdicts: BTreeMap<_, _> = report
        .types
        .iter()
        .map(|entry| (entry.name.as_str(), entry.finding.verdict))
        .collect();
    assert_eq!(verdicts["struct point"], Outcome::Identical);
    assert_eq!(verdicts["struct stat"], Outcome::Repacked);
    assert_eq!(verdicts["struct _IO_FILE"], Outcome::Refused);
    assert_eq!(verdicts["struct handlers"], Outcome::Limited);
    assert_eq!(verdicts["struct opaque"], Outcome::Identical);
    assert_eq!(verdicts["enum mode"], Outcome::Identical);
    // What only the C library's own records reach does not cross.
    assert!(!verdicts.contains_key("struct _IO_marker"));

    let own: Vec<_> = report.constants.iter().filter(|c| c.own).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!(
        (own[0].name.as_str(), own[0].guest),
        ("LIB_DIRECTORY", Some(0o40000))
    );
    assert_eq!(report.undeclared, ["undeclared"]);
    let missing: Vec<_> = report
        .missing
        .iter()
        .map(|m| (&*m.header, m.foreign))
        .collect();
    assert_eq!(missing, [("library.h", false), ("other.h", true)]);
    assert_eq!(
        report.missing[0].functions.keys().collect::<Vec<_>>(),
        ["not_exported"]
    );

    let variables: BTreeMap<_, _> = report
        .variables
        .iter()
        .map(|v| {
            (
                v.name.as_str(),
                v.finding.as_ref().map(|finding| finding.verdict),
            )
        })
        .collect();
    assert_eq!(variables["version"], Some(Outcome::Identical));
    assert_eq!(variables["last"], Some(Outcome::Repacked));
    assert_eq!(variables["hidden"], None);
}

#[test]
fn for_people() {
    let text = made_up().markdown();
    for line in [
        "| functions exported and declared | 10 |",
        "| with types that cannot cross | 4 |",
        "| wrapped | 2 |",
        "| struct _IO_FILE, a stream of the C library that opened it |  | `of_file`, `other_file` |",
        "| a FILE stays where it is | `of_file`, `other_file` |",
        "| `struct point` | library.h:9 | identical | 16, 8: HFA: 2 v registers of 8 bytes | 16, 8: SSE, SSE |",
        "| `LIB_DIRECTORY` | 16384 | 65536 | library.h:7 | its own |",
        "* library.h: `not_exported` (22)",
        "* other.h: one function, and the library exports none of it",
        "| `int of_file(FILE *file)` | library.h:14 | **refused** | **no** |",
        "| `void prints(const char *format, ...)` | library.h:18 | identical | |",
        "| `hidden` | nowhere | unknown |  |",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n\n{text}");
    }
    // Each row of a table has as many cells as the one before.
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let lines: Vec<_> = text.lines().collect();
    for pair in lines.windows(2) {
        if pair.iter().all(|line| line.starts_with('|')) {
            assert_eq!(cells(pair[0]), cells(pair[1]), "{pair:#?}");
        }
    }
}

#[test]
fn for_programs() {
    let report = made_up();
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
    let functions = json["functions"].as_array().expect("a list");
    let of_stat = functions
        .iter()
        .find(|function| function["name"] == "of_stat");
    let of_stat = of_stat.expect("is there");
    assert_eq!(of_stat["verdict"], "repacked");
    let field = &of_stat["differences"][0];
    assert_eq!(field["what"], "struct stat.st_mode");
    assert!(
        field["declared"]
            .as_str()
            .is_some_and(|place| place.contains(".h:"))
    );
    assert_eq!(json["library"], "liblibrary.so.1");
}

/// `iotdec wrap` leaves it beside what it makes.
#[test]
fn the_generator_writes_it() {
    let place = tempfile::tempdir().expect("a directory");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/library-bridge");
    let library = place.path().join("libso_lib.so.1");
    let arguments = [
        "-Wl,-soname,libso_lib.so.1".into(),
        example.join("so_lib.c").into(),
    ];
    let made = iotdec_wrap::compile::GUEST.make(&library, &arguments);
    made.unwrap_or_else(|error| panic!("{error}"));
    let request = Request {
        headers: vec![example.join("so_lib.h")],
        library,
        output: place.path().join("wrapped"),
        ..Request::default()
    };
    let report = wrap(&request).unwrap_or_else(|error| panic!("{error}"));
    let [markdown, json] = report
        .abi
        .map(|file| std::fs::read_to_string(file).expect("is there"));
    assert!(markdown.starts_with("# libso_lib.so.1: "), "{markdown}");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let functions = json["functions"].as_array().expect("a list");
    assert_eq!(functions.len(), report.functions);
    let wrapped = functions
        .iter()
        .filter(|function| function["wrapped"] == true);
    assert_eq!(wrapped.count(), report.wrapped);
    assert!(report.wrapped > 0);
}
