//! Function pointers in structs that are not copied, as both sides use them where they
//! are: they have to be known to the runtime before the other side can call them.

use super::{Crossing, Decider, Rule, Whose};
use crate::model::{Field, Header, Record, Signature, Type, Value};
use std::collections::BTreeSet;

/// Elements of an array in a struct that are looked at.
const ELEMENTS: usize = 64;

/// Something in a struct that leads to functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// A pointer to a function of this signature.
    Function(usize),
    /// A pointer to another such struct.
    Record {
        /// Which one.
        tag: String,
        /// Whether it may be written through this pointer.
        writes: bool,
    },
}

/// Whether there are functions in a struct, or in those that it holds or points to.
fn leads_to_functions(header: &Header, tag: &str, seen: &mut BTreeSet<String>) -> bool {
    if !seen.insert(tag.to_owned()) {
        return false;
    }
    let Some(layout) = header.records.get(tag).and_then(|r| r.layout.as_ref()) else {
        return false;
    };
    layout.fields.iter().any(|field| {
        let mut kind = &field.value.kind;
        while let Type::Array { element, .. } = kind {
            kind = &element.kind;
        }
        match kind {
            Type::Record(inner) => leads_to_functions(header, inner, seen),
            Type::Pointer(to) => match &to.kind {
                Type::Function(_) => true,
                Type::Record(inner) => leads_to_functions(header, inner, seen),
                _ => false,
            },
            _ => false,
        }
    })
}

impl Decider<'_> {
    /// Takes note of the functions behind a function's parameters and its result.
    pub(super) fn reach_of(&mut self, whose: Whose, rule: &Rule) {
        let parameters = whose.signature.parameters.iter().map(|p| &p.value);
        let values = parameters.zip(&rule.parameters);
        for (value, crossing) in values.chain([(&whose.signature.result, &rule.result)]) {
            if let (Crossing::Shared, Some(tag)) = (crossing, value.kind.pointed_record()) {
                self.reach(tag);
            }
        }
    }

    /// The same of a function of the program's: what it is given it may fill in.
    pub(super) fn reach_inward(&mut self, signature: &Signature) {
        for parameter in &signature.parameters {
            if let Some(tag) = parameter.value.kind.pointed_record() {
                self.reach(tag);
            }
        }
    }

    /// Takes note of the functions in a struct, and whether there are any.
    fn reach(&mut self, tag: &str) -> bool {
        let guest = self.guest;
        let record = &guest.records[tag];
        let is_same = self.host.records.get(tag).map(|host| &host.layout) == Some(&record.layout);
        if self.is_handle(tag)
            || !record.is_named
            || record.is_union
            || !is_same
            || !leads_to_functions(guest, tag, &mut BTreeSet::new())
        {
            return false;
        }
        if self.rules.reached.contains_key(tag) {
            return true;
        }
        // First without fields, as it may lead to itself.
        self.rules.reached.insert(tag.to_owned(), Vec::new());
        let mut reached = Vec::new();
        self.reached_in(tag, "", &mut reached);
        self.rules.reached.insert(tag.to_owned(), reached);
        true
    }

    /// What is in a struct, which lies in another at `path`.
    fn reached_in(&mut self, tag: &str, path: &str, reached: &mut Vec<(String, Reached)>) {
        let guest = self.guest;
        for (name, field) in fields_in_use(&guest.records[tag], path) {
            let place = format!("{tag}.{}", field.name);
            self.reached_at(&place, &field.value, name, reached);
        }
    }

    /// What is at `path`; `place` is the field that wrap.toml knows.
    fn reached_at(
        &mut self,
        place: &str,
        value: &Value,
        path: String,
        reached: &mut Vec<(String, Reached)>,
    ) {
        match &value.kind {
            Type::Record(inner) => self.reached_in(inner, &path, reached),
            Type::Array { element, count } => {
                for index in 0..count.unwrap_or(0).min(ELEMENTS) {
                    self.reached_at(place, element, format!("{path}[{index}]"), reached);
                }
            }
            Type::Pointer(to) => match &to.kind {
                Type::Function(signature) => {
                    let typedef = value.typedef.as_deref().unwrap_or(place);
                    // What cannot be called is left alone.
                    if let Ok(number) = self.pointed(signature, Some(typedef)) {
                        reached.push((path, Reached::Function(number)));
                    }
                }
                Type::Record(inner) if self.reach(inner) => {
                    let (tag, writes) = (inner.clone(), !to.is_const);
                    reached.push((path, Reached::Record { tag, writes }));
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// The fields of a struct that lies in another at `path`, and where they are as C names it.
pub(super) fn fields_in_use<'a>(
    record: &'a Record,
    path: &'a str,
) -> impl Iterator<Item = (String, &'a Field)> {
    // Nobody knows which member of a union is in use.
    let layout = record.layout.iter().filter(|_| !record.is_union);
    layout.flat_map(|layout| &layout.fields).map(move |field| {
        let name = match (path, &field.name[..]) {
            (path, "") => path.to_owned(),
            ("", name) => name.to_owned(),
            (path, name) => format!("{path}.{name}"),
        };
        (name, field)
    })
}
