//! The guest's system calls, seen from inside: those that change what code there is, and
//! those that ask for signals which turbo cannot deliver as they should be.

use crate::door::host;
use crate::qemu::{PluginId, qemu};
use crate::turbo;
use std::cell::Cell;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Numbers of asm-generic/unistd.h.
mod number {
    pub const RT_SIGACTION: i64 = 134;
    pub const SHMDT: i64 = 197;
    pub const MUNMAP: i64 = 215;
    pub const MREMAP: i64 = 216;
    pub const MMAP: i64 = 222;
    pub const MPROTECT: i64 = 226;
    pub const MADVISE: i64 = 233;
    pub const PKEY_MPROTECT: i64 = 288;
}

/// `MAP_FIXED` and `MREMAP_FIXED` (asm-generic/mman.h, linux/mman.h).
const MAP_FIXED: u64 = 0x10;
const MREMAP_FIXED: u64 = 2;
/// asm-generic/mman-common.h.
const PROT_EXEC: u64 = 4;

mod signal {
    /// SIGILL, SIGBUS and SIGSEGV (asm-generic/signal.h).
    pub const FAULTS: [u64; 3] = [4, 7, 11];
    /// Where there is no handler: SIG_DFL and SIG_IGN (asm-generic/signal-defs.h).
    pub const NO_HANDLERS: [u64; 2] = [0, 1];
}

/// The arguments of a call.
type Arguments = [u64; 5];

thread_local! {
    /// The call that this thread is making.
    static CALL: Cell<Arguments> = const { Cell::new([0; 5]) };
}

/// Whether signal handlers are the library's; those before are the worker's.
static JUDGES_SIGNALS: AtomicBool = AtomicBool::new(false);
/// The worker's own handlers, by the place in [`signal::FAULTS`].
static OWN_HANDLERS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
/// Which of these signals the library handles, bit by bit.
static HANDLED: AtomicU32 = AtomicU32::new(0);

/// Begins to watch.
pub fn watch(id: PluginId) {
    qemu().on_syscall(id, before);
    qemu().on_syscall_end(id, after);
}

/// Signal handlers that are installed from now on are the library's.
pub fn judge_signals() {
    JUDGES_SIGNALS.store(true, Relaxed);
}

unsafe extern "C" fn before(
    _: PluginId,
    _: c_uint,
    number: i64,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    _: u64,
    _: u64,
    _: u64,
) {
    use number::*;
    match number {
        MUNMAP => {
            turbo::code_changed(a, b);
            turbo::set_executable(a, b, false);
        }
        MPROTECT | PKEY_MPROTECT | MADVISE => turbo::code_changed(a, b),
        MMAP if d & MAP_FIXED != 0 => turbo::code_changed(a, b),
        MREMAP => {
            turbo::code_changed(a, b);
            if d & MREMAP_FIXED != 0 {
                turbo::code_changed(e, c);
            }
        }
        SHMDT => turbo::code_changed(0, u64::MAX),
        _ => {}
    }
    CALL.set([a, b, c, d, e]);
}

unsafe extern "C" fn after(_: PluginId, _: c_uint, number: i64, result: i64) {
    use number::*;
    let is_error = (-4095..0).contains(&result);
    if is_error {
        return;
    }
    let [a, b, c, ..] = CALL.get();
    match number {
        MMAP => turbo::set_executable(result as u64, b, c & PROT_EXEC != 0),
        MPROTECT | PKEY_MPROTECT => turbo::set_executable(a, b, c & PROT_EXEC != 0),
        MREMAP => {
            let is_executable = turbo::is_executable(a);
            turbo::set_executable(a, b, false);
            turbo::set_executable(result as u64, c, is_executable);
        }
        RT_SIGACTION if b != 0 => {
            // SAFETY: QEMU has just read it. The handler comes first (linux/signal.h of
            // arm64).
            on_action(a, unsafe { host::<u64>(b).read_unaligned() });
        }
        _ => {}
    }
}

/// Turbo does not know to the instruction where a fault happened, and lets instructions
/// pass that the processor shown lacks: while the library handles such signals, all is
/// left to QEMU.
fn on_action(signal: u64, handler: u64) {
    let Some(index) = signal::FAULTS.iter().position(|fault| *fault == signal) else {
        return;
    };
    if !JUDGES_SIGNALS.load(Relaxed) {
        OWN_HANDLERS[index].store(handler, Relaxed);
        return;
    }
    let is_librarys =
        !signal::NO_HANDLERS.contains(&handler) && handler != OWN_HANDLERS[index].load(Relaxed);
    let handled = if is_librarys {
        HANDLED.fetch_or(1 << index, Relaxed) | 1 << index
    } else {
        HANDLED.fetch_and(!(1 << index), Relaxed) & !(1 << index)
    };
    turbo::decline(handled != 0);
}
