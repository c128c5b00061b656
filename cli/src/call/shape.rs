//! What a prototype says of parameters, as far as values for them can be written down.

use crate::failure::Failure;
use iotdec_bridge::dynamic::Type;
use iotdec_wrap::Error;
use iotdec_wrap::model::{self, Float, Header, Record};
use iotdec_wrap::parse::{GUEST, Source, read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Pointers to pointers, and so on, for which values can be given.
const DEPTH: usize = 4;

/// A C type.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// `void`; as a result only.
    Void,
    /// `_Bool`
    Bool,
    /// A plain `char`, which can be written as a letter.
    Char,
    /// An integer.
    Integer(Type),
    /// An enumeration, with the names of its values.
    Enum(Type, BTreeMap<String, i128>),
    /// `float` or `double`.
    Float(Type),
    /// A struct's fields.
    Struct(Vec<(String, Shape)>),
    /// An array in a struct.
    Array(Box<Shape>, usize),
    /// A pointer.
    Pointer(Box<Target>),
}

/// What a pointer points to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What is there; or why nothing can be put there.
    pub shape: Result<Shape, String>,
    /// Whether the function only reads it.
    pub is_const: bool,
    /// Whether it can be given as text.
    pub is_text: bool,
}

/// A parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name; `arg1` and so on, if it has none.
    pub name: String,
    /// As C spells its type.
    pub spelling: String,
    /// Its type.
    pub shape: Shape,
    /// Of an array: how many elements it says it has.
    pub elements: usize,
}

/// A function.
#[derive(Debug)]
pub struct Prototype {
    /// Its name in the library.
    pub symbol: String,
    /// What it returns.
    pub result: Shape,
    /// What it takes.
    pub parameters: Vec<Parameter>,
}

impl Shape {
    /// The same for the bridge.
    pub fn kind(&self) -> Type {
        match self {
            Self::Void => Type::Void,
            Self::Bool => Type::Bool,
            Self::Char => Type::U8,
            Self::Integer(kind) | Self::Enum(kind, _) | Self::Float(kind) => kind.clone(),
            Self::Struct(fields) => {
                Type::Struct(fields.iter().map(|(_, field)| field.kind()).collect())
            }
            Self::Array(element, count) => Type::Array(Box::new(element.kind()), *count),
            Self::Pointer(_) => Type::Pointer,
        }
    }
}

/// Reads a prototype, or the name of a function that headers declare.
pub fn prototype(
    text: &str,
    headers: &[PathBuf],
    include: &[PathBuf],
) -> Result<Prototype, Failure> {
    let text = text.trim().trim_end_matches(';');
    let name = name(text).ok_or_else(|| {
        Failure::new(
            format_args!("'{text}' is no prototype of a function"),
            "Write it as in C: 'unsigned add(unsigned a, unsigned b)'.",
        )
    })?;
    let mut source = Source {
        text: "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n".into(),
        flags: include
            .iter()
            .flat_map(|directory| ["-I".into(), directory.display().to_string()])
            .collect(),
        ..Source::default()
    };
    for header in headers {
        source.text += &inclusion(header);
    }
    if name != text {
        source.text += &format!("{text};\n");
    }
    let wanted = |other: &str| other == name;
    let [header] = read(&source, &wanted, [GUEST]).map_err(|error| match error {
        Error::Header { what, .. } => Failure::new(
            format_args!("the compiler does not understand it: {what}"),
            "Types other than C's own and those of stdint.h need --header.",
        ),
        other => Failure::Error(other.to_string()),
    })?;
    let function = header.functions.get(name).ok_or_else(|| {
        Failure::new(
            format_args!("nothing declares a function {name}"),
            "Write its prototype, or name the header with --header.",
        )
    })?;
    let signature = &function.signature;
    let cannot =
        |what: &str, why: &str| Failure::Error(format!("{name} cannot be called: {what} is {why}"));
    if signature.variadic {
        return Err(Failure::new(
            format_args!("{name} takes variable arguments"),
            "Write a prototype with those of this call instead of '...'.",
        ));
    }
    let reader = Reader { header: &header };
    let result = match &signature.result.kind {
        model::Type::Void => Shape::Void,
        _ => reader
            .shape(&signature.result, 0)
            .map_err(|why| cannot("the result", &why))?,
    };
    let parameters = signature.parameters.iter().map(|parameter| {
        let shape = reader.shape(&parameter.value, 0);
        Ok(Parameter {
            name: parameter.name.clone(),
            spelling: parameter.value.spelling.clone(),
            shape: shape.map_err(|why| cannot(&parameter.name, &why))?,
            elements: parameter.elements.unwrap_or(0),
        })
    });
    Ok(Prototype {
        symbol: function.symbol.clone(),
        result,
        parameters: parameters.collect::<Result<_, Failure>>()?,
    })
}

/// A file, or what the compiler finds by this name.
fn inclusion(header: &Path) -> String {
    match std::path::absolute(header) {
        Ok(file) if file.is_file() => format!("#include \"{}\"\n", file.display()),
        _ => format!("#include <{}>\n", header.display()),
    }
}

/// The last word before the parameters, or all of it.
fn name(text: &str) -> Option<&str> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let front = text.split('(').next()?.trim_end();
    let start = front
        .rfind(|letter| !is_letter(letter))
        .map_or(0, |at| at + 1);
    let name = &front[start..];
    let is_name = name.starts_with(|letter: char| is_letter(letter) && !letter.is_ascii_digit());
    let is_whole = text.contains('(') || name == text;
    (is_name && is_whole).then_some(name)
}

struct Reader<'a> {
    header: &'a Header,
}

impl Reader<'_> {
    /// A type behind so many pointers, or why it has no values that could be written down.
    fn shape(&self, value: &model::Value, depth: usize) -> Result<Shape, String> {
        use model::Type as C;
        let spelling = &value.spelling;
        Ok(match &value.kind {
            C::Void => return Err("void".into()),
            C::Bool => Shape::Bool,
            C::Char => Shape::Char,
            C::WideChar => Shape::Integer(Type::U32),
            C::Integer { size, signed } => Shape::Integer(integer(*size, *signed, spelling)?),
            C::Enum { name, size, signed } => {
                let known = self.header.enums.get(name);
                let values = known.map(|known| known.values.clone()).unwrap_or_default();
                Shape::Enum(integer(*size, *signed, spelling)?, values)
            }
            C::Float(Float::Single) => Shape::Float(Type::F32),
            C::Float(Float::Double) => Shape::Float(Type::F64),
            C::Float(_) => return Err(format!("a {spelling}, which is another type here")),
            C::Complex(_) => return Err(format!("a complex number ({spelling})")),
            C::Vector { .. } => return Err(format!("a vector ({spelling})")),
            C::VaList => return Err("a va_list, which only a program can make".into()),
            C::Function(_) => {
                return Err(
                    "a function; only programs have callbacks (docs/library-bridge.md)".into(),
                );
            }
            C::Other(what) => return Err(format!("of type {what}, which is not known here")),
            C::Record(name) => match self.header.records.get(name) {
                Some(record) => self.record(record, depth)?,
                None => return Err(format!("a {spelling}")),
            },
            C::Array {
                element,
                count: Some(count @ 1..),
            } => Shape::Array(Box::new(self.shape(element, depth)?), *count),
            C::Array { .. } => return Err("an array of no certain size".into()),
            C::Pointer(to) => {
                let shape = match &to.kind {
                    // Bytes, if anything.
                    C::Void => Ok(Shape::Integer(Type::U8)),
                    _ if depth < DEPTH => self.shape(to, depth + 1),
                    _ => Err("behind too many pointers".into()),
                };
                let is_byte =
                    matches!(shape, Ok(Shape::Char | Shape::Integer(Type::I8 | Type::U8)));
                Shape::Pointer(Box::new(Target {
                    shape,
                    is_const: to.is_const,
                    is_text: is_byte,
                }))
            }
        })
    }

    fn record(&self, record: &Record, depth: usize) -> Result<Shape, String> {
        let spelling = &record.spelling;
        if record.is_union {
            return Err(format!(
                "a {spelling}: unions are passed by generated code only"
            ));
        }
        let Some(layout) = &record.layout else {
            return Err(format!("a {spelling}, of which nothing says what is in it"));
        };
        let fields = layout.fields.iter().map(|field| {
            if field.bits.is_some() {
                return Err(format!("a {spelling} with bit-fields"));
            }
            let shape = self.shape(&field.value, depth);
            let shape = shape.map_err(|why| format!("a {spelling}, whose {} is {why}", field.name));
            Ok((field.name.clone(), shape?))
        });
        let shape = Shape::Struct(fields.collect::<Result<_, _>>()?);
        let kind = shape.kind();
        let offsets = layout.fields.iter().map(|field| field.offset / 8);
        if !offsets.eq(kind.offsets())
            || (layout.size, layout.alignment) != (kind.size(), kind.alignment())
        {
            return Err(format!(
                "a {spelling}, which attributes lay out in their own way"
            ));
        }
        Ok(shape)
    }
}

fn integer(size: usize, signed: bool, spelling: &str) -> Result<Type, String> {
    Ok(match (size, signed) {
        (1, true) => Type::I8,
        (1, false) => Type::U8,
        (2, true) => Type::I16,
        (2, false) => Type::U16,
        (4, true) => Type::I32,
        (4, false) => Type::U32,
        (8, true) => Type::I64,
        (8, false) => Type::U64,
        _ => return Err(format!("a {spelling}, an integer of {size} bytes")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Prototype, String> {
        prototype(text, &[], &[]).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn the_name_is_before_the_parameters() {
        assert_eq!(name("unsigned long *f (int (*)(void))"), Some("f"));
        assert_eq!(name("crc32"), Some("crc32"));
        for bad in ["", "int x", "f [2]", "(int)", "int 3(void)"] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn prototypes_are_read_as_for_aarch64() {
        let function = read("char f(uint32_t c[2], const char *, long n, double *out);").unwrap();
        assert_eq!(function.result, Shape::Char);
        let kinds: Vec<_> = function
            .parameters
            .iter()
            .map(|it| it.shape.kind())
            .collect();
        assert_eq!(
            kinds,
            [Type::Pointer, Type::Pointer, Type::I64, Type::Pointer]
        );
        let [first, second, ..] = &function.parameters[..] else {
            panic!("{function:?}")
        };
        assert_eq!((&first.name[..], first.elements), ("c", 2));
        assert_eq!(second.name, "arg2");
        assert!(matches!(&second.shape, Shape::Pointer(to) if to.is_const && to.is_text));
    }

    #[test]
    fn what_cannot_be_written_down_is_told() {
        for (text, why) in [
            ("long double f(void)", "another type here"),
            ("int printf(const char *, ...)", "variable arguments"),
            ("int f(union { int a; float b; } u)", "unions"),
            ("int f(struct s { int a : 3; } s)", "bit-fields"),
            (
                "int f(struct s { char a; int b; } __attribute__((packed)) s)",
                "attributes",
            ),
            ("int f(vendor_t t)", "--header"),
            ("int g", "no prototype"),
            ("g", "nothing declares"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_list_that_leads_to_itself_ends_somewhere() {
        let function = read("int f(struct node { struct node *next; int n; } *first)").unwrap();
        assert_eq!(function.parameters[0].shape.kind(), Type::Pointer);
    }
}
