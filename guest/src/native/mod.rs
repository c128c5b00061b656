//! Functions of the C library and the math library that the host does for the guest.
//!
//! The worker exports functions of the same names, which the dynamic linker gives to
//! every library that is loaded later, in place of the C library's. Each asks the
//! accelerator where that pays and calls the function it stands in front of where it
//! does not: the next one of its name. Results are the same bits either way.

mod function;
mod math;
mod memory;
mod text;

use crate::accel::Mode;
use function::{Function, NEVER};

/// Makes the functions native that `list` names: names separated by commas, in which
/// `*` stands for any characters. Without a list, those that pay in this mode.
///
/// To be called before a library is loaded: its calls may come from any thread, and are
/// not to wait for the dynamic linker.
pub fn open(list: Option<&str>, mode: Mode) -> Result<(), String> {
    let chosen = list.map(Patterns::parse).transpose()?;
    for function in all() {
        function.find();
        function.set_limit(limit(function, chosen.as_ref(), mode));
    }
    if mode > Mode::Off && !math::is_tested() {
        for function in math::FUNCTIONS {
            function.set_limit(NEVER);
        }
    }
    Ok(())
}

/// The size above which work of a function goes to the host.
fn limit(function: &Function, chosen: Option<&Patterns<'_>>, mode: Mode) -> usize {
    let worth = match mode {
        Mode::Off => return NEVER,
        Mode::Native => function.worth.qemu,
        Mode::Turbo => function.worth.turbo,
    };
    match chosen {
        Some(chosen) if !chosen.name(function) => NEVER,
        // Whoever names it wants it.
        Some(_) if worth == NEVER => 0,
        _ => worth,
    }
}

/// Names of functions, possibly with `*`.
struct Patterns<'a>(Vec<&'a str>);

impl<'a> Patterns<'a> {
    fn parse(list: &'a str) -> Result<Self, String> {
        let words = list.split(',').map(str::trim);
        let patterns: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        for pattern in &patterns {
            if !all().any(|function| matches(pattern, function.name)) {
                return Err(format!("--native: no function is called {pattern}"));
            }
        }
        Ok(Self(patterns))
    }

    fn name(&self, function: &Function) -> bool {
        self.0.iter().any(|pattern| matches(pattern, function.name))
    }
}

fn all() -> impl Iterator<Item = &'static Function> {
    let functions = [memory::FUNCTIONS, text::FUNCTIONS, math::FUNCTIONS];
    functions.into_iter().flatten().copied()
}

/// Whether a name fits a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let mut ends = (0..=name.len()).filter_map(|at| name.get(at..));
            ends.any(|end| matches(rest, end))
        }),
    }
}

#[cfg(test)]
mod tests;
