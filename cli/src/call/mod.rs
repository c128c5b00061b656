//! `iotdec call`: calls one function of a library for aarch64, without making anything.

mod arguments;
mod shape;

use crate::args::{Accel, CallArgs};
use crate::failure::Failure;
use crate::output;
use arguments::{Giver, print};
use iotdec_bridge::dynamic::{Library, Options, Signature};
use serde_json::{Map, Value as Json, json};
use shape::{Prototype, Shape};
use std::process::ExitCode;

/// Runs the command.
pub fn run(args: &CallArgs) -> Result<ExitCode, Failure> {
    let prototype = shape::prototype(&args.function, &args.header, &args.include)?;
    if args.arguments.len() != prototype.parameters.len() {
        return Err(wrong_number(&prototype, args.arguments.len()));
    }
    let options = Options {
        sysroot: args.sysroot.clone(),
        accel: args.accel.and_then(Accel::wish),
        accel_first: true,
    };
    let library = Library::open(&args.library, &options)?;
    let kinds = prototype.parameters.iter().map(|it| it.shape.kind());
    let signature = Signature::new(prototype.result.kind(), kinds)?;
    let function = library.function(&prototype.symbol, signature)?;

    let mut giver = Giver::new(&library);
    let mut values = Vec::new();
    for (number, (word, parameter)) in args.arguments.iter().zip(&prototype.parameters).enumerate()
    {
        let value = giver.argument(word, number, parameter);
        values.push(value.map_err(|why| {
            Failure::Error(format!(
                "argument {} ({} {}): {why}",
                number + 1,
                parameter.spelling,
                parameter.name
            ))
        })?);
    }
    let (result, errno) = function.call_with_errno(&values)?;

    let result = print(&result, &prototype.result, &library);
    let name = |number: usize| prototype.parameters[number].name.clone();
    if args.json {
        let changed = giver.changeable.iter();
        let changed = changed.map(|given| (name(given.parameter), given.json(&library)));
        let changed: Map<String, Json> = changed.collect();
        output::print_json(&json!({ "result": result, "arguments": changed, "errno": errno }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    if prototype.result != Shape::Void {
        text += &format!("{result}\n");
    }
    for given in giver.changeable.iter().filter(|given| given.has_changed()) {
        text += &format!("{} = {}\n", name(given.parameter), given.json(&library));
    }
    if errno != 0 {
        let what = nix::errno::Errno::from_raw(errno).desc();
        text += &format!("errno = {errno}: {what}\n");
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn wrong_number(prototype: &Prototype, given: usize) -> Failure {
    let wanted = prototype.parameters.len();
    let names = prototype.parameters.iter();
    let names: Vec<_> = names
        .map(|it| format!("{} {}", it.spelling, it.name))
        .collect();
    let what = match wanted {
        0 => "no argument".into(),
        1 => format!("one argument ({})", names[0]),
        _ => format!("{wanted} arguments ({})", names.join(", ")),
    };
    Failure::Error(format!("{} takes {what}, not {given}", prototype.symbol))
}
