//! The table of tests/abi/cases.toml: what becomes of types and functions that cross, and
//! whether both compilers lay out what is compared as libclang says.

use iotdec_wrap::abi::{Abi, Call, Change, Comparison, Refusal, Verdict, passing};
use iotdec_wrap::model::{Header, Layout, Type};
use iotdec_wrap::parse::{self, GUEST, HOST, Source};
use object::{Object, ObjectSection, ObjectSymbol};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// A compiler, and what libclang takes it for.
const COMPILERS: [(&str, usize); 2] = [("aarch64-linux-gnu-gcc", 0), ("gcc", 1)];

#[test]
fn both_compilers_agree_with_libclang() {
    let place = tempfile::tempdir().expect("a directory");
    for (header, cases) in cases() {
        let source = source(&header, &cases);
        let read = read(&source);
        for (compiler, side) in COMPILERS {
            let mut text = source.text.clone();
            let checks = assertions(&read[side], &cases, &mut text);
            let bits = bit_fields(&read[side], &mut text);
            assert!(checks > 0, "{header}: nothing to check");
            let object = compile(compiler, place.path(), &text);
            check_bits(&object, &bits, compiler);
            if header == "bits.h" {
                assert!(bits.len() > 15, "{}", bits.len());
            }
        }
    }
}

/// Writes assertions of sizes, alignments and offsets; how many.
fn assertions(header: &Header, cases: &[Case], text: &mut String) -> usize {
    let mut count = 0;
    let mut same = |what: String, value: usize| {
        let _ = writeln!(
            text,
            "_Static_assert({what} == {value}, \"{}\");",
            what.replace('"', "")
        );
        count += 1;
    };
    same("((char)-1 < 0)".into(), header.char_is_signed.into());
    same(
        "((__WCHAR_TYPE__)-1 < 0)".into(),
        header.wide_char_is_signed.into(),
    );
    for (spelling, layout) in checked(header) {
        same(format!("sizeof({spelling})"), layout.size);
        same(format!("_Alignof({spelling})"), layout.alignment);
        let fields = layout.fields.iter();
        for field in fields.filter(|field| !field.name.is_empty() && field.bits.is_none()) {
            let name = &field.name;
            // In max_align_t, which each compiler brings, with names of its own.
            if name.starts_with("__clang_") {
                continue;
            }
            same(
                format!("__builtin_offsetof({spelling}, {name})"),
                field.offset / 8,
            );
        }
    }
    for (index, case) in cases.iter().enumerate() {
        let name = format!("case_{index}");
        let Some(typedef) = header.typedefs.get(&name) else {
            assert!(case.function.is_some(), "{name}");
            continue;
        };
        match &typedef.value.kind {
            Type::Record(_) | Type::VaList | Type::Other(_) => {}
            kind => {
                same(format!("sizeof({name})"), size_of_kind(header, kind));
            }
        }
    }
    count
}

fn size_of_kind(header: &Header, kind: &Type) -> usize {
    match kind {
        Type::Record(name) => header.records[name].layout.as_ref().map_or(0, |l| l.size),
        Type::Array { element, count } => {
            size_of_kind(header, &element.kind) * count.expect("a size")
        }
        Type::Pointer(_) => 8,
        Type::Float(float) => float.size(),
        Type::Complex(part) => 2 * part.size(),
        Type::Vector { size, .. } => *size,
        kind => kind.integer_size().unwrap_or_else(|| panic!("{kind:?}")),
    }
}

/// The records that C can name. Where there is a vector in it of more than 16 bytes, gcc
/// aligns by its options; such records are refused.
fn checked(header: &Header) -> impl Iterator<Item = (&str, &Layout)> {
    let records = header.records.values().filter(|record| record.is_named);
    let is_wide = |kind: &Type| matches!(kind, Type::Vector { size: 17.., .. });
    records
        .filter_map(|record| Some((record.spelling.as_str(), record.layout.as_ref()?)))
        .filter(move |(spelling, layout)| {
            let mut kinds = layout.fields.iter().map(|field| &field.value.kind);
            !spelling.contains("__va_list") && !kinds.any(is_wide)
        })
}

/// A bit-field, all of whose bits are set in an object of this name.
struct Bits {
    object: String,
    what: String,
    offset: usize,
    width: usize,
}

fn bit_fields(header: &Header, text: &mut String) -> Vec<Bits> {
    let mut all = Vec::new();
    for (spelling, layout) in checked(header) {
        for field in layout.fields.iter().filter(|field| !field.name.is_empty()) {
            let Some(width) = field.bits else { continue };
            let (name, object) = (&field.name, format!("bits_{}", all.len()));
            let _ = writeln!(text, "{spelling} {object} = {{ .{name} = -1 }};");
            all.push(Bits {
                object,
                what: format!("{spelling}.{name}"),
                offset: field.offset,
                width,
            });
        }
    }
    all
}

fn compile(compiler: &str, place: &Path, text: &str) -> Vec<u8> {
    let (source, object) = (place.join("case.c"), place.join("case.o"));
    std::fs::write(&source, text).expect("room");
    let output = Command::new(compiler)
        .args(["-std=gnu11", "-w", "-D_GNU_SOURCE", "-c", "-o"])
        .args([&object, &source])
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{compiler} does not agree:\n{errors}"
    );
    std::fs::read(&object).expect("was just written")
}

fn check_bits(object: &[u8], bits: &[Bits], compiler: &str) {
    let file = object::File::parse(object).expect("an object file");
    for field in bits {
        let symbol = file
            .symbols()
            .find(|symbol| symbol.name() == Ok(&field.object));
        let symbol = symbol.unwrap_or_else(|| panic!("{} is there", field.object));
        let section = symbol.section_index().expect("is defined");
        let section = file.section_by_index(section).expect("is there");
        let data = section.data().expect("is there");
        let start = symbol.address() as usize;
        let data = &data[start..start + symbol.size() as usize];
        let is_set = |bit: &usize| data[bit / 8] >> (bit % 8) & 1 == 1;
        let set: Vec<_> = (0..data.len() * 8).filter(is_set).collect();
        let expected: Vec<_> = (field.offset..field.offset + field.width).collect();
        assert_eq!(set, expected, "{compiler}: {}", field.what);
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
