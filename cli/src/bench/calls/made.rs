//! What is compiled to be measured, by the compilers that `iotdec wrap` uses.

use crate::failure::Failure;
use crate::wrap::runtime;
use iotdec_bridge::Wish;
use iotdec_bridge::dynamic::{Library, Options};
use iotdec_bridge::launch;
use iotdec_bridge::library;
use iotdec_wrap::compile::{GUEST, HOST};
use iotdec_wrap::wrap::{Report, Request, wrap};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const SOURCES: [(&str, &str); 8] = [
    ("off.toml", "accel = \"off\"\n"),
    ("turbo.toml", "accel = \"turbo\"\n"),
    ("calls.h", include_str!("calls.h")),
    ("calls.c", include_str!("calls.c")),
    ("peer.c", include_str!("peer.c")),
    ("pack.c", include_str!("pack.c")),
    (
        "so_lib.h",
        include_str!("../../../../examples/library-bridge/so_lib.h"),
    ),
    (
        "so_lib.c",
        include_str!("../../../../examples/library-bridge/so_lib.c"),
    ),
];

/// The library for both machines and what calls it.
#[derive(Debug)]
pub struct Made {
    directory: TempDir,
    /// The wrapper: its two parts. Its worker has no accelerator.
    pub wrapper: Report,
    /// The same with turbo, where there is an accelerator.
    pub in_turbo: Option<Report>,
    /// The emulator.
    pub qemu: PathBuf,
    sysroot: PathBuf,
    /// The processor that it shows the library.
    pub cpu: &'static str,
}

impl Made {
    /// Compiles everything.
    pub fn new() -> Result<Self, Failure> {
        let directory = tempfile::tempdir().map_err(no_room)?;
        let at = |name: &str| directory.path().join(name);
        for (name, text) in SOURCES {
            fs::write(at(name), text).map_err(no_room)?;
        }
        let failed = |error: iotdec_wrap::Error| Failure::Error(error.to_string());
        let library: Vec<OsString> = vec![
            at("calls.c").into(),
            at("so_lib.c").into(),
            "-Wl,-soname,libcalls.so.1".into(),
        ];
        let foreign = at(FOREIGN);
        HOST.make(&at(NATIVE), &library).map_err(failed)?;
        GUEST.make(&foreign, &library).map_err(failed)?;
        let peer = [at("peer.c").into(), foreign.clone().into()];
        GUEST.make_program(&at(PEER), &peer).map_err(failed)?;
        // The name that the program looks for.
        std::os::unix::fs::symlink(&foreign, at("libcalls.so.1")).map_err(no_room)?;
        let wrapped = |config, output| {
            wrap(&Request {
                headers: vec![at("calls.h"), at("so_lib.h")],
                library: foreign.clone(),
                config: Some(at(config)),
                output: at(output),
                runtime: runtime(),
                ..Request::default()
            })
            .map_err(failed)
        };
        let wrapper = wrapped("off.toml", WRAPPED)?;
        let in_turbo = has_turbo(&foreign)
            .then(|| wrapped("turbo.toml", IN_TURBO))
            .transpose()?;
        if wrapper.wrapped != wrapper.functions {
            return Err(Failure::Error(format!(
                "functions cannot be wrapped: {:?}",
                wrapper.refused
            )));
        }
        let launch = |error: launch::LaunchError| Failure::Error(error.to_string());
        let cpu = library::Library::inspect(&foreign)
            .map_err(|error| Failure::Error(error.to_string()))?
            .needs()
            .cpu_model();
        let made = Self {
            qemu: launch::find_qemu(None).map_err(launch)?,
            sysroot: launch::find_sysroot(None).map_err(launch)?,
            cpu,
            wrapper,
            in_turbo,
            directory,
        };
        made.make_pack().map_err(failed)?;
        Ok(made)
    }

    /// The generated code once more, with something that does not call.
    fn make_pack(&self) -> Result<(), iotdec_wrap::Error> {
        let source = self.at(WRAPPED).join("source");
        let file = source.join("pack.c");
        fs::write(&file, include_str!("pack.c")).map_err(|source| iotdec_wrap::Error::Write {
            file: file.clone(),
            source,
        })?;
        let mut arguments: Vec<OsString> = ["-w", "-DIOTDEC_ENTRIES", "-ffixed-r10", "-pthread"]
            .map(OsString::from)
            .to_vec();
        arguments.extend([
            file.into(),
            "-Wl,--no-as-needed".into(),
            source.join("libiotdec.so").into(),
        ]);
        if let Some(runtime) = runtime() {
            let mut option = OsString::from("-Wl,-rpath,");
            option.push(runtime);
            arguments.push(option);
        }
        HOST.make(&self.pack(), &arguments)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The library for this machine.
    pub fn native(&self) -> PathBuf {
        self.at(NATIVE)
    }

    /// The library for aarch64.
    pub fn foreign(&self) -> PathBuf {
        self.at(FOREIGN)
    }

    /// A library that does what a wrapper does before and after a call. It is where the
    /// wrapper is, and finds its guest part.
    pub fn pack(&self) -> PathBuf {
        self.at(WRAPPED).join("libpack.so")
    }

    /// The emulated program on the other side of ways that know nothing of iotdec.
    pub fn peer(&self) -> Command {
        self.emulated(&self.at(PEER))
    }

    /// An emulated program, as the bridge starts its worker.
    pub fn emulated(&self, program: &Path) -> Command {
        let mut path = OsString::from("LD_LIBRARY_PATH=");
        path.push(self.directory.path());
        let mut command = Command::new(&self.qemu);
        command
            .env_remove("LD_PRELOAD")
            .env_remove("LD_LIBRARY_PATH")
            .arg("-L")
            .arg(&self.sysroot)
            .args(["-cpu", self.cpu, "-E"])
            .arg(path)
            .arg(program);
        command
    }
}

const NATIVE: &str = "libcalls-native.so";
const FOREIGN: &str = "libcalls-aarch64.so";
const PEER: &str = "peer";
const WRAPPED: &str = "wrapped";
const IN_TURBO: &str = "in-turbo";

/// Whether libraries like this one can be run in turbo here.
fn has_turbo(library: &Path) -> bool {
    let options = Options {
        accel: Some(Wish::Turbo),
        ..Options::default()
    };
    Library::open(library, &options).is_ok()
}

fn no_room(error: std::io::Error) -> Failure {
    Failure::new(
        format_args!("cannot write a temporary file: {error}"),
        "Make room, or set TMPDIR to a directory that has some.",
    )
}
