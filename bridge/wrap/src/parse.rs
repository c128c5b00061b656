//! Reads a header with libclang, as the compiler for a given target would.

use crate::Error;
use crate::model::{Field, Function, Header, Layout, Parameter, Record, Type, Value};
use clang::diagnostic::Severity;
use clang::{Clang, Entity, EntityKind, Index, TypeKind};
use std::path::Path;
use std::sync::Mutex;

/// A machine that the header is read for.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name for compilers.
    pub triple: &'static str,
    /// Where Debian keeps the C library's headers for it, further ones than
    /// `/usr/include`.
    pub include: &'static str,
}

/// The guest.
pub const GUEST: Target = Target {
    triple: "aarch64-linux-gnu",
    include: "/usr/aarch64-linux-gnu/include",
};
/// The host.
pub const HOST: Target = Target {
    triple: "x86_64-linux-gnu",
    include: "/usr/include/x86_64-linux-gnu",
};

/// Reads a header for each of these targets; of its functions those that are `wanted`.
///
/// # Errors
/// No libclang, or one that cannot make sense of the header.
pub fn read<const N: usize>(
    header: &Path,
    flags: &[String],
    wanted: &dyn Fn(&str) -> bool,
    targets: [Target; N],
) -> Result<[Header; N], Error> {
    // There can be one libclang in use at a time.
    static LIBCLANG: Mutex<()> = Mutex::new(());
    let _lock = LIBCLANG
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let clang = Clang::new().map_err(Error::NoClang)?;
    let index = Index::new(&clang, false, false);
    let mut read = targets.map(|_| Header::default());
    for (target, result) in targets.iter().zip(&mut read) {
        let mut arguments = vec!["-x", "c", "-target", target.triple];
        arguments.extend(["-isystem", target.include]);
        arguments.extend(flags.iter().map(String::as_str));
        let unreadable = |what: String| Error::Header {
            header: header.to_owned(),
            target: target.triple,
            what,
        };
        let unit = index
            .parser(header)
            .arguments(&arguments)
            .parse()
            .map_err(|error| unreadable(error.to_string()))?;
        let error = unit
            .get_diagnostics()
            .into_iter()
            .find(|diagnostic| diagnostic.get_severity() >= Severity::Error);
        if let Some(error) = error {
            return Err(unreadable(error.to_string()));
        }
        let mut reader = Reader::default();
        for entity in unit.get_entity().get_children() {
            reader.declaration(entity, wanted);
        }
        *result = reader.header;
    }
    Ok(read)
}

#[derive(Default)]
struct Reader {
    header: Header,
}

impl Reader {
    fn declaration(&mut self, entity: Entity, wanted: &dyn Fn(&str) -> bool) {
        if entity.get_kind() != EntityKind::FunctionDecl {
            return;
        }
        let (Some(name), Some(result)) = (entity.get_name(), entity.get_result_type()) else {
            return;
        };
        if !wanted(&name) {
            return;
        }
        let parameters = entity.get_arguments().unwrap_or_default();
        let parameters = parameters.iter().enumerate().map(|(index, parameter)| {
            let kind = parameter
                .get_type()
                .expect("libclang gives every parameter a type");
            Parameter {
                name: parameter
                    .get_name()
                    .unwrap_or_else(|| format!("arg{}", index + 1)),
                value: self.value(kind),
            }
        });
        let parameters = parameters.collect();
        let has_prototype = entity
            .get_type()
            .is_some_and(|kind| kind.get_kind() == TypeKind::FunctionPrototype);
        let function = Function {
            result: self.value(result),
            parameters,
            variadic: entity.is_variadic(),
            prototype: has_prototype,
            place: place(entity),
        };
        // A header may declare a function again, with less to it.
        self.header.functions.entry(name).or_insert(function);
    }

    fn value(&mut self, kind: clang::Type) -> Value {
        // A parameter that is written as an array is a pointer.
        if let (true, Some(element)) = (is_array(kind), kind.get_element_type()) {
            let is_const = element.is_const_qualified();
            let element = self.value(element);
            return Value {
                spelling: format!("{} *", element.spelling),
                kind: Type::Pointer {
                    to: Box::new(element.kind),
                    is_const,
                },
            };
        }
        Value {
            spelling: kind.get_display_name(),
            kind: self.kind(kind),
        }
    }

    fn kind(&mut self, kind: clang::Type) -> Type {
        use TypeKind::*;
        let kind = kind.get_canonical_type();
        let size = kind.get_sizeof().unwrap_or(0);
        match kind.get_kind() {
            Void => Type::Void,
            Bool | CharS | CharU | SChar | UChar | WChar | Char16 | Char32 | Short | UShort
            | Int | UInt | Long | ULong | LongLong | ULongLong | Enum => Type::Integer(size),
            Float | Double => Type::Float(size),
            Pointer => {
                let to = kind.get_pointee_type();
                Type::Pointer {
                    is_const: to.is_some_and(|to| to.is_const_qualified()),
                    to: Box::new(to.map_or(Type::Void, |to| self.kind(to))),
                }
            }
            FunctionPrototype | FunctionNoPrototype => Type::Function,
            Record if !is_the_compilers(kind) => self.record(kind),
            ConstantArray | IncompleteArray => {
                let element = kind.get_element_type();
                let element = element.map_or(Type::Void, |element| self.kind(element));
                Type::Array(Box::new(element), kind.get_size().unwrap_or(0))
            }
            _ => Type::Other(kind.get_display_name()),
        }
    }

    fn record(&mut self, kind: clang::Type) -> Type {
        let spelling = kind.get_display_name();
        let name = spelling
            .strip_prefix("struct ")
            .or_else(|| spelling.strip_prefix("union "))
            .unwrap_or(&spelling)
            .to_owned();
        if !self.header.records.contains_key(&name) {
            // First without its fields, which may lead back here.
            let record = Record {
                spelling,
                layout: None,
            };
            self.header.records.insert(name.clone(), record);
            let layout = self.layout(kind);
            let entry = self.header.records.get_mut(&name);
            entry.expect("was just inserted").layout = layout;
        }
        Type::Record(name)
    }

    fn layout(&mut self, kind: clang::Type) -> Option<Layout> {
        let (size, alignment) = (kind.get_sizeof().ok()?, kind.get_alignof().ok()?);
        let fields = kind.get_fields()?.into_iter().map(|field| {
            Some(Field {
                name: field.get_name().unwrap_or_default(),
                kind: self.kind(field.get_type()?),
                offset: field.get_offset_of_field().ok()?,
                is_bits: field.is_bit_field(),
            })
        });
        Some(Layout {
            size,
            alignment,
            fields: fields.collect::<Option<_>>()?,
        })
    }
}

fn is_array(kind: clang::Type) -> bool {
    matches!(
        kind.get_canonical_type().get_kind(),
        TypeKind::ConstantArray | TypeKind::IncompleteArray
    )
}

/// `va_list` is a record on both targets, and each its own.
fn is_the_compilers(kind: clang::Type) -> bool {
    kind.get_display_name().contains("__va_list")
}

fn place(entity: Entity) -> String {
    let Some(location) = entity.get_location() else {
        return String::new();
    };
    let location = location.get_file_location();
    let file = location.file.map(|file| file.get_path());
    let file = file.as_deref().and_then(Path::file_name);
    let file = file.map_or_else(Default::default, |file| file.to_string_lossy().into_owned());
    format!("{file}:{}", location.line)
}
