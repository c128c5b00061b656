//! How something crosses, as it is written in `wrap.toml`.

use serde::Deserialize;

/// How a pointer crosses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Pass {
    /// As it is: a handle, user data, or a number.
    Value,
    /// As it is; a call fails if it is not to shared memory.
    Shared,
    /// To text that ends with a zero.
    String,
    /// To pointers to strings: so many, or up to a null.
    Strings(Option<Count>),
    /// To memory that is copied.
    Data(Data),
    /// A file descriptor, or where the function puts some.
    Descriptor(Descriptor),
    /// Of a field: text that the library sets and the program reads.
    Text,
    /// Of a field that is a function of the program's: the host's library does without.
    Null,
    /// Of a result: one of the pointers that the function was given, or into what one of
    /// them points at, or null.
    Argument,
}

/// File descriptors, of which the other side gets duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Who gets it does not close it; else it does.
    pub is_lent: bool,
    /// How many a pointer is to; one if nothing is said.
    pub count: Option<Count>,
    /// How many of those the function has set.
    pub back: Option<Count>,
}

/// Memory that is copied where it is not shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The function reads it.
    pub reads: bool,
    /// The function writes it.
    pub writes: bool,
    /// How much it is; one element if nothing is said.
    pub count: Option<Count>,
    /// How much of it the function has written: the rest is left alone.
    pub back: Option<Count>,
    /// The library goes on using it: the copy stays until the program ends.
    pub keeps: bool,
    /// The function moves the pointer on, over what it has read or written.
    pub moves: bool,
}

/// An amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// An expression in C, of parameters or fields; in `back`, also of `result`.
    pub expression: String,
    /// Whether it counts bytes, not elements.
    pub in_bytes: bool,
}

impl TryFrom<String> for Pass {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.trim() {
            "value" => Ok(Self::Value),
            "shared" => Ok(Self::Shared),
            "string" => Ok(Self::String),
            "text" => Ok(Self::Text),
            "null" => Ok(Self::Null),
            "argument" => Ok(Self::Argument),
            other if other.starts_with("strings") => match amount(&other["strings".len()..]) {
                Some((count, "")) => Ok(Self::Strings(count)),
                _ => Err(format!("{text:?}: after \"strings\" there can be [COUNT]")),
            },
            other => {
                let descriptor = descriptor(other).map(Self::Descriptor);
                let known = descriptor.or_else(|| data(other).map(Self::Data));
                known.ok_or_else(|| {
                    format!(
                        "{text:?} is no way to cross; there are \"value\", \"shared\", \"string\", \
                         \"strings\", \"text\", \"null\", \"argument\", \"descriptor\", \
                         \"lent descriptor\", \"in\", \"out\", \"inout\", the last three with [COUNT] or \
                         [COUNT bytes], and after it \", back[COUNT]\" \", moves\" or \", keep\""
                    )
                })
            }
        }
    }
}

fn descriptor(text: &str) -> Option<Descriptor> {
    let (is_lent, word) = match text.strip_prefix("lent ") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let (count, rest) = amount(word.strip_prefix("descriptor")?)?;
    let (back, rest) = match rest.trim_start().strip_prefix(',') {
        Some(more) => {
            let (back, rest) = amount(more.trim_start().strip_prefix("back")?)?;
            (Some(back?), rest)
        }
        None => (None, rest),
    };
    rest.trim().is_empty().then_some(Descriptor {
        is_lent,
        count,
        back,
    })
}

fn data(text: &str) -> Option<Data> {
    // The longer first, of which the shorter is the beginning.
    let directions = [
        ("inout", true, true),
        ("in", true, false),
        ("out", false, true),
    ];
    let (word, reads, writes) = directions.into_iter().find(|(w, ..)| text.starts_with(w))?;
    let (count, mut rest) = amount(&text[word.len()..])?;
    let mut data = Data {
        reads,
        writes,
        count,
        back: None,
        keeps: false,
        moves: false,
    };
    while let Some(more) = rest.trim_start().strip_prefix(',') {
        let more = more.trim_start();
        if let Some(after) = more.strip_prefix("keep") {
            data.keeps = true;
            rest = after;
        } else if let Some(after) = more.strip_prefix("moves") {
            data.moves = true;
            rest = after;
        } else {
            let (back, after) = amount(more.strip_prefix("back")?)?;
            data.back = Some(back?);
            rest = after;
        }
    }
    rest.trim().is_empty().then_some(data)
}

/// `[COUNT]` or `[COUNT bytes]`, if it is there, and what follows.
fn amount(text: &str) -> Option<(Option<Count>, &str)> {
    let Some(inner) = text.strip_prefix('[') else {
        return Some((None, text));
    };
    let mut depth = 1;
    let end = inner.find(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        depth == 0
    })?;
    let expression = inner[..end].trim();
    let bytes = expression
        .strip_suffix("bytes")
        .filter(|rest| rest.ends_with(' '));
    let count = Count {
        expression: bytes.unwrap_or(expression).trim().to_owned(),
        in_bytes: bytes.is_some(),
    };
    (!count.expression.is_empty()).then_some((Some(count), &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(expression: &str, in_bytes: bool) -> Option<Count> {
        Some(Count {
            expression: expression.into(),
            in_bytes,
        })
    }

    #[test]
    fn ways_to_cross() {
        let pass = |text: &str| Pass::try_from(text.to_owned());
        let data = |text: &str| match pass(text) {
            Ok(Pass::Data(data)) => data,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(pass("value"), Ok(Pass::Value));
        let one = data("inout");
        assert!(one.reads && one.writes && one.count.is_none());
        let out = data("out[ *sizes[0] ], back[result bytes], keep");
        assert!(!out.reads && out.writes && out.keeps);
        assert_eq!(out.count, count("*sizes[0]", false));
        assert_eq!(out.back, count("result", true));
        assert_eq!(data("in[n bytes]").count, count("n", true));
        assert_eq!(data("in[megabytes]").count, count("megabytes", false));
        let descriptor = |text: &str| match pass(text) {
            Ok(Pass::Descriptor(descriptor)) => descriptor,
            other => panic!("{text}: {other:?}"),
        };
        let plain = descriptor("descriptor");
        assert!(!plain.is_lent && plain.count.is_none() && plain.back.is_none());
        let some = descriptor("lent descriptor[4], back[result == 0]");
        assert!(some.is_lent);
        assert_eq!(some.count, count("4", false));
        assert_eq!(some.back, count("result == 0", false));
        for wrong in [
            "",
            "into",
            "in[",
            "in[]",
            "out back[n]",
            "out, back",
            "in, kept",
            "values",
            "lentdescriptor",
            "descriptor, keep",
            "descriptors",
        ] {
            assert!(pass(wrong).is_err(), "{wrong}");
        }
    }
}
