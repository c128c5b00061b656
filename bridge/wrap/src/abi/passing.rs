//! How the two calling conventions pass a value, for information: the compilers do it.
//!
//! AAPCS64 (Procedure Call Standard for the Arm 64-bit Architecture, 6.4) on the guest,
//! System V AMD64 psABI (3.2.3) on the host.

use crate::model::{Float, Header, Type};

/// A scalar somewhere in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaf {
    /// Bytes from the start.
    offset: usize,
    /// Bytes.
    size: usize,
    kind: Scalar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    Integer,
    Float,
    Extended,
    Vector,
}

/// More scalars than fit into registers on either side are not looked at.
const ENOUGH: usize = 64;

/// How the guest passes a value.
pub fn on_guest(header: &Header, kind: &Type) -> String {
    let (size, is_composite) = (size(header, kind), is_composite(kind));
    let leaves = leaves(header, kind);
    if size == 0 {
        return "nothing".into();
    }
    if let Some((count, element)) = homogeneous(&leaves, size) {
        let what = match element.kind {
            Scalar::Vector => "HVA",
            _ => "HFA",
        };
        return match (is_composite, count) {
            (false, 1) => "v register".into(),
            _ => format!(
                "{what}: {} of {} bytes",
                registers(count, 'v'),
                element.size
            ),
        };
    }
    if size > 16 {
        return "by reference".into();
    }
    registers(size.div_ceil(8), 'x')
}

/// How the host passes a value.
pub fn on_host(header: &Header, kind: &Type) -> String {
    let size = size(header, kind);
    let leaves = leaves(header, kind);
    if size == 0 {
        return "nothing".into();
    }
    let is_wide_vector = matches!(
        leaves[..],
        [Leaf {
            kind: Scalar::Vector,
            size: 17..,
            ..
        }]
    );
    if is_wide_vector {
        return "SSE with AVX, MEMORY without".into();
    }
    let is_unaligned = |leaf: &Leaf| !leaf.offset.is_multiple_of(leaf.size.clamp(1, 16));
    let is_extended = |leaf: &Leaf| leaf.kind == Scalar::Extended;
    if size > 16 || leaves.iter().any(is_unaligned) {
        return "MEMORY".into();
    }
    if leaves.iter().any(is_extended) {
        return "MEMORY, returned in x87 registers".into();
    }
    let class = |eightbyte: usize| {
        let within = |leaf: &&Leaf| {
            leaf.offset < eightbyte * 8 + 8 && leaf.offset + leaf.size > eightbyte * 8
        };
        let is_integer = |leaf: &Leaf| leaf.kind == Scalar::Integer;
        match leaves.iter().filter(within).any(is_integer) {
            true => "INTEGER",
            false => "SSE",
        }
    };
    // A vector's second half is in the same register as its first.
    if let [
        Leaf {
            kind: Scalar::Vector,
            ..
        },
    ] = leaves[..]
    {
        return "SSE".into();
    }
    let classes: Vec<_> = (0..size.div_ceil(8)).map(class).collect();
    classes.join(", ")
}

fn registers(count: usize, letter: char) -> String {
    match count {
        1 => format!("{letter} register"),
        _ => format!("{count} {letter} registers"),
    }
}

fn is_composite(kind: &Type) -> bool {
    matches!(
        kind,
        Type::Record(_) | Type::Array { .. } | Type::Complex(_)
    )
}

/// One to four members of one floating-point or vector type, with nothing between.
fn homogeneous(leaves: &[Leaf], size: usize) -> Option<(usize, Leaf)> {
    let first = *leaves.first()?;
    let is_same = |leaf: &Leaf| {
        leaf.kind == first.kind && leaf.size == first.size && leaf.offset.is_multiple_of(leaf.size)
    };
    let is_candidate = match first.kind {
        Scalar::Integer => false,
        Scalar::Vector => matches!(first.size, 8 | 16),
        Scalar::Float | Scalar::Extended => true,
    };
    let count = size / first.size.max(1);
    let is_homogeneous = is_candidate && leaves.iter().all(is_same);
    (is_homogeneous && count <= 4 && size == count * first.size).then_some((count, first))
}

fn leaves(header: &Header, kind: &Type) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    collect(header, kind, 0, &mut leaves);
    // The members of a union lie over each other.
    leaves.sort_by_key(|leaf| (leaf.offset, leaf.size));
    leaves.dedup();
    leaves
}

fn collect(header: &Header, kind: &Type, offset: usize, leaves: &mut Vec<Leaf>) {
    if leaves.len() >= ENOUGH {
        return;
    }
    let mut scalar = |offset, size, kind| leaves.push(Leaf { offset, size, kind });
    match kind {
        Type::Float(Float::Extended) => scalar(offset, 16, Scalar::Extended),
        Type::Float(float) => scalar(offset, float.size(), Scalar::Float),
        Type::Complex(part) => {
            let kind = match part {
                Float::Extended => Scalar::Extended,
                _ => Scalar::Float,
            };
            scalar(offset, part.size(), kind);
            scalar(offset + part.size(), part.size(), kind);
        }
        Type::Vector { size, .. } => scalar(offset, *size, Scalar::Vector),
        Type::Array { element, count } => {
            let step = size(header, &element.kind);
            for index in 0..count.unwrap_or(0).min(ENOUGH) {
                collect(header, &element.kind, offset + index * step, leaves);
            }
        }
        Type::Record(name) => {
            let record = header.records.get(name);
            let layout = record.and_then(|record| record.layout.as_ref());
            for field in layout.map_or(&[][..], |layout| &layout.fields) {
                match field.bits {
                    // Integers in a unit of their own, as far as classes go.
                    Some(0) => {}
                    Some(_) if field.name.is_empty() => {}
                    Some(_) => leaves.push(Leaf {
                        offset: offset + field.offset / 8,
                        size: 1,
                        kind: Scalar::Integer,
                    }),
                    None => collect(header, &field.value.kind, offset + field.offset / 8, leaves),
                }
            }
        }
        _ => match size(header, kind) {
            0 => {}
            size => scalar(offset, size, Scalar::Integer),
        },
    }
}

/// Bytes; 0 for what has no size.
pub(crate) fn size(header: &Header, kind: &Type) -> usize {
    match kind {
        Type::Void | Type::Function(_) | Type::VaList | Type::Other(_) => 0,
        Type::Float(float) => float.size(),
        Type::Complex(part) => 2 * part.size(),
        Type::Vector { size, .. } => *size,
        Type::Pointer(_) => 8,
        Type::Record(name) => {
            let record = header.records.get(name);
            let layout = record.and_then(|record| record.layout.as_ref());
            layout.map_or(0, |layout| layout.size)
        }
        Type::Array { element, count } => size(header, &element.kind) * count.unwrap_or(0),
        integer => integer.integer_size().unwrap_or(0),
    }
}
