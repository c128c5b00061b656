//! Reads types: what they are, down to what they consist of.

use super::spelling::{hides, spelling, unqualified, unqualified_value};
use super::{Reader, attributes, is_function};
use crate::model::{Enumeration, Field, Float, Layout, Parameter, Record, Signature, Type, Value};
use clang::{Entity, EntityKind, Nullability, TypeKind};

impl Reader {
    /// A type where it is written. `names` is the declaration that its parameters have
    /// their names from, if it is, or points to, a function.
    pub(super) fn value(&mut self, kind: clang::Type, names: Option<Entity>) -> Value {
        let typedef = (kind.get_kind() == TypeKind::Typedef).then(|| kind.get_typedef_name());
        let nullability = kind.get_nullability();
        Value {
            spelling: spelling(kind),
            is_const: is_const(kind),
            is_restrict: kind.is_restrict_qualified(),
            is_nullable: match nullability {
                Some(Nullability::NonNull) => Some(false),
                Some(Nullability::Nullable) => Some(true),
                Some(Nullability::Unspecified) | None => None,
            },
            typedef: typedef.flatten().filter(|name| !name.is_empty()),
            kind: self.kind(kind, names),
        }
    }

    /// A parameter's type, where an array and a function are pointers.
    fn parameter_value(&mut self, kind: clang::Type, names: Option<Entity>) -> Value {
        let canonical = kind.get_canonical_type();
        let element = match canonical.get_kind() {
            // An array behind a typedef is one too, whose element has no better name.
            TypeKind::ConstantArray | TypeKind::IncompleteArray | TypeKind::VariableArray
                if !is_va_list(kind) =>
            {
                kind.get_element_type().or(canonical.get_element_type())
            }
            _ => is_function(kind).then_some(kind),
        };
        let Some(element) = element else {
            return self.value(kind, names);
        };
        let mut to = self.value(element, names);
        // libclang forgets that an array behind a typedef is constant.
        if is_const(kind) && !to.is_const && !is_function(kind) {
            to.is_const = true;
            to.spelling = format!("const {}", to.spelling);
        }
        Value {
            spelling: match to.spelling.contains(['(', '[']) {
                true => format!("__typeof__({}) *", to.spelling),
                false => format!("{} *", to.spelling),
            },
            is_const: false,
            is_restrict: false,
            is_nullable: None,
            typedef: None,
            kind: Type::Pointer(Box::new(to)),
        }
    }

    fn kind(&mut self, kind: clang::Type, names: Option<Entity>) -> Type {
        use TypeKind::*;
        if is_va_list(kind) {
            return Type::VaList;
        }
        let size = kind.get_sizeof().unwrap_or(0);
        let integer = |signed| Type::Integer { size, signed };
        match kind.get_kind() {
            Typedef => {
                let declaration = kind.get_declaration();
                let underlying = declaration.and_then(|d| d.get_typedef_underlying_type());
                match underlying {
                    Some(_) if kind.get_typedef_name().as_deref() == Some("wchar_t") => {
                        Type::WideChar
                    }
                    Some(underlying) => {
                        let inner = self.kind(underlying, declaration);
                        self.align(&inner, kind);
                        inner
                    }
                    None => Type::Other(kind.get_display_name()),
                }
            }
            Void => Type::Void,
            Bool => Type::Bool,
            CharS | CharU => Type::Char,
            SChar | Short | Int | Long | LongLong | Int128 => integer(true),
            UChar | UShort | UInt | ULong | ULongLong | UInt128 => integer(false),
            Enum => match kind.get_declaration() {
                Some(declaration) => self.enumeration(declaration),
                None => integer(false),
            },
            Float | Double | LongDouble | Float128 | Float16 | Half => {
                Type::Float(self.float(kind).expect("all of these are known"))
            }
            Vector => match (kind.get_element_type(), kind.get_size()) {
                (Some(element), Some(count)) => Type::Vector {
                    element: Box::new(self.kind(element, None)),
                    count,
                    size,
                },
                _ => Type::Other(kind.get_display_name()),
            },
            Pointer => match kind.get_pointee_type() {
                Some(to) => Type::Pointer(Box::new(self.value(to, names))),
                None => Type::Other(kind.get_display_name()),
            },
            FunctionPrototype | FunctionNoPrototype => {
                Type::Function(Box::new(self.signature(kind, names)))
            }
            Record => self.record(kind),
            ConstantArray | IncompleteArray => match kind.get_element_type() {
                Some(element) => Type::Array {
                    element: Box::new(self.value(element, None)),
                    count: kind.get_size(),
                },
                None => Type::Other(kind.get_display_name()),
            },
            // What it is called and wrapped in: parentheses, attributes, `struct`.
            Elaborated => self.within(kind, kind.get_elaborated_type(), names),
            Attributed => self.within(kind, kind.get_modified_type(), names),
            _ => match self.complex(kind) {
                Some(part) => Type::Complex(part),
                None => self.within(kind, Some(kind.get_canonical_type()), names),
            },
        }
    }

    /// A typedef that gives a record its name may align it too.
    fn align(&mut self, inner: &Type, typedef: clang::Type) {
        let (Type::Record(name), Ok(alignment)) = (inner, typedef.get_alignof()) else {
            return;
        };
        let record = self.header.records.get_mut(name);
        if let Some(record) =
            record.filter(|r| typedef.get_typedef_name().as_ref() == Some(&r.spelling))
            && let Some(layout) = &mut record.layout
        {
            layout.alignment = alignment;
        }
    }

    fn within(
        &mut self,
        kind: clang::Type,
        inner: Option<clang::Type>,
        names: Option<Entity>,
    ) -> Type {
        match inner {
            Some(inner) if inner != kind => self.kind(inner, names),
            _ => Type::Other(kind.get_display_name()),
        }
    }

    fn float(&self, kind: clang::Type) -> Option<Float> {
        Some(match kind.get_canonical_type().get_kind() {
            TypeKind::Half | TypeKind::Float16 => Float::Half,
            TypeKind::Float => Float::Single,
            TypeKind::Double => Float::Double,
            TypeKind::LongDouble => self.target.long_double,
            TypeKind::Float128 => Float::Quad,
            _ => return None,
        })
    }

    /// What a complex number consists of, if this is one. The crate clang has no word
    /// for them.
    fn complex(&self, kind: clang::Type) -> Option<Float> {
        let name = kind.get_canonical_type().get_display_name();
        let name = name.trim_start_matches("const ");
        Some(match name.strip_prefix("_Complex ")? {
            "float" => Float::Single,
            "double" => Float::Double,
            "long double" => self.target.long_double,
            "__float128" => Float::Quad,
            "_Float16" => Float::Half,
            _ => return None,
        })
    }

    /// What a function takes and returns.
    pub(super) fn signature(&mut self, kind: clang::Type, names: Option<Entity>) -> Signature {
        // Behind the typedefs and parentheses that it may be written with.
        let bare = kind.get_canonical_type();
        let result = kind.get_result_type().or(bare.get_result_type());
        let types = kind.get_argument_types().or(bare.get_argument_types());
        let types = types.unwrap_or_default();
        let declared = names.map(parameters).unwrap_or_default();
        // A declaration's parameters may be those of another function in it.
        let declared = match declared.len() == types.len() {
            true => declared,
            false => Vec::new(),
        };
        let parameters = types.into_iter().enumerate().map(|(index, kind)| {
            let entity = declared.get(index).copied();
            let written = entity.and_then(|entity| entity.get_type()).unwrap_or(kind);
            let array = written.get_canonical_type();
            let is_array = matches!(
                array.get_kind(),
                TypeKind::ConstantArray | TypeKind::IncompleteArray | TypeKind::VariableArray
            );
            Parameter {
                name: entity
                    .and_then(|entity| entity.get_name())
                    .unwrap_or_else(|| format!("arg{}", index + 1)),
                value: self.parameter_value(written, entity),
                is_array: is_array && !is_va_list(written),
                elements: array.get_size().filter(|_| is_array),
                is_nonnull: entity.is_some_and(attributes::is_nonnull),
            }
        });
        let mut parameters: Vec<_> = parameters.collect();
        // A function that returns a pointer to a function has that one's parameters
        // among its own.
        let result = match result {
            Some(result) => result,
            None => unreachable!("every function type has a result type"),
        };
        let spelling = match is_qualified(result) {
            false if is_qualified(result.get_canonical_type()) => {
                // The typedef says so.
                spelling(result.get_canonical_type())
            }
            _ => spelling(result),
        };
        let result = self.value(result, None);
        let result = Value {
            spelling: unqualified_value(&spelling),
            is_const: false,
            ..result
        };
        for Parameter { name, .. } in &mut parameters {
            if hides(name, &result.spelling) {
                name.push('_');
            }
        }
        Signature {
            result,
            parameters,
            variadic: kind.is_variadic() || bare.is_variadic(),
            prototype: bare.get_kind() == TypeKind::FunctionPrototype,
        }
    }

    /// Notes an enumeration.
    pub(super) fn enumeration(&mut self, entity: Entity) -> Type {
        let entity = entity.get_definition().unwrap_or(entity);
        let spelling = entity.get_type().map_or_else(String::new, unqualified);
        let name = spelling.strip_prefix("enum ").unwrap_or(&spelling);
        let name = name.to_owned();
        let underlying = entity.get_enum_underlying_type();
        let signed = underlying.is_some_and(|kind| kind.is_signed_integer());
        let size = underlying.and_then(|kind| kind.get_sizeof().ok());
        let size = size.unwrap_or(0);
        if !self.header.enums.contains_key(&name) {
            let constants = entity.get_children();
            let constants = constants
                .iter()
                .filter(|constant| constant.get_kind() == EntityKind::EnumConstantDecl);
            let values = constants.filter_map(|constant| {
                let (as_signed, as_unsigned) = constant.get_enum_constant_value()?;
                let value = match signed {
                    true => as_signed.into(),
                    false => as_unsigned.into(),
                };
                Some((constant.get_name()?, value))
            });
            let enumeration = Enumeration {
                spelling,
                size,
                signed,
                values: values.collect(),
                place: self.place(entity),
            };
            self.header.enums.insert(name.clone(), enumeration);
        }
        Type::Enum { name, size, signed }
    }

    fn record(&mut self, kind: clang::Type) -> Type {
        let Some(declaration) = kind.get_declaration() else {
            return Type::Other(kind.get_display_name());
        };
        let declaration = declaration.get_definition().unwrap_or(declaration);
        let kind = declaration.get_type().unwrap_or(kind);
        let spelling = unqualified(kind);
        let is_union = declaration.get_kind() == EntityKind::UnionDecl;
        let prefix = if is_union { "union " } else { "struct " };
        let mut name = spelling
            .strip_prefix(prefix)
            .unwrap_or(&spelling)
            .to_owned();
        let known = |name: &String| self.header.records.get(name);
        if known(&name).is_some_and(|known| known.spelling != spelling) {
            name.clone_from(&spelling);
        }
        if known(&name).is_none() {
            // First without its fields, which may lead back here.
            let children = declaration.get_children();
            let record = Record {
                is_named: !spelling.contains('('),
                spelling,
                is_union,
                is_packed: children
                    .iter()
                    .any(|child| child.get_kind() == EntityKind::PackedAttr),
                layout: None,
                place: self.place(declaration),
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
                value: self.value(field.get_type()?, Some(field)),
                offset: field.get_offset_of_field().ok()?,
                bits: field.get_bit_field_width(),
                place: self.place(field),
            })
        });
        Some(Layout {
            size,
            alignment,
            fields: fields.collect::<Option<_>>()?,
        })
    }
}

/// Whether something of this type may not be changed. Of an array that is said of its
/// elements, and libclang says it of the array that is bare of typedefs.
fn is_const(kind: clang::Type) -> bool {
    kind.is_const_qualified() || kind.get_canonical_type().is_const_qualified()
}

fn is_qualified(kind: clang::Type) -> bool {
    kind.is_const_qualified() || kind.is_volatile_qualified()
}

fn parameters(declaration: Entity) -> Vec<Entity> {
    if let Some(parameters) = declaration.get_arguments() {
        return parameters;
    }
    let mut children = declaration.get_children();
    children.retain(|child| child.get_kind() == EntityKind::ParmDecl);
    children
}

/// `va_list` is a record on both targets, and each its own; on one an array of it.
fn is_va_list(kind: clang::Type) -> bool {
    let name = kind.get_canonical_type().get_display_name();
    let name = name.trim_start_matches("const ");
    matches!(
        name,
        "struct __va_list_tag[1]"
            | "struct __va_list_tag *"
            | "struct __va_list_tag"
            | "struct __va_list"
            | "__va_list_tag[1]"
            | "__va_list_tag *"
            | "__va_list_tag"
            | "__va_list"
    )
}
