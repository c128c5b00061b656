//! The ABI report: all that was compared about a library, for people (Markdown) and for
//! programs (JSON).

mod build;
mod markdown;
mod reach;

use crate::constants::Constant;
use crate::elf::Exports;
use crate::model::Header;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

pub use build::report;

/// The report on a library.
#[derive(Clone, Debug, Serialize)]
pub struct AbiReport {
    /// The library's SONAME.
    pub library: String,
    /// Its exported functions that the headers declare.
    pub functions: Vec<FunctionEntry>,
    /// The records and enumerations that these reach.
    pub types: Vec<TypeEntry>,
    /// The exported variables.
    pub variables: Vec<VariableEntry>,
    /// Constants that are other numbers on the host than on the guest.
    pub constants: Vec<ConstantEntry>,
    /// Exported functions that no header declares.
    pub undeclared: Vec<String>,
    /// Functions that headers declare and the library does not export, by header.
    pub missing: Vec<MissingEntry>,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It means the same on both sides.
    Identical,
    /// It can be converted, field by field.
    Repacked,
    /// It crosses, and pointers in memory lead to what cannot be used on the other side.
    Limited,
    /// It cannot cross.
    Refused,
}

/// A difference between the two targets.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The field, or the type.
    pub what: String,
    /// How it differs.
    pub difference: String,
    /// File and line.
    pub declared: String,
}

/// What was found out about something.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What becomes of it.
    pub verdict: Outcome,
    /// Of what is repacked: what differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Of what is refused: why, and where that is declared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Reason>,
    /// What pointers in memory lead to that cannot be used on the other side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<Reason>,
    /// What is to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reason {
    /// Why.
    pub reason: String,
    /// File and line.
    pub declared: String,
}

/// A function.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionEntry {
    /// Its name.
    pub name: String,
    /// As C declares it.
    pub prototype: String,
    /// File and line.
    pub declared: String,
    /// What becomes of what it takes and returns.
    #[serde(flatten)]
    pub finding: Finding,
    /// Whether it takes more than it declares.
    pub variadic: bool,
    /// What it returns, and then what it takes: how that is passed.
    pub passing: Vec<Passing>,
    /// Whether it was wrapped; none if nothing was generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<bool>,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// How a value is passed.
#[derive(Clone, Debug, Serialize)]
pub struct Passing {
    /// The parameter, or `result`.
    pub what: String,
    /// By AAPCS64.
    pub guest: String,
    /// By the System V ABI.
    pub host: String,
}

/// A type.
#[derive(Clone, Debug, Serialize)]
pub struct TypeEntry {
    /// As C spells it.
    pub name: String,
    /// File and line.
    pub declared: String,
    /// What becomes of it.
    #[serde(flatten)]
    pub finding: Finding,
    /// On the guest; none of what is opaque.
    pub guest: Option<Shape>,
    /// On the host.
    pub host: Option<Shape>,
}

/// What a type is on a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Bytes.
    pub size: usize,
    /// Bytes.
    pub alignment: usize,
    /// How it is passed by value.
    pub passing: String,
}

/// A variable.
#[derive(Clone, Debug, Serialize)]
pub struct VariableEntry {
    /// Its name.
    pub name: String,
    /// File and line; none if no header declares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// What becomes of it.
    #[serde(flatten)]
    pub finding: Option<Finding>,
}

/// A constant.
#[derive(Clone, Debug, Serialize)]
pub struct ConstantEntry {
    /// Its name.
    pub name: String,
    /// On the guest; none if it is not an integer there.
    pub guest: Option<i128>,
    /// On the host.
    pub host: Option<i128>,
    /// File and line.
    pub declared: String,
    /// Whether it is one of the library's own, and not of the C library or the kernel.
    pub own: bool,
}

/// The functions of a header that the library does not export.
#[derive(Clone, Debug, Serialize)]
pub struct MissingEntry {
    /// The header's name.
    pub header: String,
    /// Whether the library exports none of the header's functions: it belongs to another
    /// library, or the functions are macros here.
    pub foreign: bool,
    /// The functions, and their lines.
    pub functions: BTreeMap<String, u32>,
}

/// What the report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What the library exports.
    pub exports: &'a Exports,
    /// The headers for the guest.
    pub guest: &'a Header,
    /// The headers for the host.
    pub host: &'a Header,
    /// [`crate::constants::differing`].
    pub constants: &'a [Constant],
    /// What became of functions when something was generated: nothing of those that were
    /// wrapped, and of others why they were not.
    pub outcomes: Option<&'a BTreeMap<String, Option<String>>>,
    /// What is to be known of how functions were wrapped.
    pub notes: &'a BTreeMap<String, BTreeSet<&'static str>>,
}

impl AbiReport {
    /// For people.
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }

    /// For programs.
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("numbers and texts under names that are texts") + "\n"
    }
}
