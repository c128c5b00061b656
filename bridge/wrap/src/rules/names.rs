//! What names of parameters say.

/// Whether a name says that a number is how many bytes or elements something has.
pub fn is_amount(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let name = lower.trim_matches('_');
    let at_either_end = [
        "len", "length", "size", "count", "bytes", "avail", "capacity", "nmemb", "total",
    ];
    matches!(name, "n" | "nb" | "sz")
        || at_either_end
            .iter()
            .any(|word| name.starts_with(word) || name.ends_with(word))
        || counted(name).is_some()
}

/// Whether the name of an amount says that it counts elements, whatever their size.
pub fn counts_elements(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let name = lower.trim_matches('_');
    let at_either_end = ["count", "nmemb", "nelem", "nitems"];
    at_either_end
        .iter()
        .any(|word| name.starts_with(word) || name.ends_with(word))
        || counted(name).is_some()
}

/// What the name of a number says that it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// `point` or `points`.
    pub what: String,
    /// `num_points`, not `point_count`.
    pub is_before: bool,
}

/// What a number counts by its name, if that is not bytes.
pub fn counted(name: &str) -> Option<Counted> {
    let lower = name.to_ascii_lowercase();
    let name = lower.trim_matches('_');
    let things = |what: &str, is_before| {
        let what = what.trim_matches('_');
        (what.len() > 1 && !what.starts_with("byte")).then(|| Counted {
            what: what.to_owned(),
            is_before,
        })
    };
    if let Some(what) = name.strip_suffix("count") {
        return things(what, false);
    }
    let prefixes = ["num_", "nb_", "n_", "nof_"];
    if let Some(what) = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        return things(what, true);
    }
    let (before, what) = ["num", "nb", "n"]
        .iter()
        .find_map(|before| Some((*before, name.strip_prefix(before)?)))?;
    // `npoints` and `nitems`, but neither `names` nor `number`.
    let known = [
        "args", "elements", "elems", "elts", "entries", "items", "objects",
    ];
    let is_word = before == "n" && what.starts_with(['a', 'e', 'i', 'o', 'u']);
    let are_things = what.ends_with('s') && (!is_word || known.contains(&what));
    are_things.then(|| things(what, true))?
}

/// Whether an amount and a pointer begin with the same word: `jpeg_size` and `jpeg_data`,
/// `num_samples` and `sample_list`.
pub fn is_beside(amount: &str, name: &str) -> bool {
    const LEAST: usize = 3;
    let name = name.to_ascii_lowercase();
    let begins_like = |word: &str| {
        let common = word.bytes().zip(name.bytes()).take_while(|(a, b)| a == b);
        common.count() >= LEAST
    };
    begins_like(&amount.to_ascii_lowercase())
        || counted(amount).is_some_and(|counted| begins_like(&counted.what))
}

/// Whether an amount is called after what it is the amount of: `data_size` after `data`.
pub fn is_of(amount: &str, name: &str) -> bool {
    amount
        .to_ascii_lowercase()
        .contains(&name.to_ascii_lowercase())
}

/// Whether a name says that a pointer to `char` is to a name, which ends with a zero.
pub fn is_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let name = lower.trim_matches('_');
    matches!(
        name,
        "file" | "key" | "label" | "title" | "mode" | "uri" | "url"
    ) || name.ends_with("name")
        || name.ends_with("path")
}

/// Whether a name says that a pointer to `char` is to text, which ends with a zero.
pub fn is_text(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let texts = [
        "encoding", "error", "fmt", "format", "message", "msg", "prefix", "purpose", "s", "str",
        "string", "suffix", "tag", "text", "type", "units", "version",
    ];
    is_name(name) || texts.contains(&lower.trim_matches('_'))
}

/// Whether a name says that a pointer is to where something ends.
pub fn is_end(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let name = lower.trim_matches('_');
    matches!(name, "e" | "last" | "limit" | "stop") || name.ends_with("end")
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
            "n_items",
            "npoints",
            "num_points",
            "total",
        ] {
            assert!(is_amount(name), "{name}");
        }
        for name in [
            "c", "flags", "level", "names", "x", "index", "nodes", "number",
        ] {
            assert!(!is_amount(name), "{name}");
        }
    }
}
