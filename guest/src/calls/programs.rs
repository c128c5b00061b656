//! Programs that libraries start.
//!
//! QEMU's vfork is a fork: its caller goes on while the child is still about to become another
//! program, and reads what it needs for that on the caller's stack and heap. As those are shared
//! memory here, the C library does it on a private stack, and whoever starts a program waits until
//! it has been started.
//!
//! What QEMU does as well: where the program cannot be started, the child ends with status 127.

use super::stacks;
use crate::c_library::{fail, next};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::io::{Read, pipe};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::ptr::{null, null_mut};
use std::sync::Mutex;

/// The types of `posix_spawn` and `posix_spawnp`.
type Spawn = unsafe extern "C" fn(
    *mut libc::pid_t,
    *const c_char,
    *const libc::posix_spawn_file_actions_t,
    *const libc::posix_spawnattr_t,
    *const *mut c_char,
    *const *mut c_char,
) -> c_int;

/// What a program is started with: the arguments of `posix_spawn` after the first, in its order.
#[derive(Clone, Copy)]
pub struct Start {
    /// Where the program is, or, for `posix_spawnp`, its name.
    pub file: *const c_char,
    /// What happens to descriptors before; or null.
    pub actions: *const libc::posix_spawn_file_actions_t,
    /// What else happens before; or null.
    pub attributes: *const libc::posix_spawnattr_t,
    /// The command line, of which null is the end.
    pub words: *const *mut c_char,
    /// The environment, likewise.
    pub variables: *const *mut c_char,
}

/// `posix_spawn`, or what else has its type.
///
/// # Safety
/// As in POSIX.
pub unsafe fn spawn(name: &CStr, child: *mut libc::pid_t, start: Start) -> c_int {
    // SAFETY: both functions of those names have this type.
    let Some(real) = (unsafe { next::<Spawn>(name) }) else {
        return libc::ENOSYS;
    };
    let Ok((mut end, held)) = pipe() else {
        return libc::EMFILE;
    };
    let Start {
        file,
        actions,
        attributes,
        words,
        variables,
    } = start;
    // SAFETY: the caller's promise.
    let call = move || unsafe { real(child, file, actions, attributes, words, variables) };
    let Some(error) = stacks::run_privately(call) else {
        return libc::ENOMEM;
    };
    drop(held);
    // The child has the other end until it is another program, or none.
    let _ = end.read_to_end(&mut Vec::new());
    error
}

/// `system`, which returns when the program has ended. A thread that is cancelled meanwhile does
/// not give its private stack back.
///
/// # Safety
/// As in C.
pub unsafe fn system(command: *const c_char) -> c_int {
    type System = unsafe extern "C-unwind" fn(*const c_char) -> c_int;
    // SAFETY: its type.
    let real = unsafe { next::<System>(c"system") };
    let status = real.and_then(|real| {
        // SAFETY: the caller's promise.
        stacks::run_privately(move || unsafe { real(command) })
    });
    status.unwrap_or_else(|| fail(libc::ENOMEM, -1))
}

/// Processes that streams of [`popen`] lead to or come from, by the streams' addresses.
static STREAMS: Mutex<BTreeMap<usize, libc::pid_t>> = Mutex::new(BTreeMap::new());

/// `popen`. Of the C library's, the child reads what its parent has freed already. Our end of the
/// pipe is closed in every program that is started later.
///
/// # Safety
/// As in POSIX.
pub unsafe fn popen(command: *const c_char, mode: *const c_char) -> *mut libc::FILE {
    // SAFETY: two C strings, the caller promises.
    let mode = unsafe { CStr::from_ptr(mode) };
    let letters = mode.to_bytes();
    let is_for_reading = letters.contains(&b'r');
    let is_one = is_for_reading != letters.contains(&b'w');
    if !is_one || letters.iter().any(|letter| !b"rwe".contains(letter)) {
        return fail(libc::EINVAL, null_mut());
    }
    let Ok((reading, writing)) = pipe() else {
        return fail(libc::EMFILE, null_mut());
    };
    let (reading, writing) = (OwnedFd::from(reading), OwnedFd::from(writing));
    let (ours, theirs, number, mode) = match is_for_reading {
        true => (reading, writing, libc::STDOUT_FILENO, c"r"),
        false => (writing, reading, libc::STDIN_FILENO, c"w"),
    };
    // SAFETY: the descriptor is handed over to the stream, if there is one.
    let stream = unsafe { libc::fdopen(ours.as_raw_fd(), mode.as_ptr()) };
    if stream.is_null() {
        return stream;
    }
    let _ = ours.into_raw_fd();
    // SAFETY: the caller's promise.
    match unsafe { shell(command, &theirs, number) } {
        Ok(child) => {
            let mut streams = STREAMS.lock().expect("no panic is survived");
            streams.insert(stream as usize, child);
            stream
        }
        Err(error) => {
            // SAFETY: opened above, and nobody else has it.
            unsafe { libc::fclose(stream) };
            fail(error, null_mut())
        }
    }
}

/// Starts a shell of which one descriptor is given by another one's number.
///
/// # Safety
/// A C string.
unsafe fn shell(command: *const c_char, fd: &OwnedFd, number: c_int) -> Result<libc::pid_t, c_int> {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    let mut words = [c"sh".as_ptr(), c"-c".as_ptr(), command, null()].map(<*const _>::cast_mut);
    let mut actions = std::mem::MaybeUninit::uninit();
    let mut child = 0;
    // SAFETY: the actions are made, used and destroyed here; the rest lives meanwhile.
    let error = unsafe {
        libc::posix_spawn_file_actions_init(actions.as_mut_ptr());
        libc::posix_spawn_file_actions_adddup2(actions.as_mut_ptr(), fd.as_raw_fd(), number);
        let start = Start {
            file: c"/bin/sh".as_ptr(),
            actions: actions.as_ptr(),
            attributes: null(),
            words: words.as_mut_ptr(),
            variables: environ,
        };
        let error = spawn(c"posix_spawn", &mut child, start);
        libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
        error
    };
    match error {
        0 => Ok(child),
        _ => Err(error),
    }
}

/// `pclose`
///
/// # Safety
/// As in POSIX.
pub unsafe fn pclose(stream: *mut libc::FILE) -> c_int {
    let child = {
        let mut streams = STREAMS.lock().expect("no panic is survived");
        streams.remove(&(stream as usize))
    };
    let mut status = 0;
    // SAFETY: the caller's promise.
    unsafe {
        let closed = libc::fclose(stream);
        let Some(child) = child else {
            return closed;
        };
        while libc::waitpid(child, &mut status, 0) != child {
            if *libc::__errno_location() != libc::EINTR {
                return -1;
            }
        }
    }
    status
}

// vfork. It returns twice, so what it has to keep is in registers, of which each process has its
// own, and which a system call leaves as they are: the ends of a pipe in w9 and w10, the child
// in x11. Numbers are those of asm-generic/unistd.h; the flags are CLONE_VFORK, CLONE_VM and
// SIGCHLD, O_CLOEXEC, and EINTR.
std::arch::global_asm!(
    "    .text",
    "    .balign 16",
    "    .globl vfork",
    "    .type vfork, %function",
    "vfork:",
    "    .cfi_startproc",
    "    sub x0, sp, #16",
    "    mov x1, #0x80000",
    "    mov x8, #59", // pipe2
    "    svc #0",
    "    tbnz x0, #63, 3f",
    "    ldp w9, w10, [sp, #-16]",
    "    mov x0, #0x4111",
    "    mov x1, #0",
    "    mov x8, #220", // clone
    "    svc #0",
    "    cbz x0, 2f",
    "    mov x11, x0",
    "    mov w0, w10",
    "    mov x8, #57", // close
    "    svc #0",
    "1:  mov w0, w9",
    "    sub x1, sp, #16",
    "    mov x2, #1",
    "    mov x8, #63", // read
    "    svc #0",
    "    cmn x0, #4",
    "    b.eq 1b",
    "    mov w0, w9",
    "    mov x8, #57",
    "    svc #0",
    "    mov x0, x11",
    "    tbnz x0, #63, 3f",
    "2:  ret",
    "3:  neg w0, w0",
    "    b {failed}",
    "    .cfi_endproc",
    "    .size vfork, . - vfork",
    failed = sym failed,
);

extern "C" fn failed(error: c_int) -> libc::pid_t {
    fail(error, -1)
}
