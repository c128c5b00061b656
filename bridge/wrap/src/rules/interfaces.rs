//! Objects of the library that begin with the address of a table of functions, which take
//! the object: what C++ makes of classes, and what its C interfaces declare as
//!
//! ```c
//! typedef const struct table *object;
//! struct table { int (*run)(object *self, int); };
//! ```
//!
//! The program is given objects of its own in their stead ("objects" in
//! `iotdec_bridge.h`), whose tables have functions that it can call.

use super::Decider;
use crate::model::{Header, Type, Value};

/// The tag of the table whose objects this is a pointer to.
pub(super) fn interface<'a>(header: &Header, kind: &'a Type) -> Option<&'a str> {
    let tag = kind.pointee()?.kind.pointed_record()?;
    let record = header.records.get(tag)?;
    let fields = &record.layout.as_ref()?.fields;
    let takes_object = |value: &Value| {
        let signature = value.kind.pointed_signature();
        let first = signature.and_then(|signature| signature.parameters.first());
        let object = first.and_then(|first| first.value.kind.pointee());
        object.and_then(|object| object.kind.pointed_record()) == Some(tag)
    };
    let is_table = !record.is_union
        && !fields.is_empty()
        && fields.iter().all(|field| takes_object(&field.value));
    is_table.then_some(tag)
}

impl Decider<'_> {
    /// The same, once it is decided how the functions in the table cross.
    pub(super) fn object(&mut self, kind: &Type) -> Option<String> {
        let guest = self.guest;
        let tag = interface(guest, kind)?;
        if self.rules.tables.contains_key(tag) {
            return Some(tag.to_owned());
        }
        // First without functions, as they take the object themselves.
        self.rules.tables.insert(tag.to_owned(), Vec::new());
        let fields = guest.records[tag].layout.iter().flat_map(|l| &l.fields);
        let host = self.host.records.get(tag);
        let mut functions = Vec::new();
        for field in fields {
            let there = host.and_then(|record| record.field(&field.name));
            let is_same = there.is_some_and(|there| self.same(&field.value, &there.value).is_ok());
            let signature = field.value.kind.pointed_signature().filter(|_| is_same);
            let place = format!("{tag}.{}", field.name);
            let name = field.value.typedef.clone().unwrap_or(place);
            // What cannot be called says so when it is.
            functions
                .push(signature.and_then(|signature| self.pointed(signature, Some(&name)).ok()));
        }
        self.rules.tables.insert(tag.to_owned(), functions);
        Some(tag.to_owned())
    }
}
