//! The second translator, one object a thread: the only module that calls the C++ shim
//! or is called by it.

use crate::door;
use crate::turbo::Thread;
use iotdec_wire::door::Context;
use std::ffi::{c_char, c_void};
use std::ptr::NonNull;

/// The C++ object.
#[repr(C)]
struct Object {
    _opaque: [u8; 0],
}

/// What a translator is told once (`shim/translator.h`).
#[repr(C)]
pub struct Setup {
    /// Given back with every question.
    pub owner: *mut c_void,
    /// Its own among those that exist at a time.
    pub index: u64,
    /// Added to addresses of the guest.
    pub guest_base: u64,
    /// Bytes.
    pub code_cache_size: u64,
    /// Registers of the processor that QEMU shows.
    pub ctr_el0: u32,
    /// As above.
    pub dczid_el0: u32,
    /// As above.
    pub cntfrq_el0: u32,
}

#[repr(C)]
struct Registers {
    x: *mut u64,
    v: *mut u64,
    sp: *mut u64,
    pc: *mut u64,
    tpidr: *mut u64,
    nzcv: *mut u32,
    fpcr: *mut u32,
    fpsr: *mut u32,
}

unsafe extern "C" {
    fn iotdec_translator_new(setup: *const Setup) -> *mut Object;
    fn iotdec_translator_delete(object: *mut Object);
    fn iotdec_translator_run(object: *mut Object, registers: *const Registers);
    fn iotdec_translator_stop(object: *mut Object);
    fn iotdec_translator_forget(object: *mut Object, start: u64, length: u64);
    fn iotdec_translator_x(object: *const Object, number: u32) -> u64;
    fn iotdec_translator_pc(object: *const Object) -> u64;
}

/// A translator and the code it has translated.
#[derive(Debug)]
pub struct Translator {
    object: NonNull<Object>,
}

// SAFETY: the object is bound to no thread. `run` takes it exclusively; what may be
// called meanwhile, `stop` and `forget`, locks or is atomic inside.
unsafe impl Send for Translator {}
// SAFETY: as above.
unsafe impl Sync for Translator {}

impl Translator {
    /// A translator that has translated nothing.
    pub fn new(setup: &Setup) -> Self {
        // SAFETY: the shim copies `setup`, and throws nothing but what ends the process.
        let object = unsafe { iotdec_translator_new(setup) };
        Self {
            object: NonNull::new(object).expect("operator new does not return null"),
        }
    }

    /// Runs from `context` on, and leaves there what has become of it.
    ///
    /// # Safety
    /// The guest's program wants that code run, on this thread; no other thread runs
    /// this translator.
    pub unsafe fn run(&self, context: &mut Context) {
        let registers = Registers {
            x: context.x.as_mut_ptr(),
            v: context.v.as_mut_ptr().cast(),
            sp: &raw mut context.sp,
            pc: &raw mut context.pc,
            tpidr: &raw mut context.tpidr,
            nzcv: &raw mut context.nzcv,
            fpcr: &raw mut context.fpcr,
            fpsr: &raw mut context.fpsr,
        };
        // SAFETY: every pointer is to as many registers as the header says.
        unsafe { iotdec_translator_run(self.object.as_ptr(), &registers) }
    }

    /// Makes [`run`](Self::run) return soon, or at once if it is not running.
    pub fn stop(&self) {
        // SAFETY: an atomic operation on a live object.
        unsafe { iotdec_translator_stop(self.object.as_ptr()) }
    }

    /// Forgets what was translated of a range of the guest's code.
    pub fn forget(&self, start: u64, length: u64) {
        // SAFETY: the object locks what it notes here, and acts on it in `run`.
        unsafe { iotdec_translator_forget(self.object.as_ptr(), start, length) }
    }

    /// A register, while the translator asks something.
    pub fn x(&self, number: u32) -> u64 {
        assert!(number < 31);
        // SAFETY: the number is in range.
        unsafe { iotdec_translator_x(self.object.as_ptr(), number) }
    }

    /// The program counter, while the translator asks something.
    pub fn pc(&self) -> u64 {
        // SAFETY: reads a field.
        unsafe { iotdec_translator_pc(self.object.as_ptr()) }
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and nobody runs it any more.
        unsafe { iotdec_translator_delete(self.object.as_ptr()) }
    }
}

/// The thread that a question is about.
///
/// # Safety
/// `owner` is what a translator was set up with.
unsafe fn thread<'a>(owner: *mut c_void) -> &'a Thread {
    // SAFETY: `Thread::new` sets up its translator with its own place, which stays as
    // long as the translator does.
    unsafe { &*owner.cast::<Thread>() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_accel_code(owner: *mut c_void, address: u64) -> u32 {
    // SAFETY: the shim hands on the owner; so below.
    unsafe { thread(owner) }.code(address)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_accel_supervisor_call(owner: *mut c_void, number: u32) {
    // SAFETY: as above.
    let thread = unsafe { thread(owner) };
    if let Some(call) = thread.supervisor_call(number) {
        // SAFETY: the guest has executed the first half of a knock with this address,
        // and is about to store to it.
        unsafe { door::answer(call) };
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_accel_unknown(owner: *mut c_void, count: u64) {
    // SAFETY: as above.
    unsafe { thread(owner) }.unknown(count);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_accel_exception(owner: *mut c_void, pc: u64) {
    // SAFETY: as above.
    unsafe { thread(owner) }.exception(pc);
}

#[unsafe(no_mangle)]
extern "C" fn iotdec_accel_code_changed(_: *mut c_void, address: u64) {
    crate::turbo::code_changed(address, 64);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iotdec_accel_emitted(start: u64, end: u64, name: *const c_char, length: u64) {
    // SAFETY: the shim gives a string view.
    let name = unsafe { std::slice::from_raw_parts(name.cast::<u8>(), length as usize) };
    crate::turbo::emitted(start, end, name);
}

#[unsafe(no_mangle)]
extern "C" fn iotdec_accel_cleared() {
    crate::turbo::cleared();
}
