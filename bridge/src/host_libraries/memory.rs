//! A guest's memory: that of its process, as QEMU places a 64-bit guest at offset 0.

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// The memory of a child of this process.
#[derive(Debug)]
pub(super) struct Memory {
    /// Of this very process, whatever becomes of its number.
    file: File,
    number: i32,
    process: OwnedFd,
}

impl Memory {
    pub(super) fn open(number: i32) -> io::Result<Self> {
        let pid = Pid::from_raw(number).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            process: pidfd_open(pid, PidfdFlags::empty())?,
            file: File::open(format!("/proc/{number}/mem"))?,
            number,
        })
    }

    /// A copy of what is there.
    pub(super) fn read(&self, to: &mut [u8], from: u64) -> io::Result<()> {
        self.file.read_exact_at(to, from)
    }

    /// Writes where the guest can. Not through the file, by which all can be written: QEMU
    /// makes pages read-only whose code it has translated, and has to notice.
    pub(super) fn write(&self, from: &[u8], mut to: u64) -> io::Result<()> {
        let mut rest = from;
        while !rest.is_empty() {
            // The number may be another process's once this one has ended.
            let mut end = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
            if poll(&mut end, PollTimeout::ZERO)? != 0 {
                return Err(io::ErrorKind::NotFound.into());
            }
            let [local, remote] = [rest.as_ptr() as u64, to].map(|at| libc::iovec {
                iov_base: at as *mut libc::c_void,
                iov_len: rest.len(),
            });
            // SAFETY: reads so many bytes of ours; what is there in the other process is its
            // own.
            let written = unsafe { libc::process_vm_writev(self.number, &local, 1, &remote, 1, 0) };
            match written {
                -1 => return Err(io::Error::last_os_error()),
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    rest = &rest[written as usize..];
                    to += written as u64;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn of_a_child() {
        let mut cat = Command::new("cat");
        let child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("cat is part of the system");
        // Once it answers, its dynamic linker is done with its memory.
        let input = child.stdin.as_mut().expect("a pipe");
        input.write_all(b"?").expect("it reads");
        let output = child.stdout.as_mut().expect("a pipe");
        output.read_exact(&mut [0]).expect("it answers");
        let number = child.id() as i32;
        let memory = Memory::open(number).expect("a child's");
        let mut byte = [0];
        assert!(memory.read(&mut byte, 16).is_err());
        assert!(memory.write(&byte, 16).is_err());
        assert!(memory.write(&byte, u64::MAX - 1).is_err());
        let maps = std::fs::read_to_string(format!("/proc/{number}/maps")).expect("maps");
        let place = |access: &str| {
            let line = maps
                .lines()
                .find(|line| line.contains(access))
                .expect(access);
            let start = line.split('-').next().expect("an address");
            u64::from_str_radix(start, 16).expect("an address")
        };
        memory
            .write(b"here", place(" rw-p "))
            .expect("it can be written");
        let mut four = [0; 4];
        memory
            .read(&mut four, place(" rw-p "))
            .expect("it can be read");
        assert_eq!(&four, b"here");
        assert!(memory.write(b"here", place(" r-xp ")).is_err());
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(memory.write(b"here", place(" rw-p ")).is_err());
    }
}
