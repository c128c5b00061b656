//! Data behind pointers that lie in the message: a few numbers in memory of their own would
//! cost a cache line on its way there and back, as much as half a call.

use super::message::member;
use crate::emit::bridge::spelled;
use crate::model::{Float, Parameter, Signature, Type};
use crate::rules::{Block, Crossing, Element, Rule};

/// Bytes of a parameter's data, and of all of a message's, that lie in it at most. With the
/// parameters' own that is about what a post has room for.
const MOST: usize = 48;

/// For each parameter how many bytes of its data lie in the message, if they do.
///
/// The library sees them at another address than their pointer had. So they do only where no
/// pointer comes back that could be to them: none is returned, and none is in other data.
pub fn sizes(signature: &Signature, rule: &Rule) -> Vec<Option<usize>> {
    let each = signature.parameters.iter().zip(&rule.parameters);
    let is_plain = |(parameter, crossing): (&Parameter, &Crossing)| match crossing {
        Crossing::Data(block) => {
            block.element == Element::Bytes && number(parameter).is_some() && !block.keeps
        }
        _ => true,
    };
    let returns_number = matches!(signature.result.kind, Type::Void | Type::Float(_))
        || signature.result.kind.integer_size().is_some();
    let are_allowed = rule.variable.is_none() && returns_number && each.clone().all(is_plain);
    let mut left = MOST;
    each.map(|(parameter, crossing)| {
        let Crossing::Data(block) = crossing else {
            return None;
        };
        let size = size(parameter, block).filter(|size| are_allowed && *size <= left)?;
        left -= size;
        Some(size)
    })
    .collect()
}

/// Bytes of a number that a parameter points to.
fn number(parameter: &Parameter) -> Option<usize> {
    match &parameter.value.kind.pointee()?.kind {
        Type::Float(Float::Single) => Some(4),
        Type::Float(Float::Double) => Some(8),
        kind => kind.integer_size(),
    }
}

/// How much it always is.
fn size(parameter: &Parameter, block: &Block) -> Option<usize> {
    if block.count.in_bytes || block.back.is_some() || block.moves {
        return None;
    }
    let count: usize = block.count.expression.parse().ok()?;
    number(parameter)?.checked_mul(count)
}

/// The message's field for them.
pub fn field(parameter: &str) -> String {
    format!("d_{parameter}")
}

/// In the host's part, before the call.
pub fn before(parameter: &Parameter, block: &Block, size: usize) -> String {
    let name = &parameter.name;
    let (pointer, data) = (member(name), field(name));
    let copy = match block.reads {
        true => format!(
            "    if (iotdec_near_{name})\n        memcpy(iotdec_m->{data}, (const void *){name}, {size});\n"
        ),
        false => String::new(),
    };
    format!(
        "    int iotdec_near_{name} = {name} && !iotdec_is_there(&iotdec_c, (const void *){name}, {size});\n    \
         iotdec_m->{pointer} = iotdec_near_{name} ? IOTDEC_BESIDE : IOTDEC_BITS({name});\n{copy}"
    )
}

/// In the host's part, after it.
pub fn after(parameter: &Parameter, size: usize) -> String {
    let name = &parameter.name;
    format!(
        "        if (iotdec_near_{name})\n            memcpy((void *){name}, iotdec_m->{}, {size});\n",
        field(name)
    )
}

/// In the guest's part.
pub fn argument(parameter: &Parameter) -> String {
    let (name, spelled) = (&parameter.name, spelled(&parameter.value));
    let (pointer, data) = (member(name), field(name));
    format!(
        "iotdec_m->{pointer} == IOTDEC_BESIDE ? ({spelled})(void *)iotdec_m->{data} : \
         ({spelled})(uintptr_t)iotdec_m->{pointer}"
    )
}
