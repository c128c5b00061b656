//! Holds what libclang says of types against a compiler.

use iotdec_wrap::compile;
use iotdec_wrap::model::{Header, Layout, Type};
use object::{Object, ObjectSection, ObjectSymbol};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// The compilers: the guest's, and the host's.
pub const COMPILERS: [&str; 2] = [compile::GUEST.name, compile::HOST.name];

/// What was checked.
#[derive(Debug, Default)]
pub struct Checked {
    /// Assertions of sizes, alignments and offsets.
    pub assertions: usize,
    /// Bit-fields.
    pub bits: usize,
}

/// Has a compiler check all the records that C can name of what libclang made of a text.
pub fn check(compiler: &str, text: &str, header: &Header) -> Checked {
    let place = tempfile::tempdir().expect("a directory");
    let mut text = text.to_owned();
    let assertions = assertions(header, &mut text);
    let bits = bit_fields(header, &mut text);
    let object = compile(compiler, place.path(), &text);
    check_bits(&object, &bits, compiler);
    Checked {
        assertions,
        bits: bits.len(),
    }
}

/// Writes assertions of sizes, alignments and offsets of records, and of the sizes of types
/// that are called `case_…`; how many.
fn assertions(header: &Header, text: &mut String) -> usize {
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
    let cases = header.typedefs.iter();
    for (name, typedef) in cases.filter(|(name, _)| name.starts_with("case_")) {
        match &typedef.value.kind {
            Type::Record(_) | Type::VaList | Type::Other(_) => {}
            kind => same(format!("sizeof({name})"), size_of_kind(header, kind)),
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

/// Writes an object for each bit-field.
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

/// Makes an object file.
pub fn compile(compiler: &str, place: &Path, text: &str) -> Vec<u8> {
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

/// Looks at which bits are set in these objects.
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
