//! The last words of a worker whose library does what the processor forbids.

use crate::accel;
use std::ffi::{CStr, c_int, c_void};
use std::fmt::{self, Write};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// Has faults end the worker with the signal as its status, after it said where they
/// were. Rust's own handler, meant for stack overflows, would swallow a signal that was
/// sent from outside.
pub fn report_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
        // SAFETY: zeros are a valid action, and the handler has the type that SA_SIGINFO
        // asks for. It runs once, on Rust's own signal stack where there is one.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Takes the signal, the address that was accessed, and where. It runs in a signal handler.
pub(crate) type Note = fn(c_int, u64, &Place);

static NOTE: OnceLock<Note> = OnceLock::new();

/// Has a fault call `note` too.
#[cfg_attr(not(target_arch = "aarch64"), expect(dead_code))]
pub(crate) fn also(note: Note) {
    NOTE.get_or_init(|| note);
}

unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel fills both in for handlers with SA_SIGINFO.
    let (code, address, pc) = unsafe {
        let pc = program_counter(&*context.cast::<libc::ucontext_t>());
        ((*info).si_code, (*info).si_addr() as u64, pc)
    };
    // Sent by a process if not positive (siginfo.h); then nothing is known of the code.
    if code > 0 {
        let library_pc = accel::library_pc(pc);
        // That of the instruction itself (SIGILL) is where it really is.
        let address = if address == pc { library_pc } else { address };
        let place = Place::of(library_pc);
        let name = match signal {
            libc::SIGSEGV => "SIGSEGV",
            libc::SIGBUS => "SIGBUS",
            libc::SIGILL => "SIGILL",
            _ => "SIGFPE",
        };
        let mut line = Line::default();
        let _ = writeln!(line, "{name} at address {address:#x} in {place}");
        line.print();
        if let Some(note) = NOTE.get() {
            note(signal, address, &place);
        }
    }
    // SAFETY: the action is the default one again. The signal is blocked until this
    // returns, and then ends the process.
    unsafe { libc::raise(signal) };
}

fn program_counter(context: &libc::ucontext_t) -> u64 {
    #[cfg(target_arch = "aarch64")]
    return context.uc_mcontext.pc;
    #[cfg(target_arch = "x86_64")]
    return context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64;
}

/// Where code is, as the dynamic linker knows it.
pub(crate) struct Place {
    pc: u64,
    info: libc::Dl_info,
}

impl Place {
    pub(crate) fn of(pc: u64) -> Self {
        // SAFETY: zeros are a valid value; `dladdr` fills in what it knows. It takes a
        // lock of the dynamic linker, which this thread may take again.
        let info = unsafe {
            let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
            libc::dladdr(pc as *const c_void, info.as_mut_ptr());
            info.assume_init()
        };
        Self { pc, info }
    }

    /// The instruction's address.
    #[cfg_attr(not(target_arch = "aarch64"), expect(dead_code))]
    pub(crate) fn pc(&self) -> u64 {
        self.pc
    }

    /// The file name of the library and the nearest symbol; empty if unknown.
    pub(crate) fn names(&self) -> (&str, &str) {
        let text = |name: *const libc::c_char| {
            if name.is_null() {
                return "";
            }
            // SAFETY: names of loaded libraries and their symbols, which stay loaded.
            unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("?")
        };
        let library = text(self.info.dli_fname);
        (
            library.rsplit('/').next().unwrap_or(library),
            text(self.info.dli_sname),
        )
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pc, info } = self;
        let (library, symbol) = self.names();
        if library.is_empty() {
            return write!(f, "no library, pc {pc:#x}");
        }
        let offset = pc - info.dli_fbase as u64;
        write!(f, "{library}+{offset:#x}, pc {pc:#x}")?;
        if !symbol.is_empty() {
            write!(f, ", {:#x} after {symbol}", pc - info.dli_saddr as u64)?;
        }
        Ok(())
    }
}

/// A line of text that needs no memory: the heap may be what is broken.
struct Line {
    text: [u8; 512],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            text: [0; 512],
            length: 0,
        }
    }
}

impl Line {
    fn print(&self) {
        // SAFETY: that much was written to `text`.
        unsafe { libc::write(libc::STDERR_FILENO, self.text.as_ptr().cast(), self.length) };
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.text[self.length..];
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        Ok(())
    }
}
