//! Instructions that the second translator does not know, executed by QEMU one by one.
//!
//! For each there is a piece of code: it loads all registers from a context, executes the
//! instruction, and puts all registers back. The context's address is meanwhile in a
//! register that the instruction does not name.
//!
//! This runs in the middle of whatever the library was doing, which may hold the C
//! library's locks: nothing here allocates or waits for anyone but another thread in
//! this module.

use super::leave::iotdec_turbo_leave;
use core::cell::Cell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use core::time::Duration;
use iotdec_wire::door::Context;

/// Different instructions that there can be code for; one more makes the thread leave.
const PLACES: usize = 512;
/// So many of these executions within [`SOON`] take most of that time (measured: 1 µs
/// each), and QEMU alone is faster.
const MANY: u64 = 4096;
const SOON: Duration = Duration::from_millis(10);
/// Instructions of such a piece of code, at most.
const LENGTH: usize = 80;

/// Code for one instruction.
#[repr(C)]
struct Piece([u32; LENGTH]);

/// Which instruction the piece of the same index executes, and how often it did:
/// the word in the low half and 1 in bit 32, and 0 if there is none.
static WORDS: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];
static HITS: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];
static PIECES: AtomicPtr<Piece> = AtomicPtr::new(ptr::null_mut());
static WRITING: AtomicBool = AtomicBool::new(false);
const PRESENT: u64 = 1 << 32;

unsafe extern "C" {
    /// Loads the vector registers and flags from `context`, goes on in `piece`, and
    /// returns when that jumps to [`iotdec_turbo_stepped`].
    fn iotdec_turbo_execute(context: *mut Context, piece: *const Piece);
    safe static iotdec_turbo_stepped: u8;
}

/// Executes the instructions that the exit of `context` names.
///
/// # Safety
/// For [`iotdec_turbo_enter`](super::enter::iotdec_turbo_enter).
pub unsafe extern "C" fn iotdec_turbo_step(context: *mut Context) {
    // SAFETY: the accelerator has filled the context in; it is this thread's alone. The
    // instructions are the library's own, which it was about to execute.
    unsafe {
        for _ in 0..(*context).detail {
            let word = ((*context).pc as *const u32).read();
            let piece = (!is_branch(word)).then(|| find(word)).flatten();
            let Some(piece) = piece else {
                iotdec_turbo_leave(context);
            };
            (*context).stepped += 1;
            if (*context).stepped.is_multiple_of(MANY) && is_soon() {
                iotdec_turbo_leave(context);
            }
            iotdec_turbo_execute(context, piece);
            (*context).pc += 4;
        }
    }
}

/// Whether this thread asked the same less than [`SOON`] ago.
fn is_soon() -> bool {
    thread_local! {
        static BEFORE: Cell<u64> = const { Cell::new(0) };
    }
    let (now, frequency): (u64, u64);
    // SAFETY: reads the clock, which ticks `frequency` times a second.
    unsafe {
        core::arch::asm!(
            "mrs {}, cntvct_el0",
            "mrs {}, cntfrq_el0",
            out(reg) now,
            out(reg) frequency,
            options(nomem, nostack, preserves_flags),
        );
    }
    let passed = now.wrapping_sub(BEFORE.replace(now));
    passed < frequency / 1000 * SOON.as_millis() as u64
}

/// How often each instruction was executed so far.
pub fn hits() -> impl Iterator<Item = (u32, u64)> {
    let words = WORDS.iter().map(|word| word.load(Ordering::Relaxed));
    let hits = HITS.iter().map(|hits| hits.load(Ordering::Relaxed));
    words
        .zip(hits)
        .filter(|(word, _)| *word != 0)
        .map(|(word, hits)| (word as u32, hits))
}

/// Whether this is code that executes an unknown instruction.
pub fn contains(pc: u64) -> bool {
    let start = PIECES.load(Ordering::Acquire) as u64;
    start != 0 && (start..start + (PLACES * size_of::<Piece>()) as u64).contains(&pc)
}

/// Branches, which are about where they are (Arm ARM, C4.1: op0 is x101x). The system
/// instructions among them, whose highest byte is 0xd5, are not.
fn is_branch(word: u32) -> bool {
    word >> 26 & 7 == 0b101 && word >> 24 != 0xd5
}

/// The code for an instruction.
fn find(word: u32) -> Option<*const Piece> {
    let wanted = u64::from(word) | PRESENT;
    let start = word.wrapping_mul(0x9e37_79b1) as usize % PLACES;
    for index in (start..PLACES).chain(0..start) {
        let mut there = WORDS[index].load(Ordering::Acquire);
        if there == 0 {
            while WRITING.swap(true, Ordering::Acquire) {
                core::hint::spin_loop();
            }
            there = WORDS[index].load(Ordering::Acquire);
            if there == 0 {
                let written = write(index, word);
                if written {
                    WORDS[index].store(wanted, Ordering::Release);
                    there = wanted;
                }
            }
            WRITING.store(false, Ordering::Release);
            if there == 0 {
                return None;
            }
        }
        if there == wanted {
            HITS[index].fetch_add(1, Ordering::Relaxed);
            // SAFETY: there are `PLACES` pieces once one is present.
            return Some(unsafe { PIECES.load(Ordering::Acquire).add(index) });
        }
    }
    None
}

/// Writes the code for an instruction; false if there is no memory for it.
fn write(index: usize, word: u32) -> bool {
    let mut pieces = PIECES.load(Ordering::Acquire);
    if pieces.is_null() {
        // SAFETY: new memory. Executable is what QEMU may translate; the host's
        // processor never executes it.
        let mapped = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PLACES * size_of::<Piece>(),
                libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return false;
        }
        pieces = mapped.cast();
        PIECES.store(pieces, Ordering::Release);
    }
    // SAFETY: inside the mapping, and nobody executes this piece yet. QEMU notices
    // writes to code by itself.
    unsafe { pieces.add(index).write(piece(word)) };
    true
}

/// The code that executes `word` between loading x0 to x30 and sp from the context that
/// x0 points to, and putting them back.
fn piece(word: u32) -> Piece {
    let base = free_register(word);
    let register = |number: u32| (offset_of!(Context, x) / 8) as u32 + number;
    let sp = (offset_of!(Context, sp) / 8) as u32;
    // Unsigned offset in units of 8 bytes (Arm ARM, C6.2.166 and C6.2.322).
    let load = |number: u32, at: u32| 0xf940_0000 | at << 10 | base << 5 | number;
    let store = |number: u32, at: u32| 0xf900_0000 | at << 10 | base << 5 | number;
    let move_register = |to: u32, from: u32| 0xaa00_03e0 | from << 16 | to;
    let others = || (0..31).filter(move |number| *number != base);
    let scratch = if base == 1 { 2 } else { 1 };

    let mut code = Piece([0; LENGTH]);
    let mut length = 0;
    let mut emit = |word: u32| {
        code.0[length] = word;
        length += 1;
    };
    emit(move_register(base, 0));
    emit(load(scratch, sp));
    emit(0x9100_001f | scratch << 5); // mov sp, scratch
    others().for_each(|number| emit(load(number, register(number))));
    emit(word);
    others().for_each(|number| emit(store(number, register(number))));
    emit(move_register(0, base));
    let end = &raw const iotdec_turbo_stepped as u64;
    for (index, part) in (0..).zip([end, end >> 16, end >> 32, end >> 48]) {
        let opcode = if index == 0 { 0xd280_0000 } else { 0xf280_0000 };
        emit(opcode | index << 21 | (part as u32 & 0xffff) << 5 | 1); // movz, movk x1
    }
    emit(0xd61f_0020); // br x1
    code
}

/// A register that an instruction does not use: not in any of the four fields that can
/// name one, nor the one after (pairs of `casp`), nor x0, which the code needs first.
fn free_register(word: u32) -> u32 {
    let fields = [word & 31, word >> 5 & 31, word >> 10 & 31, word >> 16 & 31];
    (1..=28)
        .rev()
        .find(|number| {
            let is_used = |field: &u32| *field == *number || *field + 1 == *number;
            !fields.iter().any(is_used)
        })
        .expect("at most eight of them are used")
}

macro_rules! vectors {
    ($instruction:literal) => {
        concat!(
            $instruction,
            " q0, q1, [x0, #{v}]\n",
            $instruction,
            " q2, q3, [x0, #{v} + 32]\n",
            $instruction,
            " q4, q5, [x0, #{v} + 64]\n",
            $instruction,
            " q6, q7, [x0, #{v} + 96]\n",
            $instruction,
            " q8, q9, [x0, #{v} + 128]\n",
            $instruction,
            " q10, q11, [x0, #{v} + 160]\n",
            $instruction,
            " q12, q13, [x0, #{v} + 192]\n",
            $instruction,
            " q14, q15, [x0, #{v} + 224]\n",
            $instruction,
            " q16, q17, [x0, #{v} + 256]\n",
            $instruction,
            " q18, q19, [x0, #{v} + 288]\n",
            $instruction,
            " q20, q21, [x0, #{v} + 320]\n",
            $instruction,
            " q22, q23, [x0, #{v} + 352]\n",
            $instruction,
            " q24, q25, [x0, #{v} + 384]\n",
            $instruction,
            " q26, q27, [x0, #{v} + 416]\n",
            $instruction,
            " q28, q29, [x0, #{v} + 448]\n",
            $instruction,
            " q30, q31, [x0, #{v} + 480]\n",
        )
    };
}

core::arch::global_asm!(
    "    .globl iotdec_turbo_execute, iotdec_turbo_stepped",
    "    .hidden iotdec_turbo_execute, iotdec_turbo_stepped",
    "    .type iotdec_turbo_execute, %function",
    "iotdec_turbo_execute:",
    "    stp x29, x30, [sp, #-160]!",
    "    stp x19, x20, [sp, #16]",
    "    stp x21, x22, [sp, #32]",
    "    stp x23, x24, [sp, #48]",
    "    stp x25, x26, [sp, #64]",
    "    stp x27, x28, [sp, #80]",
    "    stp d8, d9, [sp, #96]",
    "    stp d10, d11, [sp, #112]",
    "    stp d12, d13, [sp, #128]",
    "    stp d14, d15, [sp, #144]",
    "    mov x9, sp",
    "    str x9, [x0, #{own_sp}]",
    vectors!("ldp"),
    "    ldr w9, [x0, #{fpcr}]",
    "    msr fpcr, x9",
    "    ldr w9, [x0, #{fpsr}]",
    "    msr fpsr, x9",
    "    ldr w9, [x0, #{nzcv}]",
    "    msr nzcv, x9",
    "    br x1",
    "iotdec_turbo_stepped:",
    "    mov x9, sp",
    "    str x9, [x0, #{sp}]",
    "    ldr x9, [x0, #{own_sp}]",
    "    mov sp, x9",
    vectors!("stp"),
    "    mrs x9, nzcv",
    "    str w9, [x0, #{nzcv}]",
    "    mrs x9, fpcr",
    "    str w9, [x0, #{fpcr}]",
    "    mrs x9, fpsr",
    "    str w9, [x0, #{fpsr}]",
    "    ldp x19, x20, [sp, #16]",
    "    ldp x21, x22, [sp, #32]",
    "    ldp x23, x24, [sp, #48]",
    "    ldp x25, x26, [sp, #64]",
    "    ldp x27, x28, [sp, #80]",
    "    ldp d8, d9, [sp, #96]",
    "    ldp d10, d11, [sp, #112]",
    "    ldp d12, d13, [sp, #128]",
    "    ldp d14, d15, [sp, #144]",
    "    ldp x29, x30, [sp], #160",
    "    ret",
    "    .size iotdec_turbo_execute, . - iotdec_turbo_execute",
    v = const offset_of!(Context, v),
    sp = const offset_of!(Context, sp),
    own_sp = const offset_of!(Context, own_sp),
    nzcv = const offset_of!(Context, nzcv),
    fpcr = const offset_of!(Context, fpcr),
    fpsr = const offset_of!(Context, fpsr),
);
