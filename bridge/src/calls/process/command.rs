//! The command that runs a worker, and what its process does before the emulator.

use super::Setting;
use crate::calls::accelerator::Choice;
use crate::calls::confine::Confinement;
use crate::calls::exchange::{HostExchange, Segment};
use crate::calls::heap::program;
use crate::host_libraries::HostLibraries;
use crate::launch::{find_qemu, installed};
use iotdec_wire::exchange::Image;
use nix::libc;
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Bytes of addresses that the libraries of one setting may take, so that those of all can be seen
/// in the program at their own.
const LIBRARIES: u64 = 128 << 20;
impl Setting {
    /// The command that runs the worker.
    pub(super) fn command(
        &self,
        accelerator: &Choice,
        host: Option<&HostLibraries>,
    ) -> Result<Command, String> {
        let qemu = find_qemu(None).map_err(|error| error.to_string())?;
        let worker = installed("IOTDEC_CALLS", "iotdec-calls-aarch64");
        if !worker.is_file() {
            return Err(format!(
                "worker {} not found; install iotdec completely, or set IOTDEC_CALLS to its path",
                worker.display()
            ));
        }
        let mut command = Command::new(qemu);
        command
            // Meant for native code.
            .env_remove("LD_PRELOAD")
            .env_remove("LD_LIBRARY_PATH")
            .arg("-L")
            .arg(&self.sysroot)
            .arg("-cpu");
        match accelerator {
            Ok(chosen) => {
                let host = host.map(HostLibraries::host_directory);
                command
                    .arg(chosen.cpu.unwrap_or(&self.cpu))
                    .arg("-plugin")
                    .arg(chosen.argument(host.as_deref()));
            }
            Err(_) => {
                command.arg(&self.cpu);
            }
        }
        let directories = host.map(HostLibraries::guest_directory).into_iter();
        let directories: Vec<_> = directories.chain(self.directory.clone()).collect();
        if !directories.is_empty() {
            let mut variable = OsString::from("LD_LIBRARY_PATH=");
            let directories = std::env::join_paths(directories);
            variable.push(directories.map_err(|error| error.to_string())?);
            command.arg("-E").arg(variable);
        }
        if let Some(host) = host {
            command.arg("-E").arg(host.variable());
        }
        command.arg(worker);
        if let Ok(chosen) = accelerator {
            command.args(["--accel", chosen.mode.name()]);
            if !chosen.is_optional() {
                command.arg("--at-once");
            }
        }
        Ok(command)
    }

    /// Tells the worker what it shares with us, and with nobody else.
    pub(super) fn tell(
        &self,
        command: &mut Command,
        exchange: &HostExchange,
        memory: &Segment,
        socket: OwnedFd,
        [control, reverse]: [usize; 2],
    ) -> Result<(), String> {
        let shared = exchange.exchange.range();
        for (name, number) in [
            ("--exchange", shared.start),
            ("--exchange-size", shared.size),
            ("--exchange-fd", exchange.file.as_raw_fd() as u64),
            ("--memory", memory.range.start),
            ("--memory-size", memory.range.size),
            ("--memory-fd", memory.file.as_raw_fd() as u64),
            ("--socket-fd", socket.as_raw_fd() as u64),
            ("--program", tell_program(exchange, control)),
            ("--control", control as u64),
            ("--reverse", reverse as u64),
            ("--clear", self.index as u64 * LIBRARIES),
        ] {
            command.arg(name).arg(number.to_string());
        }
        command
            .arg("--locale")
            .arg(locale())
            // The program's, which a process group in the background could not read.
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let files = [exchange.file.as_raw_fd(), memory.file.as_raw_fd()];
        let mut confinement = Confinement::new()?;
        // SAFETY: runs between fork and exec, and makes system calls alone.
        unsafe {
            // The socket's end is the command's: nobody else has it.
            command.pre_exec(move || {
                pass_only(&[files[0], files[1], socket.as_raw_fd()])?;
                take_signals()?;
                confinement.enter()
            })
        };
        Ok(())
    }
}

/// The program's, as `setlocale` takes it.
fn locale() -> OsString {
    // SAFETY: asks; the answer is copied at once, and a program sets its locale before others
    // ask for it.
    unsafe {
        let names = libc::setlocale(libc::LC_ALL, std::ptr::null());
        match names.is_null() {
            true => "C".into(),
            false => OsStr::from_bytes(CStr::from_ptr(names).to_bytes()).to_owned(),
        }
    }
}

/// Writes into a lane's messages what the program shares of its file. How much it is.
fn tell_program(exchange: &HostExchange, lane: usize) -> u64 {
    let images = program();
    let stack = exchange.exchange.host_stack(lane);
    assert!(size_of_val(images) as u64 <= stack.size, "a short table");
    // SAFETY: this lane's part of the exchange, which nobody uses yet.
    unsafe {
        let to = stack.start as *mut Image;
        std::ptr::copy_nonoverlapping(images.as_ptr(), to, images.len());
    }
    images.len() as u64
}

/// In the child: unblocks what the thread blocks that starts it. Signals are the library's own
/// affair, as in any program.
fn take_signals() -> io::Result<()> {
    // SAFETY: a set of signals on our stack.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        if libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// In the child: the program's descriptors are not the library's, but these are.
fn pass_only(files: &[RawFd]) -> io::Result<()> {
    // SAFETY: takes numbers only. A kernel that does not know it (before 5.11) leaves the
    // program's descriptors open, as any program does that it starts.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
        for file in files {
            if libc::fcntl(*file, libc::F_SETFD, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}
