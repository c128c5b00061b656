//! `wrap.toml`: what headers cannot say, said in TOML. Its reference is in
//! docs/library-bridge.md.
//!
//! Keys of most tables are names out of the headers and may hold `*`, which stands for
//! anything; an exact name counts before a pattern, a longer pattern before a shorter one.

mod pass;

pub use pass::{Count, Data, Descriptor, Pass};

use crate::Error;
use crate::model::{Header, Signature};
use iotdec_wire::wish::Wish;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A `wrap.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// Options that the headers are compiled with, on both sides.
    #[serde(default)]
    pub flags: Vec<String>,
    /// How much of the accelerator the library gets, where the environment does not say.
    pub accel: Option<Wish>,
    /// What holds where nothing else says anything.
    #[serde(default)]
    pub defaults: Defaults,
    /// How types cross, by the spelling in the header.
    #[serde(default, rename = "type")]
    pub types: BTreeMap<String, Pass>,
    /// How parameters cross, by their name, whatever the function.
    #[serde(default, rename = "parameter")]
    pub parameters: BTreeMap<String, Pass>,
    /// Functions.
    #[serde(default, rename = "function")]
    pub functions: BTreeMap<String, FunctionNotes>,
    /// How the pointers in exported variables cross.
    #[serde(default, rename = "variable")]
    pub variables: BTreeMap<String, Pass>,
    /// Structs, by tag, or by typedef where there is none.
    #[serde(default, rename = "struct")]
    pub records: BTreeMap<String, RecordNotes>,
    /// Functions that pointers point at, by typedef, or by `function.parameter`.
    #[serde(default, rename = "callback")]
    pub callbacks: BTreeMap<String, FunctionNotes>,
}

/// What holds where nothing else says anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Pointers of which nothing says what is behind them.
    #[serde(default)]
    pub pointers: Pointers,
    /// `T *` that is not `const`, where `T` is a number or a pointer to an object.
    #[serde(default)]
    pub elements: Elements,
    /// Structs whose objects the library makes and keeps in its own memory; patterns.
    #[serde(default)]
    pub handles: Vec<String>,
    /// Functions that are not to be wrapped, with the reason; patterns.
    #[serde(default)]
    pub refuse: BTreeMap<String, String>,
}

/// What becomes of pointers of which nothing says what is behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pointers {
    /// Functions that take some are refused.
    #[default]
    Refuse,
    /// They cross as they are, and a call fails if one is not to shared memory.
    Shared,
}

/// What a pointer to one number or object is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Elements {
    /// It may be to more than one: not decided.
    #[default]
    Refuse,
    /// It is to one element, which the function reads or writes.
    One,
}

/// What is special about a function, or about what a function pointer points at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct FunctionNotes {
    /// How the pointer, or the file descriptor, crosses that it returns.
    pub returns: Option<Pass>,
    /// What it returns when the library is lost, as a C expression, instead of zero.
    pub on_crash: Option<String>,
    /// The parameter that is a format as for printf, of a variadic function.
    pub format: Option<String>,
    /// Conversions of that format, beyond `s`, that take a string.
    pub format_strings: Option<String>,
    /// Letters of a format that is not as for printf, and the argument that each stands for.
    #[serde(default)]
    pub format_letters: BTreeMap<char, Letter>,
    /// What follows the parameters of a variadic function, as a list of C types, by what its
    /// selector is: a constant of the headers, a pattern of such, or a number.
    #[serde(default)]
    pub variants: BTreeMap<String, String>,
    /// The parameter that selects one of the variants, if not the last.
    pub selector: Option<String>,
    /// The parameter by which it hands out a new object with an identity.
    pub makes: Option<String>,
    /// The parameter whose object is no more when it returns.
    pub ends: Option<String>,
    /// Who does it, where either side could.
    pub serve: Option<Serve>,
    /// Names and types of the functions it looks up, if it looks functions up: typedefs
    /// of the header.
    #[serde(default)]
    pub procs: BTreeMap<String, String>,
    /// How parameters cross, by name or by number from 1.
    #[serde(flatten)]
    pub parameters: BTreeMap<String, Pass>,
}

/// Who does a function of a library that is on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serve {
    /// The host, where it can.
    #[default]
    Host,
    /// The guest's own library, always.
    Guest,
}

/// The argument that a letter of a format stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Letter {
    /// An `int`, or what becomes one.
    Int,
    /// A `long`, or any other integer of 64 bits.
    Long,
    /// A `double`, or what becomes one.
    Double,
    /// Text that ends with a zero.
    String,
    /// A pointer, which must be to shared memory.
    Shared,
    /// The same, but null if it is not: the function may never look, and a program leave it
    /// out.
    Optional,
}

/// What is special about a struct.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RecordNotes {
    /// How pointers to it cross.
    #[serde(rename = "as")]
    pub way: Option<Way>,
    /// Functions in which its pointers count; patterns. Elsewhere they may be anything,
    /// and cross as values.
    #[serde(default)]
    pub only: Vec<String>,
    /// The field that the library sets, when it makes such an object, to something that no
    /// other living object has; by it is known whose the object is.
    pub identity: Option<String>,
    /// Functions that take its objects, by kind of object; patterns. One made by a function
    /// of a kind is only taken by functions of that kind.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// How the pointers in it cross.
    #[serde(flatten)]
    pub fields: BTreeMap<String, Pass>,
}

/// How pointers to a struct cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// As they are: the library makes such objects.
    Handle,
    /// As they are, and a call fails if one is not to shared memory.
    Shared,
    /// To a copy, made for the call.
    Copy,
    /// To a copy, which stays at its address for all calls with this object.
    Kept,
}

/// Reads a `wrap.toml`.
///
/// # Errors
/// It cannot be read, or means nothing.
pub fn read(file: &Path) -> Result<Notes, Error> {
    let wrong = |what: String| Error::Config {
        file: file.to_owned(),
        what,
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// Whether a name fits a pattern, in which `*` stands for anything.
pub fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| fits(rest, &name[at..]))
        }),
    }
}

/// What is said of a name, the most exact first.
pub fn said<'a, T>(table: &'a BTreeMap<String, T>, name: &str) -> impl Iterator<Item = &'a T> {
    let mut found: Vec<_> = table.iter().filter(|(key, _)| fits(key, name)).collect();
    found.sort_by_key(|(key, _)| (key.contains('*'), std::cmp::Reverse(key.len())));
    found.into_iter().map(|(_, value)| value)
}

impl Notes {
    /// What is said of a parameter: of this function's, of all of its name, of its type.
    pub fn parameter<'a>(
        &'a self,
        table: &'a BTreeMap<String, FunctionNotes>,
        function: &str,
        index: usize,
        name: &str,
        spelling: &str,
    ) -> Option<&'a Pass> {
        let number = (index + 1).to_string();
        let own = said(table, function).find_map(|notes| {
            let parameters = &notes.parameters;
            parameters.get(name).or_else(|| parameters.get(&number))
        });
        own.or_else(|| said(&self.parameters, name).next())
            .or_else(|| self.types.get(spelling))
    }

    /// The field by which a struct's objects are known.
    pub fn identity(&self, tag: &str) -> Option<&str> {
        said(&self.records, tag).find_map(|notes| notes.identity.as_deref())
    }

    /// The parameter by which a function hands out a new object.
    pub fn makes(&self, function: &str) -> Option<&str> {
        said(&self.functions, function).find_map(|notes| notes.makes.as_deref())
    }

    /// The parameter whose object a function ends.
    pub fn ends(&self, function: &str) -> Option<&str> {
        said(&self.functions, function).find_map(|notes| notes.ends.as_deref())
    }

    /// Who is to do a function that either side could.
    pub fn serve(&self, function: &str) -> Serve {
        let serve = said(&self.functions, function).find_map(|notes| notes.serve);
        serve.unwrap_or_default()
    }

    /// Complains about what is not in the headers: a misspelt name would change nothing,
    /// and nobody would notice.
    pub fn strangers(&self, header: &Header) -> Vec<String> {
        let mut strangers = Vec::new();
        let functions = || header.functions.iter();
        for (pattern, notes) in &self.functions {
            let mut those = functions()
                .filter(|(name, _)| fits(pattern, name))
                .peekable();
            if those.peek().is_none() {
                strangers.push(format!(
                    "function.{pattern}: not both declared and exported under this name"
                ));
                continue;
            }
            let those: Vec<_> = those.map(|(_, function)| function).collect();
            let objects = notes.makes.iter().chain(&notes.ends);
            let wanted = notes.parameters.keys().chain(&notes.format);
            let wanted = wanted.chain(&notes.selector).chain(objects.clone());
            for wanted in wanted {
                let has = |signature: &Signature| {
                    let parameters = &signature.parameters;
                    let number = wanted.parse::<usize>();
                    parameters.iter().any(|p| p.name == *wanted)
                        || number.is_ok_and(|n| (1..=parameters.len()).contains(&n))
                };
                if !those.iter().any(|function| function.forms().any(has)) {
                    strangers.push(format!("function.{pattern}: it has no parameter {wanted}"));
                }
            }
            if !notes.variants.is_empty() && !those.iter().any(|it| it.signature.variadic) {
                strangers.push(format!(
                    "function.{pattern}: it has no variants, as it takes what it declares"
                ));
            }
            let parameters = those.iter().flat_map(|it| &it.signature.parameters);
            for object in parameters.filter(|p| objects.clone().any(|name| *name == p.name)) {
                let record = object.value.kind.pointed_record();
                if record.and_then(|record| self.identity(record)).is_none() {
                    strangers.push(format!(
                        "function.{pattern}: {} is no struct, or has no identity",
                        object.name
                    ));
                }
            }
        }
        for pattern in self.defaults.refuse.keys() {
            let mut variables = header.variables.keys();
            if !functions().any(|(name, _)| fits(pattern, name))
                && !variables.any(|name| fits(pattern, name))
            {
                strangers.push(format!("defaults.refuse: there is no function {pattern}"));
            }
        }
        for pattern in self.variables.keys() {
            if !header.variables.keys().any(|name| fits(pattern, name)) {
                strangers.push(format!(
                    "variable.{pattern}: not both declared and exported under this name"
                ));
            }
        }
        for (pattern, notes) in &self.records {
            let those: Vec<_> = header
                .records
                .iter()
                .filter(|(tag, _)| fits(pattern, tag))
                .collect();
            if those.is_empty() {
                strangers.push(format!(
                    "struct.{pattern}: the functions reach no such struct"
                ));
                continue;
            }
            for field in notes.fields.keys().chain(&notes.identity) {
                if those
                    .iter()
                    .all(|(_, record)| record.field(field).is_none())
                {
                    strangers.push(format!("struct.{pattern}: it has no field {field}"));
                }
            }
            for (field, pass) in &notes.fields {
                if let Pass::Descriptor(_) = pass {
                    strangers.push(format!(
                        "struct.{pattern}: {field} is in a struct, where no file descriptor can \
                         cross, only as what a function takes, returns, or puts behind a pointer"
                    ));
                }
            }
            for only in notes.only.iter().chain(&notes.kinds) {
                if !functions().any(|(name, _)| fits(only, name)) {
                    strangers.push(format!("struct.{pattern}: there is no function {only}"));
                }
            }
        }
        for pattern in &self.defaults.handles {
            if !header.records.keys().any(|tag| fits(pattern, tag)) {
                strangers.push(format!("defaults.handles: there is no struct {pattern}"));
            }
        }
        for pattern in self.parameters.keys() {
            let mut parameters = functions()
                .flat_map(|(_, function)| function.forms())
                .flat_map(|signature| &signature.parameters);
            if !parameters.any(|parameter| fits(pattern, &parameter.name)) {
                strangers.push(format!("parameter.{pattern}: no function has it"));
            }
        }
        for spelling in self.types.keys() {
            let forms = functions().flat_map(|(_, function)| function.forms());
            let mut types = forms.flat_map(|signature| {
                let parameters = signature.parameters.iter().map(|p| &p.value.spelling);
                parameters.chain([&signature.result.spelling])
            });
            if !types.any(|known| known == spelling) {
                strangers.push(format!(
                    "type.\"{spelling}\": no function takes or returns it, in this spelling"
                ));
            }
        }
        strangers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(fits("xml*", "xmlFree") && fits("*", "") && fits("a*b*c", "a__b__bc"));
        assert!(!fits("xml", "xmlFree") && !fits("a*b", "abc") && !fits("", "a"));
    }

    #[test]
    fn the_most_exact_is_said_first() {
        let table = ["*", "xml*", "xmlFree", "xmlF*"].map(|key| (key.to_owned(), key));
        let said: Vec<_> = said(&table.into(), "xmlFree").copied().collect();
        assert_eq!(said, ["xmlFree", "xmlF*", "xml*", "*"]);
    }

    #[test]
    fn unknown_keys_are_errors() {
        for text in ["x = 1", "[defaults]\nx = 1", "[function.f]\nx = \"maybe\""] {
            assert!(toml::from_str::<Notes>(text).is_err(), "{text}");
        }
    }
}
