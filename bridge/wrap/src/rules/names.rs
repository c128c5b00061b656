//! What names of parameters say.

/// Whether a name says that a number is how many bytes or elements something has.
pub fn is_amount(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.trim_matches('_');
    matches!(name, "n" | "nb" | "sz")
        || [
            "len", "length", "size", "count", "bytes", "avail", "capacity", "nmemb",
        ]
        .iter()
        .any(|word| name.starts_with(word) || name.ends_with(word))
}

/// Whether the name of an amount says that it counts elements, whatever their size.
pub fn counts_elements(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["count", "nmemb", "nelem", "nitems"]
        .iter()
        .any(|word| name.starts_with(word) || name.ends_with(word))
}

/// Whether an amount is called after what it is the amount of: `data_size` after `data`.
pub fn is_of(amount: &str, name: &str) -> bool {
    amount
        .to_ascii_lowercase()
        .contains(&name.to_ascii_lowercase())
}

/// Whether a name says that an integer is a file descriptor.
pub fn is_descriptor(name: &str) -> bool {
    matches!(name, "fd" | "fildes" | "filedes") || name.ends_with("_fd")
}

/// Whether a name says that a pointer is the program's own affair.
pub fn is_user_data(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "");
    let exact = [
        "closure", "cookie", "opaque", "ctx", "context", "arg", "priv", "private",
    ];
    exact.contains(&name.as_str()) || name.starts_with("user") || name.ends_with("userdata")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for name in [
            "len",
            "sourceLen",
            "buf_size",
            "n",
            "nbytes",
            "count",
            "length",
        ] {
            assert!(is_amount(name), "{name}");
        }
        for name in ["c", "flags", "level", "names", "x", "index"] {
            assert!(!is_amount(name), "{name}");
        }
    }
}
