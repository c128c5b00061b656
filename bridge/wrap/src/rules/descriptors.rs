//! File descriptors, of which `wrap.toml` says that they are some.

use super::pointers::one;
use super::{Crossing, Decider, Rule, Variable, Whose};
use crate::model::{Parameter, Type, Value};
use crate::notes::{Count, Descriptor, Pass, said};
use std::collections::BTreeSet;

/// A parameter that is one, or a pointer to where the function puts some.
pub(super) fn parameter(
    whose: Whose,
    parameter: &Parameter,
    noted: &Descriptor,
) -> Result<Crossing, String> {
    not_called_back(whose, &parameter.name)?;
    let Descriptor {
        is_lent,
        count,
        back,
    } = noted.clone();
    let elements = || {
        let expression = parameter.elements?.to_string();
        Some(Count {
            expression,
            ..one()
        })
    };
    match &parameter.value.kind {
        kind if is_number(kind) && count.is_none() && back.is_none() => {
            Ok(Crossing::Descriptor { is_lent })
        }
        Type::Pointer(to) if is_number(&to.kind) && !to.is_const => {
            let count = count.or_else(elements);
            if count.is_none() && parameter.is_array {
                return Err("nothing says how many: \"descriptor[COUNT]\" would".into());
            }
            Ok(Crossing::Descriptors {
                is_lent,
                count: count.unwrap_or_else(one),
                back,
            })
        }
        _ => Err(WRONG.into()),
    }
}

/// A result that is one.
pub(super) fn result(whose: Whose, result: &Value, noted: &Descriptor) -> Result<Crossing, String> {
    not_called_back(whose, "returns")?;
    match is_number(&result.kind) && noted.count.is_none() && noted.back.is_none() {
        true => Ok(Crossing::Descriptor {
            is_lent: noted.is_lent,
        }),
        false => Err(WRONG.into()),
    }
}

const WRONG: &str = "a \"descriptor\" is an int, and a \"descriptor[COUNT], back[COUNT]\" where a \
                     function puts some";

fn is_number(kind: &Type) -> bool {
    kind.integer_size() == Some(4)
}

fn not_called_back(whose: Whose, what: &str) -> Result<(), String> {
    match whose.table {
        "callback" => Err(format!(
            "no file descriptor can cross when a function is called by its address; if its number \
             is all that counts, say in wrap.toml: [callback.{}] {what} = \"value\"",
            match whose.name {
                "" => "TYPEDEF",
                name => name,
            }
        )),
        _ => Ok(()),
    }
}

impl Rule {
    /// What is to be known of the file descriptors that cross.
    pub fn descriptor_notes(&self) -> BTreeSet<&'static str> {
        const RETURNED: [&str; 2] = [
            "a file descriptor that it returns is the program's to close, and closed in the library",
            "a file descriptor that it returns is lent: it stays open in the library",
        ];
        let given = self
            .parameters
            .iter()
            .filter_map(|crossing| match crossing {
                Crossing::Descriptor { is_lent: false } => {
                    Some("a file descriptor that it is given is a duplicate, which it has to close")
                }
                Crossing::Descriptor { is_lent: true } => {
                    Some("a file descriptor that it is given is a duplicate until it returns")
                }
                Crossing::Descriptors { is_lent, .. } => Some(RETURNED[usize::from(*is_lent)]),
                _ => None,
            });
        let returned = match self.result {
            Crossing::Descriptor { is_lent } => Some(RETURNED[usize::from(is_lent)]),
            _ => None,
        };
        let mut notes: BTreeSet<_> = given.chain(returned).collect();
        if let Some(Variable::Variants(_, rules)) = self.variable.as_deref() {
            notes.extend(rules.iter().flat_map(Self::descriptor_notes));
        }
        notes
    }
}

impl Decider<'_> {
    /// Whether a function that is pointed to takes or returns none.
    pub(super) fn without_descriptors(&self, whose: Whose) -> Result<(), String> {
        let table = self.table(whose);
        let is_one = |noted: Option<&Pass>| matches!(noted, Some(Pass::Descriptor(_)));
        for (index, Parameter { name, value, .. }) in whose.signature.parameters.iter().enumerate()
        {
            let notes = self.notes;
            if is_one(notes.parameter(table, whose.name, index, name, &value.spelling)) {
                not_called_back(whose, name)?;
            }
        }
        let returned = said(table, whose.name).find_map(|notes| notes.returns.as_ref());
        match is_one(returned.or_else(|| self.notes.types.get(&whose.signature.result.spelling))) {
            true => not_called_back(whose, "returns"),
            false => Ok(()),
        }
    }
}
