//! Words in C.

/// The words of a piece of C, numbers too, each with what follows it.
pub fn words(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = code;
    std::iter::from_fn(move || {
        let start = rest.find(is_part)?;
        let from = &rest[start..];
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        rest = after;
        Some((word, after))
    })
}

/// Whether a word is in a piece of C.
pub fn mentions(code: &str, wanted: &str) -> bool {
    words(code).any(|(word, _)| word == wanted)
}
