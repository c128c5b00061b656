//! What follows the parameters of a variadic function, where `wrap.toml` says it for each
//! value of one of them, as `sqlite3_config` needs it.
//!
//! Each list of types is made a declaration of its own behind the headers, so that libclang
//! reads it as it reads them, for both targets.

use crate::constants;
use crate::emit::bridge::{declare, spelled};
use crate::model::{Function, Header, Variant};
use crate::notes::{Notes, fits, said};
use crate::parse::{self, GUEST, HOST, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A variant as it is written.
struct Written<'a> {
    function: &'a str,
    /// The constants that select it, in `wrap.toml`.
    key: &'a str,
    types: &'a str,
}

/// Reads the headers again, with the variants of their functions; without any, they stay as
/// they are.
///
/// # Errors
/// What is wrong with the variants.
pub fn add(
    source: &Source,
    wanted: &dyn Fn(&str) -> bool,
    notes: &Notes,
    headers: [Header; 2],
) -> Result<[Header; 2], String> {
    let variadic = headers[0].functions.iter();
    let variadic = variadic.filter(|(_, function)| function.signature.variadic);
    let written: Vec<_> = variadic
        .flat_map(|(name, _)| written(notes, name))
        .collect();
    if written.is_empty() {
        return Ok(headers);
    }
    let constants = Constants::read(source, &headers, &written)?;
    constants.unambiguous(&written)?;
    let mut selected = Vec::new();
    let mut taken = BTreeSet::new();
    for it in written {
        let mut values = constants.values(&it)?;
        let is_any = values.is_empty();
        values.retain(|value| taken.insert((it.function, value.clone())));
        if is_any || !values.is_empty() {
            selected.push((it, values));
        }
    }
    let mut text = source.text.clone();
    for (index, (it, _)) in selected.iter().enumerate() {
        let function = &headers[0].functions[it.function];
        text += &declaration(&name(index), function, it.types);
    }
    let mut more = Source {
        text,
        ..source.clone()
    };
    // Else a misspelt type would be the name of an int.
    more.flags.push("-Werror=implicit-int".into());
    let is_wanted = |function: &str| wanted(function) || function.starts_with(NAME);
    let read = parse::read(&more, &is_wanted, [GUEST, HOST]);
    let mut read = read.map_err(|error| format!("variants that are no types: {error}"))?;
    for header in &mut read {
        for (index, (it, values)) in selected.iter().enumerate() {
            let Some(variant) = header.functions.remove(&name(index)) else {
                return Err(format!("{}: {:?} are no types", it.key, it.types));
            };
            // It may be declared for one target alone.
            if let Some(function) = header.functions.get_mut(it.function) {
                function.variants.push(Variant {
                    key: it.key.to_owned(),
                    values: values.clone(),
                    signature: variant.signature,
                });
            }
        }
    }
    Ok(read)
}

const NAME: &str = "iotdec_variant_";

fn name(index: usize) -> String {
    format!("{NAME}{index}")
}

/// What is said of a function's variants: names first, then patterns, the longer ones first.
fn written<'a>(notes: &'a Notes, function: &'a str) -> Vec<Written<'a>> {
    let mut types = BTreeMap::new();
    for (key, list) in said(&notes.functions, function).flat_map(|notes| &notes.variants) {
        types.entry(key.as_str()).or_insert(list.as_str());
    }
    let mut written: Vec<_> = types
        .into_iter()
        .map(|(key, types)| Written {
            function,
            key,
            types,
        })
        .collect();
    written.sort_by_key(|it| (it.key.contains('*'), std::cmp::Reverse(it.key.len())));
    written
}

/// A function that takes what the variadic one takes in this variant.
fn declaration(name: &str, function: &Function, types: &str) -> String {
    let signature = &function.signature;
    let parameters = signature.parameters.iter();
    let mut list: Vec<_> = parameters.map(|p| declare(&p.value, &p.name)).collect();
    if !types.trim().is_empty() {
        list.push(types.to_owned());
    }
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} {name}({});",
        spelled(&signature.result),
        list.join(", ")
    );
    text
}

/// The constants of the headers that select variants: for the guest, and for the host.
struct Constants([BTreeMap<String, i128>; 2]);

impl Constants {
    fn read(source: &Source, headers: &[Header; 2], written: &[Written]) -> Result<Self, String> {
        let is_meant = |name: &str| written.iter().any(|it| fits(it.key, name));
        let macros = headers.iter().flat_map(|header| &header.macros);
        let macros = macros.filter(|(name, place)| place.is_own && is_meant(name));
        let names: BTreeSet<_> = macros.map(|(name, _)| name.as_str()).collect();
        let found = constants::macros(source, names).map_err(|error| error.to_string())?;
        let mut found = Self(found);
        for (header, found) in headers.iter().zip(&mut found.0) {
            let values = header.enums.values().flat_map(|it| &it.values);
            let values = values.filter(|(name, _)| is_meant(name));
            found.extend(values.map(|(name, value)| (name.clone(), *value)));
        }
        Ok(found)
    }

    /// Two names can be one number, and then there is no telling which is meant.
    fn unambiguous(&self, written: &[Written]) -> Result<(), String> {
        let mut known: BTreeMap<_, &Written> = BTreeMap::new();
        for it in written {
            let number = self.0[0].get(it.key).copied();
            let Some(number) = number.or_else(|| it.key.parse().ok()) else {
                continue;
            };
            let other = *known.entry((it.function, number)).or_insert(it);
            if other.types != it.types {
                let Written { function, key, .. } = it;
                return Err(format!(
                    "function.{function}.variants: {key} and {} are the same number, {number}, \
                     and two lists of types",
                    other.key
                ));
            }
        }
        Ok(())
    }

    /// What selects a variant, in C. Nothing if anything does.
    fn values(&self, written: &Written) -> Result<Vec<String>, String> {
        let Written { function, key, .. } = written;
        if *key == "*" || key.parse::<i64>().is_ok() {
            let number = (*key != "*").then(|| (*key).to_owned());
            return Ok(number.into_iter().collect());
        }
        let [guest, host] = &self.0;
        let found: Vec<_> = guest.keys().filter(|name| fits(key, name)).collect();
        if found.is_empty() {
            return Err(format!(
                "function.{function}.variants: the headers have no integer {key}"
            ));
        }
        if let Some(other) = found
            .iter()
            .find(|name| host.get(**name) != guest.get(**name))
        {
            return Err(format!(
                "function.{function}.variants: {other} is another number on the other side"
            ));
        }
        Ok(found.into_iter().cloned().collect())
    }
}
