//! Decides how everything crosses that a function takes and returns, for functions that
//! a native program calls and a library in the guest does.
//!
//! What the library makes is readable by the program where it is, so what comes back
//! crosses as it is. What the program makes is elsewhere, unless it took shared memory:
//! it has to be copied, and so it has to be known how much it is. Where types do not say,
//! `wrap.toml` must; nothing is guessed that could corrupt memory.

mod beside;
mod callbacks;
mod crossing;
mod descriptors;
mod interfaces;
mod inward;
pub(crate) mod names;
pub(crate) mod pointers;
mod reach;
mod records;
mod repacked;
mod streams;
mod variables;
mod variadic;

use crate::abi::Abi;
use crate::elf::Exports;
use crate::model::{Header, Signature, Type, Value};
use crate::notes::{FunctionNotes, Notes, Pass, fits, said};
pub use callbacks::Pointed;
pub use crossing::{Block, Crossing, Element, RecordRule, Rule};
pub use inward::Held;
use pointers::by_value;
pub use reach::Reached;
pub(crate) use repacked::integer_type;
use repacked::resized;
use std::collections::{BTreeMap, BTreeSet};
pub use variables::{Slot, VariableRule};
pub use variadic::{FormatRule, Told, Variable};

/// What was decided on a library.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Its exported functions that the headers declare.
    pub functions: BTreeMap<String, Decision>,
    /// Its exported variables that the headers declare; why not, of those that do not cross.
    pub variables: BTreeMap<String, Result<VariableRule, String>>,
    /// What the function pointers point at that cross, by number.
    pub signatures: Vec<Pointed>,
    /// The structs of which copies are made field by field.
    pub records: BTreeMap<String, RecordRule>,
    /// The structs that are tables of functions of the library's objects, with the
    /// functions' signatures; none for one that cannot be called.
    pub tables: BTreeMap<String, Vec<Option<usize>>>,
    /// The structs that are converted field by field.
    pub repacked: BTreeSet<String>,
    /// The structs that come by value, and the pointers in them that programs follow.
    pub held: BTreeMap<String, Vec<Held>>,
    /// The structs that are used where they are, and lead to functions.
    pub reached: BTreeMap<String, Vec<(String, Reached)>>,
}

/// What becomes of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is wrapped, and so it crosses.
    Wrapped(Rule),
    /// It is not; why, and what would settle it.
    Refused(String),
}

/// Decides on every exported function that the headers declare.
pub fn decide(exports: &Exports, guest: &Header, host: &Header, notes: &Notes) -> Rules {
    let mut decider = Decider {
        guest,
        host,
        abi: Abi::new(guest, host)
            .with_handles(&notes.defaults.handles)
            .leaving_variadic(),
        notes,
        rules: Rules::default(),
        busy: BTreeSet::new(),
    };
    let exported = exports.functions.keys();
    for name in exported.filter(|name| guest.functions.contains_key(*name)) {
        let decision = match decider.function(name) {
            Ok(rule) => Decision::Wrapped(rule),
            Err(why) => Decision::Refused(why),
        };
        decider.rules.functions.insert(name.clone(), decision);
    }
    let exported = exports.variables.iter();
    for (name, symbol) in exported.filter(|(name, _)| guest.variables.contains_key(*name)) {
        let rule = decider.variable(name, symbol);
        decider.rules.variables.insert(name.clone(), rule);
    }
    decider.rules
}

struct Decider<'a> {
    guest: &'a Header,
    host: &'a Header,
    abi: Abi<'a>,
    notes: &'a Notes,
    rules: Rules,
    /// Structs that are being decided on.
    busy: BTreeSet<String>,
}

/// Whose parameters are being decided on.
#[derive(Clone, Copy)]
struct Whose<'a> {
    /// The table of `wrap.toml`.
    table: &'static str,
    name: &'a str,
    signature: &'a Signature,
    /// Whether undecided pointers cross as shared ones instead of being refused.
    lenient: bool,
}

impl Decider<'_> {
    fn function(&mut self, name: &str) -> Result<Rule, String> {
        let guest = self.guest;
        let function = &guest.functions[name];
        let refused = self.notes.defaults.refuse.iter();
        if let Some((_, why)) = refused.into_iter().find(|(pattern, _)| fits(pattern, name)) {
            return Err(format!("wrap.toml refuses it: {why}"));
        }
        if !function.signature.prototype {
            return Err("the headers do not say what it takes".into());
        }
        let whose = Whose {
            table: "function",
            name,
            signature: &function.signature,
            lenient: false,
        };
        let Some(host) = self.host.functions.get(name) else {
            return Err("the headers declare it for the guest alone".into());
        };
        let variable = match function.variants[..] {
            [] => self.format(name, function)?.map(Variable::Format),
            _ => Some(self.variants(whose, function, host)?),
        };
        let mut rule = self.rule(whose, Some(&host.signature), variable)?;
        for (proc, typedef) in said(&self.notes.functions, name).flat_map(|notes| &notes.procs) {
            let found = guest.typedefs.get(typedef);
            let signature = found.and_then(|found| match &found.value.kind {
                Type::Function(signature) => Some(signature.as_ref()),
                kind => kind.pointed_signature(),
            });
            let Some(signature) = signature else {
                return Err(format!("procs.{proc}: {typedef} is no type of functions"));
            };
            let number = self.pointed(signature, Some(typedef))?;
            rule.procs.insert(proc.clone(), number);
        }
        Ok(rule)
    }

    fn table(&self, whose: Whose) -> &BTreeMap<String, FunctionNotes> {
        match whose.table {
            "function" => &self.notes.functions,
            _ => &self.notes.callbacks,
        }
    }

    /// `host` is the same function for the host, unless it is known that the two mean the
    /// same.
    fn rule(
        &mut self,
        whose: Whose,
        host: Option<&Signature>,
        variable: Option<Variable>,
    ) -> Result<Rule, String> {
        if host.is_some_and(|host| host.parameters.len() != whose.signature.parameters.len()) {
            return Err("it takes other parameters on the host".into());
        }
        let mut parameters = Vec::new();
        for (index, parameter) in whose.signature.parameters.iter().enumerate() {
            let is_list = matches!(&variable, Some(Variable::Format(it)) if it.list == Some(index));
            let crossing = if is_list {
                Crossing::Nothing
            } else {
                let there = host.map(|host| &host.parameters[index].value);
                self.compared_parameter(whose, index, there)
                    .map_err(|why| {
                        // Of a struct it is the same for whatever takes one.
                        if why.contains("[struct.") {
                            return why;
                        }
                        format!("{} ({}): {why}", parameter.name, parameter.value.spelling)
                    })?
            };
            parameters.push(crossing);
        }
        let result = &whose.signature.result;
        let returned = match (&result.kind, self.repacked_in(&result.kind)) {
            (Type::Record(tag), Some(_)) => {
                self.repack(tag).map(|()| Crossing::Repacked(tag.clone()))
            }
            (_, Some(_)) if host.is_none() => Err(self.difference(&result.kind)),
            (kind, None) if let Some(resized) = resized(kind, host.map(|h| &h.result.kind)) => {
                Ok(resized)
            }
            _ => host
                .map_or(Ok(()), |host| self.same(result, &host.result))
                .and_then(|()| self.returned(whose, result)),
        };
        let result = returned.map_err(|why| format!("returns {}: {why}", result.spelling))?;
        let on_crash = said(self.table(whose), whose.name).find_map(|n| n.on_crash.clone());
        let rule = Rule {
            parameters,
            result,
            on_crash,
            variable: variable.map(Box::new),
            procs: BTreeMap::new(),
        };
        self.reach_of(whose, &rule);
        Ok(rule)
    }

    /// How a parameter crosses, if both sides mean the same by it or it can be converted.
    fn compared_parameter(
        &mut self,
        whose: Whose,
        index: usize,
        there: Option<&Value>,
    ) -> Result<Crossing, String> {
        let value = &whose.signature.parameters[index].value;
        if let Some(resized) = resized(&value.kind, there.map(|there| &there.kind)) {
            return Ok(resized);
        }
        if self.noted_as_value(whose, index)
            || streams::is_stream(&value.kind) && streams::can_cross(whose)
        {
            return self.parameter(whose, index);
        }
        if self.repacked_in(&value.kind).is_none() || self.is_way_handle(&value.kind) {
            there.map_or(Ok(()), |there| self.same(value, there))?;
            return self.parameter(whose, index);
        }
        match self.parameter(whose, index)? {
            crossing if crossing.converts() => Ok(crossing),
            _ => Err(self.difference(&value.kind)),
        }
    }

    fn returned(&mut self, whose: Whose, result: &Value) -> Result<Crossing, String> {
        let noted = said(self.table(whose), whose.name).find_map(|notes| notes.returns.as_ref());
        let noted = noted.or_else(|| self.notes.types.get(&result.spelling));
        // What was copied for the call is found again by its address.
        let noted = noted.filter(|pass| **pass != Pass::Argument).cloned();
        if let Some(Pass::Descriptor(noted)) = &noted {
            return descriptors::result(whose, result, noted);
        }
        let object = match &noted {
            None => self.object(&result.kind),
            Some(_) => None,
        };
        Ok(match &result.kind {
            Type::Pointer(_) if object.is_some() => Crossing::Object(object.unwrap_or_default()),
            Type::Pointer(to) => match (noted, &to.kind) {
                (_, Type::Function(signature)) => {
                    Crossing::Function(self.pointed(signature, result.typedef.as_deref())?)
                }
                (Some(Pass::Value), _) => Crossing::Value,
                (Some(Pass::String), _) => Crossing::Text,
                (Some(_), Type::Void) => Crossing::Value,
                (Some(_), _) => Crossing::Shared,
                (None, Type::Char) => Crossing::Text,
                (None, Type::Void) => Crossing::Value,
                (None, Type::Record(tag)) if self.is_handle(tag) => Crossing::Value,
                (None, _) => Crossing::Shared,
            },
            kind => {
                self.hold(kind);
                by_value(kind)
            }
        })
    }
}
