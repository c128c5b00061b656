//! What a worker cannot do to other processes, whatever code it runs: send them signals, or
//! reach into them. It has the program's user's rights otherwise.

use nix::libc::{self, c_long, sock_filter};
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

/// System calls are judged as x86-64's; those by another convention are refused.
const ARCHITECTURE: u32 = 0xc000_003e;
/// The bit of x32's.
const OTHER_NUMBERS: u32 = 0x4000_0000;

/// Where `struct seccomp_data` has them.
const NUMBER: u32 = 0;
const CONVENTION: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

const LENGTH: usize = 4 + AT_ITSELF.len() + NEVER.len() + 8;

/// Confines the calling process, and all that it starts. Between fork and exec: makes
/// system calls alone.
pub(crate) fn confine() -> io::Result<()> {
    // SAFETY: takes nothing.
    let own = unsafe { libc::getpid() } as u32;
    let filter = filter(own);
    let program = libc::sock_fprog {
        len: LENGTH as u16,
        filter: filter.as_ptr().cast_mut(),
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

fn filter(own: u32) -> [sock_filter; LENGTH] {
    let mut text = Text {
        filter: [sock_filter {
            code: 0,
            jt: 0,
            jf: 0,
            k: 0,
        }; LENGTH],
        length: 0,
    };
    const ALLOW: usize = LENGTH - 2;
    const REFUSE: usize = LENGTH - 1;
    // The two checks of the first argument.
    const ITSELF: usize = LENGTH - 7;
    const ITSELF_OR_ZERO: usize = LENGTH - 5;
    text.load(CONVENTION);
    text.equal(ARCHITECTURE, None, Some(REFUSE));
    text.load(NUMBER);
    text.jump(libc::BPF_JGE, OTHER_NUMBERS, Some(REFUSE), None);
    for number in AT_ITSELF {
        text.equal(number as u32, Some(ITSELF), None);
    }
    for number in NEVER {
        text.equal(number as u32, Some(REFUSE), None);
    }
    text.equal(
        libc::SYS_prlimit64 as u32,
        Some(ITSELF_OR_ZERO),
        Some(ALLOW),
    );
    // ITSELF: the kernel takes 32 bits of it.
    text.load(FIRST_ARGUMENT);
    text.equal(own, Some(ALLOW), Some(REFUSE));
    // ITSELF_OR_ZERO
    text.load(FIRST_ARGUMENT);
    text.equal(0, Some(ALLOW), None);
    text.equal(own, Some(ALLOW), Some(REFUSE));
    text.ends_with(libc::SECCOMP_RET_ALLOW);
    text.ends_with(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    text.filter
}

/// A filter that is being written.
struct Text {
    filter: [sock_filter; LENGTH],
    length: usize,
}

impl Text {
    fn add(&mut self, code: u32, k: u32, jt: u8, jf: u8) {
        self.filter[self.length] = sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        };
        self.length += 1;
    }

    fn load(&mut self, offset: u32) {
        self.add(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    }

    fn ends_with(&mut self, result: u32) {
        self.add(libc::BPF_RET | libc::BPF_K, result, 0, 0);
    }

    fn equal(&mut self, value: u32, then: Option<usize>, otherwise: Option<usize>) {
        self.jump(libc::BPF_JEQ, value, then, otherwise);
    }

    /// To a line, or to the next one.
    fn jump(&mut self, how: u32, value: u32, then: Option<usize>, otherwise: Option<usize>) {
        let next = self.length + 1;
        let distance = |to: Option<usize>| to.map_or(0, |to| (to - next) as u8);
        let code = libc::BPF_JMP | how | libc::BPF_K;
        self.add(code, value, distance(then), distance(otherwise));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn signals_reach_nobody_else() {
        // $$ is the shell itself; $PPID this process, which would survive 0 anyway.
        let script = "kill -0 $$ || exit 1; kill -0 $PPID 2>/dev/null && exit 2; \
                      kill -0 0 2>/dev/null && exit 3; ulimit -n >/dev/null && kill -9 $$; exit 4";
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        // SAFETY: makes system calls alone.
        unsafe { command.pre_exec(confine) };
        let status = command.status().expect("a shell");
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    }
}
