//! What libraries have in their files, mapped here at the addresses where the guest has
//! it: constants that the program may read, and variables.

use super::functions::cover;
use super::worker::Worker;
use iotdec_wire::exchange::{GUEST_DATA, GUEST_DATA_SIZE, Image, Range};
use nix::libc;
use std::sync::Mutex;

const PAGE: u64 = 4096;
/// Segments of one worker.
pub(crate) const MAX_IMAGES: usize = 4096;

/// Everything that is mapped.
static MAPPED: Mutex<Vec<Mapped>> = Mutex::new(Vec::new());

struct Mapped {
    range: Range,
    /// The setting whose workers have it.
    owner: usize,
    is_writable: bool,
}

/// Maps what can be mapped of a worker's images. What cannot, because something else is
/// there, is not shared: pointers into it are refused.
pub(crate) fn map(worker: &Worker, images: &[Image]) {
    let mut mapped = MAPPED.lock().expect("nothing panics with it");
    for image in images.iter().take(MAX_IMAGES) {
        let range = image.range();
        if !is_sound(image) {
            continue;
        }
        let source = worker.memory.start + image.offset;
        let setting = worker.setting_index();
        let is_writable = image.is_writable != 0;
        let known = mapped.iter().find(|known| known.range == range);
        let is_mapped = match known {
            // Functions of the program's lead to constants: nothing else may come to lie there.
            Some(known) if known.is_writable != is_writable => false,
            // Another setting's libraries may have other things at the same addresses, of which
            // the program sees the first; but C libraries are often the same.
            Some(known) if known.owner != setting => !is_writable && has_same(source, range),
            // Of an earlier worker, which loaded its libraries in the same order: constants are the
            // same, and functions of the program's lead there.
            Some(_) => !is_writable || duplicate(source, range, is_writable),
            None => {
                let is_new = reserve(range) && duplicate(source, range, is_writable);
                if is_new {
                    mapped.push(Mapped {
                        range,
                        owner: setting,
                        is_writable,
                    });
                    if !is_writable {
                        cover(range);
                    }
                }
                is_new
            }
        };
        if !is_mapped {
            continue;
        }
        worker.add_image(range);
    }
}

/// Whether it is in the part of guest memory for this, and where a program may have memory.
fn is_sound(image: &Image) -> bool {
    let data = Range {
        start: GUEST_DATA as u64,
        size: GUEST_DATA_SIZE as u64,
    };
    let user = Range {
        start: 16 * PAGE,
        size: 1 << 46,
    };
    [image.address, image.size, image.offset]
        .iter()
        .all(|it| it.is_multiple_of(PAGE))
        && image.size > 0
        && data.contains(image.offset, image.size)
        && user.contains(image.address, image.size)
}

/// Whether the same bytes are there and in a range that is mapped.
fn has_same(source: u64, range: Range) -> bool {
    // SAFETY: the source is in guest memory, the range was mapped by this module for good. Either
    // may change meanwhile, which the C function does not mind.
    unsafe {
        let [one, other] = [source, range.start].map(|start| start as *const libc::c_void);
        libc::memcmp(one, other, range.size as usize) == 0
    }
}

/// Takes a range that nothing is in.
fn reserve(range: Range) -> bool {
    // SAFETY: replaces nothing; kernels before 4.17 take it for a wish.
    unsafe {
        let start = libc::mmap(
            range.start as *mut libc::c_void,
            range.size as usize,
            libc::PROT_NONE,
            libc::MAP_PRIVATE
                | libc::MAP_ANONYMOUS
                | libc::MAP_NORESERVE
                | libc::MAP_FIXED_NOREPLACE,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return false;
        }
        if start as u64 != range.start {
            libc::munmap(start, range.size as usize);
            return false;
        }
    }
    true
}

/// Maps pages of guest memory a second time, over a range that is ours.
fn duplicate(source: u64, range: Range, is_writable: bool) -> bool {
    // SAFETY: the source is in guest memory, which is shared, so an old size of 0 maps the
    // same pages again; what is replaced is this module's.
    unsafe {
        let start = libc::mremap(
            source as *mut libc::c_void,
            0,
            range.size as usize,
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
            range.start as *mut libc::c_void,
        );
        if start == libc::MAP_FAILED {
            return false;
        }
        if !is_writable {
            libc::mprotect(start, range.size as usize, libc::PROT_READ);
        }
    }
    true
}
