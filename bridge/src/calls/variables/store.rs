//! Writing into the program's variables, also into those that have become constant.

use super::{CONSTANT, Variable};
use nix::libc;
use std::ffi::c_void;

/// Writes what has changed into the program's.
pub(super) fn store(variable: &Variable, former: &[u8], now: &[u8]) {
    let sealed = variable.is(CONSTANT).then(|| unseal(variable));
    for (from, end, _) in variable.pieces() {
        if former[from..end] != now[from..end] {
            // SAFETY: generated code has the variable's address and size there; it is a
            // variable, or was made one.
            unsafe {
                let to = variable.here.add(from);
                std::ptr::copy_nonoverlapping(now[from..end].as_ptr(), to, end - from);
            }
        }
    }
    if let Some(Some((start, size))) = sealed {
        // SAFETY: pages that were so before.
        unsafe { libc::mprotect(start, size, libc::PROT_READ) };
    }
}

/// Makes a constant's pages writable, if the dynamic linker has made them constant. They lie
/// in the program if that was linked with a library in which the variable was constant, too.
fn unseal(variable: &Variable) -> Option<(*mut c_void, usize)> {
    const PAGE: usize = 4096;
    struct Search {
        at: usize,
        is_sealed: bool,
    }
    unsafe extern "C" fn look(
        info: *mut libc::dl_phdr_info,
        _: libc::size_t,
        search: *mut c_void,
    ) -> libc::c_int {
        // SAFETY: the dynamic linker's description of an object, and the struct below.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        // SAFETY: so many headers, of a loaded object.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        search.is_sealed |= headers.iter().any(|header| {
            let start = (info.dlpi_addr + header.p_vaddr) as usize;
            let end = start + header.p_memsz as usize;
            // As the dynamic linker does it: whole pages.
            let pages = start & !(PAGE - 1)..end & !(PAGE - 1);
            header.p_type == libc::PT_GNU_RELRO && pages.contains(&search.at)
        });
        search.is_sealed.into()
    }
    let at = variable.here as usize;
    let mut search = Search {
        at,
        is_sealed: false,
    };
    // SAFETY: the function takes the struct.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    let start = at & !(PAGE - 1);
    let size = (at + variable.size as usize).next_multiple_of(PAGE) - start;
    let start = start as *mut c_void;
    // SAFETY: pages of a loaded object's data.
    let opened = search.is_sealed
        && unsafe { libc::mprotect(start, size, libc::PROT_READ | libc::PROT_WRITE) } == 0;
    opened.then_some((start, size))
}
