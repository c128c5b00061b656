//! Makes a library for one instruction set whose functions a library of another
//! answers, from its header.
//!
//! What there is so far goes from the guest to the host, within one process: a program
//! under QEMU calls what it takes for its own `libz.so.1`, and the accelerator, a plugin
//! of that QEMU, calls the host's. [`native_library`] does all of it: [`parse`] reads the
//! header for both sides, [`elf`] what the library exports, [`choose`] decides function
//! by function, [`emit`] writes C, and [`compile`] compiles it.

pub mod abi;
pub mod choose;
pub mod compile;
pub mod config;
pub mod constants;
pub mod elf;
pub mod emit;
pub mod model;
pub mod notes;
pub mod parse;
pub mod report;
pub mod rules;
pub mod wrap;

use choose::Choice;
use emit::native;
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

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

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Request {
    /// The header that declares the functions.
    pub header: PathBuf,
    /// The library in the guest, which says what is exported.
    pub library: PathBuf,
    /// What the header cannot say.
    pub config: Option<PathBuf>,
    /// Where everything goes.
    pub output: PathBuf,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The library's SONAME.
    pub library: String,
    /// To be found by the guest before its own library.
    pub guest: PathBuf,
    /// To be found by the accelerator.
    pub host: PathBuf,
    /// What became of each function.
    pub functions: Vec<Entry>,
}

/// A function in a [`Report`].
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Who does it.
    pub served_by: Side,
    /// Where it is declared, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// Why the guest does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The host's library, except for objects that the guest's has made.
    Host,
    /// The guest's own library.
    Guest,
}

/// Makes both parts of a library: `guest/SONAME` and `host/iotdec-native-SONAME` below
/// [`Request::output`], with their sources in `source/`.
///
/// # Errors
/// Whatever [`Error`] says.
pub fn native_library(request: &Request) -> Result<Report, Error> {
    let header = fs::canonicalize(&request.header).map_err(|error| Error::Header {
        header: request.header.clone(),
        target: parse::GUEST.triple,
        what: error.to_string(),
    })?;
    let exports = elf::exports(&request.library)?;
    let unfit = |what: String| Error::Library {
        library: request.library.clone(),
        what,
    };
    if !iotdec_wire::door::is_library_name(exports.name.as_bytes()) {
        return Err(unfit(format!("{} is no plain file name", exports.name)));
    }
    if let Some(variable) = exports.variables.first() {
        return Err(unfit(format!(
            "it exports the variable {variable}, which two libraries cannot share"
        )));
    }
    let config = match &request.config {
        Some(file) => config::read(file)?,
        None => config::Config::default(),
    };
    let is_exported = |name: &str| exports.functions.contains_key(name);
    let [guest, host] = parse::read(
        &parse::Source::of(&[&header], &config.flags),
        &is_exported,
        [parse::GUEST, parse::HOST],
    )?;
    if let (Some(file), Some(what)) = (&request.config, config.strangers(&guest).first()) {
        return Err(Error::Config {
            file: file.clone(),
            what: what.clone(),
        });
    }
    let choices = choose::choose(&exports, &guest, &host, &config);
    let refused: Vec<_> = choices
        .iter()
        .filter_map(|(name, choice)| match choice {
            Choice::Refused(why) => Some(format!("{name}: {why}")),
            _ => None,
        })
        .collect();
    if !refused.is_empty() {
        return Err(Error::Undecided { refused });
    }
    if let (false, Some((name, Choice::Left(why)))) = (
        choices.values().any(|choice| *choice == Choice::Carried),
        choices.iter().next(),
    ) {
        return Err(Error::Nothing {
            library: exports.name,
            why: format!("{name}: {why}"),
        });
    }
    let plan = native::Plan {
        header: &header,
        guest: &guest,
        host: &host,
        exports: &exports,
        config: &config,
        choices: &choices,
    };
    let (guest_library, host_library) = build(&plan, &request.output)?;
    let functions = choices.iter().map(|(name, choice)| {
        let why = match choice {
            Choice::Left(why) | Choice::Refused(why) => Some(why.clone()),
            Choice::Carried => None,
        };
        Entry {
            name: name.clone(),
            served_by: if why.is_some() {
                Side::Guest
            } else {
                Side::Host
            },
            declared: guest.functions.get(name).map(|f| f.place.to_string()),
            why,
        }
    });
    Ok(Report {
        library: exports.name.clone(),
        guest: guest_library,
        host: host_library,
        functions: functions.collect(),
    })
}

fn build(plan: &native::Plan, output: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let directory = |name: &str| {
        let directory = output.join(name);
        fs::create_dir_all(&directory).map_err(|source| Error::Write {
            file: directory.clone(),
            source,
        })?;
        Ok(directory)
    };
    let source = directory("source")?;
    let write = |name: &str, text: &str| {
        let file = source.join(name);
        match fs::write(&file, text) {
            Ok(()) => Ok(OsString::from(file)),
            Err(source) => Err(Error::Write { file, source }),
        }
    };
    write("door.h", &native::door_header())?;
    write("layout.h", &plan.layout())?;
    write(
        "iotdec_native.h",
        include_str!("../runtime/iotdec_native.h"),
    )?;
    let runtime = write(
        "iotdec_native.c",
        include_str!("../runtime/iotdec_native.c"),
    )?;
    let guest_source = write("guest.c", &plan.guest_source())?;
    let host_source = write("host.c", &plan.host_source())?;
    let script = write("guest.map", &emit::version_script(plan.exports))?;

    let name = &plan.exports.name;
    let flags = || plan.config.flags.iter().map(OsString::from);
    let guest_library = directory("guest")?.join(name);
    let mut arguments: Vec<OsString> = flags().collect();
    arguments.extend([guest_source, runtime]);
    let mut script_option = OsString::from("-Wl,--version-script=");
    script_option.push(script);
    arguments.extend([script_option, format!("-Wl,-soname,{name}").into()]);
    compile::GUEST.make(&guest_library, &arguments)?;

    let host_library = directory("host")?.join(format!("iotdec-native-{name}"));
    let mut arguments: Vec<OsString> = flags().collect();
    // All of it is there, or the accelerator does not load it.
    arguments.extend([
        host_source,
        format!("-l:{name}").into(),
        "-Wl,-z,now".into(),
    ]);
    compile::HOST.make(&host_library, &arguments)?;
    Ok((guest_library, host_library))
}
