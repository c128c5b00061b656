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
//! 4. All memory of the process is in guest memory (`heap`, `mappings`, `stacks`). What libraries
//!    print, the program prints (`output`); files that either gives the other go over a socket
//!    (`descriptors`); their `environment` and `locale` are the program's. Other `programs` that
//!    they start do not see any of it.
//! 5. What the library breaks ends the process; `crash` leaves a note where.
//!
//! For benchmarks, `costs` does what a lane's thread does without anyone on the other side.

mod callback;
mod control;
mod costs;
mod crash;
mod data;
mod descriptors;
mod environment;
mod gear;
pub mod heap;
mod lane;
mod locale;
pub mod mappings;
mod memory;
mod output;
mod parts;
pub mod programs;
mod registers;
mod stacks;
mod switch;
mod threads;

pub use callback::{Callback, callback_begin, callback_end, callback_run};
pub use output::flush;
pub use parts::Part;

use std::process::ExitCode;

/// The program iotdec-calls. Its command line belongs to the host.
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
        stacks::share();
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

/// Ends the process, and with it every call, because its state makes no sense.
fn die(text: &str) -> ! {
    eprintln!("{text}");
    // SAFETY: takes any value and touches no memory of ours.
    unsafe { libc::_exit(102) }
}
