//! Puts the report together.

use super::{
    AbiReport, ConstantEntry, Difference, Facts, Finding, FunctionEntry, MissingEntry, Outcome,
    Passing, Reason, Shape, TypeEntry, VariableEntry, reach,
};
use crate::abi::{Abi, Call, Comparison, Refusal, Verdict, passing};
use crate::model::{Function, Header, Parameter, Place, Signature, Type, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the report.
pub fn report(facts: Facts) -> AbiReport {
    let Facts {
        exports,
        guest,
        host,
        ..
    } = facts;
    let abi = Abi::new(guest, host);
    let exported = guest
        .functions
        .iter()
        .filter(|(name, function)| exports.functions.contains_key(*name) && !function.is_static);
    let exported: BTreeMap<&String, &Function> = exported.collect();
    let undeclared = exports.functions.keys();
    let undeclared = undeclared.filter(|name| !exported.contains_key(name));
    let constants = facts.constants.iter().map(|constant| ConstantEntry {
        name: constant.name.clone(),
        guest: constant.guest,
        host: constant.host,
        declared: constant.place.to_string(),
        own: constant.place.is_own,
    });
    let mut constants: Vec<_> = constants.collect();
    constants.sort_by_key(|constant| !constant.own);
    AbiReport {
        library: exports.name.clone(),
        functions: exported
            .iter()
            .map(|(name, function)| function_entry(facts, &abi, name, function))
            .collect(),
        types: types(facts, &abi, &exported),
        variables: variables(facts, &abi),
        constants,
        undeclared: undeclared.cloned().collect(),
        missing: missing(guest, &exported),
    }
}

fn reason(refusal: &Refusal) -> Reason {
    Reason {
        reason: refusal.reason.clone(),
        declared: refusal.place.to_string(),
    }
}

fn finding(values: &[&Comparison], further: Option<&Refusal>) -> Finding {
    let mut refused: BTreeSet<Reason> = further.map(reason).into_iter().collect();
    let mut differences: Vec<Difference> = Vec::new();
    let mut beyond = BTreeSet::new();
    let mut notes = BTreeSet::new();
    for value in values {
        match &value.verdict {
            Verdict::Identical => {}
            Verdict::Refused(refusal) => {
                refused.insert(reason(refusal));
            }
            Verdict::Repacked(changes) => {
                for change in changes {
                    if differences.iter().all(|known| known.what != change.what) {
                        differences.push(Difference {
                            what: change.what.clone(),
                            difference: change.difference.clone(),
                            declared: change.place.to_string(),
                        });
                    }
                }
            }
        }
        beyond.extend(value.behind.iter().map(reason));
        notes.extend(value.notes.iter().cloned());
    }
    Finding {
        verdict: if !refused.is_empty() {
            Outcome::Refused
        } else if !beyond.is_empty() {
            Outcome::Limited
        } else if !differences.is_empty() {
            Outcome::Repacked
        } else {
            Outcome::Identical
        },
        differences,
        refused: refused.into_iter().collect(),
        beyond: beyond.into_iter().collect(),
        notes: notes.into_iter().collect(),
    }
}

fn function_entry(facts: Facts, abi: &Abi, name: &str, function: &Function) -> FunctionEntry {
    let call: Call = abi.function(name).expect("the guest declares it");
    let signature = &function.signature;
    let outcome = facts.outcomes.and_then(|outcomes| outcomes.get(name));
    // Of what is wrapped, the format says what is in the list.
    let is_formatted =
        |parameter: &&Parameter| outcome == Some(&None) && parameter.value.kind == Type::VaList;
    let pairs = signature.parameters.iter().zip(&call.parameters);
    let taken = pairs.filter(|(parameter, _)| !is_formatted(parameter));
    let values = std::iter::once(&call.result).chain(taken.map(|(_, comparison)| comparison));
    let mut finding = finding(&values.collect::<Vec<_>>(), call.refused.as_ref());
    if signature.parameters.iter().any(|p| is_formatted(&p)) {
        let note = "what its va_list holds crosses as the format says";
        finding.notes.push(note.into());
    }
    if signature.variadic && !function.has_printf_format() {
        let note = "it takes more than it declares, and no attribute names a format";
        finding.notes.push(note.into());
    }
    let of_wrapping = facts.notes.get(name).into_iter().flatten();
    finding.notes.extend(of_wrapping.map(|note| (*note).into()));
    let values = std::iter::once(("result", &signature.result));
    let parameters = signature.parameters.iter();
    let values = values.chain(parameters.map(|p| (p.name.as_str(), &p.value)));
    let host = facts.host.functions.get(name).map(|host| &host.signature);
    let passing = values.enumerate().map(|(index, (what, value))| Passing {
        what: what.to_owned(),
        guest: passing::on_guest(facts.guest, &value.kind),
        host: match host.and_then(|host| nth(host, index)) {
            Some(value) => passing::on_host(facts.host, &value.kind),
            None => "nothing".into(),
        },
    });
    FunctionEntry {
        name: name.to_owned(),
        prototype: prototype(name, signature),
        declared: function.place.to_string(),
        finding,
        variadic: signature.variadic,
        passing: passing.collect(),
        wrapped: outcome.map(Option::is_none),
        why_not: outcome.cloned().flatten(),
    }
}

/// The result, and then the parameters.
fn nth(signature: &Signature, index: usize) -> Option<&Value> {
    match index.checked_sub(1) {
        None => Some(&signature.result),
        Some(index) => signature.parameters.get(index).map(|p| &p.value),
    }
}

fn prototype(name: &str, signature: &Signature) -> String {
    let declare = |value: &Value, name: &str| match value.spelling.split_once("(*") {
        // A pointer to a function has the name within.
        Some((before, after)) => format!("{before}(*{name}{after}"),
        None if value.spelling.ends_with('*') => format!("{}{name}", value.spelling),
        None => format!("{} {name}", value.spelling),
    };
    let parameters = signature.parameters.iter();
    let mut parameters: Vec<_> = parameters.map(|p| declare(&p.value, &p.name)).collect();
    if signature.variadic {
        parameters.push("...".into());
    }
    if parameters.is_empty() && signature.prototype {
        parameters.push("void".into());
    }
    declare(
        &signature.result,
        &format!("{name}({})", parameters.join(", ")),
    )
}

fn types(facts: Facts, abi: &Abi, exported: &BTreeMap<&String, &Function>) -> Vec<TypeEntry> {
    let signatures = exported.values().map(|function| &function.signature);
    let reached = reach::from(facts.guest, signatures);
    let mut types = Vec::new();
    for name in &reached.records {
        let record = &facts.guest.records[name];
        let kind = Type::Record(name.clone());
        let comparison = abi.pointed(name);
        let shape = |header: &Header, passing: fn(&Header, &Type) -> String| {
            let layout = header.records.get(name)?.layout.as_ref()?;
            Some(Shape {
                size: layout.size,
                alignment: layout.alignment,
                passing: passing(header, &kind),
            })
        };
        types.push(TypeEntry {
            name: record.spelling.clone(),
            declared: record.place.to_string(),
            finding: finding(&[&comparison], None),
            guest: shape(facts.guest, passing::on_guest),
            host: shape(facts.host, passing::on_host),
        });
    }
    for name in &reached.enums {
        let enumeration = &facts.guest.enums[name];
        let on_host = facts.host.enums.get(name);
        let (size, signed) = (enumeration.size, enumeration.signed);
        let kind = |(size, signed)| Type::Enum {
            name: name.clone(),
            size,
            signed,
        };
        let shape = |size: usize, passing: String| Shape {
            size,
            alignment: size,
            passing,
        };
        let of_guest = kind((size, signed));
        let of_host = kind(on_host.map_or((0, false), |e| (e.size, e.signed)));
        types.push(TypeEntry {
            name: enumeration.spelling.clone(),
            declared: enumeration.place.to_string(),
            finding: finding(&[&abi.kinds(&of_guest, &of_host, &enumeration.place)], None),
            guest: Some(shape(size, passing::on_guest(facts.guest, &of_guest))),
            host: on_host.map(|e| shape(e.size, passing::on_host(facts.host, &of_host))),
        });
    }
    types
}

fn variables(facts: Facts, abi: &Abi) -> Vec<VariableEntry> {
    let variables = facts.exports.variables.keys().map(|name| {
        let guest = facts.guest.variables.get(name);
        let pair = guest.zip(facts.host.variables.get(name));
        VariableEntry {
            name: name.clone(),
            declared: guest.map(|variable| variable.place.to_string()),
            finding: pair.map(|(guest, host)| {
                let comparison = abi.value(&guest.value, &host.value, &guest.place);
                let mut finding = finding(&[&comparison], None);
                if guest.is_thread_local {
                    finding.notes.push("each thread has its own".into());
                }
                finding
            }),
        }
    });
    variables.collect()
}

fn missing(guest: &Header, exported: &BTreeMap<&String, &Function>) -> Vec<MissingEntry> {
    let known: BTreeSet<_> = exported.values().map(|f| &f.place.file).collect();
    let mut headers: BTreeMap<_, Vec<(&String, &Place)>> = BTreeMap::new();
    for (name, place) in &guest.others {
        headers.entry(&place.file).or_default().push((name, place));
    }
    let entries = headers.into_iter().map(|(file, functions)| MissingEntry {
        header: file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        foreign: !known.contains(file),
        functions: functions
            .into_iter()
            .map(|(name, place)| (name.clone(), place.line))
            .collect(),
    });
    entries.collect()
}
