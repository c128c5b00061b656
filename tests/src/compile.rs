//! C for either side, compiled while tests run.

use std::path::Path;
use std::process::Command;

/// The host's.
pub const HOST: &str = iotdec_wrap::compile::HOST.name;
/// The guest's.
pub const GUEST: &str = iotdec_wrap::compile::GUEST.name;
/// The guest's, for C++.
pub const GUEST_CPP: &str = "aarch64-linux-gnu-g++";

/// A compiler that makes a shared library of this SONAME.
pub fn shared(compiler: &str, soname: &str) -> Command {
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", &format!("-Wl,-soname,{soname}")]);
    command
}

/// Has a compiler make a file. What it complains of is on standard error.
///
/// # Panics
/// If there is no such compiler, or it does not make the file.
#[track_caller]
pub fn make(compiler: &mut Command, to: &Path) {
    let status = compiler.arg("-o").arg(to).status();
    let status = status.unwrap_or_else(|error| {
        let name = compiler.get_program().display();
        panic!("{name}: {error}; make setup installs the compilers of both sides")
    });
    assert!(status.success(), "{compiler:?}: {status}");
}
