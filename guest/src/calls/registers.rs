//! The built-in part: calls any function with the registers that the host chose, and calls
//! the host back with those that the library chose.

use super::callback::{Callback, callback_begin, callback_end, callback_run};
use super::parts::Part;
use super::switch::Function;
use iotdec_wire::registers::{FINGERPRINT, FUNCTIONS, Registers, SIGNATURES};
use std::ffi::c_void;
use std::mem::MaybeUninit;

std::arch::global_asm!(
    ".text",
    ".balign 16",
    // (message, unused): a function of a part.
    ".globl iotdec_registers_call",
    ".hidden iotdec_registers_call",
    ".type iotdec_registers_call, %function",
    "iotdec_registers_call:",
    "stp x29, x30, [sp, #-32]!",
    "mov x29, sp",
    "str x19, [sp, #16]",
    "mov x19, x0",
    // The stack's contents, from behind the struct.
    "ldr x9, [x19, #208]",
    "sub sp, sp, x9",
    "add x10, x19, #224",
    "mov x11, sp",
    "1:",
    "cbz x9, 2f",
    "ldp x12, x13, [x10], #16",
    "stp x12, x13, [x11], #16",
    "sub x9, x9, #16",
    "b 1b",
    "2:",
    "ldp q0, q1, [x19, #80]",
    "ldp q2, q3, [x19, #112]",
    "ldp q4, q5, [x19, #144]",
    "ldp q6, q7, [x19, #176]",
    "ldp x0, x1, [x19, #16]",
    "ldp x2, x3, [x19, #32]",
    "ldp x4, x5, [x19, #48]",
    "ldp x6, x7, [x19, #64]",
    "ldr x8, [x19, #8]",
    "ldr x16, [x19]",
    "blr x16",
    "stp x0, x1, [x19, #16]",
    "stp q0, q1, [x19, #80]",
    "stp q2, q3, [x19, #112]",
    "mov sp, x29",
    "ldr x19, [sp, #16]",
    "ldp x29, x30, [sp], #32",
    "ret",
    ".size iotdec_registers_call, . - iotdec_registers_call",
    // What stubs of native functions lead to, with the function in x18.
    ".globl iotdec_registers_entry",
    ".hidden iotdec_registers_entry",
    ".type iotdec_registers_entry, %function",
    "iotdec_registers_entry:",
    "stp x29, x30, [sp, #-16]!",
    "mov x29, sp",
    "sub sp, sp, #224",
    "stp x18, x8, [sp]",
    "stp x0, x1, [sp, #16]",
    "stp x2, x3, [sp, #32]",
    "stp x4, x5, [sp, #48]",
    "stp x6, x7, [sp, #64]",
    "stp q0, q1, [sp, #80]",
    "stp q2, q3, [sp, #112]",
    "stp q4, q5, [sp, #144]",
    "stp q6, q7, [sp, #176]",
    "add x9, x29, #16",
    "stp x9, xzr, [sp, #208]",
    "mov x0, sp",
    "bl iotdec_registers_callback",
    "ldp x0, x1, [sp, #16]",
    "ldp q0, q1, [sp, #80]",
    "ldp q2, q3, [sp, #112]",
    "mov sp, x29",
    "ldp x29, x30, [sp], #16",
    "ret",
    ".size iotdec_registers_entry, . - iotdec_registers_entry",
);

unsafe extern "C" {
    fn iotdec_registers_call(message: *mut c_void, unused: *mut c_void);
    fn iotdec_registers_entry();
}

/// Hands a callback to the host.
///
/// # Safety
/// Called by the entry above, with registers on its stack.
#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_registers_callback(registers: *mut Registers) {
    let mut callback = MaybeUninit::<Callback>::uninit();
    let callback = callback.as_mut_ptr();
    // SAFETY: begun, run and ended here; the message has as many bytes as are asked for, and
    // lies where only the host, which runs meanwhile, writes too. May be abandoned by
    // `unwind`: nothing here is dropped.
    unsafe {
        let message = callback_begin(callback, size_of::<Registers>()).cast::<Registers>();
        message.write(*registers);
        let target = (*registers).target as *mut c_void;
        callback_run(callback, part(), iotdec_wire::registers::ANY, target);
        registers.write(message.read());
        callback_end(callback);
    }
}

/// Constants behind pointers.
#[repr(transparent)]
struct Constant<T>(T);
// SAFETY: nobody writes there.
unsafe impl<T> Sync for Constant<T> {}

static CALLS: [Function; FUNCTIONS as usize] = [iotdec_registers_call];
static ENTRIES: Constant<[unsafe extern "C" fn(); SIGNATURES as usize]> =
    Constant([iotdec_registers_entry]);
/// Functions that are asked for by address are called like all others.
static SERVE: [Function; SIGNATURES as usize] = [iotdec_registers_call];
static PART: Constant<Part> = Constant(Part::built_in(
    (&CALLS, FUNCTIONS),
    (&SERVE, ENTRIES.0.as_ptr().cast(), SIGNATURES),
    FINGERPRINT,
));

/// The part.
pub fn part() -> *const Part {
    &raw const PART.0
}
