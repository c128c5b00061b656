//! How a call lies in memory between the two sides.

use super::beside;
use crate::model::{Float, Header, Signature, Type};
use std::fmt::Write;

/// Registers that hold numbers and addresses of a call, and those for floating point.
pub const REGISTERS: usize = 8;
/// Words of a call's variable arguments beyond those; `IOTDEC_STACK_WORDS` in C.
pub const STACK_WORDS: usize = 32;

/// A field's C type, size and alignment. None where there is nothing to carry.
fn field(kind: &Type, header: &Header) -> Option<(String, usize, usize)> {
    Some(match kind {
        Type::Void | Type::VaList => return None,
        Type::Float(Float::Single) => ("float".into(), 4, 4),
        Type::Float(Float::Double) => ("double".into(), 8, 8),
        kind if is_bytes(kind) => {
            let size = size(kind, header);
            (format!("_Alignas(16) unsigned char[{size}]"), size, 16)
        }
        kind => {
            let size = kind.integer_size().unwrap_or(8);
            (format!("uint{}_t", size * 8), size, size)
        }
    })
}

/// Whether a value is carried as its bytes.
pub fn is_bytes(kind: &Type) -> bool {
    match kind {
        Type::Record(_) | Type::Complex(_) | Type::Vector { .. } => true,
        Type::Float(float) => !matches!(float, Float::Single | Float::Double),
        kind => kind.integer_size().is_some_and(|size| size > 8),
    }
}

fn size(kind: &Type, header: &Header) -> usize {
    match kind {
        Type::Record(tag) => header.records[tag].layout.as_ref().map_or(0, |l| l.size),
        Type::Complex(float) => 2 * float.size(),
        Type::Vector { size, .. } => *size,
        Type::Float(float) => float.size(),
        kind => kind.integer_size().unwrap_or(8),
    }
}

/// A struct for the parameters and the result, and the assertions that both compilers
/// lay it out alike.
///
/// `beside` is [`beside::sizes`] of a function's parameters, and nothing of others'.
pub fn message(
    name: &str,
    signature: &Signature,
    header: &Header,
    is_format: bool,
    beside: &[Option<usize>],
) -> String {
    let is_carried = |kind: &Type| field(kind, header).is_some();
    let mut kinds = signature.parameters.iter().map(|p| &p.value.kind);
    let is_empty = !is_format && !kinds.any(is_carried) && !is_carried(&signature.result.kind);
    let mut fields = String::new();
    let mut checks = String::new();
    let mut end: usize = 0;
    let mut largest = 1;
    let mut add = |field_name: &str, declaration: String, size: usize, alignment: usize| {
        let offset = end.next_multiple_of(alignment);
        end = offset + size;
        largest = largest.max(alignment);
        let _ = writeln!(fields, "    {declaration};");
        let _ = writeln!(
            checks,
            "IOTDEC_SAME(offsetof(struct {name}, {field_name}), {offset});"
        );
    };
    let mut values: Vec<_> = signature
        .parameters
        .iter()
        .map(|p| (&p.name[..], &p.value))
        .collect();
    values.push(("iotdec_result", &signature.result));
    for (field_name, value) in values {
        if let Some((kind, size, alignment)) = field(&value.kind, header) {
            let field_name = member(field_name);
            let declaration = match kind.split_once('[') {
                Some((kind, length)) => format!("{kind} {field_name}[{length}"),
                None => format!("{kind} {field_name}"),
            };
            add(&field_name, declaration, size, alignment);
        }
    }
    for (parameter, size) in signature.parameters.iter().zip(beside) {
        if let Some(size) = size {
            let field_name = beside::field(&parameter.name);
            let declaration = format!("_Alignas(8) unsigned char {field_name}[{size}]");
            add(&field_name, declaration, *size, 8);
        }
    }
    if is_format {
        let arrays = [
            ("iotdec_general", "uint64_t", REGISTERS),
            ("iotdec_floating", "double", REGISTERS),
            ("iotdec_stack", "uint64_t", STACK_WORDS),
        ];
        for (name, kind, count) in arrays {
            add(name, format!("{kind} {name}[{count}]"), 8 * count, 8);
        }
    }
    if is_empty {
        add("iotdec_nothing", "uint64_t iotdec_nothing".into(), 8, 8);
    }
    let size = end.next_multiple_of(largest);
    format!(
        "\nstruct {name} {{\n{fields}}};\n{checks}IOTDEC_SAME(sizeof(struct {name}), {size});\n"
    )
}

/// The name of a parameter's field: no macro of the headers is called like this.
pub fn member(parameter: &str) -> String {
    match parameter {
        "iotdec_result" => parameter.into(),
        _ => format!("m_{parameter}"),
    }
}
