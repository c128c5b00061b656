//! `iotdec wrap`: makes a library for native programs whose functions a library for
//! aarch64 does, or one for emulated programs whose functions the host's library does.

mod native;

use crate::args::{Direction, WrapArgs};
use crate::failure::Failure;
use crate::output;
use iotdec_wrap::native::native_library;
use iotdec_wrap::wrap::{Report, Request, wrap};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Names the directory of the runtime, where it was not installed.
const RUNTIME: &str = "IOTDEC_RUNTIME";

/// How many names of a list are printed.
const MANY: usize = 20;

/// Runs the command.
pub fn run(args: &WrapArgs) -> Result<ExitCode, Failure> {
    let request = Request {
        headers: args.headers.clone(),
        include: args.include.clone(),
        library: args.library.clone(),
        config: args.config.clone(),
        output: args.output.clone(),
        runtime: runtime(),
    };
    let failed = |error: iotdec_wrap::Error| Failure::Error(error.to_string());
    match args.direction {
        Direction::HostToGuest => print(args, &wrap(&request).map_err(failed)?, summary),
        Direction::GuestToHost => {
            let report = native_library(&request).map_err(failed)?;
            print(args, &report, native::summary)
        }
    }
}

fn print<T: Serialize>(
    args: &WrapArgs,
    report: &T,
    summary: impl Fn(&T) -> String,
) -> Result<ExitCode, Failure> {
    if args.json {
        output::print_json(report)?;
    } else {
        output::print(&summary(report))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The directory of the runtime, where it was not installed.
pub fn runtime() -> Option<PathBuf> {
    std::env::var_os(RUNTIME).map(PathBuf::from)
}

fn summary(report: &Report) -> String {
    let mut text = format!(
        "{}: {} of {} functions wrapped\n",
        report.library, report.wrapped, report.functions
    );
    // By reason: of a struct, many functions share one.
    let mut refused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for refusal in &report.refused {
        refused.entry(&refusal.why).or_default().push(&refusal.name);
    }
    for (why, names) in refused {
        text += &format!("  {}\n    {why}\n", names.join(", "));
    }
    for (name, why) in &report.variables {
        text += &match why {
            None => format!("variable {name} crosses\n"),
            Some(why) => format!("variable {name} does not cross: {why}\n"),
        };
    }
    for (names, what) in [
        (&report.undeclared, "exported, and in none of the headers"),
        (&report.missing, "in the headers, and not exported"),
    ] {
        if !names.is_empty() {
            let first: Vec<_> = names.iter().take(MANY).map(String::as_str).collect();
            let more = match names.len().saturating_sub(MANY) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            text += &format!("{what}:\n  {}{more}\n", first.join(", "));
        }
    }
    let [abi, _] = &report.abi;
    for made in [&report.native, &report.guest, &report.pkg_config, abi] {
        text += &format!("made {}\n", made.display());
    }
    text
}
