//! Makes a library for native programs whose functions a library in the guest does.

use crate::elf::{self, Exports};
use crate::emit::{self, bridge::Plan};
use crate::model::{Function, Header, Place};
use crate::notes::{self, Notes};
use crate::report::{self, Facts};
use crate::rules::{self, Decision, Rules};
use crate::{Error, compile, constants, parse, variants};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// What is to be made.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The headers that declare the functions, in the order in which they are included.
    pub headers: Vec<PathBuf>,
    /// Where headers are that they include. Those that differ by target lie in a directory
    /// of the target's name in there, as below `/usr/include`.
    pub include: Vec<PathBuf>,
    /// The library for aarch64.
    pub library: PathBuf,
    /// `wrap.toml`.
    pub config: Option<PathBuf>,
    /// Where everything goes.
    pub output: PathBuf,
    /// Where programs are to find the runtime, `libiotdec.so`; searched as any library if
    /// nothing is said.
    pub runtime: Option<PathBuf>,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The library's SONAME.
    pub library: String,
    /// The native part, which programs link and load.
    pub native: PathBuf,
    /// The guest part.
    pub guest: PathBuf,
    /// For `pkg-config`.
    pub pkg_config: PathBuf,
    /// The ABI report, for people and for programs.
    pub abi: [PathBuf; 2],
    /// How many functions are exported and declared.
    pub functions: usize,
    /// How many of them are wrapped.
    pub wrapped: usize,
    /// Why the others are not.
    pub refused: Vec<Refusal>,
    /// Exported functions that the headers do not declare.
    pub undeclared: Vec<String>,
    /// Functions of the headers that the library does not export.
    pub missing: Vec<String>,
    /// Variables that the library exports, and why they are not in the native part if they
    /// are not.
    pub variables: BTreeMap<String, Option<String>>,
    /// Lines of `wrap.toml` that are neither empty nor comments.
    pub annotations: usize,
}

/// A function that is not wrapped.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub declared: String,
    /// Why, and what would settle it.
    pub why: String,
}

/// Makes the native part `SONAME`, the guest part, a pkg-config file and the ABI report in
/// [`Request::output`], with their sources in `source/`.
///
/// # Errors
/// Whatever [`Error`] says. A function that cannot be wrapped is none.
pub fn wrap(request: &Request) -> Result<Report, Error> {
    let absolute = |file: &Path, what: &dyn Fn(String) -> Error| {
        fs::canonicalize(file).map_err(|error| what(error.to_string()))
    };
    let headers = request.headers.iter().map(|header| {
        absolute(header, &|what| Error::Header {
            header: header.clone(),
            target: parse::GUEST.triple,
            what,
        })
    });
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    let library = absolute(&request.library, &|what| Error::Library {
        library: request.library.clone(),
        what,
    })?;
    let exports = elf::exports(&library)?;
    if exports.name.contains('/') {
        return Err(Error::Library {
            library,
            what: format!("its SONAME, {}, is no plain file name", exports.name),
        });
    }
    let notes = match &request.config {
        Some(file) => notes::read(file)?,
        None => Notes::default(),
    };
    let is_wanted =
        |name: &str| exports.functions.contains_key(name) || exports.variables.contains_key(name);
    let source = parse::Source {
        guest_flags: include_options(request, parse::GUEST),
        host_flags: include_options(request, parse::HOST),
        ..parse::Source::of(&headers, &notes.flags)
    };
    let plain = parse::read(&source, &is_wanted, [parse::GUEST, parse::HOST])?;
    let config = |what: String| Error::Config {
        file: request.config.clone().unwrap_or_default(),
        what,
    };
    let [mut guest, host] = variants::add(&source, &is_wanted, &notes, plain).map_err(config)?;
    guest.functions.retain(|_, function| !function.is_static);
    let exports = as_declared(exports, &guest);
    if let Some(what) = notes.strangers(&guest).into_iter().next() {
        return Err(config(what));
    }
    let rules = rules::decide(&exports, &guest, &host, &notes);
    let guest_part = format!("iotdec-guest-{}", exports.name);
    let plan = Plan {
        headers: &headers,
        guest: &guest,
        host: &host,
        exports: &exports,
        rules: &rules,
        library: &library,
        guest_part: &guest_part,
        accel: notes.accel,
    };
    let made = build(&plan, &notes, request).map_err(|error| with_advice(error, &guest))?;
    let abi = write_abi(&source, &plan, &request.output)?;
    Ok(report(&exports, &guest, &rules, made, abi, request))
}

/// What the library exports, by the names that the headers give to functions: the linker may
/// know them by others (`__asm__("symbol")`).
fn as_declared(exports: Exports, header: &Header) -> Exports {
    let is_same = |(name, function): &(&String, &Function)| function.symbol == **name;
    let labelled = header.functions.iter().filter(|it| !is_same(it));
    let names: BTreeMap<_, _> = labelled.map(|(name, it)| (&it.symbol, name)).collect();
    let functions = exports.functions.iter().filter_map(|(symbol, version)| {
        let name = match header.functions.get_key_value(symbol) {
            Some(it) if is_same(&it) => symbol,
            // A function that is declared by this name is another one.
            Some(_) => names.get(symbol)?,
            None => names.get(symbol).unwrap_or(&symbol),
        };
        Some((name.clone(), version.clone()))
    });
    Exports {
        functions: functions.collect(),
        ..exports
    }
}

/// What the compilers complain of may be one function's alone, and the rest of the library can do
/// without it.
fn with_advice(mut error: Error, header: &Header) -> Error {
    if let Error::Compiler { what, .. } = &mut error {
        let blamed = compile::blamed(what, |name| header.functions.contains_key(name));
        let lines: Vec<_> = blamed
            .iter()
            .map(|name| format!("{name} = \"does not compile\""))
            .collect();
        if !lines.is_empty() {
            let advice = lines.join(", ");
            *what = format!(
                "{}\nto do without, say in wrap.toml: [defaults] refuse = {{ {advice} }}",
                what.trim_end()
            );
        }
    }
    error
}

/// Writes the ABI report: `abi.md` and `abi.json`.
fn write_abi(source: &parse::Source, plan: &Plan, output: &Path) -> Result<[PathBuf; 2], Error> {
    let outcomes = plan.rules.functions.iter().map(|(name, decision)| {
        let why = match decision {
            Decision::Wrapped(_) => None,
            Decision::Refused(why) => Some(why.clone()),
        };
        (name.clone(), why)
    });
    let notes = plan.rules.functions.iter();
    let notes = notes.filter_map(|(name, decision)| match decision {
        Decision::Wrapped(rule) => Some((name.clone(), rule.descriptor_notes())),
        Decision::Refused(_) => None,
    });
    let abi = report::report(Facts {
        exports: plan.exports,
        guest: plan.guest,
        host: plan.host,
        constants: &constants::differing(source, plan.guest, plan.host)?,
        outcomes: Some(&outcomes.collect()),
        notes: &notes.collect(),
    });
    let write = |name: &str, text: String| {
        let file = output.join(name);
        match fs::write(&file, text) {
            Ok(()) => Ok(file),
            Err(source) => Err(Error::Write { file, source }),
        }
    };
    Ok([
        write("abi.md", abi.markdown())?,
        write("abi.json", abi.json())?,
    ])
}

/// Options of a compiler that make it find the headers of [`Request::include`].
pub(crate) fn include_options(request: &Request, target: parse::Target) -> Vec<String> {
    let directories = request.include.iter().flat_map(|directory| {
        let absolute = fs::canonicalize(directory).unwrap_or_else(|_| directory.clone());
        [absolute.join(target.triple), absolute]
    });
    directories
        .flat_map(|directory| ["-isystem".to_owned(), directory.display().to_string()])
        .collect()
}

fn report(
    exports: &Exports,
    guest: &Header,
    rules: &Rules,
    made: [PathBuf; 3],
    abi: [PathBuf; 2],
    request: &Request,
) -> Report {
    let refused = rules
        .functions
        .iter()
        .filter_map(|(name, decision)| match decision {
            Decision::Wrapped(_) => None,
            Decision::Refused(why) => Some(Refusal {
                name: name.clone(),
                declared: guest.functions[name].place.to_string(),
                why: why.clone(),
            }),
        });
    let refused: Vec<_> = refused.collect();
    let config = request
        .config
        .as_ref()
        .and_then(|file| fs::read_to_string(file).ok());
    let lines = config.iter().flat_map(|text| text.lines()).map(str::trim);
    let [native, guest_part, pkg_config] = made;
    let undeclared = exports
        .functions
        .keys()
        .filter(|name| !guest.functions.contains_key(*name));
    let is_own = |place: &Place| {
        request
            .headers
            .iter()
            .any(|header| header.file_name() == place.file.file_name())
    };
    let variable = |name: &String| {
        let why = match rules.variables.get(name) {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(why.clone()),
            None => Some("the headers do not declare it".into()),
        };
        (name.clone(), why)
    };
    let missing = guest.others.iter().filter(|(_, place)| is_own(place));
    Report {
        library: exports.name.clone(),
        native,
        guest: guest_part,
        pkg_config,
        abi,
        functions: rules.functions.len(),
        wrapped: rules.functions.len() - refused.len(),
        refused,
        undeclared: undeclared.cloned().collect(),
        missing: missing.map(|(name, _)| name.clone()).collect(),
        variables: exports.variables.keys().map(variable).collect(),
        annotations: lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .count(),
    }
}

fn build(plan: &Plan, notes: &Notes, request: &Request) -> Result<[PathBuf; 3], Error> {
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |source| Error::Write { file, source }
    };
    let source = request.output.join("source");
    fs::create_dir_all(&source).map_err(failed(&source))?;
    let output = fs::canonicalize(&request.output).map_err(failed(&request.output))?;
    let source = output.join("source");
    let write = |name: &str, text: &str| {
        let file = source.join(name);
        fs::write(&file, text).map_err(failed(&file))?;
        Ok(OsString::from(file))
    };
    write("headers.h", &plan.headers_source())?;
    write("messages.h", &plan.messages())?;
    for (name, text) in RUNTIME {
        write(name, text)?;
    }
    let host_source = write("host.c", &plan.host_source())?;
    let guest_source = write("guest.c", &plan.guest_source())?;
    let variables = plan
        .has_variables()
        .then(|| write("variables.c", &plan.variables_source()))
        .transpose()?;
    let script = write("host.map", &emit::version_script(plan.exports, plan.guest))?;
    let stub = write("runtime.c", "")?;

    let name = &plan.exports.name;
    let flags = |target: parse::Target| {
        notes
            .flags
            .iter()
            .chain(&include_options(request, target))
            .chain(&QUIET.map(String::from))
            .map(OsString::from)
            .collect::<Vec<_>>()
    };
    let guest_part = output.join(plan.guest_part);
    let mut arguments = flags(parse::GUEST);
    arguments.extend(["-DIOTDEC_ENTRIES", "-ffixed-x18"].map(OsString::from));
    arguments.extend([guest_source, plan.library.into()]);
    arguments.push(format!("-Wl,-soname,{}", plan.guest_part).into());
    compile::GUEST.make(&guest_part, &arguments)?;

    // Something to link with that is called like the runtime.
    let stand_in = source.join("libiotdec.so");
    compile::HOST.make(&stand_in, &[stub, "-Wl,-soname,libiotdec.so".into()])?;
    let native = output.join(name);
    let mut arguments = flags(parse::HOST);
    arguments.extend(["-DIOTDEC_ENTRIES", "-ffixed-r10", "-pthread"].map(OsString::from));
    let mut script_option = OsString::from("-Wl,--version-script=");
    script_option.push(script);
    arguments.extend([
        host_source,
        script_option,
        "-Wl,--no-as-needed".into(),
        stand_in.into(),
        // The real one cannot be unloaded either; the runtime knows this one's tables.
        "-Wl,-z,nodelete".into(),
    ]);
    arguments.extend(variables);
    arguments.push(format!("-Wl,-soname,{name}").into());
    if let Some(runtime) = &request.runtime {
        let mut option = OsString::from("-Wl,-rpath,");
        option.push(runtime);
        arguments.push(option);
    }
    compile::HOST.make(&native, &arguments)?;

    let short = name.split(".so").next().unwrap_or(name);
    let link = output.join(format!("{short}.so"));
    if link != native {
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(name, &link).map_err(failed(&link))?;
    }
    let short = short.strip_prefix("lib").unwrap_or(short);
    if plan.has_variables() {
        let file = output.join(format!("iotdec-{short}.h"));
        fs::write(&file, plan.variables_header()).map_err(failed(&file))?;
    }
    let pkg_config = output.join(format!("{short}.pc"));
    let text = pkg_config_file(short, plan, &output, notes, request);
    fs::write(&pkg_config, text).map_err(failed(&pkg_config))?;
    Ok([native, guest_part, pkg_config])
}

fn pkg_config_file(
    short: &str,
    plan: &Plan,
    output: &Path,
    notes: &Notes,
    request: &Request,
) -> String {
    let include = plan.headers[0].parent().unwrap_or(Path::new("/"));
    let paths = [Some(output), request.runtime.as_deref()];
    let rpaths = paths.into_iter().flatten();
    // Programs need the runtime's place too: a linker looks for what a library needs.
    let rpaths: Vec<_> = rpaths
        .map(|path| format!(" -Wl,-rpath,{0} -Wl,-rpath-link,{0}", path.display()))
        .collect();
    format!(
        "Name: {short}\nDescription: {} for aarch64, wrapped\nVersion: 0\nCflags: -I{} {}\n\
         Libs: -L{}{} -l{short}\n",
        plan.exports.name,
        include.display(),
        notes.flags.join(" "),
        output.display(),
        rpaths.concat()
    )
}

/// What is there for all libraries.
const RUNTIME: [(&str, &str); 7] = [
    ("iotdec.h", include_str!("../../runtime/include/iotdec.h")),
    (
        "iotdec_wrapper.h",
        include_str!("../../runtime/include/iotdec_wrapper.h"),
    ),
    (
        "iotdec_guest.h",
        include_str!("../../runtime/include/iotdec_guest.h"),
    ),
    ("iotdec_text.h", include_str!("../runtime/iotdec_text.h")),
    (
        "iotdec_operations.h",
        include_str!("../runtime/iotdec_operations.h"),
    ),
    (
        "iotdec_streams.h",
        include_str!("../runtime/iotdec_streams.h"),
    ),
    (
        "iotdec_bridge.h",
        include_str!("../runtime/iotdec_bridge.h"),
    ),
];

/// The headers may have deprecated what is wrapped, and say that pointers are not null
/// which are looked at all the same, for they are the program's. Parameters like `int a[n]` are
/// declared as the pointers that they are.
const QUIET: [&str; 10] = [
    "-Wno-vla-parameter",
    "-Wno-deprecated-declarations",
    "-Wno-nonnull-compare",
    "-Wno-address",
    "-Wno-array-parameter",
    "-Wno-unused-parameter",
    "-Wno-discarded-qualifiers",
    "-fno-builtin",
    "-fno-delete-null-pointer-checks",
    "-fno-strict-aliasing",
];
