//! The table of tests/abi/cases.toml: what becomes of types and functions that cross, and
//! whether both compilers lay out what is compared as libclang says.

mod compilers;

use compilers::{COMPILERS, check, compile};
use iotdec_wrap::abi::{Abi, Call, Change, Comparison, Refusal, Verdict, passing};
use iotdec_wrap::model::Header;
use iotdec_wrap::parse::{self, GUEST, HOST, Source};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    header: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    function: Option<String>,
    verdict: String,
    #[serde(default)]
    changed: Vec<String>,
    says: Option<String>,
    passing: Option<[String; 2]>,
}

impl Case {
    fn name(&self) -> &str {
        let name = self.kind.as_deref().or(self.function.as_deref());
        name.expect("a case has a type or a function")
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/abi")
}

/// The cases, by header.
fn cases() -> BTreeMap<String, Vec<Case>> {
    let text = std::fs::read_to_string(directory().join("cases.toml")).expect("the table is there");
    let table: Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let mut cases: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in table.case {
        cases.entry(case.header.clone()).or_default().push(case);
    }
    cases
}

/// C that includes a header and gives its cases' types names.
fn source(header: &str, cases: &[Case]) -> Source {
    let file = directory().join(header);
    let file = file
        .canonicalize()
        .unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let mut source = Source::of(&[file], &["-D_GNU_SOURCE".into()]);
    for (index, case) in cases.iter().enumerate() {
        if let Some(kind) = &case.kind {
            let _ = writeln!(source.text, "typedef {kind} case_{index};");
        }
    }
    source
}

fn read(source: &Source) -> [Header; 2] {
    parse::read(source, &|_| true, [GUEST, HOST]).unwrap_or_else(|error| panic!("{error}"))
}

/// What was found out about a case.
#[derive(Debug)]
struct Found {
    verdict: &'static str,
    refusal: Option<Refusal>,
    changes: Vec<Change>,
    notes: Vec<String>,
    passing: Option<[String; 2]>,
}

fn found(refusal: Option<&Refusal>, changes: Vec<Change>, notes: Vec<String>) -> Found {
    Found {
        verdict: match (refusal, changes.is_empty()) {
            (Some(_), _) => "refused",
            (None, false) => "repacked",
            (None, true) => "identical",
        },
        refusal: refusal.cloned(),
        changes,
        notes,
        passing: None,
    }
}

fn of_call(call: &Call) -> Found {
    let notes = call.parameters.iter().flat_map(|p| p.notes.clone());
    let changes = call.changes().cloned().collect();
    found(call.refusal(), changes, notes.collect())
}

fn of_type(comparison: &Comparison) -> Found {
    let changes = match &comparison.verdict {
        Verdict::Repacked(changes) => changes.clone(),
        _ => Vec::new(),
    };
    let notes = comparison.notes.iter().cloned().collect();
    found(comparison.refusal(), changes, notes)
}

#[test]
fn every_case() {
    let mut wrong = String::new();
    let mut count = 0;
    for (header, cases) in cases() {
        let [guest, host] = read(&source(&header, &cases));
        let abi = Abi::new(&guest, &host);
        for (index, case) in cases.iter().enumerate() {
            count += 1;
            let found = match &case.function {
                Some(name) => {
                    let call = abi.function(name);
                    of_call(&call.unwrap_or_else(|| panic!("{name} is not declared")))
                }
                None => {
                    let name = format!("case_{index}");
                    let (on_guest, on_host) = (&guest.typedefs[&name], &host.typedefs[&name]);
                    let place = &on_guest.place;
                    let comparison = abi.value(&on_guest.value, &on_host.value, place);
                    Found {
                        passing: Some([
                            passing::on_guest(&guest, &on_guest.value.kind),
                            passing::on_host(&host, &on_host.value.kind),
                        ]),
                        ..of_type(&comparison)
                    }
                }
            };
            if let Some(why) = complaint(case, &found) {
                let _ = writeln!(wrong, "{header}, {}: {why}; {found:#?}", case.name());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 60, "{count}");
}

fn complaint(case: &Case, found: &Found) -> Option<String> {
    if found.verdict != case.verdict {
        return Some(format!("not {}", case.verdict));
    }
    if let Some(refusal) = &found.refusal
        && (refusal.place.line == 0 || refusal.place.file.as_os_str().is_empty())
    {
        return Some("does not say where".into());
    }
    if !case.changed.is_empty() || found.verdict == "repacked" {
        let changed: Vec<_> = found.changes.iter().map(|change| &change.what).collect();
        if changed != case.changed.iter().collect::<Vec<_>>() {
            return Some(format!("changed is not {:?}", case.changed));
        }
    }
    if let Some(says) = &case.says {
        let reason = found.refusal.iter().map(|refusal| &refusal.reason);
        if !reason.chain(&found.notes).any(|text| text.contains(says)) {
            return Some(format!("does not say {says:?}"));
        }
    } else if !found.notes.is_empty() && found.verdict != "refused" && case.function.is_none() {
        return Some("a note that is not in the table".into());
    }
    if case.passing.is_some() && case.passing != found.passing {
        return Some(format!("is not passed as {:?}", case.passing));
    }
    None
}

#[test]
fn both_compilers_agree_with_libclang() {
    for (header, cases) in cases() {
        let source = source(&header, &cases);
        for (compiler, read) in COMPILERS.iter().zip(read(&source)) {
            let checked = check(compiler, &source.text, &read);
            assert!(checked.assertions > 10, "{header}: {checked:?}");
            assert!(header != "bits.h" || checked.bits > 15, "{checked:?}");
        }
    }
}

/// A wrong expectation is noticed, by the table and by the compilers.
#[test]
fn the_checks_can_fail() {
    let case = |verdict: &str, says: Option<&str>| Case {
        header: "records.h".into(),
        kind: Some("struct precise_inside".into()),
        function: None,
        verdict: verdict.into(),
        changed: Vec::new(),
        says: says.map(str::to_owned),
        passing: None,
    };
    let [guest, host] = read(&source("records.h", &[case("refused", None)]));
    let found = of_type(&Abi::new(&guest, &host).record("precise_inside"));
    assert_eq!(complaint(&case("refused", None), &found), None);
    assert!(complaint(&case("identical", None), &found).is_some());
    assert!(complaint(&case("refused", Some("no such reason")), &found).is_some());

    let place = tempfile::tempdir().expect("a directory");
    let disagrees = std::panic::catch_unwind(|| {
        compile(
            "gcc",
            place.path(),
            "_Static_assert(sizeof(long) == 4, \"long\");",
        );
    });
    assert!(disagrees.is_err());
}

/// What pointers in memory lead to is told apart: what is read there and wrongly, and what
/// only cannot be called.
#[test]
fn what_would_be_misread() {
    let of = |header: &str, record: &str| {
        // A name for it, so that it is read.
        let mut source = source(header, &[]);
        let _ = writeln!(source.text, "typedef struct {record} its_name;");
        let [guest, host] = read(&source);
        let comparison = Abi::new(&guest, &host).record(record);
        assert_eq!(comparison.verdict, Verdict::Identical, "{record}");
        (comparison.behind.len(), comparison.misread.len())
    };
    assert_eq!(of("records.h", "points_to_host_packed"), (1, 1));
    assert_eq!(of("functions.h", "points_to_methods"), (1, 0));
    assert_eq!(of("functions.h", "methods"), (0, 0));
}
