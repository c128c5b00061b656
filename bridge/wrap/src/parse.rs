//! Reads headers with libclang, as the compiler for a given target would.

mod attributes;
mod spelling;
mod types;
mod unknown;

use crate::Error;
use crate::model::{Float, Function, Header, Place, Type, Typedef, Variable};
use clang::diagnostic::{Diagnostic, Severity};
use clang::{Clang, Entity, EntityKind, EvaluationResult, Index, StorageClass, TranslationUnit};
use clang::{TypeKind, Unsaved};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A machine that headers are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name for compilers.
    pub triple: &'static str,
    /// Where Debian keeps the C library's headers for it, further ones than
    /// `/usr/include`.
    pub include: &'static str,
    /// What a `long double` is there.
    pub long_double: Float,
}

/// The guest.
pub const GUEST: Target = Target {
    triple: "aarch64-linux-gnu",
    include: "/usr/aarch64-linux-gnu/include",
    long_double: Float::Quad,
};
/// The host.
pub const HOST: Target = Target {
    triple: "x86_64-linux-gnu",
    include: "/usr/include/x86_64-linux-gnu",
    long_double: Float::Extended,
};

/// What is to be read.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// C that includes the headers, and whatever is to be read besides.
    pub text: String,
    /// Options of the compiler.
    pub flags: Vec<String>,
    /// Options for the guest alone.
    pub guest_flags: Vec<String>,
    /// Options for the host alone.
    pub host_flags: Vec<String>,
}

impl Source {
    /// These headers, by their absolute paths, in this order.
    pub fn of<P: AsRef<Path>>(headers: &[P], flags: &[String]) -> Self {
        let line = |header: &P| format!("#include \"{}\"\n", header.as_ref().display());
        Self {
            text: headers.iter().map(line).collect(),
            flags: flags.to_vec(),
            ..Self::default()
        }
    }

    fn arguments(&self, target: Target) -> Vec<&str> {
        let own = if target == GUEST {
            &self.guest_flags
        } else {
            &self.host_flags
        };
        let mut arguments = vec!["-x", "c", "-target", target.triple, "-ferror-limit=0"];
        arguments.extend(["-isystem", target.include]);
        arguments.extend(self.flags.iter().chain(own).map(String::as_str));
        arguments
    }

    /// Has libclang read this, and some more text, for each target.
    ///
    /// # Errors
    /// There is no libclang, or it cannot read at all.
    pub(crate) fn parse(
        &self,
        more: &str,
        targets: &[Target],
        mut each: impl FnMut(usize, &TranslationUnit) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // There can be one libclang in use at a time.
        static LIBCLANG: Mutex<()> = Mutex::new(());
        let _lock = LIBCLANG
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let clang = Clang::new().map_err(Error::NoClang)?;
        let index = Index::new(&clang, false, false);
        for (number, target) in targets.iter().enumerate() {
            let parse = |more_arguments: &[&str]| {
                let mut arguments = self.arguments(*target);
                arguments.extend(more_arguments);
                index
                    .parser(NAME)
                    .arguments(&arguments)
                    .unsaved(&[Unsaved::new(NAME, format!("{}{more}", self.text))])
                    .detailed_preprocessing_record(true)
                    .include_attributed_types(true)
                    .parse()
                    .map_err(|error| self.unreadable(*target, error.to_string()))
            };
            let mut unit = parse(&[])?;
            let is_unknown = |error: Diagnostic| error.get_text().contains(UNKNOWN_HALF);
            if errors(&unit).any(is_unknown) {
                unit = parse(&HALF)?;
            }
            each(number, &unit)?;
        }
        Ok(())
    }

    fn unreadable(&self, target: Target, what: String) -> Error {
        let first = self.text.lines().find_map(|line| line.split('"').nth(1));
        Error::Header {
            header: first.unwrap_or(NAME).into(),
            target: target.triple,
            what,
        }
    }
}

/// For versions of libclang that do not know `_Float16` on a machine where gcc does.
const HALF: [&str; 3] = [
    "-D_Float16=__fp16",
    "-Xclang",
    "-fallow-half-arguments-and-returns",
];

/// What such a version says.
const UNKNOWN_HALF: &str = "_Float16 is not supported";

fn errors<'tu>(unit: &'tu TranslationUnit) -> impl Iterator<Item = Diagnostic<'tu>> {
    let all = unit.get_diagnostics().into_iter();
    all.filter(|diagnostic| diagnostic.get_severity() >= Severity::Error)
}

/// What [`Source::text`] is called in messages. There is no such file.
const NAME: &str = "/iotdec-headers.c";

/// Reads headers for each of these targets; of the functions and variables those that
/// are `wanted`, functions by their names for the linker.
///
/// # Errors
/// No libclang, or one that cannot make sense of the headers.
pub fn read<const N: usize>(
    source: &Source,
    wanted: &dyn Fn(&str) -> bool,
    targets: [Target; N],
) -> Result<[Header; N], Error> {
    let mut read = targets.map(|_| Header::default());
    source.parse(SIGNEDNESS, &targets, |number, unit| {
        let target = targets[number];
        let unknown = unknown::functions(unit);
        let mut reader = Reader::new(target);
        reader.unknown = unknown.map_err(|error| source.unreadable(target, error))?;
        for entity in unit.get_entity().get_children() {
            reader.declaration(entity, wanted);
        }
        read[number] = reader.header;
        Ok(())
    })?;
    Ok(read)
}

/// Asks the compiler what a `char` and a `wchar_t` are.
const SIGNEDNESS: &str = "\n\
    static const int iotdec_char_is_signed = (char)-1 < 0;\n\
    static const int iotdec_wide_char_is_signed = (__WCHAR_TYPE__)-1 < 0;\n";

struct Reader {
    header: Header,
    target: Target,
    /// Whether a file is one of the library's own.
    own: HashMap<PathBuf, bool>,
    /// Functions that take or return what libclang does not know, and what that is.
    unknown: HashMap<String, &'static str>,
}

impl Reader {
    fn new(target: Target) -> Self {
        Self {
            header: Header::default(),
            target,
            own: HashMap::new(),
            unknown: HashMap::new(),
        }
    }

    fn declaration(&mut self, entity: Entity, wanted: &dyn Fn(&str) -> bool) {
        let Some(name) = entity.get_name() else {
            // An enumeration without a name has constants all the same.
            if entity.get_kind() == EntityKind::EnumDecl && self.place(entity).is_own {
                self.enumeration(entity);
            }
            return;
        };
        match entity.get_kind() {
            EntityKind::FunctionDecl => self.function(name, entity, wanted),
            EntityKind::VarDecl => self.variable(name, entity, wanted),
            EntityKind::EnumDecl if self.place(entity).is_own => {
                self.enumeration(entity);
            }
            EntityKind::TypedefDecl => {
                let place = self.place(entity);
                let Some(kind) = entity.get_typedef_underlying_type() else {
                    return;
                };
                if place.is_own {
                    let value = self.value(kind, Some(entity));
                    self.header.typedefs.insert(name, Typedef { value, place });
                }
            }
            EntityKind::MacroDefinition => {
                let place = self.place(entity);
                if place.line > 0 && !entity.is_builtin_macro() {
                    let macros = match entity.is_function_like_macro() {
                        true => &mut self.header.function_macros,
                        false => &mut self.header.macros,
                    };
                    macros.insert(name, place);
                }
            }
            _ => {}
        }
    }

    fn function(&mut self, name: String, entity: Entity, wanted: &dyn Fn(&str) -> bool) {
        let is_static = entity.get_storage_class() == Some(StorageClass::Static);
        let is_inline = entity.is_inline_function() && has_body(entity);
        let place = self.place(entity);
        let symbol = entity.get_mangled_name().unwrap_or_else(|| name.clone());
        if !wanted(&symbol) {
            if place.is_own && !is_static && !is_inline {
                self.header.others.entry(name).or_insert(place);
            }
            return;
        }
        let Some(kind) = entity.get_type() else {
            return;
        };
        let mut signature = self.signature(kind, Some(entity));
        if let Some(word) = self.unknown.get(&name) {
            signature.result.spelling = (*word).to_owned();
            signature.result.kind = Type::Other((*word).to_owned());
        }
        let attributes = attributes::of(entity);
        for (index, parameter) in signature.parameters.iter_mut().enumerate() {
            parameter.is_nonnull |= attributes.nonnull.includes(index);
        }
        let function = Function {
            signature,
            symbol,
            is_static,
            is_inline,
            is_noreturn: attributes.is_noreturn,
            format: attributes.format,
            variants: Vec::new(),
            place,
        };
        match self.header.functions.get_mut(&name) {
            None => {
                self.header.functions.insert(name, function);
            }
            // A header may declare a function again, with less to it or more.
            Some(known) => {
                if !known.signature.prototype {
                    known.signature = function.signature;
                }
                known.is_static |= function.is_static;
                known.is_inline |= function.is_inline;
                known.is_noreturn |= function.is_noreturn;
                known.format = known.format.take().or(function.format);
            }
        }
    }

    fn variable(&mut self, name: String, entity: Entity, wanted: &dyn Fn(&str) -> bool) {
        if entity.get_storage_class() == Some(StorageClass::Static) {
            let answer = || match entity.evaluate() {
                Some(EvaluationResult::SignedInteger(value)) => value != 0,
                Some(EvaluationResult::UnsignedInteger(value)) => value != 0,
                other => unreachable!("a constant integer is {other:?}"),
            };
            match name.as_str() {
                "iotdec_char_is_signed" => self.header.char_is_signed = answer(),
                "iotdec_wide_char_is_signed" => self.header.wide_char_is_signed = answer(),
                _ => {}
            }
            return;
        }
        let Some(kind) = entity.get_type().filter(|_| wanted(&name)) else {
            return;
        };
        let variable = Variable {
            value: self.value(kind, Some(entity)),
            symbol: entity.get_mangled_name().unwrap_or_else(|| name.clone()),
            is_thread_local: entity.get_tls_kind().is_some(),
            place: self.place(entity),
        };
        self.header.variables.entry(name).or_insert(variable);
    }

    fn place(&mut self, entity: Entity) -> Place {
        let location = entity.get_location();
        let location = location.map(|location| location.get_file_location());
        let Some((file, line)) = location.and_then(|l| Some((l.file?.get_path(), l.line))) else {
            return Place::default();
        };
        let target = self.target;
        let is_own = *self
            .own
            .entry(file.clone())
            .or_insert_with(|| !is_the_systems(&file, target));
        Place { file, line, is_own }
    }
}

fn has_body(entity: Entity) -> bool {
    let children = entity.get_children();
    let mut kinds = children.iter().map(Entity::get_kind);
    kinds.any(|kind| kind == EntityKind::CompoundStmt)
}

/// Whether a header belongs to the C library, the kernel or the compiler: the first two
/// are those that Debian's cross-compiler brings for the guest, and nothing else is
/// there.
fn is_the_systems(file: &Path, target: Target) -> bool {
    // The compiler's own are in clang/VERSION/include.
    let is_clangs = |path: &Path| {
        let grandparent = path.parent().and_then(Path::parent);
        path.ends_with("include") && grandparent.is_some_and(|path| path.ends_with("clang"))
    };
    if file.ancestors().any(is_clangs) {
        return true;
    }
    let roots = [GUEST.include, target.include, HOST.include, "/usr/include"];
    let below = roots.iter().find_map(|root| file.strip_prefix(root).ok());
    below.is_some_and(|below| Path::new(GUEST.include).join(below).exists())
}

fn is_function(kind: clang::Type) -> bool {
    matches!(
        kind.get_canonical_type().get_kind(),
        TypeKind::FunctionPrototype | TypeKind::FunctionNoPrototype
    )
}
