//! From a manifest to the programs and files that a session needs, checked one
//! by one so that each failure has its own remedy.

use crate::accel::{self, Accelerator, Circumstances, Obstacle, Pattern, Wish};
use crate::host_libraries::HostLibraries;
use crate::library::{self, LibraryError, Needs};
use crate::manifest::{Manifest, Place, data_directory};
use iotdec_wire::msg::Acceleration;
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// What a user may set instead of a manifest's values and the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The aarch64 library to load.
    pub library: Option<PathBuf>,
    /// The sysroot to run in.
    pub sysroot: Option<PathBuf>,
    /// The emulator.
    pub qemu: Option<PathBuf>,
    /// The emulator's CPU model.
    pub cpu: Option<String>,
    /// Threads to decode with, of decoders that can.
    pub threads: Option<u32>,
    /// How much of the accelerator to use.
    pub accel: Option<Wish>,
    /// How long a packet may take at most; zero for as long as it likes.
    pub hang_timeout: Option<Duration>,
}

/// Decoding one packet takes seconds at worst: 8K, emulated without an accelerator.
pub const HANG_TIMEOUT: Duration = Duration::from_secs(30);

/// What is missing to run a decoder.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No emulator.
    #[error(
        "QEMU user-mode emulator {0} not found; install the package qemu-user, \
         or set the property qemu or IOTDEC_QEMU to its path"
    )]
    QemuMissing(PathBuf),
    /// No worker program.
    #[error("worker {0} not found; install iotdec completely, or set IOTDEC_WORKER to its path")]
    WorkerMissing(PathBuf),
    /// No aarch64 system to run in.
    #[error(
        "no aarch64 sysroot: none of {} holds lib/ld-linux-aarch64.so.1; run make setup, \
         or set the property sysroot or IOTDEC_SYSROOT to one",
        list(.0)
    )]
    SysrootMissing(Vec<PathBuf>),
    /// The library cannot be used.
    #[error(transparent)]
    Library(#[from] Arc<LibraryError>),
    /// The library's name is not in the sysroot.
    #[error(
        "library {name} is not in sysroot {sysroot}; {}install its arm64 package there, \
         or set the property library to the path of the .so file",
        fetch(.wanted)
    )]
    LibraryNotFound {
        /// The name looked for.
        name: PathBuf,
        /// Where.
        sysroot: PathBuf,
        /// The sysroot that the manifest names, and that is not there.
        wanted: Option<String>,
    },
    /// A mode of the accelerator was asked for that cannot be had.
    #[error("accel={mode} cannot be had: {obstacle}; accel=auto does without")]
    Accelerator {
        /// The mode's name.
        mode: &'static str,
        /// What is in the way.
        obstacle: Obstacle,
    },
    /// The manifest names a directory of libraries that is none.
    #[error(
        "native-libraries: {0} has no directory {1}; make it with iotdec wrap --direction \
         guest-to-host"
    )]
    NativeLibraries(PathBuf, &'static str),
    /// The environment asks for a mode of the accelerator that there is none of.
    #[error("{variable} is {0:?}; it can be auto, off, native or turbo", variable = accel::MODE_VARIABLE)]
    ModeVariable(String),
}

/// How to get a sysroot that set-up knows by name.
fn fetch(name: &Option<String>) -> String {
    name.as_ref().map_or(String::new(), |name| {
        format!("run make sysroot-{name}, or ")
    })
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
    paths.join(", ")
}

/// Everything that is needed to start a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The emulator.
    pub qemu: PathBuf,
    /// Its CPU model, where the accelerator needs no other.
    pub cpu: String,
    /// The aarch64 system it shows the worker.
    pub sysroot: PathBuf,
    /// The aarch64 worker program.
    pub worker: PathBuf,
    /// The worker's adapter.
    pub adapter: String,
    /// The decoder library.
    pub library: PathBuf,
    /// The adapter's options.
    pub options: BTreeMap<String, String>,
    /// Threads to decode with, whatever the options say.
    pub threads: Option<u32>,
    /// The accelerator, or why there is none for it.
    pub accelerator: Result<Accelerator, Obstacle>,
    /// Libraries that the host does, and where it may.
    pub native_libraries: Option<(PathBuf, Place)>,
    /// How long each step of the start may take, besides the time that the worker gets
    /// no processor. Slow: emulated dynamic linking of a hundred libraries takes seconds.
    pub step_timeout: Duration,
    /// How long a packet may take before the worker is killed, besides the time that it gets
    /// no processor or waits for frames to come back; `None` for as long as it likes.
    pub hang_timeout: Option<Duration>,
}

/// Resolves manifests, and looks at each library once: many decoders may share one.
#[derive(Debug, Default)]
pub struct Resolver {
    /// What libraries need, by library and sysroot.
    libraries: BTreeMap<(PathBuf, PathBuf), Result<Needs, Arc<LibraryError>>>,
    /// Whether emulators take plugins.
    emulators: BTreeMap<PathBuf, bool>,
}

impl Resolver {
    /// Finds and checks everything `manifest` needs.
    pub fn resolve(
        &mut self,
        manifest: &Manifest,
        overrides: &Overrides,
    ) -> Result<Launch, LaunchError> {
        let qemu = find_qemu(overrides.qemu.as_deref())?;
        let worker = worker_path("IOTDEC_WORKER", "iotdec-worker-aarch64")?;
        let wanted = overrides.sysroot.clone().or_else(|| manifest.sysroot());
        let sysroot = find_sysroot(wanted.as_deref())?;
        let library = match &overrides.library {
            Some(library) => library.clone(),
            None => manifest_library(manifest, &sysroot, wanted.as_deref())?,
        };
        let needs = self.needs(&library, &sysroot)?;
        let set_cpu = overrides.cpu.as_ref().or(manifest.cpu.as_ref());
        let cpu = set_cpu.map_or(needs.cpu_model(), String::as_str).to_owned();
        let of_environment = accel::wish_of_environment().map_err(LaunchError::ModeVariable)?;
        let wish = overrides.accel.or(of_environment).or(manifest.accel);
        let wish = wish.unwrap_or_default();
        let takes_plugins = self.emulators.entry(qemu.clone());
        let circumstances = Circumstances {
            wish,
            qemu: &qemu,
            takes_plugins: *takes_plugins.or_insert_with(|| accel::takes_plugins(&qemu)),
            cpu: set_cpu.map(String::as_str),
            library: &library,
            needs,
        };
        let accelerator = choose_accelerator(&circumstances, manifest.native.as_deref())?;
        Ok(Launch {
            qemu,
            cpu,
            sysroot,
            worker,
            adapter: manifest.adapter.clone(),
            library: std::path::absolute(&library).unwrap_or(library),
            options: manifest.options.clone(),
            threads: overrides.threads,
            accelerator,
            native_libraries: native_libraries(manifest)?,
            step_timeout: Duration::from_secs(20),
            hang_timeout: Some(overrides.hang_timeout.unwrap_or(HANG_TIMEOUT))
                .filter(|limit| !limit.is_zero()),
        })
    }

    fn needs(&mut self, library: &Path, sysroot: &Path) -> Result<Needs, Arc<LibraryError>> {
        let key = (library.to_path_buf(), sysroot.to_path_buf());
        let known = self.libraries.entry(key);
        let known = known.or_insert_with(|| Ok(library::needs(library, sysroot)?));
        known.clone()
    }
}

impl Launch {
    /// Finds and checks everything `manifest` needs.
    pub fn resolve(manifest: &Manifest, overrides: &Overrides) -> Result<Self, LaunchError> {
        Resolver::default().resolve(manifest, overrides)
    }

    /// The command that runs the worker, before its standard streams are set.
    ///
    /// Its environment is empty but for what the guest's dynamic linker needs:
    /// QEMU hands its own on, and a player's LD_PRELOAD or GST_DEBUG_FILE is not
    /// meant for foreign code.
    ///
    /// With `host`, the host's libraries run in this process where the accelerator does not
    /// run them.
    pub fn command(&self, host: Option<&HostLibraries>) -> Command {
        let mut command = Command::new(&self.qemu);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .arg("-L")
            .arg(&self.sysroot)
            .args(["-cpu", self.cpu_model()]);
        if let Ok(accelerator) = &self.accelerator {
            let libraries = self.native_libraries.as_ref();
            let libraries = libraries.map(|(directory, _)| directory.join("host"));
            let plugin = accelerator.argument(libraries.as_deref());
            command.arg("-plugin").arg(plugin);
        }
        if let Some(host) = host {
            command.arg("-E").arg(host.variable());
            host.attach(&mut command);
        }
        command
            .arg("-E")
            .arg(self.library_path())
            .arg(&self.worker)
            .stdout(Stdio::null());
        command
    }

    /// QEMU's CPU model.
    pub fn cpu_model(&self) -> &str {
        let special = self.accelerator.as_ref().ok().and_then(|it| it.cpu);
        special.unwrap_or(&self.cpu)
    }

    /// The same without the accelerator, for this reason.
    pub fn without_accelerator(&self, obstacle: Obstacle) -> Self {
        Self {
            accelerator: Err(obstacle),
            ..self.clone()
        }
    }

    /// The worker's own arguments for `mode`, to be added to [`command`](Self::command).
    pub fn worker_arguments(&self, mode: &str) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            mode.into(),
            "--adapter".into(),
            (&self.adapter).into(),
            "--library".into(),
            (&self.library).into(),
        ];
        for (key, value) in &self.options {
            arguments.extend(["--option".into(), format!("{key}={value}").into()]);
        }
        if let Some(threads) = self.threads {
            arguments.extend(["--threads".into(), threads.to_string().into()]);
        }
        if let Ok(accelerator) = &self.accelerator {
            arguments.extend(["--accel".into(), accelerator.mode.name().into()]);
            if let Some(native) = &accelerator.native {
                let names: Vec<_> = native.iter().map(AsRef::as_ref).collect();
                arguments.extend(["--native".into(), names.join(",").into()]);
            }
        }
        arguments
    }

    /// A library that comes with its dependencies in one directory finds them, but first
    /// those that the host does.
    fn library_path(&self) -> OsString {
        let mut variable = OsString::from("LD_LIBRARY_PATH=");
        if let Some((directory, _)) = &self.native_libraries {
            variable.push(directory.join("guest"));
            variable.push(":");
        }
        variable.push(self.library.parent().unwrap_or(Path::new("/")));
        variable
    }
}

/// The accelerator or why there is none; an error if somebody insists on it.
pub(crate) fn choose_accelerator(
    circumstances: &Circumstances<'_>,
    native: Option<&[Pattern]>,
) -> Result<Result<Accelerator, Obstacle>, LaunchError> {
    match Accelerator::choose(circumstances, native) {
        Err(obstacle) if circumstances.wish.least() > Acceleration::Off => {
            let mode = circumstances.wish.least().name();
            Err(LaunchError::Accelerator { mode, obstacle })
        }
        chosen => Ok(chosen),
    }
}

/// The worker program, from the environment or the place of installation.
///
/// The native build of the same program, which tests and benchmarks compare
/// with, is `worker_path("IOTDEC_NATIVE_WORKER", "iotdec-worker-x86_64")`.
pub fn worker_path(variable: &str, name: &str) -> Result<PathBuf, LaunchError> {
    let path = installed(variable, name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(LaunchError::WorkerMissing(path))
    }
}

/// Where a program of ours is, from the environment or the place of installation.
pub(crate) fn installed(variable: &str, name: &str) -> PathBuf {
    env::var_os(variable).map_or_else(
        || {
            let directory = option_env!("IOTDEC_LIBEXECDIR").unwrap_or("/usr/local/libexec/iotdec");
            Path::new(directory).join(name)
        },
        PathBuf::from,
    )
}

/// The emulator: the given one, or IOTDEC_QEMU, or the first one on PATH.
pub fn find_qemu(given: Option<&Path>) -> Result<PathBuf, LaunchError> {
    let given = given
        .map(Path::to_path_buf)
        .or_else(|| env::var_os("IOTDEC_QEMU").map(PathBuf::from));
    let names = match &given {
        Some(path) => vec![path.clone()],
        None => vec!["qemu-aarch64".into(), "qemu-aarch64-static".into()],
    };
    let path_variable = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = env::split_paths(&path_variable).collect();
    names
        .iter()
        .flat_map(|name| {
            let on_path = directories.iter().map(move |d| d.join(name));
            // Joining an absolute path yields that path; one with a slash is relative
            // to the working directory, as in a shell.
            let direct = (name.components().count() > 1).then(|| name.clone());
            direct.into_iter().chain(on_path)
        })
        .find(|path| path.is_file())
        .ok_or_else(|| LaunchError::QemuMissing(names[0].clone()))
}

/// The sysroot: the wanted one, or IOTDEC_SYSROOT, or the first that exists of
/// iotdec's own, the cross compiler's, and the host's (a multiarch Debian).
///
/// A wanted one is a path, or a name without a slash: `avcodec` is `sysroot-avcodec`
/// beside the default `sysroot` or, where that is absent, the default itself, which
/// may have it all.
pub fn find_sysroot(wanted: Option<&Path>) -> Result<PathBuf, LaunchError> {
    let candidates = sysroot_candidates(wanted);
    candidates
        .iter()
        .find(|sysroot| has_interpreter(sysroot))
        .cloned()
        .ok_or(LaunchError::SysrootMissing(candidates))
}

/// Where [`find_sysroot`] looks, in order.
pub fn sysroot_candidates(wanted: Option<&Path>) -> Vec<PathBuf> {
    let name = wanted.and_then(plain_name);
    if let (Some(path), None) = (wanted, name) {
        return vec![path.into()];
    }
    let defaults = match env::var_os("IOTDEC_SYSROOT") {
        Some(path) => vec![path.into()],
        None => vec![
            data_directory().join("sysroot"),
            "/usr/aarch64-linux-gnu".into(),
            "/".into(),
        ],
    };
    let beside = |sysroot: &PathBuf| {
        let mut sibling = sysroot.file_name()?.to_owned();
        sibling.push(format!("-{}", name?));
        Some(sysroot.with_file_name(sibling))
    };
    let named: Vec<_> = defaults.iter().filter_map(beside).collect();
    named.into_iter().chain(defaults).collect()
}

/// A path that is only a name, as a shell takes commands.
fn plain_name(path: &Path) -> Option<&str> {
    let name = path.to_str()?;
    (!name.contains('/')).then_some(name)
}

/// The worker's interpreter (ELF PT_INTERP of any glibc aarch64 program). It may
/// be a symlink that is absolute inside the sysroot.
fn has_interpreter(sysroot: &Path) -> bool {
    sysroot
        .join("lib/ld-linux-aarch64.so.1")
        .symlink_metadata()
        .is_ok()
}

/// The manifest's libraries that the host does, if they are there.
fn native_libraries(manifest: &Manifest) -> Result<Option<(PathBuf, Place)>, LaunchError> {
    let Some(directory) = manifest.native_libraries() else {
        return Ok(None);
    };
    let directory = std::path::absolute(&directory).unwrap_or(directory);
    for part in ["guest", "host"] {
        if !directory.join(part).is_dir() {
            return Err(LaunchError::NativeLibraries(directory, part));
        }
    }
    Ok(Some((directory, manifest.native_libraries_in)))
}

fn manifest_library(
    manifest: &Manifest,
    sysroot: &Path,
    wanted: Option<&Path>,
) -> Result<PathBuf, LaunchError> {
    let library = manifest.beside(&manifest.library);
    let Some(name) = plain_name(&library) else {
        return Ok(library);
    };
    library::find_in_sysroot(sysroot, name).ok_or_else(|| LaunchError::LibraryNotFound {
        wanted: wanted.and_then(plain_name).map(str::to_owned),
        name: library.clone(),
        sysroot: sysroot.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysroot_is_a_path_or_a_name_beside_the_default_one() {
        let candidates = |wanted: &str| sysroot_candidates(Some(Path::new(wanted)));
        assert_eq!(candidates("/srv/arm64"), [Path::new("/srv/arm64")]);
        assert_eq!(candidates("./arm64"), [Path::new("./arm64")]);
        assert_eq!(candidates("/"), [Path::new("/")]);
        let defaults = sysroot_candidates(None);
        let named = candidates("avcodec");
        assert!(named.ends_with(&defaults), "{named:?}");
        let beside = defaults[0].with_file_name("sysroot-avcodec");
        if defaults[0].ends_with("sysroot") {
            assert_eq!(named[0], beside);
        }
    }
}
