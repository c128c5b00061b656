//! Exported variables: the program has its own of each, and what one side changes crosses
//! when calls do.

use super::{Decider, names};
use crate::elf;
use crate::model::{Type, Value};
use crate::notes::{Pass, fits, said};

/// How a variable crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableRule {
    /// Nobody may change it.
    pub is_constant: bool,
    /// The pointers in it, by their places.
    pub slots: Vec<(usize, Slot)>,
}

/// How a pointer in a variable crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// To a function of this signature.
    Function(usize),
    /// To text that ends with a zero.
    Text,
    /// To memory that both sides have, of which at least so many bytes are read.
    Shared(usize),
    /// To an object of the library.
    Handle,
}

/// Pointers in one variable. More are a table of which nobody wants copies.
const MAX_SLOTS: usize = 4096;

impl Decider<'_> {
    pub(super) fn variable(
        &mut self,
        name: &str,
        symbol: &elf::Variable,
    ) -> Result<VariableRule, String> {
        let refused = self.notes.defaults.refuse.iter();
        if let Some((_, why)) = refused.into_iter().find(|(pattern, _)| fits(pattern, name)) {
            return Err(format!("wrap.toml refuses it: {why}"));
        }
        let guest = self.guest;
        let variable = &guest.variables[name];
        if symbol.is_thread_local || variable.is_thread_local {
            return Err(
                "each thread has its own, and the program has other threads; \
                        let a function of the library give its value"
                    .into(),
            );
        }
        let host = self.host.variables.get(name);
        let host = host.ok_or("the headers declare it for the guest alone")?;
        let noted = said(&self.notes.variables, name).next();
        if noted != Some(&Pass::Value) {
            self.same(&variable.value, &host.value)?;
        }
        let size = symbol.contents.len();
        match self.size(&variable.value.kind) {
            _ if size == 0 => return Err("the library does not say how large it is".into()),
            Some(declared) if declared != size => {
                return Err(format!(
                    "it has {size} bytes in the library, and {declared} by the headers"
                ));
            }
            _ => {}
        }
        let mut slots = Vec::new();
        let whose = Place {
            path: name,
            field: None,
            noted,
        };
        self.slots(whose, &variable.value, (0, size), &mut slots)?;
        Ok(VariableRule {
            is_constant: symbol.is_constant || is_constant(&variable.value),
            slots,
        })
    }

    /// Adds the pointers in what lies at an offset, so many bytes at most.
    fn slots(
        &mut self,
        whose: Place,
        value: &Value,
        (offset, room): (usize, usize),
        found: &mut Vec<(usize, Slot)>,
    ) -> Result<(), String> {
        match &value.kind {
            Type::Pointer(_) => {
                if found.len() == MAX_SLOTS {
                    return Err(format!("it has more than {MAX_SLOTS} pointers"));
                }
                if let Some(slot) = self.slot(whose, value)? {
                    found.push((offset, slot));
                }
            }
            Type::Record(tag) => {
                let guest = self.guest;
                let record = &guest.records[tag];
                let fields = record.layout.iter().flat_map(|layout| &layout.fields);
                let mut inner = Vec::new();
                for field in fields {
                    let within = Place {
                        field: Some((tag, &field.name)),
                        ..whose
                    };
                    let place = (offset + field.offset / 8, room);
                    self.slots(within, &field.value, place, &mut inner)?;
                }
                if record.is_union && !inner.is_empty() {
                    return Err(format!("{} has pointers in a union", record.spelling));
                }
                found.append(&mut inner);
            }
            Type::Array { element, count } => {
                let size = self.size(&element.kind).filter(|size| *size > 0);
                let Some(size) = size else { return Ok(()) };
                for number in 0..count.unwrap_or(room / size) {
                    let before = found.len();
                    self.slots(whose, element, (offset + number * size, size), found)?;
                    if found.len() == before {
                        break;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// How one pointer crosses; none if as it is.
    fn slot(&mut self, whose: Place, value: &Value) -> Result<Option<Slot>, String> {
        let Type::Pointer(to) = &value.kind else {
            return Ok(None);
        };
        let records = &self.notes.records;
        let noted = whose.noted.cloned().or_else(|| {
            let (tag, field) = whose.field?;
            said(records, tag)
                .find_map(|notes| notes.fields.get(field))
                .cloned()
        });
        let noted = noted.or_else(|| self.notes.types.get(&value.spelling).cloned());
        let name = whose.field.map_or(whose.path, |(_, field)| field);
        Ok(match (&to.kind, noted) {
            (_, Some(Pass::Value)) => None,
            (Type::Function(signature), _) => {
                let place = match whose.field {
                    Some((tag, field)) => format!("{tag}.{field}"),
                    None => whose.path.to_owned(),
                };
                let typedef = value.typedef.clone().unwrap_or(place);
                let number = self.pointed(signature, Some(&typedef));
                let number = number.map_err(|why| {
                    let line = match whose.field {
                        Some((tag, field)) => format!("[struct.{tag}] {field}"),
                        None => format!("[variable] {name}"),
                    };
                    format!("{why}; if nobody ever calls it, say in wrap.toml: {line} = \"value\"")
                })?;
                Some(Slot::Function(number))
            }
            (_, Some(Pass::String)) => Some(Slot::Text),
            (_, Some(Pass::Shared)) => Some(Slot::Shared(self.size(&to.kind).unwrap_or(0))),
            (_, Some(_)) => {
                return Err(
                    "a pointer in a variable crosses as \"value\", \"string\" or \"shared\"".into(),
                );
            }
            (Type::Char, None) if to.is_const => Some(Slot::Text),
            (Type::Void, None) if names::is_user_data(name) => None,
            (Type::Void, None) if to.typedef.is_some() => Some(Slot::Handle),
            (Type::Record(tag), None) if self.is_handle(tag) => Some(Slot::Handle),
            (kind, None) => Some(Slot::Shared(self.size(kind).unwrap_or(0))),
        })
    }
}

/// Where a pointer is that is decided on.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The variable.
    path: &'a str,
    /// The struct and the field of it, if it is in one.
    field: Option<(&'a str, &'a str)>,
    /// What `wrap.toml` says of the variable.
    noted: Option<&'a Pass>,
}

fn is_constant(value: &Value) -> bool {
    match &value.kind {
        Type::Array { element, .. } => value.is_const || is_constant(element),
        _ => value.is_const,
    }
}
