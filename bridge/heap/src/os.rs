//! What the kernel and the processor are asked for. Nothing here allocates.

use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;

/// The kernel's error number of the last call.
pub(crate) fn errno() -> i32 {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

/// Sets errno, for callers in C.
pub(crate) fn set_errno(value: i32) {
    // SAFETY: as in `errno`.
    unsafe { *libc::__errno_location() = value }
}

/// `len` private zero bytes, of which only those take memory that are touched.
pub(crate) fn map_private(len: usize) -> Result<NonNull<u8>, i32> {
    // Miri knows the first two alone, and has no overcommitment that could be refused.
    let sparse = if cfg!(miri) { 0 } else { libc::MAP_NORESERVE };
    // SAFETY: a new mapping that replaces none.
    let address = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | sparse,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(errno());
    }
    NonNull::new(address.cast()).ok_or(libc::ENOMEM)
}

/// Ends a mapping.
///
/// # Safety
/// Nobody uses the memory any more.
pub(crate) unsafe fn unmap(address: NonNull<u8>, len: usize) {
    // SAFETY: promised by the caller.
    unsafe { libc::munmap(address.as_ptr().cast(), len) };
}

/// Gives the memory behind the pages back; they read as zero afterwards. False if the kernel would not.
///
/// # Safety
/// The pages are mapped, and what they hold is of no use to anybody.
pub(crate) unsafe fn discard(address: *mut u8, len: usize, advice: i32) -> bool {
    // Called inside of free, which is to leave errno alone.
    let before = errno();
    // SAFETY: promised by the caller.
    let result = unsafe { libc::madvise(address.cast(), len, advice) };
    set_errno(before);
    result == 0
}

/// Makes a hole in a file; false if the kernel would not.
pub(crate) fn punch(fd: i32, offset: usize, len: usize) -> bool {
    let before = errno();
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: takes numbers only; the caller knows the file to be a heap's.
    let result = unsafe { libc::fallocate(fd, mode, offset as libc::off_t, len as libc::off_t) };
    set_errno(before);
    result == 0
}

/// Sleeps while the word is `expected`; may return early.
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    let before = errno();
    // SAFETY: the word outlives the call, the kernel only reads it; no time-out.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            core::ptr::null::<libc::timespec>(),
        );
    }
    set_errno(before);
}

/// Wakes one sleeper.
pub(crate) fn wake_one(word: &AtomicU32) {
    let before = errno();
    // SAFETY: FUTEX_WAKE takes the word only as an address.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        );
    }
    set_errno(before);
}

/// A number that is another for each running thread: its thread pointer. A thread-local variable would do as well, but
/// the first use of one in a thread may call malloc.
#[inline]
pub(crate) fn thread() -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let pointer: usize;
        // SAFETY: reads the thread pointer, which the x86-64 ABI keeps at fs:0.
        unsafe {
            core::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly, pure));
        }
        pointer
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        let pointer: usize;
        // SAFETY: reads a register that programs may read.
        unsafe {
            core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem, pure));
        }
        pointer
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    {
        // SAFETY: asks who is calling.
        unsafe { libc::pthread_self() as usize }
    }
}
