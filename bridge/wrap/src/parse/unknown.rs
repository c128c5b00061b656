//! Types that gcc knows, and this libclang does not: they spoil no more than the functions
//! that are declared with them.

use super::{NAME, errors};
use crate::words::words;
use clang::source::SourceLocation;
use clang::{Entity, EntityKind, TranslationUnit};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

const TYPES: [&str; 7] = [
    "_Float16",
    "_Float32",
    "_Float64",
    "_Float128",
    "_Float32x",
    "_Float64x",
    "__bf16",
];

/// The functions that are declared with such types, each with one of the types.
///
/// # Errors
/// Whatever else is wrong.
pub fn functions(unit: &TranslationUnit) -> Result<HashMap<String, &'static str>, String> {
    let mut functions = HashMap::new();
    for error in errors(unit) {
        let found = spoiled(unit, error.get_location());
        let (name, word) = found.ok_or_else(|| error.to_string())?;
        functions.insert(name, word);
    }
    Ok(functions)
}

/// The function of a header in whose declaration this is, and the type.
fn spoiled(unit: &TranslationUnit, at: SourceLocation) -> Option<(String, &'static str)> {
    // One of the types may be a macro by now.
    let at = at.get_expansion_location();
    let file = at.file.filter(|file| file.get_path() != Path::new(NAME))?;
    let extent = |entity: &Entity| {
        let range = entity.get_range()?;
        let start = range.get_start().get_expansion_location();
        let end = range.get_end().get_expansion_location();
        let extent = start.offset as usize..=end.offset as usize;
        let is_around = start.file == Some(file) && extent.contains(&(at.offset as usize));
        is_around.then_some(extent)
    };
    let entities = unit.get_entity().get_children().into_iter();
    let functions = entities.filter(|entity| entity.get_kind() == EntityKind::FunctionDecl);
    let (function, extent) = functions
        .filter_map(|entity| Some((entity, extent(&entity)?)))
        .next_back()?;
    let text = fs::read(file.get_path()).ok()?;
    let text = String::from_utf8_lossy(text.get(extent)?).into_owned();
    let word =
        words(&text).find_map(|(word, _)| TYPES.into_iter().find(|unknown| *unknown == word))?;
    Some((function.get_name()?, word))
}
