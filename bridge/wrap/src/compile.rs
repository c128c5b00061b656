//! Has the two compilers make libraries of what was written.

use crate::Error;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// A compiler for one side.
#[derive(Clone, Copy, Debug)]
pub struct Compiler {
    /// Its name.
    pub name: &'static str,
    /// The variable that names another.
    pub variable: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// The guest's.
pub const GUEST: Compiler = Compiler {
    name: "aarch64-linux-gnu-gcc",
    variable: "IOTDEC_GUEST_CC",
    package: "gcc-aarch64-linux-gnu",
};
/// The host's.
pub const HOST: Compiler = Compiler {
    name: "gcc",
    variable: "IOTDEC_HOST_CC",
    package: "gcc",
};

/// What the generated code is compiled with. A warning there is a mistake of the
/// generator or of the configuration.
const OPTIONS: [&str; 5] = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"];

impl Compiler {
    /// Makes a shared library.
    ///
    /// # Errors
    /// There is no compiler, or it complains.
    pub fn make(&self, library: &Path, arguments: &[OsString]) -> Result<(), Error> {
        self.run(library, &["-fPIC", "-shared"], arguments)
    }

    /// Makes a program.
    ///
    /// # Errors
    /// There is no compiler, or it complains.
    pub fn make_program(&self, program: &Path, arguments: &[OsString]) -> Result<(), Error> {
        self.run(program, &[], arguments)
    }

    fn run(&self, to: &Path, kind: &[&str], arguments: &[OsString]) -> Result<(), Error> {
        let name = std::env::var_os(self.variable).unwrap_or_else(|| self.name.into());
        let failed = |what: String| Error::Compiler {
            compiler: name.to_string_lossy().into_owned(),
            library: to.to_owned(),
            what,
        };
        let output = Command::new(&name)
            // What it says is looked through.
            .env("LC_ALL", "C.UTF-8")
            .args(OPTIONS)
            .args(kind)
            .arg("-o")
            .arg(to)
            .args(arguments)
            .output()
            .map_err(|error| {
                failed(format!(
                    "{error}; install {}, or name another in {}",
                    self.package, self.variable
                ))
            })?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// The functions that a compiler complains of, by what it said.
pub fn blamed(what: &str, is_function: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let complaints = what
        .lines()
        .filter(|line| line.contains("In function") || line.contains(" error: "));
    // Every second piece between quotes is what is quoted.
    let quoted = complaints.flat_map(|line| line.split(['‘', '’', '\'']).skip(1).step_by(2));
    let names = quoted.map(|name| {
        ["iotdec_f_", "iotdec_m_"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name)
    });
    names.filter(|name| is_function(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::blamed;
    use std::collections::BTreeSet;

    #[test]
    fn functions_are_found_in_what_a_compiler_says() {
        let what = "guest.c: In function ‘iotdec_f_add’:\n\
                    guest.c:3:4: error: ‘x’ undeclared; did you mean ‘next’?\n\
                    host.c:9:1: error: conflicting types for 'scale'; have 'int(void)'\n\
                    host.h:7:1: note: previous declaration of ‘reset’";
        let is_function = |name: &str| ["add", "scale", "reset"].contains(&name);
        let blamed = blamed(what, is_function);
        assert_eq!(blamed, BTreeSet::from(["add", "scale"]));
    }
}
