//! Memory that libraries map for themselves: private, of no file, readable and writable. The
//! program may be given pointers into it, so it comes out of the heap, which is shared.
//!
//! What is mapped otherwise, or does not fit, is the kernel's as ever. Of what is unmapped in
//! part, the memory is given back and the addresses are not.

use super::heap::PROCESS;
use super::memory;
use crate::c_library::fail;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_long, c_void};
use std::ptr::null_mut;
use std::sync::Mutex;

const PAGE: usize = 4096;
/// Less than this is cleared by writing zeros.
const SMALL: usize = 1 << 20;

/// What is mapped out of the heap: addresses and sizes.
static MAPPED: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

fn pages(size: usize) -> usize {
    size.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX)
}

/// Whether it may have come from here.
fn is_ours(address: *mut c_void, size: usize) -> bool {
    memory::own().is_some_and(|range| range.contains(address as u64, size as u64))
}

/// The kernel's, past the functions that stand before it.
fn system(number: c_long, arguments: [usize; 6]) -> usize {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: as for the function of the C library that was called.
    unsafe { libc::syscall(number, a, b, c, d, e, f) as usize }
}

/// Gives the memory behind addresses of ours back; they read as zero afterwards. The file is
/// told, as QEMU takes advice on memory for nothing.
fn discard(address: *mut c_void, size: usize) -> c_int {
    let shared = memory::shared();
    let offset = (address as u64 - shared.memory.start) as libc::off_t;
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: takes numbers only; the file is that of this process's memory.
    unsafe { libc::fallocate(shared.memory_fd, mode, offset, size as libc::off_t) }
}

/// `mmap`
pub fn map(
    address: *mut c_void,
    size: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    const PLAIN: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // The heap itself maps with MAP_NORESERVE.
    let is_plain = flags & !(libc::MAP_POPULATE | libc::MAP_STACK) == PLAIN;
    let is_data = protection == libc::PROT_READ | libc::PROT_WRITE;
    if address.is_null() && is_plain && is_data && size > 0 && memory::own().is_some() {
        let size = pages(size);
        let found = PROCESS.memalign(PAGE, size);
        if is_ours(found, size) {
            if size < SMALL || discard(found, size) != 0 {
                // SAFETY: new memory of that size.
                unsafe { found.cast::<u8>().write_bytes(0, size) };
            }
            let mut mapped = MAPPED.lock().expect("no panic is survived");
            mapped.insert(found as usize, size);
            return found;
        }
        // SAFETY: null, or allocated a moment ago.
        unsafe { PROCESS.free(found) };
    }
    let numbers = [protection, flags, fd].map(|number| number as usize);
    let [c, d, e] = numbers;
    system(
        libc::SYS_mmap,
        [address as usize, size, c, d, e, offset as usize],
    ) as *mut c_void
}

/// `munmap`
///
/// # Safety
/// As the system call's: nobody uses the memory any more.
pub unsafe fn unmap(address: *mut c_void, size: usize) -> c_int {
    let size = pages(size);
    if !is_ours(address, size) {
        return system(libc::SYS_munmap, [address as usize, size, 0, 0, 0, 0]) as c_int;
    }
    // Whoever gets it next may write there.
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    system(
        libc::SYS_mprotect,
        [address as usize, size, protection, 0, 0, 0],
    );
    let mut mapped = MAPPED.lock().expect("no panic is survived");
    if mapped.get(&(address as usize)) == Some(&size) {
        mapped.remove(&(address as usize));
        // SAFETY: allocated by `map`, not freed before, and no longer used: the caller's promise.
        unsafe { PROCESS.free(address) };
    } else {
        discard(address, size);
    }
    0
}

/// `mremap`
///
/// # Safety
/// As the system call's: nobody uses the memory at its old address any more.
pub unsafe fn remap(
    address: *mut c_void,
    size: usize,
    new_size: usize,
    flags: c_int,
    new_address: *mut c_void,
) -> *mut c_void {
    if !is_ours(address, pages(size)) {
        let [from, to, flags] = [address as usize, new_address as usize, flags as usize];
        return system(libc::SYS_mremap, [from, size, new_size, flags, to, 0]) as *mut c_void;
    }
    let moves = flags & libc::MREMAP_MAYMOVE != 0 && flags & libc::MREMAP_FIXED == 0;
    let plain = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let new = match moves {
        true => map(
            null_mut(),
            new_size,
            libc::PROT_READ | libc::PROT_WRITE,
            plain,
            -1,
            0,
        ),
        false => libc::MAP_FAILED,
    };
    if new == libc::MAP_FAILED {
        return fail(libc::ENOMEM, new);
    }
    // SAFETY: both are mapped, and the new one is nobody else's.
    unsafe { std::ptr::copy_nonoverlapping(address.cast::<u8>(), new.cast(), size.min(new_size)) };
    // SAFETY: the caller's promise.
    unsafe { unmap(address, size) };
    new
}

/// `madvise`
pub fn advise(address: *mut c_void, size: usize, advice: c_int) -> c_int {
    // Of private memory, this makes zeros; of shared memory, it would not.
    if advice == libc::MADV_DONTNEED && is_ours(address, size) {
        return discard(address, pages(size));
    }
    system(
        libc::SYS_madvise,
        [address as usize, size, advice as usize, 0, 0, 0],
    ) as c_int
}
