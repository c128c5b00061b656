//! Calls libraries on behalf of a program, and the program on behalf of the libraries.
//!
//! 1. [`main`] maps the two segments where the host has them (`memory`), and serves the
//!    *control lane*: `control` opens lanes, loads wrappers' `parts`, finds symbols,
//!    makes native functions callable.
//! 2. Each lane is served by a thread of its own (`threads`), whose loop and nesting are
//!    in `lane`; `switch` lets it abandon frames of the library. `gear` has it go over to
//!    turbo.
//! 3. Generated code calls back through `callback`, on any thread.
//!    What no generated code knows is called by `registers`.
//! 4. All memory of the process is in guest memory (`heap`, `mappings`). What libraries
//!    print, the program prints (`output`); files that either gives the other go over a socket
//!    (`descriptors`); their `environment` and `locale` are the program's.
//! 5. What the library breaks ends the process; `crash` leaves a note where.
//!
//! For benchmarks, `costs` does what a lane's thread does without anyone on the other side.

#[cfg(target_arch = "aarch64")]
mod callback;
#[cfg(target_arch = "aarch64")]
mod control;
#[cfg(target_arch = "aarch64")]
mod costs;
#[cfg(target_arch = "aarch64")]
mod crash;
#[cfg(target_arch = "aarch64")]
mod data;
#[cfg(target_arch = "aarch64")]
mod descriptors;
#[cfg(target_arch = "aarch64")]
mod environment;
#[cfg(target_arch = "aarch64")]
mod gear;
#[cfg(target_arch = "aarch64")]
pub mod heap;
#[cfg(target_arch = "aarch64")]
mod lane;
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
mod locale;
#[cfg(target_arch = "aarch64")]
pub mod mappings;
#[cfg(target_arch = "aarch64")]
mod memory;
#[cfg(target_arch = "aarch64")]
mod output;
#[cfg(target_arch = "aarch64")]
mod parts;
#[cfg(target_arch = "aarch64")]
mod registers;
#[cfg(target_arch = "aarch64")]
mod switch;
#[cfg(target_arch = "aarch64")]
mod threads;

#[cfg(target_arch = "aarch64")]
pub use callback::{Callback, callback_begin, callback_end, callback_run};
#[cfg(target_arch = "aarch64")]
pub use output::flush;
#[cfg(target_arch = "aarch64")]
pub use parts::Part;

use std::process::ExitCode;

/// The program iotdec-calls. Its command line belongs to the host.
#[cfg(target_arch = "aarch64")]
pub fn main() -> ExitCode {
    crate::exit_on_panic();
    let args = crate::args::Args::parse(std::env::args().skip(1));
    let result = args.and_then(|args| {
        if args.has("costs") {
            return costs::run(&args);
        }
        memory::map(&args)?;
        environment::share();
        locale::set(args.require("locale")?);
        crate::fault::report_faults();
        let accelerator = gear::open(args.accelerator()?, args.has("at-once"));
        output::take_over()?;
        control::serve(&accelerator)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// The program iotdec-calls, where it has nothing to do.
#[cfg(not(target_arch = "aarch64"))]
pub fn main() -> ExitCode {
    eprintln!("iotdec-calls is for aarch64: native libraries can be called without it");
    ExitCode::FAILURE
}

/// Ends the process, and with it every call, because its state makes no sense.
#[cfg(target_arch = "aarch64")]
fn die(text: &str) -> ! {
    eprintln!("{text}");
    // SAFETY: takes any value and touches no memory of ours.
    unsafe { libc::_exit(102) }
}
