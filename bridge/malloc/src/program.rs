//! With `IOTDEC_SHARE_PROGRAM=1`, libraries reach more of the program than its heap: its variables and constants, and
//! the stack of its main thread. So a pointer to any of these crosses as it is.
//!
//! *Variables* are moved, before the program's first instruction, onto pages of the exchange, which stay where they are
//! in memory. *Constants* are copied: workers map the copies where the program has the originals. *The main thread* gets
//! a stack out of the heap. On its old one remain the arguments and the environment, and `fork` runs there: what is
//! shared is parent's and child's until the child has mapped its own copy, and they may not both write to it.

use crate::PROCESS;
use core::arch::asm;
use core::ffi::{c_char, c_int, c_void};
use core::mem::transmute;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::*};
use iotdec_wire::exchange::Image;

const PAGE: usize = 4096;
/// Of the main thread, as is usual on Linux; its lowest page cannot be touched.
const STACK: usize = 8 << 20;
/// A program has four segments, or some more.
const MAX_IMAGES: usize = 16;

type Main = extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;
type StartMain = unsafe extern "C" fn(
    Main,
    c_int,
    *mut *mut c_char,
    *mut c_void,
    *mut c_void,
    *mut c_void,
    *mut c_void,
) -> c_int;

/// What is shared of the program's file. Written by one thread, before there are others.
struct Images {
    all: [Image; MAX_IMAGES],
    count: usize,
}

static mut IMAGES: Images = Images {
    all: [Image {
        address: 0,
        size: 0,
        offset: 0,
        is_writable: 0,
    }; MAX_IMAGES],
    count: 0,
};
/// What the dynamic linker has made constant of the program's variables.
static CONSTANT: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
/// The program's.
static MAIN: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// The main thread's stack; 0 while it has the kernel's.
static SHARED_STACK: AtomicUsize = AtomicUsize::new(0);
/// Below this, the kernel's stack is free.
static OLD_STACK: AtomicUsize = AtomicUsize::new(0);

/// For the runtime of wrapped libraries: what is shared of the program's file. Offsets are those in the exchange.
///
/// # Safety
/// `count` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iotdec_preloaded_program(count: *mut usize) -> *const Image {
    // SAFETY: promised by the caller; the table does not change once the program runs.
    unsafe {
        count.write(IMAGES.count);
        (&raw const IMAGES.all).cast()
    }
}

/// Who waits for the program's start.
const MAX_WAITING: usize = 64;

type Then = extern "C" fn(*const c_void);

static HAS_STARTED: AtomicBool = AtomicBool::new(false);
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// Functions, and what they are called with.
static WAITERS: [[AtomicPtr<c_void>; 2]; MAX_WAITING] =
    [const { [const { AtomicPtr::new(null_mut()) }; 2] }; MAX_WAITING];

/// For the runtime of wrapped libraries: calls a function as soon as all is shared that will be, and before the
/// program's first instruction. Libraries' constructors, of one thread, come earlier than that.
///
/// # Safety
/// The function may be called with this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iotdec_preloaded_when_shared(then: Then, with: *const c_void) {
    if HAS_STARTED.load(Acquire) || !is_wanted() {
        then(with);
        return;
    }
    // Who finds no room starts a worker at its first call.
    let number = WAITING.load(Relaxed);
    if let Some([function, argument]) = WAITERS.get(number) {
        function.store(then as *mut c_void, Relaxed);
        argument.store(with.cast_mut(), Relaxed);
        WAITING.store(number + 1, Relaxed);
    }
}

fn wake() {
    HAS_STARTED.store(true, Release);
    for [function, argument] in &WAITERS[..WAITING.load(Relaxed)] {
        // SAFETY: stored from such a function above.
        let then = unsafe { transmute::<*mut c_void, Then>(function.load(Relaxed)) };
        then(argument.load(Relaxed));
    }
}

/// glibc's, which every program begins with.
///
/// # Safety
/// Called by the program's first instructions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __libc_start_main(
    main: Main,
    argc: c_int,
    argv: *mut *mut c_char,
    init: *mut c_void,
    fini: *mut c_void,
    rtld_fini: *mut c_void,
    stack_end: *mut c_void,
) -> c_int {
    let wanted = is_wanted() && share_file();
    wake();
    MAIN.store(main as *mut c_void, Relaxed);
    // SAFETY: glibc's function of that name has this type.
    unsafe {
        let real = libc::dlsym(libc::RTLD_NEXT, c"__libc_start_main".as_ptr());
        let real = transmute::<*mut c_void, StartMain>(real);
        let main = if wanted { main_elsewhere } else { main };
        real(main, argc, argv, init, fini, rtld_fini, stack_end)
    }
}

/// As in POSIX.
///
/// # Safety
/// As in POSIX.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fork() -> libc::pid_t {
    // SAFETY: glibc's function of that name has this type.
    let real = unsafe {
        let real = libc::dlsym(libc::RTLD_NEXT, c"fork".as_ptr());
        transmute::<*mut c_void, extern "C" fn() -> libc::pid_t>(real)
    };
    let here = (&raw const real) as usize;
    let stack = SHARED_STACK.load(Relaxed);
    if stack == 0 || !(stack..stack + STACK).contains(&here) {
        return real();
    }
    // SAFETY: the kernel's stack is the main thread's, which is this one, and nothing lives below.
    unsafe { call_on(OLD_STACK.load(Relaxed), real as *mut c_void, 0, 0, 0) }
}

fn is_wanted() -> bool {
    // SAFETY: looks a name up; the value ends with a zero.
    unsafe {
        let value = libc::getenv(c"IOTDEC_SHARE_PROGRAM".as_ptr());
        !value.is_null() && *value == b'1' as c_char && *value.add(1) == 0
    }
}

extern "C" fn main_elsewhere(argc: c_int, argv: *mut *mut c_char, envp: *mut *mut c_char) -> c_int {
    let main = MAIN.load(Relaxed);
    let stack = PROCESS.memalign(PAGE, STACK);
    let marker = 0u8;
    // Room for what this function and `call_on` still use.
    OLD_STACK.store(((&raw const marker) as usize - 8 * PAGE) & !15, Relaxed);
    if stack.is_null() {
        // SAFETY: the program's main has this type.
        return unsafe { transmute::<*mut c_void, Main>(main) }(argc, argv, envp);
    }
    // SAFETY: our own memory, which nobody uses yet.
    unsafe { libc::mprotect(stack, PAGE, libc::PROT_NONE) };
    SHARED_STACK.store(stack as usize, Relaxed);
    // SAFETY: the stack is new and never freed; main takes these arguments.
    unsafe {
        call_on(
            stack as usize + STACK,
            main,
            argc as usize,
            argv as usize,
            envp as usize,
        )
    }
}

/// Calls a function on another stack, whose end is a multiple of 16.
///
/// # Safety
/// Nothing is below that end, and the function takes the arguments.
#[inline(never)]
unsafe fn call_on(
    stack_end: usize,
    function: *mut c_void,
    first: usize,
    second: usize,
    third: usize,
) -> c_int {
    let result: usize;
    // SAFETY: promised by the caller; r12 is kept by what is called.
    unsafe {
        asm!(
            "mov r12, rsp",
            "mov rsp, {stack}",
            "call {function}",
            "mov rsp, r12",
            stack = in(reg) stack_end,
            function = in(reg) function,
            inout("rdi") first => _,
            inout("rsi") second => _,
            inout("rdx") third => _,
            out("r12") _,
            out("rax") result,
            clobber_abi("C"),
        );
    }
    result as c_int
}

/// Shares what the program has in its file. Whether there is an exchange to share it in.
fn share_file() -> bool {
    if PROCESS.exchange().is_none() {
        return false;
    }
    // SAFETY: functions of the right types; the heap's handler, which is registered, has its turn before.
    unsafe {
        libc::dl_iterate_phdr(Some(share_program), null_mut());
        libc::pthread_atfork(None, None, Some(after_fork_in_child));
    }
    true
}

/// Called for each object; the program is the first.
unsafe extern "C" fn share_program(
    info: *mut libc::dl_phdr_info,
    _: libc::size_t,
    _: *mut c_void,
) -> c_int {
    // SAFETY: the dynamic linker's description, of a loaded object.
    let (info, headers) = unsafe {
        let info = &*info;
        let count = info.dlpi_phnum.into();
        (info, core::slice::from_raw_parts(info.dlpi_phdr, count))
    };
    let place = |header: &libc::Elf64_Phdr| {
        let start = (info.dlpi_addr + header.p_vaddr) as usize;
        (start & !(PAGE - 1), start + header.p_memsz as usize)
    };
    let relro = headers.iter().find(|it| it.p_type == libc::PT_GNU_RELRO);
    for header in headers {
        let is_code = header.p_flags & libc::PF_X != 0;
        if header.p_type == libc::PT_LOAD && !is_code && header.p_memsz > 0 {
            let (start, end) = place(header);
            let end = end.next_multiple_of(PAGE);
            let is_writable = header.p_flags & libc::PF_W != 0;
            // SAFETY: a segment of the program, which does not run yet.
            unsafe { share_segment(start, end - start, is_writable) };
        }
    }
    if let Some((start, end)) = relro.map(place) {
        CONSTANT[0].store(start, Relaxed);
        // As the dynamic linker does it: whole pages.
        CONSTANT[1].store(end & !(PAGE - 1), Relaxed);
        protect();
    }
    1
}

/// What is constant once the dynamic linker is done stays so.
fn protect() {
    let [start, end] = [&CONSTANT[0], &CONSTANT[1]].map(|it| it.load(Relaxed));
    if start < end {
        // SAFETY: part of a segment of the program's.
        unsafe { libc::mprotect(start as *mut c_void, end - start, libc::PROT_READ) };
    }
}

/// # Safety
/// The pages are mapped, and nobody writes to them now.
unsafe fn share_segment(start: usize, size: usize, is_writable: bool) -> bool {
    let memory = PROCESS.memalign(PAGE, size);
    let Some(exchange) = PROCESS.exchange().filter(|_| !memory.is_null()) else {
        return false;
    };
    // SAFETY: `memory` is new and as large; the table is ours as long as there is one thread.
    unsafe {
        let images: *mut Images = &raw mut IMAGES;
        let images = &mut *images;
        if images.count == MAX_IMAGES {
            return false;
        }
        core::ptr::copy_nonoverlapping(start as *const u8, memory.cast(), size);
        if is_writable && !duplicate(memory as usize, size, start) {
            return false;
        }
        images.all[images.count] = Image {
            address: start as u64,
            size: size as u64,
            offset: (memory as usize - exchange.start().as_ptr() as usize) as u64,
            is_writable: is_writable.into(),
        };
        images.count += 1;
    }
    true
}

/// Maps pages of the exchange a second time, over what is there.
///
/// # Safety
/// What is there has the same contents, or may be lost.
unsafe fn duplicate(from: usize, size: usize, to: usize) -> bool {
    // SAFETY: shared pages, of which an old size of 0 makes a second mapping; the rest is promised by the caller.
    let start = unsafe {
        libc::mremap(
            from as *mut c_void,
            0,
            size,
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
            to as *mut c_void,
        )
    };
    start as usize == to
}

/// The child's exchange is a copy by now; its variables are still its parent's.
extern "C" fn after_fork_in_child() {
    let Some(exchange) = PROCESS.exchange() else {
        return;
    };
    let images: *const Images = &raw const IMAGES;
    // SAFETY: does not change any more.
    let images = unsafe { &*images };
    for image in &images.all[..images.count] {
        let from = exchange.start().as_ptr() as usize + image.offset as usize;
        let (to, size) = (image.address as usize, image.size as usize);
        // SAFETY: the copy has the same contents.
        if image.is_writable != 0 && !unsafe { duplicate(from, size, to) } {
            // To go on would be to write into the parent's memory.
            // SAFETY: ends the process.
            unsafe { libc::abort() };
        }
    }
    protect();
}
