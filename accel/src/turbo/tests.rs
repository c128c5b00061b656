//! Pieces of code run on this process's own memory, as QEMU would have them run.

use super::{code_changed, run, set_executable};
use bytemuck::Zeroable;
use iotdec_wire::door::{Context, Exit, Status};
use std::ptr;

/// Where no code is: what the function returns to.
const RETURN: u64 = 0x1000;

/// A page of the guest's code.
struct Code(*mut u32);

impl Code {
    fn new(words: &[u32]) -> Self {
        // SAFETY: a new mapping.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(page, libc::MAP_FAILED);
        let code = Self(page.cast());
        set_executable(code.address(), 4096, true);
        code.write(words);
        code
    }

    fn write(&self, words: &[u32]) {
        assert!(words.len() <= 1024);
        // SAFETY: fits the page.
        unsafe { ptr::copy_nonoverlapping(words.as_ptr(), self.0, words.len()) };
    }

    fn address(&self) -> u64 {
        self.0 as u64
    }

    /// At its start, as a function that was called.
    fn call(&self) -> Context {
        let mut context = Context::zeroed();
        context.pc = self.address();
        context.x[30] = RETURN;
        context
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        code_changed(self.address(), 4096);
        // SAFETY: ours, and no translation of it is left.
        unsafe { libc::munmap(self.0.cast(), 4096) };
    }
}

/// Runs until it exits, for a pause or for a reason of its own.
#[track_caller]
fn enter(context: &mut Context) -> Exit {
    // SAFETY: the code of these tests accesses nothing but registers.
    let status = unsafe { run(context, RETURN) };
    assert_eq!(status, Status::Done);
    Exit::from_code(context.exit).expect("an exit")
}

/// Runs until it exits for a reason of its own.
#[track_caller]
fn go(context: &mut Context) -> Exit {
    loop {
        match enter(context) {
            Exit::Pause => {}
            exit => return exit,
        }
    }
}

const RET: u32 = 0xd65f_03c0;
/// `add x0, x0, #1`.
const ADD_1: u32 = 0x9100_0400;
/// `add x0, x0, #2`.
const ADD_2: u32 = 0x9100_0800;

#[test]
fn a_function_returns() {
    let code = Code::new(&[ADD_1, RET]);
    let mut context = code.call();
    context.x[0] = 41;
    assert_eq!(go(&mut context), Exit::Returned);
    assert_eq!(context.x[0], 42);
}

/// Each of them: what goes in comes out, and what is set comes out.
#[test]
fn registers_go_in_and_out() {
    // add v31.2d, v0.2d, v31.2d; subs x29, x29, x29; ret
    let code = Code::new(&[0x4eff_841f, 0xeb1d_03bd, RET]);
    let mut context = code.call();
    for (number, x) in context.x[..30].iter_mut().enumerate() {
        *x = 0x0101_0101_0101_0101 * number as u64;
    }
    for (number, v) in context.v.iter_mut().enumerate() {
        *v = [number as u64, !(number as u64)];
    }
    context.sp = 0x7fff_0000;
    context.tpidr = 0x1234_5678_9abc;
    context.fpcr = 0x0040_0000;
    context.fpsr = 0x10;
    let mut expected = context;
    expected.x[29] = 0;
    expected.v[31] = [31, (!31u64).wrapping_add(!0)];
    expected.nzcv = 0x6000_0000;
    assert_eq!(go(&mut context), Exit::Returned);
    assert_eq!(context.x, expected.x);
    assert_eq!(context.v, expected.v);
    assert_eq!(
        (
            context.sp,
            context.tpidr,
            context.nzcv,
            context.fpcr,
            context.fpsr
        ),
        (
            expected.sp,
            expected.tpidr,
            expected.nzcv,
            expected.fpcr,
            expected.fpsr
        )
    );
}

#[test]
fn system_calls_are_left_to_qemu() {
    // mov x8, #172 (getpid); svc #0; ret
    let code = Code::new(&[0xd280_1588, 0xd400_0001, RET]);
    let mut context = code.call();
    assert_eq!(go(&mut context), Exit::Syscall);
    assert_eq!((context.pc, context.x[8]), (code.address() + 8, 172));
    assert_eq!(go(&mut context), Exit::Returned);
}

/// SVE: none of this translator's.
#[test]
fn other_instructions_are_left_to_qemu() {
    // add x0, x0, #1; add z0.b, z0.b, z0.b; ret
    let code = Code::new(&[ADD_1, 0x0420_0000, RET]);
    let mut context = code.call();
    let exit = go(&mut context);
    assert!(matches!(exit, Exit::Unknown | Exit::Leave), "{exit:?}");
    assert_eq!((context.pc, context.x[0]), (code.address() + 4, 1));
}

/// QEMU gets its turn, though the code never asks for anything.
#[test]
fn endless_code_pauses() {
    // b .
    let code = Code::new(&[0x1400_0000]);
    let mut context = code.call();
    for _ in 0..3 {
        assert_eq!(enter(&mut context), Exit::Pause);
        assert_eq!(context.pc, code.address());
    }
}

#[test]
fn changed_code_is_translated_anew() {
    let code = Code::new(&[ADD_1, RET]);
    let mut context = code.call();
    assert_eq!(go(&mut context), Exit::Returned);
    code.write(&[ADD_2, RET]);
    code_changed(code.address(), 4);
    let mut context = code.call();
    assert_eq!(go(&mut context), Exit::Returned);
    assert_eq!(context.x[0], 2);
}

/// One that ends leaves its translator to the next; many at a time have one each.
#[test]
fn threads_have_translators_of_their_own() {
    // 2: add x0, x0, #1; cmp x0, x1; b.ne 2b; ret
    let code = Code::new(&[ADD_1, 0xeb01_001f, 0x54ff_ffc1, RET]);
    let address = code.address();
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for thread in 1..=4 {
                scope.spawn(move || {
                    let mut context = Context::zeroed();
                    context.pc = address;
                    context.x[30] = RETURN;
                    context.x[1] = thread * 1_000_000;
                    assert_eq!(go(&mut context), Exit::Returned);
                    assert_eq!(context.x[0], thread * 1_000_000);
                });
            }
        });
    }
}
