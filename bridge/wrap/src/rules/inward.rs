//! How the library's calls of the program's functions cross, and what pointers must lead to
//! that the program is given to follow.

use super::pointers::{by_value, is_amount, one};
use super::reach::fields_in_use;
use super::{Block, Crossing, Decider, Element, Whose, names};
use crate::model::{Float, Parameter, Signature, Type, Value};
use crate::notes::{Count, Data, Pass};

/// A pointer in a struct by value that the program is given to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Where it is, as C names it.
    pub path: String,
    /// Bytes before it.
    pub offset: usize,
    /// Bytes that must be there.
    pub size: usize,
}

impl Decider<'_> {
    /// The parameters of a function of the program's, and what it returns.
    pub(super) fn inward(&mut self, whose: Whose) -> Result<(Vec<Crossing>, Crossing), String> {
        self.without_descriptors(whose)?;
        let signature = whose.signature;
        let mut parameters = Vec::new();
        for (index, parameter) in signature.parameters.iter().enumerate() {
            parameters.push(match self.plain(&parameter.value)? {
                Crossing::Value => self.followed(whose, index),
                crossing => crossing,
            });
        }
        match self.plain(&signature.result)? {
            Crossing::Data(_) => Err(self.difference(&signature.result.kind)),
            result => Ok((parameters, result)),
        }
    }

    fn plain(&mut self, value: &Value) -> Result<Crossing, String> {
        if let Some(converted) = self.repacked_inward(value) {
            return converted;
        }
        Ok(match &value.kind {
            Type::Pointer(to) => match &to.kind {
                Type::Function(signature) => {
                    match self.pointed(signature, value.typedef.as_deref()) {
                        Ok(number) => Crossing::Function(number),
                        Err(_) => Crossing::Value,
                    }
                }
                _ => match self.object(&value.kind) {
                    Some(tag) => Crossing::Object(tag),
                    None => Crossing::Value,
                },
            },
            kind => {
                self.hold(kind);
                by_value(kind)
            }
        })
    }

    /// What a pointer must lead to that the library passes.
    fn followed(&mut self, whose: Whose, index: usize) -> Crossing {
        let parameters = &whose.signature.parameters;
        let Parameter { name, value, .. } = &parameters[index];
        let Some(to) = value.kind.pointee() else {
            return Crossing::Value;
        };
        let counted = |count: Count| match names_pointer(&count.expression, whose.signature) {
            // To be asked how much there is, it would have to be followed.
            true => Crossing::Shared,
            false => Crossing::Data(Block {
                reads: true,
                writes: !to.is_const,
                count,
                back: None,
                keeps: false,
                moves: false,
                follows: false,
                element: Element::Bytes,
            }),
        };
        let table = self.table(whose);
        let noted = self
            .notes
            .parameter(table, whose.name, index, name, &value.spelling);
        match noted.cloned() {
            Some(Pass::Data(Data {
                count: Some(count), ..
            })) => return counted(count),
            Some(Pass::Shared | Pass::Strings(_) | Pass::Data(_)) => return Crossing::Shared,
            Some(Pass::String) => return Crossing::Text,
            Some(_) => return Crossing::Value,
            None => {}
        }
        match amount_of(whose.signature, index) {
            Some(amount) if to.kind != Type::Void || to.typedef.is_none() => {
                return counted(Count {
                    expression: amount.name.clone(),
                    ..one()
                });
            }
            _ => {}
        }
        match (&parameters[index].elements, self.is_followed(value)) {
            (_, false) => Crossing::Value,
            (Some(elements), true) => counted(Count {
                expression: elements.to_string(),
                ..one()
            }),
            (None, true) => Crossing::Shared,
        }
    }

    /// Whether programs read what a pointer of the library's leads to. What is of no type that
    /// is known is an object of the library, or the program's own affair.
    pub(super) fn is_followed(&self, value: &Value) -> bool {
        let is_value = self.notes.types.get(&value.spelling) == Some(&Pass::Value);
        let to = value.kind.pointee().map(|to| &to.kind);
        !is_value
            && match to {
                None | Some(Type::Void | Type::Function(_) | Type::VaList) => false,
                Some(Type::Record(tag)) => !self.is_handle(tag),
                Some(_) => true,
            }
    }

    /// Takes note of the pointers in a struct that the library passes or returns by value.
    pub(super) fn hold(&mut self, kind: &Type) {
        if let Type::Record(tag) = kind
            && !self.rules.held.contains_key(tag)
        {
            let mut held = Vec::new();
            self.held_in(kind, "", 0, &mut held);
            self.rules.held.insert(tag.clone(), held);
        }
    }

    fn held_in(&self, kind: &Type, path: &str, offset: usize, held: &mut Vec<Held>) {
        let guest = self.guest;
        match kind {
            Type::Record(tag) => {
                for (name, field) in fields_in_use(&guest.records[tag], path) {
                    let offset = offset + field.offset / 8;
                    let is_pointer = matches!(field.value.kind, Type::Pointer(_));
                    if !is_pointer {
                        self.held_in(&field.value.kind, &name, offset, held);
                        continue;
                    }
                    let noted = self.noted_field(tag, &field.name, &field.value);
                    let is_followed = self.is_followed(&field.value);
                    if is_followed && !matches!(noted, Some(Pass::Value)) {
                        let size = field
                            .value
                            .kind
                            .pointee()
                            .and_then(|to| self.size(&to.kind));
                        held.push(Held {
                            path: name,
                            offset,
                            size: size.unwrap_or(1),
                        });
                    }
                }
            }
            Type::Array {
                element,
                count: Some(count),
            } if element.kind.pointee().is_none() => {
                let size = self.size(&element.kind).unwrap_or(0);
                for number in 0..*count {
                    let before = held.len();
                    let path = format!("{path}[{number}]");
                    self.held_in(&element.kind, &path, offset + number * size, held);
                    if held.len() == before {
                        break;
                    }
                }
            }
            Type::Array {
                element,
                count: Some(count),
            } if self.is_followed(element) => {
                let size = element.kind.pointee().and_then(|to| self.size(&to.kind));
                held.extend((0..*count).map(|number| Held {
                    path: format!("{path}[{number}]"),
                    offset: offset + number * size_of::<u64>(),
                    size: size.unwrap_or(1),
                }));
            }
            _ => {}
        }
    }

    /// How many bytes something has; none where the headers do not say.
    pub(super) fn size(&self, kind: &Type) -> Option<usize> {
        Some(match kind {
            Type::Pointer(_) => 8,
            Type::Record(tag) => self.guest.records[tag].layout.as_ref()?.size,
            Type::Array { element, count } => self.size(&element.kind)? * (*count)?,
            Type::Float(float) => Float::size(*float),
            Type::Complex(float) => 2 * float.size(),
            Type::Vector { size, .. } => *size,
            kind => kind.integer_size()?,
        })
    }
}

/// The parameter that says how much there is at a pointer with which the library calls.
fn amount_of(signature: &Signature, index: usize) -> Option<&Parameter> {
    let parameters = &signature.parameters;
    let Parameter { name, value, .. } = &parameters[index];
    let to = &value.kind.pointee()?.kind;
    let amount = parameters.get(index + 1).filter(|next| is_amount(next))?;
    let is_own = names::is_of(&amount.name, name);
    // `int (*)(size_t a_size, const void *a, size_t b_size, const void *b)`
    let is_data = |at: usize| {
        parameters
            .get(at)
            .is_some_and(|p| p.value.kind.pointee().is_some())
    };
    let follows_amount =
        index > 0 && is_amount(&parameters[index - 1]) && !(index > 1 && is_data(index - 2));
    if follows_amount && !is_own {
        return None;
    }
    let is_one_byte = to.integer_size() == Some(1);
    let counts = match to {
        // `void *(*)(void *memory, size_t size)` resizes the program's own.
        Type::Void => {
            is_own || !names::is_user_data(name) && signature.result.kind.pointee().is_none()
        }
        _ => is_one_byte || names::counts_elements(&amount.name),
    };
    counts.then_some(amount)
}

/// Whether an expression is of what a parameter points at.
fn names_pointer(expression: &str, signature: &Signature) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = expression.split(|c| !is_part(c));
    let pointers = || {
        let all = signature.parameters.iter();
        all.filter(|p| p.value.kind.pointee().is_some())
    };
    words.any(|word| pointers().any(|pointer| pointer.name == word))
}
