//! What a worker cannot do to other processes, whatever code it runs: send them signals, or
//! reach into them. It has the program's user's rights otherwise.

use nix::libc::{self, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};
use std::io;

/// Take the process in their first argument, which may be the worker itself.
const AT_ITSELF: [c_long; 4] = [
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
];
/// Refused altogether. (`tkill` names a thread of any process; glibc does not use it.)
const NEVER: [c_long; 6] = [
    libc::SYS_tkill,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pidfd_getfd,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
];

/// With these second arguments refused: they choose who gets a signal about a file, and which
/// (fcntl_list(2), ioctl_list(2)).
const SIGNALS_OF_FILES: [(c_long, &[u64]); 2] = [
    (libc::SYS_fcntl, &[8, 10, 15]), // F_SETOWN, F_SETSIG, F_SETOWN_EX
    (libc::SYS_ioctl, &[0x8901, 0x8902]), // FIOSETOWN, SIOCSPGRP
];

/// Stands for the worker's number, which is not known when the filter is made: no process has it.
const ITSELF: u32 = u32::MAX;
/// The lowest of x32's numbers of system calls, which the compiler of filters does not know.
const OTHER_NUMBERS: u32 = 0x4000_0000;

const REFUSED: SeccompAction = SeccompAction::Errno(libc::EPERM as u32);

/// A filter of system calls for a worker.
#[derive(Debug)]
pub(crate) struct Confinement {
    program: BpfProgram,
}

impl Confinement {
    /// Makes it, for the next process that is started.
    pub(crate) fn new() -> Result<Self, String> {
        let compiled =
            Self::compile().map_err(|error| format!("no filter of system calls: {error}"))?;
        let statement = |code: u32, k: u32, jf: u8| sock_filter {
            code: code as u16,
            jt: 0,
            jf,
            k,
        };
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        let mut program = vec![
            // The system call's number, the first field of `struct seccomp_data`.
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
            statement(
                libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K,
                OTHER_NUMBERS,
                1,
            ),
            statement(libc::BPF_RET | libc::BPF_K, refused, 0),
        ];
        program.extend(compiled);
        Ok(Self { program })
    }

    fn compile() -> Result<BpfProgram, BackendError> {
        // The kernel takes 32 bits of a process's number.
        let is_not = |process: u32| {
            let value = process.into();
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
        };
        let mut refused = std::collections::BTreeMap::new();
        for number in AT_ITSELF {
            refused.insert(number, vec![SeccompRule::new(vec![is_not(ITSELF)?])?]);
        }
        for number in NEVER {
            refused.insert(number, vec![]);
        }
        for (number, commands) in SIGNALS_OF_FILES {
            let rule = |command: &u64| {
                let (width, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
                SeccompRule::new(vec![SeccompCondition::new(1, width, equal, *command)?])
            };
            refused.insert(number, commands.iter().map(rule).collect::<Result<_, _>>()?);
        }
        let limits = SeccompRule::new(vec![is_not(0)?, is_not(ITSELF)?])?;
        refused.insert(libc::SYS_prlimit64, vec![limits]);
        let otherwise = SeccompAction::Allow;
        SeccompFilter::new(refused, otherwise, REFUSED, TargetArch::x86_64)?.try_into()
    }

    /// Confines the calling process, and all that it starts. Between fork and exec: makes
    /// system calls alone.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        // SAFETY: takes nothing.
        let own = unsafe { libc::getpid() } as u32;
        for statement in &mut self.program {
            if statement.k == ITSELF {
                statement.k = own;
            }
        }
        let program = libc::sock_fprog {
            len: self.program.len() as u16,
            filter: self.program.as_mut_ptr().cast(),
        };
        // SAFETY: numbers, and a program that is read during the call.
        unsafe {
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            // Without the flag, older kernels slow all code down that is translated at run time.
            let set = |flags: libc::c_ulong| {
                libc::syscall(
                    libc::SYS_seccomp,
                    libc::SECCOMP_SET_MODE_FILTER,
                    flags,
                    &raw const program,
                )
            };
            if set(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW) == 0 || set(0) == 0 {
                return Ok(());
            }
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // A kernel without filters: as any program that is started.
            Some(libc::ENOSYS | libc::EINVAL) => Ok(()),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn no_file_sends_signals() {
        let mut confinement = Confinement::new().expect("a filter");
        let mut command = Command::new("true");
        // SAFETY: makes system calls alone.
        unsafe {
            command.pre_exec(move || {
                confinement.enter()?;
                let other = libc::getppid();
                let asks = [
                    libc::fcntl(0, libc::F_SETOWN, other),
                    libc::ioctl(0, 0x8901, &other),
                ];
                let flags = libc::fcntl(0, libc::F_GETFL);
                match asks == [-1; 2] && flags != -1 {
                    true => Ok(()),
                    false => Err(io::ErrorKind::Other.into()),
                }
            });
        }
        assert!(command.status().expect("refused").success());
    }

    #[test]
    fn signals_reach_nobody_else() {
        // $$ is the shell itself; $PPID this process, which would survive 0 anyway.
        let script = "kill -0 $$ || exit 1; kill -0 $PPID 2>/dev/null && exit 2; \
                      kill -0 0 2>/dev/null && exit 3; ulimit -n >/dev/null && kill -9 $$; exit 4";
        let mut confinement = Confinement::new().expect("a filter");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        // SAFETY: makes system calls alone.
        unsafe { command.pre_exec(move || confinement.enter()) };
        let status = command.status().expect("a shell");
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    }
}
