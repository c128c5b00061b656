//! Structs whose objects have an identity: each belongs to the side whose library made it.

use crate::model::Header;
use crate::notes::{Notes, Pass, said};
use std::collections::BTreeMap;

/// What the pointers in such a struct are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Set by the library when it makes such an object, to something that no other living
    /// object has.
    pub identity: String,
    /// Functions that the library calls. An object that has some when it is made is the
    /// guest's for all its life.
    pub callbacks: Vec<String>,
    /// Functions that the library calls where the program gives some; the host's does
    /// without.
    pub waived: Vec<String>,
    /// Strings that the library sets.
    pub text: Vec<String>,
}

/// Those of a library, by tag.
pub fn kept(header: &Header, notes: &Notes) -> BTreeMap<String, Kept> {
    let of = |tag: &String| {
        let identity = notes.identity(tag)?.to_owned();
        let layout = header.records[tag].layout.as_ref();
        let fields = || layout.iter().flat_map(|layout| &layout.fields);
        let noted =
            |field: &str| said(&notes.records, tag).find_map(|notes| notes.fields.get(field));
        let functions = || fields().filter(|f| f.value.kind.pointed_signature().is_some());
        let callbacks = functions()
            .filter(|field| !matches!(noted(&field.name), Some(Pass::Value | Pass::Null)));
        let waived = functions().filter(|field| noted(&field.name) == Some(&Pass::Null));
        let text = fields().filter(|field| noted(&field.name) == Some(&Pass::Text));
        let kept = Kept {
            identity,
            callbacks: callbacks.map(|field| field.name.clone()).collect(),
            waived: waived.map(|field| field.name.clone()).collect(),
            text: text.map(|field| field.name.clone()).collect(),
        };
        Some((tag.clone(), kept))
    };
    header.records.keys().filter_map(of).collect()
}
