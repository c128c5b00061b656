//! Out of turbo for good: QEMU goes on from a context by itself.

use core::ptr;
use iotdec_wire::door::Context;

/// `rt_sigprocmask`, `sigaltstack` and `rt_sigreturn` (asm-generic/unistd.h).
const RT_SIGRETURN: u64 = 139;
/// `struct fpsimd_context` (asm/sigcontext.h of arm64).
const FPSIMD_MAGIC: u32 = 0x4650_8001;

/// What the kernel leaves on the stack when it delivers a signal, and takes up again at
/// the end of the handler: `struct rt_sigframe` of arm64, with what it points into
/// (asm/sigcontext.h, asm/ucontext.h). Returning from a signal that never was is the one
/// way to set all registers at once.
#[repr(C, align(16))]
struct SignalFrame {
    info: [u64; 16],
    flags: u64,
    link: u64,
    stack: libc::stack_t,
    mask: [u64; 16],
    padding: u64,
    fault_address: u64,
    x: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
    records: Records,
}

#[repr(C, align(16))]
struct Records {
    magic: u32,
    size: u32,
    fpsr: u32,
    fpcr: u32,
    v: [[u64; 2]; 32],
    /// A record without a magic ends the list.
    end: [u64; 2],
    /// The kernel reserves 4096 bytes for all records.
    room: [u64; 444],
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(offset_of!(SignalFrame, flags) == 128);
    assert!(offset_of!(SignalFrame, mask) == 128 + 40);
    assert!(offset_of!(SignalFrame, fault_address) == 128 + 176);
    assert!(offset_of!(SignalFrame, records) == 128 + 176 + 288);
    assert!(offset_of!(Records, end) == 528);
    assert!(size_of::<Records>() == 4096);
};

/// Goes on from `context` in QEMU.
///
/// # Safety
/// For [`iotdec_turbo_enter`](super::enter::iotdec_turbo_enter), on the stack below
/// that of the context.
pub unsafe extern "C" fn iotdec_turbo_leave(context: *mut Context) -> ! {
    super::LEFT.set(true);
    // SAFETY: the accelerator has filled it in, and no longer uses it.
    let context = unsafe { &*context };
    let mut frame = SignalFrame {
        info: [0; 16],
        flags: 0,
        link: 0,
        stack: libc::stack_t {
            ss_sp: ptr::null_mut(),
            ss_flags: 0,
            ss_size: 0,
        },
        mask: [0; 16],
        padding: 0,
        fault_address: 0,
        x: context.x,
        sp: context.sp,
        pc: context.pc,
        pstate: u64::from(context.nzcv),
        records: Records {
            magic: FPSIMD_MAGIC,
            size: 528,
            fpsr: context.fpsr,
            fpcr: context.fpcr,
            v: context.v,
            end: [0; 2],
            room: [0; 444],
        },
    };
    // SAFETY: asks for the thread's alternative stack and signal mask, which stay as they
    // are; a `sigset_t` is 128 bytes. Then the kernel takes all registers from the frame.
    unsafe {
        libc::sigaltstack(ptr::null(), &mut frame.stack);
        libc::sigprocmask(
            libc::SIG_BLOCK,
            ptr::null(),
            (&raw mut frame.mask).cast::<libc::sigset_t>(),
        );
        core::arch::asm!(
            "mov sp, {frame}",
            "svc #0",
            frame = in(reg) &frame,
            in("x8") RT_SIGRETURN,
            options(noreturn),
        );
    }
}
