//! One function of a library, called as decoders are: for tests of the accelerator.

use crate::accel;
use crate::args::Args;
use crate::library::Library;
use std::ffi::{CString, c_int};

/// Runs the command.
pub fn run(args: &Args, accelerator: &accel::Report) -> Result<(), String> {
    let library = Library::open(args.require("library")?)?;
    let name = args.require("symbol")?;
    let symbol = CString::new(name).map_err(|_| "--symbol contains a zero byte")?;
    let address = library.symbol(&symbol).ok_or(format!("no symbol {name}"))?;
    // SAFETY: whoever names a function says that it is one without arguments.
    let function: unsafe extern "C-unwind" fn() -> c_int =
        unsafe { std::mem::transmute(address.as_ptr()) };
    let times = args.number("repeat")?.unwrap_or(1u32);
    // SAFETY: as above. It is called as often as it takes until it fails.
    let call = || accel::run(|| unsafe { function() });
    let result = (0..times).map(|_| call()).find(|result| *result != 0);
    // SAFETY: null stands for all streams; what the library wrote comes first.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    println!(
        "{{\"result\":{},\"accelerator\":{},\"unknown\":{}}}",
        result.unwrap_or(0),
        accelerator.json(),
        accel::unknown_json(),
    );
    Ok(())
}
