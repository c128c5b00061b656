//! What functions say of themselves in attributes.
//!
//! libclang shows that there are some, and not which. But it prints declarations as the
//! compiler understood them, with their attributes in one spelling, out of whatever
//! macros they came.

use crate::model::Format;
use clang::{Entity, EntityKind};

/// The attributes that matter here.
#[derive(Debug, Default)]
pub struct Attributes {
    pub format: Option<Format>,
    pub is_noreturn: bool,
    pub nonnull: Nonnull,
}

/// Which parameters are never null.
#[derive(Debug, Default)]
pub enum Nonnull {
    /// None that anything is said of.
    #[default]
    Unsaid,
    /// All.
    All,
    /// These, counted from 0.
    Some(Vec<usize>),
}

impl Nonnull {
    pub fn includes(&self, index: usize) -> bool {
        match self {
            Self::Unsaid => false,
            Self::All => true,
            Self::Some(indices) => indices.contains(&index),
        }
    }
}

/// The attributes of a function.
pub fn of(function: Entity) -> Attributes {
    let mut attributes = Attributes::default();
    if !function.has_attributes() && !is_noreturn_type(function) {
        return attributes;
    }
    let text = function.get_pretty_printer().print();
    attributes.is_noreturn = is_noreturn_type(function) || text.contains("_Noreturn");
    for attribute in trailing(&text) {
        let (name, arguments) = match attribute.split_once('(') {
            Some((name, arguments)) => (name, arguments.trim_end_matches(')')),
            None => (attribute, ""),
        };
        let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
        // Parameters are counted from 1, and 0 means none.
        let index = |text: &&str| text.parse::<usize>().ok()?.checked_sub(1);
        match (name, arguments.as_slice()) {
            ("format", [like, format, first]) => {
                attributes.format = index(format).map(|format| Format {
                    like: like.trim_matches('_').to_owned(),
                    format,
                    first: index(first),
                });
            }
            ("nonnull", [""]) => attributes.nonnull = Nonnull::All,
            ("nonnull", indices) => {
                attributes.nonnull = Nonnull::Some(indices.iter().filter_map(index).collect());
            }
            _ => {}
        }
    }
    attributes
}

/// Whether a parameter says by itself that it is never null.
pub fn is_nonnull(parameter: Entity) -> bool {
    parameter.get_kind() == EntityKind::ParmDecl
        && parameter.has_attributes()
        && trailing(&parameter.get_pretty_printer().print()).contains(&"nonnull")
}

/// `noreturn` is part of a function's type, and no attribute of its declaration.
fn is_noreturn_type(function: Entity) -> bool {
    let kind = function.get_type();
    kind.is_some_and(|kind| kind.get_display_name().contains("noreturn"))
}

/// What is in the attributes at the end of a declaration.
fn trailing(declaration: &str) -> Vec<&str> {
    const OPENING: &str = "__attribute__((";
    let mut attributes = Vec::new();
    let mut rest = declaration.trim_end();
    while let Some(body) = rest.strip_suffix("))")
        && let Some((before, attribute)) = body.rsplit_once(OPENING)
    {
        let count = |what| attribute.matches(what).count();
        // The last parameter's own, before the parenthesis that ends all parameters.
        if count('(') != count(')') {
            break;
        }
        attributes.push(attribute);
        rest = before.trim_end();
    }
    attributes
}
