//! What headers say about a library: functions, variables, and the types that reach
//! across.
//!
//! A type is what the compiler for one target makes of it. What the two targets make of
//! it is compared in [`crate::abi`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// One or more headers, as the compiler for one target reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Whether a plain `char` can be negative.
    pub char_is_signed: bool,
    /// Whether a `wchar_t` can be negative.
    pub wide_char_is_signed: bool,
    /// The functions that were asked for, by name.
    pub functions: BTreeMap<String, Function>,
    /// Functions of the library's own headers that nobody asked for, and that are neither
    /// [`Function::is_static`] nor [`Function::is_inline`].
    pub others: BTreeMap<String, Place>,
    /// The variables that were asked for, by name.
    pub variables: BTreeMap<String, Variable>,
    /// The structs and unions that all of this reaches, by tag, or by typedef where there
    /// is none. Where two would have the same name, the second has its spelling.
    pub records: BTreeMap<String, Record>,
    /// The enumerations: those that are reached, and all of the library's own headers, by
    /// tag or typedef.
    pub enums: BTreeMap<String, Enumeration>,
    /// What the library's own headers give names to.
    pub typedefs: BTreeMap<String, Typedef>,
    /// The macros without parameters, the system's too; not those of the compiler and of its
    /// command line.
    pub macros: BTreeMap<String, Place>,
    /// The same with parameters.
    pub function_macros: BTreeMap<String, Place>,
}

/// A line of a header.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as the compiler found it; empty for what no header says.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: u32,
    /// Whether the file is one of the library's own, or one of another library that it
    /// uses: none of the C library, the kernel or the compiler.
    pub is_own: bool,
}

impl fmt::Display for Place {
    /// The file's name without its directories, and the line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        write!(formatter, "{name}:{}", self.line)
    }
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// What it takes and returns.
    pub signature: Signature,
    /// Its name for the linker, which can be another than its name in C.
    pub symbol: String,
    /// Whether it is `static`: programs have it in themselves, and call no library for it.
    pub is_static: bool,
    /// Whether it is `inline`, with a body: programs may have it in themselves, or call it.
    pub is_inline: bool,
    /// Whether it says that it never returns.
    pub is_noreturn: bool,
    /// What it says of a format among its parameters.
    pub format: Option<Format>,
    /// The forms in which it is called, if it is variadic and `wrap.toml` says so.
    pub variants: Vec<Variant>,
    /// The declaration.
    pub place: Place,
}

/// A form in which a variadic function is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// What it is called in `wrap.toml`.
    pub key: String,
    /// What its selector is then, in C; anything if there is nothing.
    pub values: Vec<String>,
    /// All that it then takes.
    pub signature: Signature,
}

/// The attribute `format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Like whose it is: `printf`, `scanf`, `strftime`.
    pub like: String,
    /// The parameter that is the format, counted from 0.
    pub format: usize,
    /// The first argument that it speaks of, counted from 0. None where they come in a
    /// `va_list`.
    pub first: Option<usize>,
}

/// What a function takes and returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it returns.
    pub result: Value,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// Whether it takes more than that.
    pub variadic: bool,
    /// Whether the header says what it takes at all.
    pub prototype: bool,
}

impl Signature {
    /// The parameter that is a `va_list`, by its number.
    pub fn list(&self) -> Option<usize> {
        let mut parameters = self.parameters.iter();
        parameters.position(|parameter| parameter.value.kind == Type::VaList)
    }

    /// What is left without parameters that are a `va_list`.
    pub fn without_lists(&self) -> Self {
        let mut signature = self.clone();
        signature
            .parameters
            .retain(|parameter| parameter.value.kind != Type::VaList);
        signature
    }
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; `arg1` and so on where the header gives none.
    pub name: String,
    /// Its type. What is written as an array or a function is a pointer.
    pub value: Value,
    /// Whether it is written as an array.
    pub is_array: bool,
    /// How many elements it then has, where that is written.
    pub elements: Option<usize>,
    /// Whether an attribute of the function or of the parameter says that it is never null.
    pub is_nonnull: bool,
}

/// A type as it is written, and what it is.
///
/// Two of them are equal if they are the same type, however it is written.
#[derive(Clone, Debug)]
pub struct Value {
    /// As C spells it, for `__typeof__(...)` too. Of no use where a record without a name
    /// is in it.
    pub spelling: String,
    /// Whether it may not be changed by this.
    pub is_const: bool,
    /// Whether no other pointer leads there.
    pub is_restrict: bool,
    /// `_Nonnull` and `_Nullable`; none where it does not say.
    pub is_nullable: Option<bool>,
    /// The outermost typedef.
    pub typedef: Option<String>,
    /// What it is.
    pub kind: Type,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.is_const == other.is_const && self.kind == other.kind
    }
}

impl Eq for Value {}

/// What a type is, as far as passing it on depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// None.
    Void,
    /// `_Bool`, a byte.
    Bool,
    /// A plain `char`, a byte; [`Header::char_is_signed`].
    Char,
    /// `wchar_t`, 4 bytes; [`Header::wide_char_is_signed`].
    WideChar,
    /// Any other integer.
    Integer {
        /// Bytes, up to 16.
        size: usize,
        /// Whether it can be negative.
        signed: bool,
    },
    /// An enumeration of [`Header::enums`].
    Enum {
        /// Its name there.
        name: String,
        /// Bytes.
        size: usize,
        /// Whether it can be negative.
        signed: bool,
    },
    /// A floating point number.
    Float(Float),
    /// Two of them, real and imaginary part.
    Complex(Float),
    /// A vector (`vector_size`).
    Vector {
        /// What it consists of.
        element: Box<Type>,
        /// How many there are.
        count: usize,
        /// Bytes, padding included.
        size: usize,
    },
    /// The address of this.
    Pointer(Box<Value>),
    /// A function.
    Function(Box<Signature>),
    /// A struct or union of [`Header::records`].
    Record(String),
    /// So many of them.
    Array {
        /// What it consists of.
        element: Box<Value>,
        /// How many; none for an incomplete or flexible array.
        count: Option<usize>,
    },
    /// `va_list`, of which each target has its own.
    VaList,
    /// Something else, as the compiler calls it.
    Other(String),
}

/// A format of floating point numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// IEEE 754 binary16.
    Half,
    /// IEEE 754 binary32: `float`.
    Single,
    /// IEEE 754 binary64: `double`.
    Double,
    /// The x87's 80 bits in 16 bytes: `long double` on x86-64.
    Extended,
    /// IEEE 754 binary128: `long double` on aarch64, `__float128` on x86-64.
    Quad,
}

impl Float {
    /// Bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Half => 2,
            Self::Single => 4,
            Self::Double => 8,
            Self::Extended | Self::Quad => 16,
        }
    }
}

/// A variable that a library exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its type.
    pub value: Value,
    /// Its name for the linker.
    pub symbol: String,
    /// Whether each thread has its own.
    pub is_thread_local: bool,
    /// The declaration.
    pub place: Place,
}

/// A name that is given to a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typedef {
    /// The type.
    pub value: Value,
    /// The declaration.
    pub place: Place,
}

/// A struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `struct NAME`, `union NAME` or the name of a typedef.
    pub spelling: String,
    /// Whether C can name it.
    pub is_named: bool,
    /// Whether it is a union.
    pub is_union: bool,
    /// Whether it says that it is packed. `#pragma pack` does not show here.
    pub is_packed: bool,
    /// How it lies in memory; none where the header does not say.
    pub layout: Option<Layout>,
    /// The definition, or a declaration where there is none.
    pub place: Place,
}

/// A record in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes.
    pub size: usize,
    /// Bytes.
    pub alignment: usize,
    /// What is in it, in the order in which it is declared.
    pub fields: Vec<Field>,
}

/// A member of a record. Where it is declared does not make it another.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name; empty for an anonymous one.
    pub name: String,
    /// Its type.
    pub value: Value,
    /// Where it starts, in bits.
    pub offset: usize,
    /// How many bits it has, if it is a bit-field.
    pub bits: Option<usize>,
    /// The declaration.
    pub place: Place,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        let essence = |field: &Self| (field.offset, field.bits);
        self.name == other.name && self.value == other.value && essence(self) == essence(other)
    }
}

impl Eq for Field {}

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enumeration {
    /// `enum NAME`, the name of a typedef, or a description.
    pub spelling: String,
    /// Bytes.
    pub size: usize,
    /// Whether it can be negative.
    pub signed: bool,
    /// Its constants.
    pub values: BTreeMap<String, i128>,
    /// The definition.
    pub place: Place,
}

impl Type {
    /// What this is a pointer to.
    pub fn pointee(&self) -> Option<&Value> {
        match self {
            Self::Pointer(to) => Some(to),
            _ => None,
        }
    }

    /// The record that this is a pointer to.
    pub fn pointed_record(&self) -> Option<&str> {
        match &self.pointee()?.kind {
            Self::Record(name) => Some(name),
            _ => None,
        }
    }

    /// What the function takes and returns that this is a pointer to.
    pub fn pointed_signature(&self) -> Option<&Signature> {
        match &self.pointee()?.kind {
            Self::Function(signature) => Some(signature),
            _ => None,
        }
    }

    /// How many bytes an integer, a character, a boolean or an enumeration has.
    pub fn integer_size(&self) -> Option<usize> {
        match self {
            Self::Bool | Self::Char => Some(1),
            Self::WideChar => Some(4),
            Self::Integer { size, .. } | Self::Enum { size, .. } => Some(*size),
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

    /// Whether it ends in an array without a size.
    pub fn is_flexible(&self) -> bool {
        let last = self.layout.as_ref().and_then(|layout| layout.fields.last());
        last.is_some_and(|field| {
            matches!(
                field.value.kind,
                Type::Array {
                    count: None | Some(0),
                    ..
                }
            )
        })
    }
}

impl Function {
    /// What it takes and returns, in all forms in which it is called.
    pub fn forms(&self) -> impl Iterator<Item = &Signature> {
        let variants = self.variants.iter().map(|variant| &variant.signature);
        [&self.signature].into_iter().chain(variants)
    }

    /// Whether its further arguments can be known from a format.
    pub fn has_printf_format(&self) -> bool {
        let format = self.format.as_ref();
        self.signature.variadic
            && format.is_some_and(|format| format.like == "printf" && format.first.is_some())
    }
}
