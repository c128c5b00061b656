//! What a header cannot say, said in TOML. A page of it is in docs/native-libraries.md.

use crate::Error;
use crate::model::Header;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Options that the header is compiled with, on both sides.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Of structs, by tag.
    #[serde(default, rename = "struct")]
    pub records: BTreeMap<String, RecordConfig>,
    /// Of functions.
    #[serde(default, rename = "function")]
    pub functions: BTreeMap<String, FunctionConfig>,
}

/// What the pointers in a struct are. All of them have to be named.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordConfig {
    /// Set by the library when it makes such an object, to something that no other
    /// living object has; by it is known whose the object is.
    pub identity: Option<String>,
    /// Functions that the library calls. An object that has some when it is made is
    /// served by the guest's own library for all its life.
    #[serde(default)]
    pub callbacks: Vec<String>,
    /// Strings that the library sets: the guest gets copies in memory of its own.
    #[serde(default)]
    pub text: Vec<String>,
    /// Addresses of bytes, of the guest's memory; handed on as they are.
    #[serde(default)]
    pub data: Vec<String>,
}

impl RecordConfig {
    /// Every field that is named.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.callbacks, &self.text, &self.data];
        let listed = lists.into_iter().flatten();
        self.identity.iter().chain(listed).map(String::as_str)
    }
}

/// What is special about a function.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionConfig {
    /// The parameter by which it hands out a new object.
    pub makes: Option<String>,
    /// The parameter whose object is no more when it returns.
    pub ends: Option<String>,
    /// Parameters of type `void *` that point at bytes.
    #[serde(default)]
    pub data: Vec<String>,
    /// What the pointer is that it returns.
    pub returns: Option<Returns>,
    /// Who does it.
    #[serde(default)]
    pub serve: Serve,
}

/// What a pointer is that a function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Returns {
    /// One of those it was given, or into what one of them points at, or null.
    Argument,
}

/// Who does a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serve {
    /// The host, where it can.
    #[default]
    Host,
    /// The guest's own library, always.
    Guest,
}

/// Reads a configuration.
///
/// # Errors
/// It cannot be read, or means nothing.
pub fn read(file: &Path) -> Result<Config, Error> {
    let wrong = |what: String| Error::Config {
        file: file.to_owned(),
        what,
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

impl Config {
    /// Complains about what is not in the header: a misspelt name would change
    /// nothing, and nobody would notice.
    pub fn strangers(&self, header: &Header) -> Vec<String> {
        let mut strangers = Vec::new();
        for (name, config) in &self.records {
            let Some(record) = header.records.get(name) else {
                strangers.push(format!("struct.{name}: the functions reach no such struct"));
                continue;
            };
            for field in config.fields() {
                if record.field(field).is_none() {
                    strangers.push(format!("struct.{name}: it has no field {field}"));
                }
            }
        }
        for (name, config) in &self.functions {
            let Some(function) = header.functions.get(name) else {
                strangers.push(format!(
                    "function.{name}: not both declared and exported under this name"
                ));
                continue;
            };
            let objects = config.makes.iter().chain(&config.ends);
            for wanted in objects.clone().chain(&config.data) {
                if function
                    .signature
                    .parameters
                    .iter()
                    .all(|p| p.name != *wanted)
                {
                    strangers.push(format!("function.{name}: it has no parameter {wanted}"));
                }
            }
            let parameters = function.signature.parameters.iter();
            for object in parameters.filter(|p| objects.clone().any(|name| *name == p.name)) {
                let record = object.value.kind.pointed_record();
                let record = record.and_then(|record| self.records.get(record));
                if record.is_none_or(|record| record.identity.is_none()) {
                    strangers.push(format!(
                        "function.{name}: {} is no struct, or has no identity",
                        object.name
                    ));
                }
            }
        }
        strangers
    }
}
