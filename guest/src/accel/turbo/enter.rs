//! The way into turbo and out of it.

use super::leave::iotdec_turbo_leave;
use super::step::iotdec_turbo_step;
use core::ffi::c_void;
use core::mem::offset_of;
use iotdec_wire::door::{Context, Exit, KNOCK, Service};

/// A function that turbo runs, as `pthread_create` takes it.
pub type Function = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;

unsafe extern "C-unwind" {
    /// Calls `function(argument)` in turbo.
    ///
    /// The function has the caller's own stack, below a frame that unwinders can walk:
    /// `pthread_exit` and exceptions pass through it.
    ///
    /// # Safety
    /// Calling the function is sound, the accelerator has turbo, and `context` is of no
    /// other use until this returns, or for ever if it does not.
    pub fn iotdec_turbo_enter(
        context: *mut Context,
        function: Function,
        argument: *mut c_void,
    ) -> *mut c_void;
    /// Where that function ends.
    safe static iotdec_turbo_entered: u8;
}

/// Whether QEMU's program counter is here while translated code runs.
pub fn contains(pc: u64) -> bool {
    let start = iotdec_turbo_enter as *const () as u64;
    (start..&raw const iotdec_turbo_entered as u64).contains(&pc)
}

// While the function runs, and until it has returned, nothing of this is on the stack
// but the frame above it: a thread may leave that frame for good by `pthread_exit`, and
// then ends with system calls made here. Hence only x19 is relied upon.
//
// Threads are cancelled by signals, and unwound from where those found them. What is
// here while a call runs is described as its caller sees it (`.cfi_signal_frame`): all
// registers are in the context that x19 points to, the stack pointer and the program
// counter too, which is in column 96 (AADWARF64, 4.1: for that purpose).
//
// QEMU delivers signals between blocks of translated code, on the stack pointer that it
// knows: that must be the function's. So the first thing after a knock, in the same
// block, is to take it over.
core::arch::global_asm!(
    "    .p2align 8",
    "    .globl iotdec_turbo_enter, iotdec_turbo_entered",
    "    .hidden iotdec_turbo_enter, iotdec_turbo_entered",
    "    .type iotdec_turbo_enter, %function",
    "iotdec_turbo_enter:",
    "    .cfi_startproc",
    "    stp x29, x30, [sp, #-160]!",
    "    .cfi_def_cfa_offset 160",
    "    .cfi_offset x29, -160",
    "    .cfi_offset x30, -152",
    "    stp x19, x20, [sp, #16]",
    "    .cfi_offset x19, -144",
    "    .cfi_offset x20, -136",
    "    stp x21, x22, [sp, #32]",
    "    .cfi_offset x21, -128",
    "    .cfi_offset x22, -120",
    "    stp x23, x24, [sp, #48]",
    "    .cfi_offset x23, -112",
    "    .cfi_offset x24, -104",
    "    stp x25, x26, [sp, #64]",
    "    .cfi_offset x25, -96",
    "    .cfi_offset x26, -88",
    "    stp x27, x28, [sp, #80]",
    "    .cfi_offset x27, -80",
    "    .cfi_offset x28, -72",
    "    stp d8, d9, [sp, #96]",
    "    .cfi_offset b8, -64",
    "    .cfi_offset b9, -56",
    "    stp d10, d11, [sp, #112]",
    "    .cfi_offset b10, -48",
    "    .cfi_offset b11, -40",
    "    stp d12, d13, [sp, #128]",
    "    .cfi_offset b12, -32",
    "    .cfi_offset b13, -24",
    "    stp d14, d15, [sp, #144]",
    "    .cfi_offset b14, -16",
    "    .cfi_offset b15, -8",
    "    mov x29, sp",
    "    mov x19, x0",
    "    str x2, [x19, #{x}]",
    "    str x29, [x19, #{x} + 8 * 29]",
    "    adr x20, 5f",
    "    str x20, [x19, #{x} + 8 * 30]",
    "    str x29, [x19, #{sp}]",
    "    str x1, [x19, #{pc}]",
    "    mrs x9, tpidr_el0",
    "    str x9, [x19, #{tpidr}]",
    "    mrs x9, fpcr",
    "    str w9, [x19, #{fpcr}]",
    "    mrs x9, fpsr",
    "    str w9, [x19, #{fpsr}]",
    "    str wzr, [x19, #{nzcv}]",
    "    .cfi_endproc",
    // The frame of a call that runs.
    "    .cfi_startproc",
    "    .cfi_signal_frame",
    "    .cfi_return_column 96",
    // DW_CFA_def_cfa_expression of DW_OP_breg19 and DW_OP_deref; then DW_CFA_expression
    // of DW_OP_breg19 for each register (DWARF 5, 6.4.2 and 7.7.1). Offsets are LEB128.
    "    .cfi_escape 0x0f, 4, 0x83, ({sp} & 0x7f) | 0x80, {sp} >> 7, 0x06",
    "    .cfi_escape 0x10, 96, 3, 0x83, ({pc} & 0x7f) | 0x80, {pc} >> 7",
    "    .irp number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
    "    .cfi_escape 0x10, \\number, 3, 0x83, (({x} + 8 * \\number) & 0x7f) | 0x80, ({x} + 8 * \\number) >> 7",
    "    .endr",
    "    .irp number, 8,9,10,11,12,13,14,15",
    "    .cfi_escape 0x10, 64 + \\number, 3, 0x83, (({v} + 16 * \\number) & 0x7f) | 0x80, ({v} + 16 * \\number) >> 7",
    "    .endr",
    // Runs until the next exit.
    "1:  mov x0, x19",
    "    mov w1, #{run}",
    "    adr x9, 5f",
    "    str x9, [x19, #{values}]",
    // Left as it is by an accelerator that declines: then this thread leaves.
    "    mov w9, #{leaves}",
    "    str w9, [x19, #{exit}]",
    "    str wzr, [x19, #{status}]",
    "    .inst {hint}",
    "    .inst {store}",
    "    ldr x9, [x19, #{sp}]",
    "    and x9, x9, #-16",
    "    mov sp, x9",
    "    ldr w9, [x19, #{exit}]",
    "    cmp w9, #{syscall}",
    "    b.eq 2f",
    "    cmp w9, #{returned}",
    "    b.eq 4f",
    "    cmp w9, #{unknown}",
    "    b.eq 3f",
    "    cmp w9, #{pause}",
    "    b.eq 1b",
    "    mov x0, x19",
    "    bl {leave}",
    "    brk #1",
    // A system call. The child of a fork goes on from here too, with its own memory.
    "2:  ldp x0, x1, [x19, #{x}]",
    "    ldp x2, x3, [x19, #{x} + 16]",
    "    ldp x4, x5, [x19, #{x} + 32]",
    "    ldr x8, [x19, #{x} + 64]",
    "    svc #0",
    "    str x0, [x19, #{x}]",
    "    b 1b",
    // Instructions that QEMU executes.
    "3:  mov x0, x19",
    "    bl {step}",
    "    b 1b",
    "4:  ldr x0, [x19, #{x}]",
    "    ldr w9, [x19, #{fpcr}]",
    "    msr fpcr, x9",
    "    ldr w9, [x19, #{fpsr}]",
    "    msr fpsr, x9",
    "    .cfi_endproc",
    "    .cfi_startproc",
    "    .cfi_def_cfa_offset 160",
    "    .cfi_offset x29, -160",
    "    .cfi_offset x30, -152",
    "    .cfi_offset x19, -144",
    "    .cfi_offset x20, -136",
    "    .cfi_offset x21, -128",
    "    .cfi_offset x22, -120",
    "    .cfi_offset x23, -112",
    "    .cfi_offset x24, -104",
    "    .cfi_offset x25, -96",
    "    .cfi_offset x26, -88",
    "    .cfi_offset x27, -80",
    "    .cfi_offset x28, -72",
    "    .cfi_offset b8, -64",
    "    .cfi_offset b9, -56",
    "    .cfi_offset b10, -48",
    "    .cfi_offset b11, -40",
    "    .cfi_offset b12, -32",
    "    .cfi_offset b13, -24",
    "    .cfi_offset b14, -16",
    "    .cfi_offset b15, -8",
    // Unwinders look for the instruction before the one that is returned to.
    "    nop",
    // Where the function returns to. It comes here without an exit if it has left turbo.
    "5:  ldp x19, x20, [sp, #16]",
    "    ldp x21, x22, [sp, #32]",
    "    ldp x23, x24, [sp, #48]",
    "    ldp x25, x26, [sp, #64]",
    "    ldp x27, x28, [sp, #80]",
    "    ldp d8, d9, [sp, #96]",
    "    ldp d10, d11, [sp, #112]",
    "    ldp d12, d13, [sp, #128]",
    "    ldp d14, d15, [sp, #144]",
    "    ldp x29, x30, [sp], #160",
    "    .cfi_def_cfa_offset 0",
    "    .cfi_restore x29",
    "    .cfi_restore x30",
    "    ret",
    "    .cfi_endproc",
    "iotdec_turbo_entered:",
    "    .size iotdec_turbo_enter, . - iotdec_turbo_enter",
    x = const offset_of!(Context, x),
    sp = const offset_of!(Context, sp),
    pc = const offset_of!(Context, pc),
    v = const offset_of!(Context, v),
    tpidr = const offset_of!(Context, tpidr),
    nzcv = const offset_of!(Context, nzcv),
    fpcr = const offset_of!(Context, fpcr),
    fpsr = const offset_of!(Context, fpsr),
    exit = const offset_of!(Context, exit),
    values = const offset_of!(Context, call.values),
    status = const offset_of!(Context, call.status),
    run = const Service::Run.code(),
    returned = const Exit::Returned.code(),
    syscall = const Exit::Syscall.code(),
    unknown = const Exit::Unknown.code(),
    pause = const Exit::Pause.code(),
    leaves = const Exit::Leave.code(),
    hint = const KNOCK[0],
    store = const KNOCK[1],
    leave = sym iotdec_turbo_leave,
    step = sym iotdec_turbo_step,
);
