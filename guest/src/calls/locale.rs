//! The program's locale, for libraries that ask what a letter is, or how numbers are written.

use std::ffi::{CStr, CString, c_int};

/// As `setlocale` calls them when categories differ.
const CATEGORIES: [(&str, c_int); 12] = [
    ("LC_CTYPE", libc::LC_CTYPE),
    ("LC_NUMERIC", libc::LC_NUMERIC),
    ("LC_TIME", libc::LC_TIME),
    ("LC_COLLATE", libc::LC_COLLATE),
    ("LC_MONETARY", libc::LC_MONETARY),
    ("LC_MESSAGES", libc::LC_MESSAGES),
    ("LC_PAPER", libc::LC_PAPER),
    ("LC_NAME", libc::LC_NAME),
    ("LC_ADDRESS", libc::LC_ADDRESS),
    ("LC_TELEPHONE", libc::LC_TELEPHONE),
    ("LC_MEASUREMENT", libc::LC_MEASUREMENT),
    ("LC_IDENTIFICATION", libc::LC_IDENTIFICATION),
];

/// Takes over what the program's `setlocale(LC_ALL, NULL)` said. What there is not in this
/// system stays "C", but for its letters, if they are UTF-8. While there is one thread.
pub fn set(names: &str) {
    for (category, name) in each(names) {
        if !take(category, name) && category == libc::LC_CTYPE && is_utf8(name) {
            take(category, "C.UTF-8");
        }
    }
}

fn take(category: c_int, name: &str) -> bool {
    let Ok(name) = CString::new(name) else {
        return false;
    };
    // SAFETY: a C string, and no other thread.
    !unsafe { libc::setlocale(category, CStr::as_ptr(&name)) }.is_null()
}

/// Categories and their names: one for all, or `LC_CTYPE=de_DE.UTF-8;LC_NUMERIC=C;` and so on.
fn each(names: &str) -> impl Iterator<Item = (c_int, &str)> {
    CATEGORIES
        .into_iter()
        .filter_map(move |(category, number)| {
            if !names.contains('=') {
                return Some((number, names));
            }
            let name = names.split(';').filter_map(|pair| pair.split_once('='));
            let name = name.into_iter().find(|(known, _)| *known == category);
            name.map(|(_, name)| (number, name))
        })
}

fn is_utf8(name: &str) -> bool {
    let codeset = name.split('.').nth(1).unwrap_or_default();
    let codeset = codeset.split('@').next().unwrap_or_default();
    ["utf-8", "utf8"]
        .iter()
        .any(|utf8| codeset.eq_ignore_ascii_case(utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_or_one_for_each() {
        assert_eq!(each("C.UTF-8").count(), CATEGORIES.len());
        assert!(each("C.UTF-8").all(|(_, name)| name == "C.UTF-8"));
        let mixed = "LC_CTYPE=de_DE.UTF-8;LC_NUMERIC=C;LC_MESSAGES=de_DE@euro";
        let mixed: Vec<_> = each(mixed).collect();
        let known = [
            (libc::LC_CTYPE, "de_DE.UTF-8"),
            (libc::LC_NUMERIC, "C"),
            (libc::LC_MESSAGES, "de_DE@euro"),
        ];
        assert_eq!(mixed, known);
    }

    #[test]
    fn codesets() {
        assert!(is_utf8("de_DE.UTF-8") && is_utf8("sr_RS.utf8@latin"));
        assert!(!is_utf8("de_DE") && !is_utf8("de_DE.ISO-8859-1") && !is_utf8("C"));
    }
}
