//! How types are spelled, so that gcc understands it.

use crate::words::mentions;

/// As C spells a type; gcc does not know nullability.
pub fn spelling(kind: clang::Type) -> String {
    let mut spelling = kind.get_display_name();
    for word in ["_Nonnull", "_Nullable", "_Null_unspecified"] {
        spelling = spelling.replace(word, "");
    }
    spelling.trim_end().to_owned()
}

/// Whether a parameter of this name would hide what the generated code has to name in the
/// function: something of the C library, or the type of its result.
pub fn hides(parameter: &str, result: &str) -> bool {
    const NAMED: [&str; 15] = [
        "abort",
        "free",
        "memcmp",
        "memcpy",
        "memset",
        "strcmp",
        "strlen",
        "size_t",
        "uintptr_t",
        "int32_t",
        "uint8_t",
        "uint16_t",
        "uint32_t",
        "uint64_t",
        "va_list",
    ];
    // A tag is hidden by nothing.
    let is_tag = ["struct ", "union ", "enum "]
        .iter()
        .any(|kind| result.contains(kind));
    NAMED.contains(&parameter) || (!is_tag && mentions(result, parameter))
}

/// The spelling of a type without what qualifies values of it, which means nothing of a result.
pub fn unqualified_value(spelling: &str) -> String {
    const WORDS: [&str; 4] = ["const", "volatile", "restrict", "__restrict"];
    // `int (*const)(void)` is a pointer, of which only the inner word is its own.
    if let Some((before, after)) = spelling.split_once("(*")
        && let Some(after) = WORDS.iter().find_map(|word| after.strip_prefix(word))
    {
        return format!("{before}(*{}", after.trim_start());
    }
    let mut bare = spelling.trim();
    while let Some(rest) = WORDS.iter().find_map(|word| bare.strip_suffix(word))
        && rest.ends_with([' ', '*'])
    {
        bare = rest.trim_end();
    }
    while !bare.contains('*')
        && let Some(rest) = WORDS.iter().find_map(|word| bare.strip_prefix(word))
        && rest.starts_with(' ')
    {
        bare = rest.trim_start();
    }
    bare.to_owned()
}

/// The spelling of a record or enumeration without what qualifies it, and without the
/// directories of the file where it is defined.
pub fn unqualified(kind: clang::Type) -> String {
    let spelling = kind.get_canonical_type().get_display_name();
    let spelling = spelling.trim_start_matches("const ");
    let spelling = spelling.trim_start_matches("volatile ");
    match spelling.split_once(" at ") {
        Some((what, place)) => {
            let file = place.rsplit('/').next().unwrap_or(place);
            format!("{what} at {file}")
        }
        None => spelling.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::unqualified_value;

    #[test]
    fn what_qualifies_a_result_is_left_out() {
        for (qualified, bare) in [
            ("const char *const", "const char *"),
            ("const char *", "const char *"),
            ("const int", "int"),
            ("volatile const unsigned int", "unsigned int"),
            ("constant", "constant"),
            ("my_const", "my_const"),
            ("int (*const)(const char *)", "int (*)(const char *)"),
            ("int (*)(const char *)", "int (*)(const char *)"),
            ("void *restrict", "void *"),
        ] {
            assert_eq!(unqualified_value(qualified), bare);
        }
    }
}
