//! Decides which functions the host does for a guest in another process, which it does not
//! trust: over the ring. Nothing of the guest's memory is used where it is, so here it has
//! to be known how much is behind each pointer.

use crate::choose::Choice;
use crate::kept::Kept;
use crate::model::{Field, Header, Type};
use crate::notes::{Data, Notes, Pass, fits, said};
use crate::rules::{Block, Crossing, Decision, Element, Rule, Rules};
use iotdec_wire::host_lanes::{TEXTS, WORDS};
use std::collections::BTreeMap;

/// Objects that one call may take.
const MOST_OBJECTS: usize = 4;

/// What is decided on a library.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The functions that the host does: how over the ring, or why not.
    pub functions: BTreeMap<String, Result<Function, String>>,
    /// Structs whose objects have an identity: what is in them.
    pub records: BTreeMap<String, Result<Vec<(String, Member)>, String>>,
}

/// How a function is done over the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its parameters.
    pub parameters: Vec<Argument>,
    /// Of which kind the objects are that it takes.
    pub kind: usize,
    /// Whether the pointers in those count.
    pub counts: bool,
}

/// How an argument gets there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A number.
    Number,
    /// A string that ends with a zero.
    Text,
    /// Memory that is fetched, put back, or both.
    Block(Block),
    /// An object with an identity, by the struct's tag.
    Object(String),
}

/// What a field of an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// A number, or several.
    Number,
    /// By which the object is known.
    Identity,
    /// A string that the library sets.
    Text,
    /// A pointer to memory that is fetched, put back, or both.
    Data(Data),
    /// The program's own; the library never sees it.
    Own,
}

/// Decides on all that the host does.
pub fn decide(
    guest: &Header,
    notes: &Notes,
    rules: &Rules,
    kept: &BTreeMap<String, Kept>,
    choices: &BTreeMap<String, Choice>,
) -> Checked {
    let mut checked = Checked::default();
    for (tag, kept) in kept {
        let members = members(guest, notes, tag, kept);
        checked.records.insert(tag.clone(), members);
    }
    for (name, _) in choices.iter().filter(|(_, c)| **c == Choice::Carried) {
        let decided = match rules.functions.get(name) {
            Some(Decision::Wrapped(rule)) => function(guest, notes, &checked, name, rule),
            Some(Decision::Refused(why)) => Err(why.clone()),
            None => Err("the headers do not declare it".into()),
        };
        checked.functions.insert(name.clone(), decided);
    }
    checked
}

fn function(
    guest: &Header,
    notes: &Notes,
    checked: &Checked,
    name: &str,
    rule: &Rule,
) -> Result<Function, String> {
    let signature = &guest.functions[name].signature;
    if signature.parameters.len() > WORDS {
        return Err(format!("it takes more than {WORDS} words"));
    }
    if let Crossing::Descriptor { .. } = rule.result {
        return Err("it returns a file descriptor, which cannot cross this way".into());
    }
    let mut parameters = Vec::new();
    let mut objects = Vec::new();
    for (parameter, crossing) in signature.parameters.iter().zip(&rule.parameters) {
        let failed = |why: &str| Err(format!("{}: {why}", parameter.name));
        let record = parameter.value.kind.pointed_record();
        if let Some(tag) = record.filter(|tag| checked.records.contains_key(*tag)) {
            checked.records[tag].as_ref().map_err(Clone::clone)?;
            objects.push(tag);
            parameters.push(Argument::Object(tag.into()));
            continue;
        }
        parameters.push(match crossing {
            Crossing::Number => Argument::Number,
            Crossing::Text => Argument::Text,
            Crossing::Data(block) if block.keeps => {
                return failed("the library goes on using the guest's memory");
            }
            Crossing::Data(block) if block.element == Element::Bytes => {
                Argument::Block(block.clone())
            }
            Crossing::Data(_) => return failed("it leads to further pointers"),
            Crossing::Shared => return failed("nothing says how much is behind it"),
            Crossing::Value | Crossing::Handle => return failed("an address as it is"),
            _ => return failed("it cannot cross this way"),
        });
    }
    if objects.len() > MOST_OBJECTS {
        return Err(format!("it takes more than {MOST_OBJECTS} objects"));
    }
    let mut kind = 0;
    let mut counts = true;
    for tag in objects {
        let kinds = said(&notes.records, tag).find(|notes| !notes.kinds.is_empty());
        if let Some(kinds) = kinds.map(|notes| &notes.kinds) {
            let found = kinds.iter().position(|pattern| fits(pattern, name));
            kind = found.ok_or_else(|| {
                format!("[struct.{tag}] kinds does not say which of the kinds it takes")
            })?;
        }
        let only = said(&notes.records, tag).find(|notes| !notes.only.is_empty());
        counts &= only.is_none_or(|notes| notes.only.iter().any(|only| fits(only, name)));
    }
    Ok(Function {
        parameters,
        kind,
        counts,
    })
}

/// What is in an object, or why that cannot be told.
fn members(
    guest: &Header,
    notes: &Notes,
    tag: &str,
    kept: &Kept,
) -> Result<Vec<(String, Member)>, String> {
    let record = &guest.records[tag];
    let Some(layout) = &record.layout else {
        return Err(format!("{} is opaque", record.spelling));
    };
    if record.is_flexible() || kept.text.len() > TEXTS {
        return Err(format!("{} is of no fixed shape", record.spelling));
    }
    let of = |field: &Field| {
        let noted = said(&notes.records, tag).find_map(|notes| notes.fields.get(&field.name));
        let failed = || Err(format!("{}.{}: not a number", record.spelling, field.name));
        let member = match (&field.value.kind, noted) {
            _ if field.name == kept.identity => Member::Identity,
            (_, Some(Pass::Text)) => Member::Text,
            (Type::Pointer(_), Some(Pass::Data(data))) if !data.keeps => Member::Data(data.clone()),
            (Type::Pointer(_), _) => Member::Own,
            (kind, _) if !field.name.is_empty() && is_number(kind) => Member::Number,
            _ => return failed(),
        };
        Ok((field.name.clone(), member))
    };
    layout.fields.iter().map(of).collect()
}

fn is_number(kind: &Type) -> bool {
    kind.integer_size().is_some() || matches!(kind, Type::Float(_))
}
