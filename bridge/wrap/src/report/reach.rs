//! What signatures reach: through pointers, fields, arrays and functions that are pointed
//! to.

use crate::abi;
use crate::model::{Header, Signature, Type};
use std::collections::BTreeSet;

/// The types of a [`Header`] that something reaches, by name.
#[derive(Debug, Default)]
pub struct Reached {
    pub records: BTreeSet<String>,
    pub enums: BTreeSet<String>,
}

/// All that these signatures reach.
pub fn from<'a>(header: &Header, signatures: impl Iterator<Item = &'a Signature>) -> Reached {
    let mut reached = Reached::default();
    for signature in signatures {
        reached.signature(header, signature);
    }
    reached
}

impl Reached {
    fn signature(&mut self, header: &Header, signature: &Signature) {
        self.kind(header, &signature.result.kind);
        for parameter in &signature.parameters {
            self.kind(header, &parameter.value.kind);
        }
    }

    fn kind(&mut self, header: &Header, kind: &Type) {
        match kind {
            Type::Pointer(to) => self.kind(header, &to.kind),
            Type::Array { element, .. } => self.kind(header, &element.kind),
            Type::Function(signature) => self.signature(header, signature),
            Type::Enum { name, .. } => {
                self.enums.insert(name.clone());
            }
            Type::Record(name) if self.records.insert(name.clone()) => {
                if abi::is_bound(name) {
                    return;
                }
                let layout = header.records.get(name).and_then(|r| r.layout.as_ref());
                for field in layout.map_or(&[][..], |layout| &layout.fields) {
                    self.kind(header, &field.value.kind);
                }
            }
            _ => {}
        }
    }
}
