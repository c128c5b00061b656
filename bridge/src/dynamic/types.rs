//! C's types, as far as their values can cross without generated code.

use super::place::Assignment;
use super::{CallError, place};
use std::sync::Arc;

/// A type of a parameter, result or field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// None; as a result only.
    Void,
    /// `_Bool`
    Bool,
    /// `int8_t`; `signed char`
    I8,
    /// `uint8_t`; `char`, which has no sign on aarch64
    U8,
    /// `int16_t`
    I16,
    /// `uint16_t`
    U16,
    /// `int32_t`; `int`
    I32,
    /// `uint32_t`; `enum`, unless it can be negative
    U32,
    /// `int64_t`; `long`
    I64,
    /// `uint64_t`; `size_t`
    U64,
    /// `float`
    F32,
    /// `double`
    F64,
    /// Any pointer, to a function as well.
    Pointer,
    /// A struct of these, laid out as C does it without attributes.
    Struct(Vec<Type>),
    /// So many of them, within a struct.
    Array(Box<Type>, usize),
}

impl Type {
    /// Bytes, padding included.
    pub fn size(&self) -> usize {
        match self {
            Self::Void => 0,
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 | Self::Pointer => 8,
            Self::Struct(fields) => {
                let last = self.offsets().last().copied().unwrap_or(0);
                let end = last.saturating_add(fields.last().map_or(0, Self::size));
                end.saturating_add(self.alignment() - 1) / self.alignment() * self.alignment()
            }
            Self::Array(element, count) => element.size().saturating_mul(*count),
        }
    }

    /// What its address is a multiple of.
    pub fn alignment(&self) -> usize {
        match self {
            Self::Struct(fields) => fields.iter().map(Self::alignment).max().unwrap_or(1),
            Self::Array(element, _) => element.alignment(),
            scalar => scalar.size().max(1),
        }
    }

    /// Where each field of a struct begins.
    pub fn offsets(&self) -> Vec<usize> {
        let Self::Struct(fields) = self else {
            return Vec::new();
        };
        let mut end = 0usize;
        let places = fields.iter().map(|field| {
            let alignment = field.alignment();
            let start = end.saturating_add(alignment - 1) / alignment * alignment;
            end = start.saturating_add(field.size());
            start
        });
        places.collect()
    }

    /// Of a struct with nothing but one kind of floating point number: how many bytes one has,
    /// and how many there are.
    pub(super) fn homogeneous(&self) -> Option<(usize, usize)> {
        match self {
            Self::F32 => Some((4, 1)),
            Self::F64 => Some((8, 1)),
            Self::Array(element, count) => {
                let (size, each) = element.homogeneous()?;
                Some((size, each.saturating_mul(*count)))
            }
            Self::Struct(fields) => {
                let mut all = fields.iter().map(Self::homogeneous);
                let first = all.next()??;
                all.try_fold(first, |(size, sum), next| {
                    let (other, count) = next?;
                    (other == size).then_some((size, sum.saturating_add(count)))
                })
            }
            _ => None,
        }
    }

    /// Why a value of this type cannot be a parameter, a field (`within` a struct) or such.
    pub(super) fn obstacle(&self, within: bool) -> Option<&'static str> {
        match self {
            Self::Void => Some("nothing can be of type void"),
            Self::Array(..) if !within => Some("an array is a pointer where it is passed"),
            Self::Array(_, 0) => Some("an array has no element"),
            Self::Array(element, _) => element.obstacle(true),
            Self::Struct(fields) if fields.is_empty() => Some("a struct has no field"),
            Self::Struct(fields) => fields.iter().find_map(|field| field.obstacle(true)),
            _ => None,
        }
    }
}

/// What a function takes and returns.
///
/// A function with variable arguments is called with a signature that has those of the call,
/// too: integers are then at least `int`, and `float` is `double`.
#[derive(Clone, Debug)]
pub struct Signature(pub(super) Arc<Parts>);

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) result: Type,
    pub(super) parameters: Vec<Type>,
    pub(super) assignment: Assignment,
}

impl Signature {
    /// A signature.
    ///
    /// # Errors
    /// A type is none that can be passed, or all together are too large for a message.
    pub fn new(
        result: Type,
        parameters: impl IntoIterator<Item = Type>,
    ) -> Result<Self, CallError> {
        let parameters: Vec<_> = parameters.into_iter().collect();
        let known = Some(&result).filter(|result| **result != Type::Void);
        for (number, parameter) in known.into_iter().chain(&parameters).enumerate() {
            if let Some(obstacle) = parameter.obstacle(false) {
                let which = match number + usize::from(known.is_none()) {
                    0 => "the result".to_owned(),
                    number => format!("parameter {number}"),
                };
                return Err(CallError::Signature(format!("{which}: {obstacle}")));
            }
        }
        let assignment = place::assign(&result, &parameters)
            .ok_or_else(|| CallError::Signature("it takes more by value than 60 KiB".into()))?;
        Ok(Self(Arc::new(Parts {
            result,
            parameters,
            assignment,
        })))
    }

    /// What a function of it returns.
    pub fn result(&self) -> &Type {
        &self.0.result
    }

    /// What it takes.
    pub fn parameters(&self) -> &[Type] {
        &self.0.parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_are_laid_out_as_c_does() {
        let kind = Type::Struct(vec![
            Type::U8,
            Type::F64,
            Type::Array(Box::new(Type::U16), 3),
        ]);
        assert_eq!((kind.size(), kind.alignment()), (24, 8));
        assert_eq!(kind.offsets(), [0, 8, 16]);
    }

    #[test]
    fn homogeneous_means_one_kind_however_nested() {
        let pair = Type::Struct(vec![Type::F32, Type::F32]);
        let nested = Type::Struct(vec![pair.clone(), Type::Array(Box::new(Type::F32), 2)]);
        assert_eq!(nested.homogeneous(), Some((4, 4)));
        assert_eq!(
            Type::Struct(vec![pair, Type::F64]).homogeneous(),
            None,
            "float and double"
        );
    }

    #[test]
    fn what_cannot_be_passed_is_told_by_its_place() {
        let error = |result, parameters: &[Type]| {
            Signature::new(result, parameters.to_vec())
                .expect_err("it cannot be passed")
                .to_string()
        };
        let text = error(Type::Void, &[Type::U8, Type::Void]);
        assert!(text.contains("parameter 2"), "{text}");
        let text = error(Type::Struct(vec![]), &[]);
        assert!(text.contains("the result"), "{text}");
        let huge = Type::Struct(vec![Type::Array(Box::new(Type::U64), usize::MAX)]);
        let text = error(Type::Void, &[huge]);
        assert!(text.contains("60 KiB"), "{text}");
    }
}
