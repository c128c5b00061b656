//! Executes code with all registers under control: in QEMU, by jumping to it.
//!
//! One register has to stay free, to find the others by; see [`Base`].

use crate::values::{SCRATCH, State};
use iotdec_wire::door::Context;
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering::Relaxed};

/// The size of a page of the guest.
const PAGE: usize = 4096;
/// Where the scratch memory is: in the middle of it, one page ends.
const SCRATCH_AT: usize = 2 * PAGE - SCRATCH / 2;
const CODE_AT: usize = 3 * PAGE;
/// Bytes of code: within reach of a literal's load.
const CODE: usize = 768 << 10;
/// Units there is room for.
pub const UNITS: usize = 256;
/// Bytes that a unit has. The translator files what it knows by address, and does so
/// badly if all of it is crowded into a few pages.
const ROOM: usize = CODE / UNITS;

/// The register that holds the [`Frame`]'s address all the time. Two, so that each
/// register is another's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// x28.
    X28,
    /// x15.
    X15,
}

impl Base {
    /// Its number.
    pub fn register(self) -> u32 {
        match self {
            Self::X28 => 28,
            Self::X15 => 15,
        }
    }
}

/// What code is executed from, and comes back to.
#[repr(C, align(64))]
pub struct Frame {
    /// The registers, before and after.
    pub context: Context,
    /// Where to go.
    entry: u64,
    /// Where to come back to.
    exit: u64,
    /// The caller's stack.
    stack: u64,
}

const _: () = assert!(size_of::<Frame>() <= PAGE && offset_of!(Frame, context) == 0);

// `NAME(frame)`: loads all registers from the frame and goes to its entry, which is to
// load x30 itself; comes back with x30 already stored.
#[cfg(target_arch = "aarch64")]
macro_rules! exchange {
    ($name:literal, $base:literal) => {
        std::arch::global_asm!(
            concat!("    .globl ", $name),
            concat!("    .hidden ", $name),
            concat!("    .type ", $name, ", %function"),
            concat!($name, ":"),
            "    sub sp, sp, #160",
            "    stp x19, x20, [sp]",
            "    stp x21, x22, [sp, #16]",
            "    stp x23, x24, [sp, #32]",
            "    stp x25, x26, [sp, #48]",
            "    stp x27, x28, [sp, #64]",
            "    stp x29, x30, [sp, #80]",
            "    stp d8, d9, [sp, #96]",
            "    stp d10, d11, [sp, #112]",
            "    stp d12, d13, [sp, #128]",
            "    stp d14, d15, [sp, #144]",
            concat!("    mov ", $base, ", x0"),
            "    mov x1, sp",
            concat!("    str x1, [", $base, ", #{stack}]"),
            "    adr x1, 2f",
            concat!("    str x1, [", $base, ", #{exit}]"),
            concat!("    ldr x1, [", $base, ", #{sp}]"),
            "    mov sp, x1",
            concat!("    ldr w1, [", $base, ", #{nzcv}]"),
            "    msr nzcv, x1",
            concat!("    ldr w1, [", $base, ", #{fpcr}]"),
            "    msr fpcr, x1",
            concat!("    ldr w1, [", $base, ", #{fpsr}]"),
            "    msr fpsr, x1",
            "    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            concat!("    ldr q\\n, [", $base, ", #{v} + 16 * \\n]"),
            "    .endr",
            "    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29",
            concat!("    .ifnc x\\n, ", $base),
            concat!("    ldr x\\n, [", $base, ", #{x} + 8 * \\n]"),
            "    .endif",
            "    .endr",
            concat!("    ldr x30, [", $base, ", #{entry}]"),
            "    br x30",
            "2:",
            "    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29",
            concat!("    str x\\n, [", $base, ", #{x} + 8 * \\n]"),
            "    .endr",
            "    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            concat!("    str q\\n, [", $base, ", #{v} + 16 * \\n]"),
            "    .endr",
            "    mrs x1, nzcv",
            concat!("    str w1, [", $base, ", #{nzcv}]"),
            "    mrs x1, fpcr",
            concat!("    str w1, [", $base, ", #{fpcr}]"),
            "    mrs x1, fpsr",
            concat!("    str w1, [", $base, ", #{fpsr}]"),
            "    msr fpcr, xzr",
            "    mov x1, sp",
            concat!("    str x1, [", $base, ", #{sp}]"),
            concat!("    ldr x1, [", $base, ", #{stack}]"),
            "    mov sp, x1",
            "    ldp x19, x20, [sp]",
            "    ldp x21, x22, [sp, #16]",
            "    ldp x23, x24, [sp, #32]",
            "    ldp x25, x26, [sp, #48]",
            "    ldp x27, x28, [sp, #64]",
            "    ldp x29, x30, [sp, #80]",
            "    ldp d8, d9, [sp, #96]",
            "    ldp d10, d11, [sp, #112]",
            "    ldp d12, d13, [sp, #128]",
            "    ldp d14, d15, [sp, #144]",
            "    add sp, sp, #160",
            "    ret",
            concat!("    .size ", $name, ", . - ", $name),
            x = const offset_of!(Frame, context.x),
            sp = const offset_of!(Frame, context.sp),
            nzcv = const offset_of!(Frame, context.nzcv),
            fpcr = const offset_of!(Frame, context.fpcr),
            fpsr = const offset_of!(Frame, context.fpsr),
            v = const offset_of!(Frame, context.v),
            entry = const offset_of!(Frame, entry),
            exit = const offset_of!(Frame, exit),
            stack = const offset_of!(Frame, stack),
        );
    };
}

#[cfg(target_arch = "aarch64")]
exchange!("iotdec_fuzz_x28", "x28");
#[cfg(target_arch = "aarch64")]
exchange!("iotdec_fuzz_x15", "x15");

#[cfg(target_arch = "aarch64")]
unsafe extern "C" {
    fn iotdec_fuzz_x28(frame: *mut Frame);
    fn iotdec_fuzz_x15(frame: *mut Frame);
}

/// Executable code for one sequence: all of it in a row, and each word by itself.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    prefix: u64,
    words: usize,
}

/// Words before the sequence, and after it, and for each word by itself.
const PREFIX: usize = 1;
const SUFFIX: usize = 3;
const SINGLE: usize = 3;

impl Unit {
    /// The address of the first word.
    pub fn code(self) -> u64 {
        self.prefix + 4 * PREFIX as u64
    }

    /// The address after the last word.
    pub fn end(self) -> u64 {
        self.code() + 4 * self.words as u64
    }

    /// Where to go to execute all of it.
    fn all(self) -> u64 {
        self.prefix
    }

    /// Where to go to execute the word that is at `pc` by itself.
    fn single(self, pc: u64) -> Option<u64> {
        let index = (self.code()..self.end())
            .contains(&pc)
            .then(|| (pc - self.code()) / 4)?;
        Some(self.end() + 4 * (SUFFIX as u64 + SINGLE as u64 * index))
    }
}

/// What a signal said that ended an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its number.
    pub signal: c_int,
    /// The program counter.
    pub pc: u64,
}

/// Memory for code and data, and a way to execute it.
pub struct Machine {
    memory: *mut u8,
    base: Base,
    units: usize,
}

/// The frame that code is executing from; what its end by a signal needs.
static EXECUTING: AtomicPtr<Frame> = AtomicPtr::new(ptr::null_mut());
static BASE_IS_X28: AtomicBool = AtomicBool::new(true);
/// The unit that the translator is executing.
pub static IN_TURBO: AtomicPtr<Unit> = AtomicPtr::new(ptr::null_mut());
static SIGNAL: AtomicI32 = AtomicI32::new(0);
static SIGNAL_PC: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

impl Machine {
    /// A machine. There is one in a process, used by one thread.
    pub fn new() -> std::io::Result<Self> {
        // SAFETY: new memory.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                CODE_AT + CODE,
                libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        handle_signals()?;
        Ok(Self {
            memory: memory.cast(),
            base: Base::X28,
            units: 0,
        })
    }

    /// What is loaded into registers, and stored from them.
    pub fn frame(&mut self) -> *mut Frame {
        self.memory.cast()
    }

    /// Its address.
    pub fn frame_address(&self) -> u64 {
        self.memory as u64
    }

    /// Sets registers and memory.
    pub fn load(&mut self, state: &State) {
        // SAFETY: inside the mapping, and in nobody else's use.
        unsafe {
            (*self.frame()).context = state.context;
            self.scratch().write(state.scratch);
        }
    }

    /// The registers and memory there are now.
    pub fn store(&mut self) -> State {
        // SAFETY: as above.
        unsafe {
            State {
                context: (*self.frame()).context,
                scratch: self.scratch().read(),
            }
        }
    }

    /// The scratch memory's address.
    pub fn scratch(&self) -> *mut [u8; SCRATCH] {
        // SAFETY: inside the mapping.
        unsafe { self.memory.add(SCRATCH_AT).cast() }
    }

    /// The register that is not the code's.
    pub fn base(&self) -> Base {
        self.base
    }

    /// Begins anew with code, for the given base.
    pub fn clear(&mut self, base: Base) {
        self.base = base;
        self.units = 0;
    }

    /// All code there can be: address and length.
    pub fn code_range(&self) -> (u64, u64) {
        (self.memory as u64 + CODE_AT as u64, CODE as u64)
    }

    /// Where the first word of the next unit will be, which may have `words` words and
    /// is moved by `offset` of the words that then are left over.
    pub fn next(&self, words: usize, offset: usize) -> u64 {
        assert!(self.units < UNITS, "there is room");
        let left = ROOM / 4 - (PREFIX + words + SUFFIX + SINGLE * words);
        let at = CODE_AT + self.units * ROOM + 4 * (offset % left + PREFIX);
        self.memory as u64 + at as u64
    }

    /// Writes code that is to be at `at`, which is from [`Self::next`].
    pub fn write(&mut self, at: u64, words: &[u32]) -> Unit {
        let unit = Unit {
            prefix: at - 4 * PREFIX as u64,
            words: words.len(),
        };
        self.rewrite(unit, words);
        self.units += 1;
        unit
    }

    /// Replaces the code of a unit by another of the same length.
    pub fn rewrite(&mut self, unit: Unit, words: &[u32]) {
        assert_eq!(words.len(), unit.words);
        let base = self.base.register();
        // Unsigned offset in units of 8 bytes (Arm ARM, C6.2.166 and C6.2.322).
        let access =
            |opcode: u32, offset: usize| opcode | (offset as u32 / 8) << 10 | base << 5 | 30;
        let x30 = offset_of!(Frame, context.x) + 8 * 30;
        let load_x30 = access(0xf940_0000, x30);
        let mut code = Vec::with_capacity(words.len() * (1 + SINGLE) + PREFIX + SUFFIX);
        code.push(load_x30);
        code.extend_from_slice(words);
        let end = code.len();
        code.push(access(0xf900_0000, x30));
        code.push(access(0xf940_0000, offset_of!(Frame, exit)));
        code.push(0xd61f_03c0); // br x30
        for word in words {
            code.extend([load_x30, *word]);
            let back = end as i32 - code.len() as i32;
            code.push(0x1400_0000 | back as u32 & 0x3ff_ffff); // b
        }
        // SAFETY: a unit is inside the mapping, and nobody refers to it.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), unit.prefix as *mut u32, code.len()) };
    }

    /// Executes all of a unit from what is in the frame.
    pub fn execute(&mut self, unit: Unit) -> Result<(), Fault> {
        self.go(unit.all())
    }

    /// Executes the one word of a unit that is at `pc`.
    pub fn execute_single(&mut self, unit: Unit, pc: u64) -> Option<Result<(), Fault>> {
        unit.single(pc).map(|entry| self.go(entry))
    }

    fn go(&mut self, entry: u64) -> Result<(), Fault> {
        let frame = self.frame();
        SIGNAL.store(0, Relaxed);
        BASE_IS_X28.store(self.base == Base::X28, Relaxed);
        EXECUTING.store(frame, Relaxed);
        // SAFETY: the frame is in the mapping; the code at `entry` accesses the scratch
        // memory alone and comes back, or is brought back by the signal handler.
        unsafe {
            (*frame).entry = entry;
            (*frame).context.x[self.base.register() as usize] = frame as u64;
            exchange(self.base, frame);
        }
        EXECUTING.store(ptr::null_mut(), Relaxed);
        match SIGNAL.load(Relaxed) {
            0 => Ok(()),
            signal => Err(Fault {
                signal,
                pc: SIGNAL_PC.load(Relaxed) as u64,
            }),
        }
    }
}

/// # Safety
/// As for [`Machine::go`].
#[cfg(target_arch = "aarch64")]
unsafe fn exchange(base: Base, frame: *mut Frame) {
    // SAFETY: the caller's promise.
    unsafe {
        match base {
            Base::X28 => iotdec_fuzz_x28(frame),
            Base::X15 => iotdec_fuzz_x15(frame),
        }
    }
}

#[cfg(not(target_arch = "aarch64"))]
unsafe fn exchange(_: Base, _: *mut Frame) {
    unimplemented!("executes aarch64 code")
}

/// The code under test may leave anything in the stack pointer.
fn handle_signals() -> std::io::Result<()> {
    const STACK: usize = 64 << 10;
    let stack = libc::stack_t {
        ss_sp: Box::leak(vec![0u8; STACK].into_boxed_slice())
            .as_mut_ptr()
            .cast(),
        ss_flags: 0,
        ss_size: STACK,
    };
    // SAFETY: the stack stays; zeros are a valid action.
    unsafe {
        if libc::sigaltstack(&stack, ptr::null_mut()) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        for signal in [
            libc::SIGILL,
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGTRAP,
            libc::SIGFPE,
        ] {
            if libc::sigaction(signal, &action, ptr::null_mut()) != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Goes on where the code under test would have come back to.
unsafe extern "C" fn on_signal(signal: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let frame = EXECUTING.load(Relaxed);
    if frame.is_null() {
        // In the translator's half nothing can be saved.
        eprintln!(
            "signal {signal} while the translator executes this unit: {:x?}",
            unsafe {
                // SAFETY: null, or the unit that is executed last.
                IN_TURBO.load(Relaxed).as_ref()
            }
        );
        // SAFETY: ends the process.
        unsafe { libc::_exit(3) }
    }
    SIGNAL.store(signal, Relaxed);
    // SAFETY: the kernel gives a `ucontext_t`; the frame is in use by this thread.
    unsafe { go_on(context, frame) };
}

#[cfg(target_arch = "aarch64")]
unsafe fn go_on(context: *mut c_void, frame: *mut Frame) {
    // SAFETY: the caller's promise.
    let (machine, frame) = unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        (&mut context.uc_mcontext, &mut *frame)
    };
    SIGNAL_PC.store(machine.pc as *mut c_void, Relaxed);
    frame.context.x[30] = machine.regs[30];
    machine.pc = frame.exit;
    let base = if BASE_IS_X28.load(Relaxed) {
        Base::X28
    } else {
        Base::X15
    };
    machine.regs[base.register() as usize] = (&raw mut *frame) as u64;
}

#[cfg(not(target_arch = "aarch64"))]
unsafe fn go_on(_: *mut c_void, _: *mut Frame) {}
