//! Makes a library for one instruction set whose functions a library of another
//! answers, from its headers.
//!
//! [`parse`] reads the headers for both sides, [`elf`] what the library exports, [`notes`]
//! what `wrap.toml` says; then it is decided function by function, [`emit`] writes C, and
//! [`compile`] compiles it. [`wrap`] makes a library for native programs, of which the
//! guest does the functions: [`rules`] decide. [`native`] makes one for emulated programs,
//! of which the host does them: [`choose`] decides.

pub mod abi;
pub mod checked;
pub mod choose;
pub mod compile;
pub mod constants;
pub mod elf;
pub mod emit;
pub mod kept;
pub mod model;
pub mod native;
pub mod notes;
pub mod parse;
pub mod report;
pub mod rules;
pub mod variants;
mod words;
pub mod wrap;

use std::path::PathBuf;

/// Why no library was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libclang does not load.
    #[error(
        "cannot load libclang: {0}; install libclang1-14, or name its directory in LIBCLANG_PATH"
    )]
    NoClang(String),
    /// The header does not compile.
    #[error("cannot read {header} for {target}: {what}")]
    Header {
        /// The header.
        header: PathBuf,
        /// The target it was read for.
        target: &'static str,
        /// What the compiler said.
        what: String,
    },
    /// The guest's library is not one.
    #[error("cannot use {library}: {what}")]
    Library {
        /// The library.
        library: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The configuration is wrong.
    #[error("{file}: {what}")]
    Config {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What nothing says, and cannot be guessed.
    #[error("cannot decide on {}:\n{}", count(refused.len()), listed(refused))]
    Undecided {
        /// What it is, and what would settle it.
        refused: Vec<String>,
    },
    /// None is left for the host to do.
    #[error("the host can do none of {library}'s functions; {why}")]
    Nothing {
        /// The library's name.
        library: String,
        /// What is in the way of the first.
        why: String,
    },
    /// A compiler complains.
    #[error("{compiler} cannot make {library}: {what}")]
    Compiler {
        /// The compiler.
        compiler: String,
        /// What it was to make.
        library: PathBuf,
        /// What it said.
        what: String,
    },
    /// A file cannot be written.
    #[error("cannot write {file}: {source}")]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

fn count(number: usize) -> String {
    match number {
        1 => "one function".into(),
        _ => format!("{number} functions"),
    }
}

fn listed(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}
