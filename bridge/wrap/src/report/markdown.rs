//! The report for people.

use super::{AbiReport, Finding, FunctionEntry, MissingEntry, Outcome, Reason, Shape, TypeEntry};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Writes all of it.
pub fn write(report: &AbiReport) -> String {
    let mut text = format!(
        "# {}: what crosses between aarch64 and x86-64\n\n",
        report.library
    );
    summary(report, &mut text);
    refused(report, &mut text);
    not_wrapped(report, &mut text);
    types(report, &mut text);
    constants(report, &mut text);
    symbols(report, &mut text);
    functions(report, &mut text);
    text
}

fn summary(report: &AbiReport, text: &mut String) {
    let functions = &report.functions;
    let count = |verdict| {
        let of = functions.iter().filter(|f| f.finding.verdict == verdict);
        of.count()
    };
    let _ = writeln!(
        text,
        "| functions exported and declared | {} |\n|---|---|\n\
         | all their types identical on both sides | {} |\n\
         | some types converted, field by field | {} |\n\
         | identical, but pointers in memory lead to what is not | {} |\n\
         | with types that cannot cross | {} |",
        functions.len(),
        count(Outcome::Identical),
        count(Outcome::Repacked),
        count(Outcome::Limited),
        count(Outcome::Refused)
    );
    if functions.iter().any(|function| function.wrapped.is_some()) {
        let wrapped = functions.iter().filter(|f| f.wrapped == Some(true)).count();
        let _ = writeln!(text, "| wrapped | {wrapped} |");
    }
    let missing: usize = own(report).map(|entry| entry.functions.len()).sum();
    let _ = writeln!(
        text,
        "| constants of its own that differ | {} |\n| symbols without a prototype | {} |\n\
         | prototypes without a symbol | {missing} |\n",
        report.constants.iter().filter(|c| c.own).count(),
        report.undeclared.len(),
    );
    let mut notes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for function in functions {
        for note in &function.finding.notes {
            notes.entry(note).or_default().push(&function.name);
        }
    }
    for (note, names) in notes {
        let _ = writeln!(text, "* {note}: {}.", listed(&names));
    }
    if text.ends_with(".\n") {
        *text += "\n";
    }
}

/// Names in code, the first of them.
fn listed(names: &[&str]) -> String {
    const MANY: usize = 12;
    let first: Vec<_> = names.iter().take(MANY).map(|n| format!("`{n}`")).collect();
    let more = match names.len().saturating_sub(MANY) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    first.join(", ") + &more
}

/// In a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn refused(report: &AbiReport, text: &mut String) {
    reasons(
        report,
        "Types that cannot cross",
        |finding| &finding.refused,
        text,
    );
    reasons(
        report,
        "What pointers in memory lead to and cannot be used on the other side",
        |finding| &finding.beyond,
        text,
    );
}

/// Reasons, and the functions that have them.
fn reasons(report: &AbiReport, title: &str, which: fn(&Finding) -> &[Reason], text: &mut String) {
    let mut all: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for function in &report.functions {
        for Reason { reason, declared } in which(&function.finding) {
            // The function's own line is below.
            let declared = if *declared == function.declared {
                ""
            } else {
                declared
            };
            let key = (without_parameter(reason), declared);
            all.entry(key).or_default().push(&function.name);
        }
    }
    if all.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "## {title}\n\n| what | declared | functions |\n|---|---|---|"
    );
    for ((reason, declared), names) in all {
        let _ = writeln!(
            text,
            "| {} | {declared} | {} |",
            cell(reason),
            listed(&names)
        );
    }
    *text += "\n";
}

/// A reason without the name of the parameter that it is about, which differs from
/// function to function.
fn without_parameter(reason: &str) -> &str {
    let rest = reason
        .strip_prefix("parameter ")
        .or(reason.strip_prefix("the result"));
    let rest = rest.map(|rest| rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    let rest = rest.and_then(|rest| rest.strip_prefix(": ").or(rest.strip_prefix(", ")));
    rest.unwrap_or(reason)
}

fn not_wrapped(report: &AbiReport, text: &mut String) {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for function in &report.functions {
        if let Some(why) = &function.why_not {
            reasons.entry(why).or_default().push(&function.name);
        }
    }
    if reasons.is_empty() {
        return;
    }
    *text += "## Functions that are not wrapped\n\n| why | functions |\n|---|---|\n";
    for (why, names) in reasons {
        let _ = writeln!(text, "| {} | {} |", cell(why), listed(&names));
    }
    *text += "\n";
}

fn types(report: &AbiReport, text: &mut String) {
    if report.types.is_empty() {
        return;
    }
    *text += "## Types\n\nSize and alignment in bytes; how it is passed where it is passed by value.\n\n\
              | type | declared | verdict | guest | host |\n|---|---|---|---|---|\n";
    for entry in &report.types {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            cell(&entry.name),
            entry.declared,
            verdict(entry.finding.verdict),
            shape(entry.guest.as_ref()),
            shape(entry.host.as_ref())
        );
    }
    *text += "\n";
    for entry in &report.types {
        details(entry, text);
    }
}

fn details(entry: &TypeEntry, text: &mut String) {
    let Finding {
        differences,
        refused,
        beyond,
        notes,
        ..
    } = &entry.finding;
    if [refused, beyond].iter().all(|reasons| reasons.is_empty())
        && differences.is_empty()
        && notes.is_empty()
    {
        return;
    }
    let _ = writeln!(text, "`{}`:\n", entry.name);
    for reason in refused {
        let _ = writeln!(text, "* refused: {} ({})", reason.reason, reason.declared);
    }
    for reason in beyond {
        let _ = writeln!(text, "* limited: {} ({})", reason.reason, reason.declared);
    }
    for difference in differences {
        let _ = writeln!(
            text,
            "* `{}`: {} ({})",
            difference.what, difference.difference, difference.declared
        );
    }
    for note in notes {
        let _ = writeln!(text, "* {note}");
    }
    *text += "\n";
}

fn verdict(verdict: Outcome) -> &'static str {
    match verdict {
        Outcome::Identical => "identical",
        Outcome::Repacked => "repacked",
        Outcome::Limited => "limited",
        Outcome::Refused => "**refused**",
    }
}

fn shape(shape: Option<&Shape>) -> String {
    match shape {
        Some(shape) => format!("{}, {}: {}", shape.size, shape.alignment, shape.passing),
        None => "opaque".into(),
    }
}

fn constants(report: &AbiReport, text: &mut String) {
    if report.constants.is_empty() {
        return;
    }
    *text += "## Constants that differ\n\nWhat the program passes is not what the library takes it \
              for. Those of the C library and the kernel are here where the headers include them.\n\n\
              | constant | guest | host | declared | whose |\n|---|---|---|---|---|\n";
    let value = |value: Option<i128>| value.map_or_else(|| "none".into(), |v| v.to_string());
    for constant in &report.constants {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            constant.name,
            value(constant.guest),
            value(constant.host),
            constant.declared,
            if constant.own {
                "its own"
            } else {
                "the system's"
            }
        );
    }
    *text += "\n";
}

/// Headers of which the library exports something.
fn own(report: &AbiReport) -> impl Iterator<Item = &MissingEntry> {
    report.missing.iter().filter(|entry| !entry.foreign)
}

fn symbols(report: &AbiReport, text: &mut String) {
    if !report.undeclared.is_empty() {
        *text += "## Symbols without a prototype\n\nExported, and in none of the headers.\n\n";
        let names: Vec<_> = report.undeclared.iter().map(|n| format!("`{n}`")).collect();
        let _ = writeln!(text, "{}\n", names.join(", "));
    }
    if !report.missing.is_empty() {
        *text += "## Prototypes without a symbol\n\nIn the headers, and not exported: macros \
                  stand in for them, this build lacks them, or another library has them.\n\n";
        for entry in own(report) {
            let names = entry.functions.iter();
            let names: Vec<_> = names.map(|(n, line)| format!("`{n}` ({line})")).collect();
            let _ = writeln!(text, "* {}: {}", entry.header, names.join(", "));
        }
        for entry in report.missing.iter().filter(|entry| entry.foreign) {
            let count = match entry.functions.len() {
                1 => "one function".into(),
                count => format!("{count} functions"),
            };
            let _ = writeln!(
                text,
                "* {}: {count}, and the library exports none of it",
                entry.header
            );
        }
        *text += "\n";
    }
    if !report.variables.is_empty() {
        *text += "## Variables\n\n| variable | declared | verdict | |\n|---|---|---|---|\n";
        for variable in &report.variables {
            let finding = variable.finding.as_ref();
            let why = finding.map(remark).unwrap_or_default();
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                variable.name,
                variable.declared.as_deref().unwrap_or("nowhere"),
                finding.map_or("unknown", |finding| verdict(finding.verdict)),
                cell(&why)
            );
        }
        *text += "\n";
    }
}

/// What is to be said of something in a table.
fn remark(finding: &Finding) -> String {
    let refused = finding.refused.iter().chain(&finding.beyond);
    let refused = refused.map(|refused| refused.reason.clone());
    let differences = finding.differences.iter();
    let differences = differences.map(|d| format!("{}: {}", d.what, d.difference));
    let all: Vec<_> = refused.chain(differences).collect();
    all.join("; ")
}

fn functions(report: &AbiReport, text: &mut String) {
    if report.functions.is_empty() {
        return;
    }
    let is_generated = report.functions.iter().any(|f| f.wrapped.is_some());
    *text += "## Function by function\n\n| function | declared | types |";
    *text += if is_generated {
        " wrapped |\n|---|---|---|---|\n"
    } else {
        "\n|---|---|---|\n"
    };
    for function in &report.functions {
        let FunctionEntry {
            prototype,
            declared,
            finding,
            ..
        } = function;
        let _ = write!(
            text,
            "| `{}` | {declared} | {} |",
            cell(prototype),
            verdict(finding.verdict)
        );
        *text += match function.wrapped {
            Some(true) => " yes |\n",
            Some(false) => " **no** |\n",
            None if is_generated => " |\n",
            None => "\n",
        };
    }
}
