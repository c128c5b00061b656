//! The two workers of iotdec. Each loads libraries of its own architecture and runs them
//! on behalf of a host process, usually under QEMU.
//!
//! * [`worker`] decodes with one decoder library.
//! * `calls` calls any library for a program, and the program for the library.
//!
//! Built for the host's architecture, the first is the same program around the native
//! library: the reference for tests and benchmarks. The second is not built there.

mod accel;
mod args;
mod bare;
#[cfg(target_arch = "aarch64")]
pub mod c_library;
mod call;
#[cfg(target_arch = "aarch64")]
pub mod calls;
mod costs;
mod decoder;
mod fault;
mod library;
mod mapping;
#[cfg(target_arch = "aarch64")]
mod native;
mod packets;
#[cfg(target_arch = "aarch64")]
mod parcel;
mod serve;
mod session;
mod slots;
mod socket;
mod turnflag;

use args::Args;
use std::process::ExitCode;

/// What every command needs to open its decoder.
const USAGE: &str =
    "iotdec-worker serve|bare|turnflag --adapter NAME --library PATH [--option KEY=VALUE]...
            [--accel off|native|turbo] [--native NAME,NAME*,...]
  bare:     --packets FILE [--frames-to FD] [--checksum] [--flush-after PACKETS] [--repeat TIMES]
  turnflag: --memory-fd FD
iotdec-worker call --library PATH --symbol NAME [--repeat TIMES]
iotdec-worker costs --accel off|native|turbo";

/// The program iotdec-worker.
///
/// | command | what it does |
/// |---|---|
/// | `serve` | decodes for the host that started it, over shared memory |
/// | `bare` | decodes a packet file, with nobody on the other side |
/// | `turnflag` | decodes for a benchmark in lockstep, copying both ways |
/// | `call` | calls one function of a library, for a test of the accelerator |
/// | `costs` | measures what the accelerator's ways in and out cost |
///
/// The command line belongs to the host and to the tests; it is not an interface.
pub fn worker() -> ExitCode {
    exit_on_panic();
    fault::report_faults();
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let result = Args::parse(words).and_then(|args| {
        let accelerator = accel::open(args.accelerator()?);
        #[cfg(target_arch = "aarch64")]
        native::open(args.get("native"), accelerator.mode)?;
        match command.as_str() {
            "serve" => serve::run(&args, &accelerator),
            "bare" => bare::run(&args, &accelerator),
            "turnflag" => turnflag::run(&args),
            "call" => call::run(&args, &accelerator),
            "costs" => costs::run(accelerator.mode),
            _ => Err(USAGE.to_owned()),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Any thread's panic ends the worker at once: a decoder that was interrupted in
/// a callback cannot be called again. Not `abort`, which makes QEMU dump core.
fn exit_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string().replace('\n', " ");
        eprintln!("{text}");
        // SAFETY: `_exit` takes any value and touches no memory of ours.
        unsafe { libc::_exit(101) }
    }));
}
