//! Faults of translated code.
//!
//! An access that faults in the second translator's code is done again by the shim.
//! If QEMU had only write-protected the page, because it translated code from it, its
//! own handler then lifts the protection. If the guest may not do the access at all,
//! QEMU's handler delivers the signal; where it came from is noted here before.

use crate::turbo;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

/// The handlers that are called from ours.
struct Handlers {
    qemu: libc::sigaction,
    qemu_bus: libc::sigaction,
    translator: libc::sigaction,
}

static HANDLERS: OnceLock<Handlers> = OnceLock::new();

/// Runs what creates a translator. The first one installs a handler of its own, which
/// is to see the faults of translated code alone: it would complain about all others.
pub fn around_handlers<T>(create: impl FnOnce() -> T) -> T {
    if HANDLERS.get().is_some() {
        return create();
    }
    let qemu = action(libc::SIGSEGV, ptr::null());
    let qemu_bus = action(libc::SIGBUS, ptr::null());
    let created = create();
    let ours = |qemu| libc::sigaction {
        sa_sigaction: on_fault as *const () as usize,
        sa_flags: libc::SA_SIGINFO | libc::SA_ONSTACK,
        ..qemu
    };
    // Before ours can be called.
    let translator = action(libc::SIGSEGV, ptr::null());
    let _ = HANDLERS.set(Handlers {
        qemu,
        qemu_bus,
        translator,
    });
    action(libc::SIGSEGV, &ours(qemu));
    action(libc::SIGBUS, &ours(qemu_bus));
    created
}

/// The action for a signal, which is set to `new` unless that is null.
fn action(signal: c_int, new: *const libc::sigaction) -> libc::sigaction {
    let mut old = MaybeUninit::zeroed();
    // SAFETY: `new` is null or valid; `old` has room, and zeros are a valid value.
    unsafe {
        libc::sigaction(signal, new, old.as_mut_ptr());
        old.assume_init()
    }
}

unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a `siginfo_t` and a `ucontext_t` to handlers with
    // SA_SIGINFO.
    let (at, was_sent) = unsafe {
        let context = &*context.cast::<libc::ucontext_t>();
        let at = context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64;
        // Codes up to 0 are of kill(2) and its like (sigaction(2)).
        (at, (*info).si_code <= 0)
    };
    let Some(handlers) = HANDLERS.get() else {
        return;
    };
    // A signal that somebody sent says nothing of the code that runs.
    let code = turbo::current()
        .filter(|_| !was_sent)
        .and_then(|thread| Some((thread, thread.guest_code(at)?)));
    if let Some((thread, pc)) = code {
        thread.note_fault(pc);
    }
    let handler = match (signal, code) {
        // The end of a mapped file: nothing that doing it again could help.
        (libc::SIGBUS, _) => handlers.qemu_bus,
        (_, Some(_)) => handlers.translator,
        (_, None) => handlers.qemu,
    };
    // SAFETY: QEMU and the translator both install handlers with SA_SIGINFO, of this
    // type.
    unsafe {
        let handler: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
            std::mem::transmute(handler.sa_sigaction);
        handler(signal, info, context);
    }
}

/// Runs something with all signals blocked, which threads created in it inherit.
pub fn without_signals<T>(run: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are initialised by the calls that fill them.
    unsafe {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let result = run();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        result
    }
}
