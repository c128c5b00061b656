//! `iotdec native-library`: makes both parts of a library that the host does for the
//! guest.

use crate::args::NativeLibraryArgs;
use crate::failure::Failure;
use crate::output;
use iotdec_wrap::{Report, Request, native_library};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Runs the command.
pub fn run(args: &NativeLibraryArgs) -> Result<ExitCode, Failure> {
    let request = Request {
        header: args.header.clone(),
        library: args.library.clone(),
        config: args.config.clone(),
        output: args.output.clone(),
    };
    let report = native_library(&request).map_err(|error| Failure::Error(error.to_string()))?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&summary(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(report: &Report) -> String {
    // By reason: there are few, which many functions share.
    let mut left: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for function in &report.functions {
        if let Some(why) = &function.why {
            left.entry(why).or_default().push(&function.name);
        }
    }
    let total = report.functions.len();
    let guests: usize = left.values().map(Vec::len).sum();
    let mut text = format!(
        "{}: the host does {} of {total} functions, the guest's own library these:\n",
        report.library,
        total - guests
    );
    for (why, functions) in left {
        text += &format!("  {}\n    {why}\n", functions.join(", "));
    }
    text + &format!(
        "made {}\nmade {}\n",
        report.guest.display(),
        report.host.display()
    )
}
