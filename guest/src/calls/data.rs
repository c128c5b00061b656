//! What libraries have in their files: constants such as texts, and variables. The program
//! has copies of the constants, and the very pages of the variables, at the same addresses.

use super::memory::shared;
use iotdec_wire::exchange::{GUEST_DATA, GUEST_DATA_SIZE, Image};
use std::ffi::{c_int, c_void};
use std::sync::Mutex;

const PAGE: u64 = 4096;

/// What was seen of loaded objects.
struct Seen {
    /// Where they are.
    objects: Vec<u64>,
    /// Bytes of the place for data that are taken.
    used: u64,
}

static SEEN: Mutex<Seen> = Mutex::new(Seen {
    objects: Vec::new(),
    used: 0,
});

/// A loadable segment.
struct Segment {
    start: u64,
    end: u64,
    is_writable: bool,
    /// What is made read-only after relocation.
    relro: Option<(u64, u64)>,
}

/// An object that the dynamic linker has loaded.
struct Object {
    base: u64,
    is_program: bool,
    segments: Vec<Segment>,
}

extern "C" fn collect(
    info: *mut libc::dl_phdr_info,
    _: libc::size_t,
    objects: *mut c_void,
) -> c_int {
    // SAFETY: the dynamic linker's description, and the vector of `objects`.
    let (info, objects) = unsafe { (&*info, &mut *objects.cast::<Vec<Object>>()) };
    // SAFETY: so many headers, of a loaded object.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let place = |header: &libc::Elf64_Phdr| {
        let start = info.dlpi_addr + header.p_vaddr;
        (start, start + header.p_memsz)
    };
    let relro = headers.iter().find(|it| it.p_type == libc::PT_GNU_RELRO);
    let segments = headers
        .iter()
        .filter(|it| it.p_type == libc::PT_LOAD && it.p_memsz > 0);
    let segments = segments.map(|header| {
        let (start, end) = place(header);
        Segment {
            start: start / PAGE * PAGE,
            end: end.next_multiple_of(PAGE),
            is_writable: header.p_flags & libc::PF_W != 0,
            relro: relro
                .map(place)
                .filter(|relro| (start..end).contains(&relro.0)),
        }
    });
    // SAFETY: a string of the dynamic linker's.
    let is_program = info.dlpi_name.is_null() || unsafe { *info.dlpi_name } == 0;
    objects.push(Object {
        base: info.dlpi_addr,
        is_program,
        segments: segments.collect(),
    });
    0
}

/// Shares what libraries have in their files that are loaded since the last time. While
/// nobody runs their code.
pub fn share() -> Vec<Image> {
    let mut objects: Vec<Object> = Vec::new();
    // SAFETY: the function takes the vector.
    unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut objects).cast()) };
    let mut seen = SEEN.lock().expect("no panic is survived");
    // Those that the process began with are in use; their variables stay where they are.
    let at_start = seen.objects.is_empty();
    let mut images = Vec::new();
    for object in objects {
        if seen.objects.contains(&object.base) {
            continue;
        }
        seen.objects.push(object.base);
        for segment in &object.segments {
            if object.is_program || (segment.is_writable && at_start) {
                continue;
            }
            let size = segment.end - segment.start;
            if seen.used + size > GUEST_DATA_SIZE as u64 {
                eprintln!("a library's constants are not shared: there is no room for them");
                continue;
            }
            let offset = GUEST_DATA as u64 + seen.used;
            seen.used += size;
            share_segment(segment, offset);
            images.push(Image {
                address: segment.start,
                size,
                offset,
                is_writable: segment.is_writable.into(),
            });
        }
    }
    images
}

fn share_segment(segment: &Segment, offset: u64) {
    let size = (segment.end - segment.start) as usize;
    let copy = shared().memory.start + offset;
    // SAFETY: a loaded segment, which can be read; room for it in guest memory, which
    // nobody else uses.
    unsafe {
        std::ptr::copy_nonoverlapping(segment.start as *const u8, copy as *mut u8, size);
    }
    if !segment.is_writable {
        return;
    }
    // SAFETY: replaces the pages by others of the same contents, which nobody changes
    // meanwhile: their library is not used yet.
    unsafe {
        let start = libc::mmap(
            segment.start as *mut c_void,
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_FIXED,
            shared().memory_fd,
            offset as libc::off_t,
        );
        if start == libc::MAP_FAILED {
            eprintln!(
                "a library's variables cannot be shared: {}",
                std::io::Error::last_os_error()
            );
            return;
        }
        if let Some((start, end)) = segment.relro {
            // As the dynamic linker does it: whole pages.
            let (start, end) = (start / PAGE * PAGE, end / PAGE * PAGE);
            if start < end {
                libc::mprotect(
                    start as *mut c_void,
                    (end - start) as usize,
                    libc::PROT_READ,
                );
            }
        }
    }
}
