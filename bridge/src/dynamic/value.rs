//! Values of C's types.

use super::memory::Memory;
use super::types::Type;
use bytemuck::Pod;

/// A value of a [`Type`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of `void`.
    Void,
    /// Of an integer or a boolean.
    Integer(i128),
    /// Of `float` or `double`.
    Float(f64),
    /// Of a pointer: its address, which is the same on both sides.
    Pointer(u64),
    /// Of a struct or an array: what is in it.
    List(Vec<Value>),
}

impl Value {
    /// The null pointer.
    pub const NULL: Self = Self::Pointer(0);

    /// The integer that it is.
    pub fn integer(&self) -> Option<i128> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The floating point number that it is.
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The address that it is.
    pub fn pointer(&self) -> Option<u64> {
        match self {
            Self::Pointer(address) => Some(*address),
            _ => None,
        }
    }

    /// What is in the struct or array that it is.
    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// Its bytes as a type has them in memory.
    ///
    /// # Errors
    /// It is no value of this type; why.
    pub fn to_bytes(&self, kind: &Type) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(kind.size());
        self.write(kind, &mut bytes).map(|()| bytes)
    }

    /// The value that bytes in memory are; none if there are too few of them.
    pub fn from_bytes(kind: &Type, bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= kind.size()).then(|| Self::read(kind, bytes))
    }

    /// Its bytes as a type has them, appended.
    ///
    /// # Errors
    /// It is no value of this type.
    pub(super) fn write(&self, kind: &Type, to: &mut Vec<u8>) -> Result<(), String> {
        let start = to.len();
        match (self, kind) {
            (Self::Void, Type::Void) => {}
            (Self::Float(value), Type::F64) => to.extend(value.to_le_bytes()),
            (Self::Float(value), Type::F32) => to.extend((*value as f32).to_le_bytes()),
            (Self::Pointer(address), Type::Pointer) => to.extend(address.to_le_bytes()),
            (Self::List(values), Type::Struct(fields)) => {
                same(values.len(), fields.len(), "fields")?;
                let offsets = kind.offsets();
                for ((value, field), offset) in values.iter().zip(fields).zip(offsets) {
                    to.resize(start + offset, 0);
                    value.write(field, to)?;
                }
                to.resize(start + kind.size(), 0);
            }
            (Self::List(values), Type::Array(element, count)) => {
                same(values.len(), *count, "elements")?;
                for value in values {
                    value.write(element, to)?;
                }
            }
            (Self::Integer(value), kind) => {
                let (least, most) = range(kind).ok_or_else(|| unlike(self, kind))?;
                if !(least..=most).contains(value) {
                    return Err(format!("{value} is not from {least} to {most}"));
                }
                to.extend(&value.to_le_bytes()[..kind.size()]);
            }
            (_, kind) => return Err(unlike(self, kind)),
        }
        Ok(())
    }

    /// The value that these bytes are, of which there are enough.
    pub(super) fn read(kind: &Type, from: &[u8]) -> Self {
        let number = |size: usize| {
            let mut bytes = [0; 8];
            bytes[..size].copy_from_slice(&from[..size]);
            u64::from_le_bytes(bytes)
        };
        match kind {
            Type::Void => Self::Void,
            Type::Bool => Self::Integer((number(1) & 0xff != 0).into()),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
                Self::Integer(number(kind.size()).into())
            }
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => {
                let unused = 64 - 8 * kind.size() as u32;
                Self::Integer(((number(kind.size()) << unused) as i64 >> unused).into())
            }
            Type::F32 => Self::Float(f32::from_bits(number(4) as u32).into()),
            Type::F64 => Self::Float(f64::from_bits(number(8))),
            Type::Pointer => Self::Pointer(number(8)),
            Type::Struct(fields) => {
                let offsets = kind.offsets();
                let fields = fields.iter().zip(offsets);
                Self::List(
                    fields
                        .map(|(field, offset)| Self::read(field, &from[offset..]))
                        .collect(),
                )
            }
            Type::Array(element, count) => {
                let places = (0..*count).map(|index| index * element.size());
                Self::List(
                    places
                        .map(|place| Self::read(element, &from[place..]))
                        .collect(),
                )
            }
        }
    }
}

fn same(given: usize, wanted: usize, of: &str) -> Result<(), String> {
    (given == wanted)
        .then_some(())
        .ok_or_else(|| format!("{given} {of} where there are {wanted}"))
}

fn unlike(value: &Value, kind: &Type) -> String {
    let what = match value {
        Value::Void => "nothing",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a floating point number",
        Value::Pointer(_) => "a pointer",
        Value::List(_) => "a list",
    };
    format!("{what} where the type is {kind:?}")
}

/// Least and greatest value of an integer.
fn range(kind: &Type) -> Option<(i128, i128)> {
    Some(match kind {
        Type::Bool => (0, 1),
        Type::I8 => (i8::MIN.into(), i8::MAX.into()),
        Type::U8 => (0, u8::MAX.into()),
        Type::I16 => (i16::MIN.into(), i16::MAX.into()),
        Type::U16 => (0, u16::MAX.into()),
        Type::I32 => (i32::MIN.into(), i32::MAX.into()),
        Type::U32 => (0, u32::MAX.into()),
        Type::I64 => (i64::MIN.into(), i64::MAX.into()),
        Type::U64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

macro_rules! from_integers {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::Integer(value.into())
            }
        }
    )*};
}
from_integers!(bool, i8, u8, i16, u16, i32, u32, i64, u64);

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Integer(value as i128)
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Self::Float(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl<T: Pod> From<&Memory<T>> for Value {
    fn from(memory: &Memory<T>) -> Self {
        Self::Pointer(memory.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_their_bytes() {
        let kind = Type::Struct(vec![
            Type::I8,
            Type::Struct(vec![Type::F32, Type::Bool]),
            Type::Array(Box::new(Type::I16), 2),
            Type::Pointer,
            Type::U64,
            Type::F64,
        ]);
        let value = Value::List(vec![
            (-5i8).into(),
            Value::List(vec![1.5f32.into(), true.into()]),
            Value::List(vec![(-300i16).into(), 7i16.into()]),
            Value::Pointer(0x1234_5678_9abc),
            u64::MAX.into(),
            (-0.125).into(),
        ]);
        let mut bytes = Vec::new();
        value.write(&kind, &mut bytes).expect("of this type");
        assert_eq!(bytes.len(), kind.size());
        assert_eq!(Value::read(&kind, &bytes), value);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let error = |value: Value, kind| {
            value
                .write(&kind, &mut Vec::new())
                .expect_err("it does not fit")
        };
        assert!(error(256.into(), Type::U8).contains("0 to 255"));
        assert!(error(1.0.into(), Type::I32).contains("I32"));
        assert!(error(0.into(), Type::Pointer).contains("Pointer"));
        let pair = Type::Struct(vec![Type::U8; 2]);
        assert!(error(Value::List(vec![1.into()]), pair).contains("1 fields where there are 2"));
    }
}
