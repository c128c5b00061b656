//! Calling a function in such a way that it can be abandoned.

use std::ffi::c_void;

/// Where [`enter`] was called: the registers that a function keeps.
#[repr(C, align(16))]
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// x19 to x28, sp, and a word to fill.
    general: [u64; 12],
    /// d8 to d15.
    vector: [u64; 8],
}

/// A function of a part.
pub type Function = unsafe extern "C" fn(*mut c_void, *mut c_void);

std::arch::global_asm!(
    ".text",
    ".balign 16",
    ".globl iotdec_switch_enter",
    ".hidden iotdec_switch_enter",
    ".type iotdec_switch_enter, %function",
    "iotdec_switch_enter:",
    "stp x29, x30, [sp, #-16]!",
    "mov x29, sp",
    "stp x19, x20, [x0]",
    "stp x21, x22, [x0, #16]",
    "stp x23, x24, [x0, #32]",
    "stp x25, x26, [x0, #48]",
    "stp x27, x28, [x0, #64]",
    "str x29, [x0, #80]",
    "stp d8, d9, [x0, #96]",
    "stp d10, d11, [x0, #112]",
    "stp d12, d13, [x0, #128]",
    "stp d14, d15, [x0, #144]",
    "mov x16, x1",
    "mov x0, x2",
    "mov x1, x3",
    "blr x16",
    "mov w0, #0",
    "ldp x29, x30, [sp], #16",
    "ret",
    ".size iotdec_switch_enter, . - iotdec_switch_enter",
    ".globl iotdec_switch_unwind",
    ".hidden iotdec_switch_unwind",
    ".type iotdec_switch_unwind, %function",
    "iotdec_switch_unwind:",
    "ldp x19, x20, [x0]",
    "ldp x21, x22, [x0, #16]",
    "ldp x23, x24, [x0, #32]",
    "ldp x25, x26, [x0, #48]",
    "ldp x27, x28, [x0, #64]",
    "ldr x29, [x0, #80]",
    "ldp d8, d9, [x0, #96]",
    "ldp d10, d11, [x0, #112]",
    "ldp d12, d13, [x0, #128]",
    "ldp d14, d15, [x0, #144]",
    "mov sp, x29",
    "mov w0, #1",
    "ldp x29, x30, [sp], #16",
    "ret",
    ".size iotdec_switch_unwind, . - iotdec_switch_unwind",
);

unsafe extern "C" {
    fn iotdec_switch_enter(
        record: *mut Record,
        function: Function,
        first: *mut c_void,
        second: *mut c_void,
    ) -> u32;
    fn iotdec_switch_unwind(record: *const Record) -> !;
}

/// Calls `function(first, second)`. False if it did not return but was abandoned by
/// [`unwind`] of the same record.
///
/// # Safety
/// `function` may be called like that, and `record` stays where it is meanwhile.
pub unsafe fn enter(
    record: *mut Record,
    function: Function,
    first: *mut c_void,
    second: *mut c_void,
) -> bool {
    // SAFETY: the caller's promise; the assembly keeps what the ABI says is kept, and
    // comes back once, whichever way.
    unsafe { iotdec_switch_enter(record, function, first, second) == 0 }
}

/// Has [`enter`] come back, and forgets every frame in between.
///
/// # Safety
/// The call of `enter` with this record is on this thread's stack, and no frame in between
/// has anything to clean up.
pub unsafe fn unwind(record: *const Record) -> ! {
    // SAFETY: the caller's promise.
    unsafe { iotdec_switch_unwind(record) }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn returns(to: *mut c_void, value: *mut c_void) {
        // SAFETY: the test passes the address of a word.
        unsafe { *to.cast::<u64>() = value as u64 };
    }

    unsafe extern "C" fn leaves(record: *mut c_void, nested: *mut c_void) {
        if !nested.is_null() {
            let mut own = Record::default();
            // SAFETY: as `leaves` wants it.
            unsafe { enter(&mut own, leaves, record, std::ptr::null_mut()) };
        }
        // SAFETY: the test is within `enter` of this record.
        unsafe { unwind(record.cast()) }
    }

    #[test]
    fn functions_return_or_are_abandoned() {
        let mut record = Record::default();
        let mut word = 0u64;
        let kept = std::hint::black_box(1.5f64);
        for round in 1..100u64 {
            let to = (&raw mut word).cast();
            // SAFETY: `returns` writes the word.
            assert!(unsafe { enter(&mut record, returns, to, round as *mut c_void) });
            assert_eq!(word, round);
            let to: *mut Record = &mut record;
            // SAFETY: `leaves` gets this very record.
            assert!(!unsafe { enter(to, leaves, to.cast(), round as *mut c_void) });
        }
        assert_eq!(kept, 1.5);
    }
}
