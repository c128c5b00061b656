//! Macros of the library's headers that would change the code around them: whatever the
//! headers declare has been read by then, so that its names are meant as they stand.

use crate::model::Header;
use crate::words::words;
use std::collections::{BTreeMap, BTreeSet};

/// What the generated code takes from the C library's headers by these names, whoever
/// defines them.
const STANDARD: [&str; 12] = [
    "NULL",
    "errno",
    "offsetof",
    "va_arg",
    "va_copy",
    "va_end",
    "va_start",
    "INT_MIN",
    "UINT32_MAX",
    "UINT64_C",
    "true",
    "false",
];

/// The macros of the headers that are not to be any more where this `code` is compiled;
/// those in `meant` are.
pub fn hidden<'a>(
    headers: [&'a Header; 2],
    code: &str,
    meant: &BTreeSet<&str>,
) -> BTreeSet<&'a str> {
    let mut called: BTreeMap<&str, bool> = BTreeMap::new();
    for (word, after) in words(code) {
        *called.entry(word).or_default() |= after.trim_start().starts_with('(');
    }
    let plain = headers.into_iter().flat_map(|header| &header.macros);
    let plain = plain.filter(|(name, _)| called.contains_key(name.as_str()));
    let functions = headers
        .into_iter()
        .flat_map(|header| &header.function_macros);
    let functions = functions.filter(|(name, _)| called.get(name.as_str()) == Some(&true));
    plain
        .chain(functions)
        .filter(|(_, place)| place.is_own)
        .map(|(name, _)| name.as_str())
        .filter(|name| !STANDARD.contains(name) && !meant.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::hidden;
    use crate::model::{Header, Place};
    use std::collections::BTreeSet;

    #[test]
    fn macros_are_hidden_whose_names_are_used() {
        let mut header = Header::default();
        let place = |is_own| Place {
            is_own,
            ..Place::default()
        };
        for name in ["size", "LIMIT", "NULL", "unused"] {
            header.macros.insert(name.into(), place(true));
        }
        header.macros.insert("theirs".into(), place(false));
        for name in ["index", "add"] {
            header.function_macros.insert(name.into(), place(true));
        }
        let code = "size_t n = size * LIMIT; if (p == NULL) theirs = index (n) + (add)(1);";
        let meant = BTreeSet::from(["LIMIT"]);
        let hidden = hidden([&header, &header], code, &meant);
        assert_eq!(hidden, BTreeSet::from(["index", "size"]));
    }
}
