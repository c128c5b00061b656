//! Makes a library for emulated programs whose functions the host's library does.

use crate::choose::{self, Choice};
use crate::emit::{self, native};
use crate::notes::{self, Notes};
use crate::wrap::{Request, include_options};
use crate::{Error, checked, compile, elf, kept, parse, rules};
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

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
    /// Why the host does it with the accelerator alone, and not over the ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_over_ring: Option<String>,
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
    let headers = request.headers.iter().map(|header| {
        fs::canonicalize(header).map_err(|error| Error::Header {
            header: header.clone(),
            target: parse::GUEST.triple,
            what: error.to_string(),
        })
    });
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    let exports = elf::exports(&request.library)?;
    let unfit = |what: String| Error::Library {
        library: request.library.clone(),
        what,
    };
    if !iotdec_wire::door::is_library_name(exports.name.as_bytes()) {
        return Err(unfit(format!("{} is no plain file name", exports.name)));
    }
    if let Some(variable) = exports.variables.keys().next() {
        return Err(unfit(format!(
            "it exports the variable {variable}, which two libraries cannot share"
        )));
    }
    let notes = match &request.config {
        Some(file) => notes::read(file)?,
        None => Notes::default(),
    };
    let is_exported = |name: &str| exports.functions.contains_key(name);
    let source = parse::Source {
        guest_flags: include_options(request, parse::GUEST),
        host_flags: include_options(request, parse::HOST),
        ..parse::Source::of(&headers, &notes.flags)
    };
    let mut read = parse::read(&source, &is_exported, [parse::GUEST, parse::HOST])?;
    for header in &mut read {
        // What is called otherwise in C stays the guest's: programs and the door go by symbols.
        let functions = &mut header.functions;
        functions.retain(|name, function| function.symbol == *name);
    }
    let [guest, host] = read;
    if let (Some(file), Some(what)) = (&request.config, notes.strangers(&guest).first()) {
        return Err(Error::Config {
            file: file.clone(),
            what: what.clone(),
        });
    }
    let choices = choose::choose(&exports, &guest, &host, &notes);
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
    let kept = kept::kept(&guest, &notes);
    let rules = rules::decide(&exports, &guest, &host, &notes);
    let checked = checked::decide(&guest, &notes, &rules, &kept, &choices);
    let plan = native::Plan {
        headers: &headers,
        guest: &guest,
        host: &host,
        exports: &exports,
        notes: &notes,
        kept: &kept,
        choices: &choices,
        checked: &checked,
    };
    let (guest_library, host_library) = build(&plan, request)?;
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
            not_over_ring: match checked.functions.get(name) {
                Some(Err(why)) => Some(why.clone()),
                _ => None,
            },
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

fn build(plan: &native::Plan, request: &Request) -> Result<(PathBuf, PathBuf), Error> {
    let directory = |name: &str| {
        let directory = request.output.join(name);
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
        "iotdec_checked.h",
        include_str!("../runtime/iotdec_checked.h"),
    )?;
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
    let script = write("guest.map", &emit::version_script(plan.exports, plan.guest))?;

    let name = &plan.exports.name;
    let flags = |target| {
        let included = include_options(request, target);
        let flags = plan.notes.flags.iter().cloned().chain(included);
        flags.map(OsString::from).collect::<Vec<_>>()
    };
    let guest_library = directory("guest")?.join(name);
    let mut arguments = flags(parse::GUEST);
    arguments.extend([guest_source, runtime]);
    let mut script_option = OsString::from("-Wl,--version-script=");
    script_option.push(script);
    arguments.extend([script_option, format!("-Wl,-soname,{name}").into()]);
    compile::GUEST.make(&guest_library, &arguments)?;

    let host_library = directory("host")?.join(format!("iotdec-native-{name}"));
    let mut arguments = flags(parse::HOST);
    // All of it is there, or the accelerator does not load it.
    arguments.extend([
        host_source,
        format!("-l:{name}").into(),
        "-Wl,-z,now".into(),
    ]);
    compile::HOST.make(&host_library, &arguments)?;
    Ok((guest_library, host_library))
}
