//! Pointers that come back and are followed: whether memory that both sides have is there.

use super::Plan;
use crate::model::{Parameter, Type};
use crate::rules::{Held, Pointed};

/// Bytes that are there at least where a pointer leads to, in C.
pub fn least(pointer: &Type, name: &str) -> String {
    match pointer.pointee().map(|to| &to.kind) {
        None
        | Some(Type::Void | Type::Function(_) | Type::VaList | Type::Array { count: None, .. }) => {
            "1".into()
        }
        Some(_) => format!("sizeof *{name}"),
    }
}

/// What is said of a pointer with which the library calls the program.
pub fn text_of_callback(pointed: &Pointed, parameter: &Parameter) -> String {
    let (called, name) = (&pointed.called, &parameter.name);
    let key = match called.contains('.') {
        true => format!("\"{called}\""),
        false => called.clone(),
    };
    format!(
        "the library calls {called} with a pointer in {name} to memory that is not shared; if \
         nobody follows it, say in wrap.toml: [callback.{key}] {name} = \"value\""
    )
}

/// The pointers in what comes by value that programs follow.
pub fn held<'a>(plan: &Plan<'a>, kind: &Type) -> &'a [Held] {
    match kind {
        Type::Record(tag) => plan.rules.held.get(tag).map_or(&[], Vec::as_slice),
        _ => &[],
    }
}
