//! Why something could not be called.

use crate::calls::{self, Record};

/// Why a library could not be opened, or a function not called.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no such function.
    #[error("{library} exports no function {name}{}", advice(nearest))]
    NoFunction {
        /// The library.
        library: String,
        /// What was asked for.
        name: String,
        /// What is called alike, the most similar first.
        nearest: Vec<String>,
    },
    /// A type that cannot be passed.
    #[error("there can be no such function: {0}")]
    Signature(String),
    /// Too many arguments, or too few.
    #[error("{name} takes {wanted} arguments, not {given}")]
    Arguments {
        /// The function.
        name: String,
        /// How many it takes.
        wanted: usize,
        /// How many there were.
        given: usize,
    },
    /// An argument that is no value of its parameter's type.
    #[error("argument {number} of {name}: {what}")]
    Argument {
        /// The function.
        name: String,
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        what: String,
    },
    /// No memory in which both sides could see so many bytes.
    #[error("no {0} bytes of shared memory; IOTDEC_EXCHANGE_SIZE (MiB) says how much there is")]
    Memory(usize),
    /// An address where nothing is that both sides have.
    #[error("{0:#x} is not in memory that the library shares with the program")]
    NotShared(u64),
    /// More callbacks than there can be.
    #[error("too many callbacks in one program; keep them instead of making them anew")]
    Callbacks,
    /// A path that no file can have.
    #[error("a path contains a zero byte")]
    Path,
    /// The library, or what runs it, could not do it: it crashed, for example.
    #[error("{}", .0.text())]
    Failed(Box<Record>),
}

fn advice(nearest: &[String]) -> String {
    match nearest.split_last() {
        None => String::new(),
        Some((only, [])) => format!("; is it {only}?"),
        Some((last, others)) => format!("; is it {} or {last}?", others.join(", ")),
    }
}

/// What the calling thread's call failed with.
pub(super) fn last() -> CallError {
    CallError::Failed(Box::new(calls::error::last()))
}

/// Names like this one, the most similar first.
pub(super) fn nearest(name: &str, all: &[String]) -> Vec<String> {
    const MANY: usize = 3;
    const ALIKE: f64 = 0.8;
    let mut alike: Vec<_> = all
        .iter()
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(similarity, _)| *similarity > ALIKE)
        .collect();
    alike.sort_by(|one, other| other.0.total_cmp(&one.0));
    alike.truncate(MANY);
    alike.into_iter().map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_that_are_alike() {
        let all = ["crc32", "crc32_z", "adler32", "deflate"].map(str::to_owned);
        assert_eq!(nearest("crc_32", &all)[0], "crc32");
        assert!(nearest("png_read", &all).is_empty());
        let error = CallError::NoFunction {
            library: "libz.so.1".into(),
            name: "crc_32".into(),
            nearest: nearest("crc_32", &all),
        };
        let text = error.to_string();
        assert!(text.ends_with("is it crc32 or crc32_z?"), "{text}");
    }
}
