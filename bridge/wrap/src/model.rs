//! What a header says about a library: functions, and the types that reach across.

use std::collections::BTreeMap;

/// A header, as the compiler for one target reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The functions that it declares, by name.
    pub functions: BTreeMap<String, Function>,
    /// The structs and unions that they reach, by tag, or by typedef where there is none.
    pub records: BTreeMap<String, Record>,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// What it returns.
    pub result: Value,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// Whether it takes more than that.
    pub variadic: bool,
    /// Whether the header says what it takes at all.
    pub prototype: bool,
    /// The declaration: file and line.
    pub place: String,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; `arg1` and so on where the header gives none.
    pub name: String,
    /// Its type.
    pub value: Value,
}

/// A type as it is written, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// As C spells it in a declaration, in front of a name.
    pub spelling: String,
    /// What it is.
    pub kind: Type,
}

/// What a type is, as far as passing it on depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// None.
    Void,
    /// An integer, a character, a boolean or an enumeration, of so many bytes.
    Integer(usize),
    /// `float` or `double`, which all targets have in common.
    Float(usize),
    /// An address.
    Pointer {
        /// What is there.
        to: Box<Type>,
        /// Whether it may not be changed by this.
        is_const: bool,
    },
    /// A function.
    Function,
    /// A struct or union of [`Header::records`].
    Record(String),
    /// So many of them; none for a flexible array.
    Array(Box<Type>, usize),
    /// Something else, such as `va_list` or `long double`, as the compiler calls it.
    Other(String),
}

/// A struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `struct NAME`, `union NAME` or the name of a typedef.
    pub spelling: String,
    /// How it lies in memory; none where the header does not say.
    pub layout: Option<Layout>,
}

/// A record in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes.
    pub size: usize,
    /// Bytes.
    pub alignment: usize,
    /// What is in it.
    pub fields: Vec<Field>,
}

/// A member of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; empty for an anonymous one.
    pub name: String,
    /// What it is.
    pub kind: Type,
    /// Where it starts, in bits.
    pub offset: usize,
    /// Whether it shares its storage with others.
    pub is_bits: bool,
}

impl Type {
    /// What this is a pointer to.
    pub fn pointee(&self) -> Option<&Type> {
        match self {
            Self::Pointer { to, .. } => Some(to),
            _ => None,
        }
    }

    /// The record that this is a pointer to.
    pub fn pointed_record(&self) -> Option<&str> {
        match self.pointee()? {
            Self::Record(name) => Some(name),
            _ => None,
        }
    }
}

impl Record {
    /// A field.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let layout = self.layout.as_ref()?;
        layout.fields.iter().find(|field| field.name == name)
    }
}
