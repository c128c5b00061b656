//! The iotdec command line: which decoders there are, how a file looks when one
//! of them decodes it, and how fast that is.

mod args;
mod bench;
mod call;
mod failure;
mod input;
mod interrupt;
mod list;
mod meter;
mod output;
mod pipeline;
mod play;
mod screen;
mod usage;
mod wrap;

use args::{Args, BenchArgs, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args.command) {
        Ok(code) => code,
        Err(failure) => {
            if let Failure::Error(text) = &failure {
                eprintln!("iotdec: {text}");
            }
            failure.exit_code()
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, Failure> {
    if let Command::Wrap(args) = command {
        return wrap::run(args);
    }
    if let Command::Call(args) = command {
        return call::run(args);
    }
    interrupt::install()?;
    if let Command::Bench(args @ BenchArgs { calls: true, .. }) = command {
        return bench::calls::run(args);
    }
    pipeline::init()?;
    match command {
        Command::List(args) => list::run(args),
        Command::Play(args) => play::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Wrap(_) | Command::Call(_) => {
            unreachable!("does without GStreamer, above")
        }
    }
}
