//! zlib, generated and compiled for the guest, and the ways to run programs with it.

use iotdec_bridge::host_libraries::HostLibraries;
use iotdec_tests::compile::{self, GUEST};
use iotdec_tests::environment::{self, root, variable_or_advice};
use iotdec_tests::fetch;
use iotdec_wrap::native::{Report, native_library};
use iotdec_wrap::wrap::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Who does zlib's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The guest's own library, as if there were nothing else.
    Own,
    /// The generated one, with nobody at the door.
    NoPlugin,
    /// The generated one, with a plugin that knows no libraries.
    NoLibraries,
    /// The host, by the accelerator.
    Host,
    /// The host, in this process.
    Ring,
}

/// What is generated and compiled once for all tests.
pub struct Zlib {
    pub source: PathBuf,
    pub own: PathBuf,
    pub made: PathBuf,
    pub report: Report,
}

pub fn zlib() -> &'static Zlib {
    static ZLIB: OnceLock<Zlib> = OnceLock::new();
    ZLIB.get_or_init(|| {
        let source = fetch::source("zlib");
        let sysroot = variable_or_advice("IOTDEC_SYSROOT");
        let own = sysroot.join("lib/aarch64-linux-gnu/libz.so.1");
        let made = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("native-libraries");
        let report = native_library(&request(&source, &own, &made, Some(config())));
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        let zlib = Zlib {
            source,
            own,
            made,
            report,
        };
        for program in [
            zlib.source.join("test/example.c"),
            zlib.source.join("test/minigzip.c"),
            root().join("tests/native-libraries/uses-zlib.c"),
        ] {
            zlib.compile(&program, &[]);
        }
        zlib
    })
}

fn request(source: &Path, own: &Path, output: &Path, config: Option<PathBuf>) -> Request {
    Request {
        headers: vec![source.join("zlib.h")],
        library: own.to_owned(),
        config,
        output: output.to_owned(),
        ..Request::default()
    }
}

pub fn config() -> PathBuf {
    root().join("examples/library-bridge/zlib.toml")
}

/// The accelerator, where this build has one.
pub fn accelerator() -> Option<PathBuf> {
    environment::accelerator("what the host does")
}

impl Zlib {
    pub fn request(&self, config: Option<PathBuf>) -> Request {
        request(&self.source, &self.own, &self.made, config)
    }

    /// Compiles for the guest; with options, under their name.
    pub fn compile(&self, program: &Path, options: &[&str]) {
        let mut name = program.file_stem().expect("a C file").to_owned();
        options.iter().for_each(|option| name.push(option));
        let mut compiler = self.compiler(program);
        compiler.arg(&self.own).args(options);
        compile::make(&mut compiler, &self.made.join(name));
    }

    pub fn compiler(&self, program: &Path) -> Command {
        let mut compiler = Command::new(GUEST);
        compiler.args(["-O2", "-pthread", "-I"]).arg(&self.source);
        compiler.arg(program);
        compiler
    }

    /// Runs a guest program in a directory of its own.
    pub fn run(&self, way: Way, program: &str, words: &[&str]) -> Output {
        let place = tempfile::tempdir().expect("a directory");
        self.run_in(place.path(), way, program, words)
    }

    pub fn run_in(&self, place: &Path, way: Way, program: &str, words: &[&str]) -> Output {
        if way == Way::Ring {
            return self.run_over_ring(place, program, words);
        }
        let qemu = iotdec_bridge::launch::find_qemu(None).expect("qemu-user is installed");
        let mut command = Command::new("timeout");
        // A crash that is wanted leaves no core behind.
        command.args(["100", "sh", "-c", "ulimit -c 0; exec \"$@\"", "sh"]);
        command.arg(qemu).args(["-cpu", "cortex-a53", "-L"]);
        command.arg(variable_or_advice("IOTDEC_SYSROOT"));
        let mut plugin = accelerator().unwrap_or_default().into_os_string();
        match way {
            Way::Own | Way::NoPlugin | Way::Ring => plugin.clear(),
            Way::NoLibraries => {}
            Way::Host => {
                plugin.push(",libraries=");
                plugin.push(self.made.join("host"));
            }
        }
        if !plugin.is_empty() {
            command.arg("-plugin").arg(plugin);
        }
        if way != Way::Own {
            let directory = self.made.join("guest");
            command.args(["-E", &format!("LD_LIBRARY_PATH={}", directory.display())]);
        }
        command
            .arg(self.made.join(program))
            .args(words)
            .env("IOTDEC_NATIVE_REPORT", "1")
            .current_dir(place)
            .output()
            .expect("timeout is part of the system")
    }

    /// Runs a guest program in a directory, and zlib in this process.
    fn run_over_ring(&self, place: &Path, program: &str, words: &[&str]) -> Output {
        let qemu = iotdec_bridge::launch::find_qemu(None).expect("qemu-user is installed");
        let host = HostLibraries::new(&self.made).expect("there is memory");
        let directory = host.guest_directory();
        let mut command = Command::new("sh");
        // One process, which has our child's number.
        command
            .args(["-c", "ulimit -c 0; exec \"$@\"", "sh"])
            .arg(qemu);
        command.args(["-cpu", "cortex-a53", "-L"]);
        command.arg(variable_or_advice("IOTDEC_SYSROOT"));
        command.args(["-E", &format!("LD_LIBRARY_PATH={}", directory.display())]);
        command.arg("-E").arg(host.variable());
        command.arg(self.made.join(program)).args(words);
        command.env("IOTDEC_NATIVE_REPORT", "1").current_dir(place);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        host.attach(&mut command);
        let child = command.spawn().expect("sh is part of the system");
        let process = child.id() as i32;
        host.serve(process);
        let (end, ended) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let limit = Duration::from_secs(300);
                if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
                }
            });
            let output = child.wait_with_output().expect("it ends");
            drop(end);
            output
        })
    }
}

/// How many calls the host did; none where the guest did without it.
pub fn host_calls(output: &Output) -> Option<u64> {
    let errors = String::from_utf8_lossy(&output.stderr);
    let report = errors
        .lines()
        .find_map(|line| line.strip_prefix("iotdec: libz.so.1: "))
        .unwrap_or_else(|| panic!("no report: {output:?}"));
    if report == "the guest's own" {
        return None;
    }
    let calls = report
        .strip_prefix("the host did ")
        .and_then(|rest| rest.strip_suffix(" over the ring").or(Some(rest)))
        .and_then(|rest| rest.strip_suffix(" calls"))
        .unwrap_or_else(|| panic!("another report: {report}"));
    Some(calls.parse().expect("a number"))
}

/// Fails unless a program says the same whoever works, and the right one worked. How
/// often the host did.
#[track_caller]
pub fn same_everywhere(program: &str, words: &[&str]) -> u64 {
    same(
        &[Way::NoPlugin, Way::NoLibraries, Way::Host, Way::Ring],
        program,
        words,
    )
}

#[track_caller]
pub fn same(ways: &[Way], program: &str, words: &[&str]) -> u64 {
    let zlib = zlib();
    let own = zlib.run(Way::Own, program, words);
    assert!(own.status.success(), "{own:?}");
    assert!(!own.stdout.is_empty(), "{own:?}");
    let mut calls = 0;
    for way in ways.iter().copied() {
        if matches!(way, Way::NoLibraries | Way::Host) && accelerator().is_none() {
            continue;
        }
        let output = zlib.run(way, program, words);
        assert!(output.status.success(), "{way:?}: {output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&own.stdout),
            "{way:?}"
        );
        match host_calls(&output) {
            Some(count) if way == Way::Host => calls = count,
            Some(count) if way == Way::Ring => assert!(count > 0, "the host did nothing"),
            None if way != Way::Host => {}
            other => panic!("{way:?}: calls of the host: {other:?}"),
        }
    }
    if accelerator().is_some() {
        assert!(calls > 0, "the host did nothing");
    }
    calls
}
