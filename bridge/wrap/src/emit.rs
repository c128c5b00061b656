//! Writes the C of libraries in two parts, one for each side. Their compilers, not this
//! generator, know how types are passed: each part is ordinary C around the same header.
//!
//! The two directions have their own modules, and in common what is here.

pub mod bridge;
mod macros;
pub mod native;

use crate::elf::Exports;
use crate::model::{Header, Record};
use crate::words::words;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What the lines of [`same_layout`] are made of.
const SAME: &str = "#define IOTDEC_SAME(what, value) _Static_assert((what) == (value), #what)\n";

/// By these lines both compilers check that they lay out a record as libclang says.
fn same_layout(record: &Record, header: &Header) -> String {
    let mut text = String::new();
    let Some(layout) = &record.layout else {
        return text;
    };
    let spelling = &record.spelling;
    if !record.is_named {
        return text;
    }
    let _ = writeln!(text, "IOTDEC_SAME(sizeof({spelling}), {});", layout.size);
    let _ = writeln!(
        text,
        "IOTDEC_SAME(_Alignof({spelling}), {});",
        layout.alignment
    );
    // What is also a macro cannot be named.
    let is_macro = |name: &str| header.macros.contains_key(name);
    let fields = layout.fields.iter();
    for field in fields.filter(|f| !f.name.is_empty() && f.bits.is_none() && !is_macro(&f.name)) {
        let (name, offset) = (&field.name, field.offset / 8);
        let _ = writeln!(
            text,
            "IOTDEC_SAME(__builtin_offsetof({spelling}, {name}), {offset});"
        );
    }
    text
}

/// Which symbols are exported under which version. What is not in here is exported
/// without one.
pub fn version_script(exports: &Exports, header: &Header) -> String {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let functions = exports.functions.iter();
    let variables = exports.variables.iter();
    let variables = variables.map(|(name, variable)| (name, &variable.version));
    for (name, version) in functions.chain(variables) {
        if let Some(version) = version {
            let function = header.functions.get(name);
            let symbol = function.map_or(name, |function| &function.symbol);
            versions.entry(version).or_default().push(symbol);
        }
    }
    let mut script = String::new();
    if versions.is_empty() {
        // No linker takes a script with nothing in it.
        script += "{ global: *; };\n";
    }
    for (version, names) in versions {
        let _ = writeln!(script, "{version} {{ {}; }};", names.join("; "));
    }
    script
}

/// FNV-1a. No secret: whoever can replace one part of a library can do more.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// An expression with the names of fields made accesses to them.
fn qualified(expression: &str, record: &Record, of: &str) -> String {
    let mut text = String::new();
    let mut done = 0;
    for (word, after) in words(expression) {
        let end = expression.len() - after.len();
        let (before, _) = expression.split_at(end - word.len());
        text += &before[done..];
        let is_member = before.ends_with('.') || before.ends_with("->");
        if !is_member && record.field(word).is_some() {
            let _ = write!(text, "{of}.");
        }
        text += word;
        done = end;
    }
    text + &expression[done..]
}
