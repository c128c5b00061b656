//! Picture memory for libde265: its allocation hooks, and slots behind them.

use super::api::{Api, Context, Image, ImageAllocation, ImageSpec};
use crate::decoder::copy::place;
use crate::slots::{Lease, SlotPool};
use iotdec_wire::picture::{PictureRecord, PixelFormat, Rect};
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pictures that libde265 may hold: 16 references or pictures waiting for their
/// turn (HEVC, A.4.2), and the one being decoded. It frees a picture's memory only
/// when it needs its table entry again, so it does come close.
const DEPTH: u32 = 17;
/// What libde265's own allocator leaves behind each plane for its SIMD code to
/// read; behind the others lies the next plane.
const PADDING: u64 = 16;

/// What the hooks need. Lives as long as the decoder context.
pub struct Hooks {
    pub api: Arc<Api>,
    pub slots: Arc<dyn SlotPool>,
    /// A picture found no slot since this was last asked: it is being flushed.
    pub starved: AtomicBool,
}

/// A picture's memory; libde265 carries a pointer to it with the first plane.
pub enum Picture {
    /// In a slot: can be shown as it is.
    Slot(Lease, PictureRecord),
    /// On the heap: a reference that the stream lacks and libde265 invents, a
    /// format that can't be described, or there was no slot.
    Heap { _memory: Vec<u128> },
}

/// Installs the hooks.
///
/// libde265 does not ask them for pictures of streams with SAO: their memory is
/// its own, from a time when SAO made a second picture for output. It filters in
/// place now unless it has threads, so that pictures would have to be copied out
/// for nothing. Its default allocator is a public table of functions, though, and
/// not constant: with the hooks in there every picture is ours.
///
/// # Safety
/// `context` is a decoder, `hooks` outlives it, and no other decoder of this
/// library exists in the process.
pub unsafe fn install(hooks: &Hooks, context: *mut Context) {
    let mut functions = ImageAllocation {
        get_buffer,
        release_buffer,
    };
    let user = std::ptr::from_ref(hooks).cast_mut().cast::<c_void>();
    let api = &hooks.api;
    // SAFETY: the table is copied; `hooks` outlives the context by the caller.
    unsafe { (api.de265_set_image_allocation_functions)(context, &mut functions, user) };
    // SAFETY: no preconditions.
    let default = unsafe { (api.de265_get_default_image_allocation_functions)() }.cast_mut();
    if default.is_null() || !make_writable(default) {
        return;
    }
    // SAFETY: the table is static in the library and writable now; no decoding is
    // going on that would read it.
    unsafe { default.write(functions) };
}

/// Allows writing to a static of the library even if it has become constant.
fn make_writable(table: *mut ImageAllocation) -> bool {
    // SAFETY: reads a system constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let start = table.addr() & !(page - 1);
    let len = table.addr() + size_of::<ImageAllocation>() - start;
    // SAFETY: the pages hold the table, so they are mapped data of the library;
    // more rights on data than before break nothing.
    unsafe {
        libc::mprotect(
            table.with_addr(start).cast(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
        ) == 0
    }
}

/// libde265 wants memory for a picture. May run on any of its threads.
unsafe extern "C" fn get_buffer(
    _context: *mut Context,
    spec: *mut ImageSpec,
    image: *mut Image,
    user: *mut c_void,
) -> c_int {
    // SAFETY: `install` passed a `Hooks` that outlives the context; only shared
    // references to it exist while decoding.
    let hooks = unsafe { &*user.cast::<Hooks>() };
    // SAFETY: libde265 passes a spec of its own.
    let spec = unsafe { *spec };
    let api = &hooks.api;
    let (width, height) = (spec.width as u32, spec.height as u32);
    // SAFETY: the image has its parameter set already.
    let depth = |plane| unsafe { (api.de265_get_bits_per_pixel)(image, plane) } as u32;
    let gray = spec.format == 1;
    let (shift_x, shift_y) = match spec.format {
        2 => (1, 1),
        3 => (1, 0),
        _ => (0, 0),
    };
    let same_depth = gray || depth(0) == depth(1);
    let format = PixelFormat::planar(gray, shift_x, shift_y, depth(0)).filter(|_| same_depth);
    // SAFETY: as above. What packets bring has user data, see `MARK`.
    let invented = unsafe { (api.de265_get_image_user_data)(image) }.is_null();
    let slot = format.filter(|_| !invented).and_then(|format| {
        let (offset, stride, size) = place(format, width, height);
        let lease = hooks
            .slots
            .clone()
            .acquire(u64::from(size) + PADDING, DEPTH)
            .or_else(|| {
                hooks.starved.store(true, Ordering::Relaxed);
                None
            })?;
        let record = PictureRecord {
            crop: Rect {
                x: spec.crop_left as u32,
                y: spec.crop_top as u32,
                width: spec.visible_width as u32,
                height: spec.visible_height as u32,
            },
            ..PictureRecord::new(format, (width, height), offset, stride)
        };
        Some((lease, record))
    });
    let (picture, start, offset, stride) = match slot {
        Some((lease, record)) => {
            let start = lease.start().as_ptr();
            let (offset, stride) = (record.offset, record.stride);
            (Picture::Slot(lease, record), start, offset, stride)
        }
        None => {
            // Any layout that is large enough: as if all were 16 bits deep.
            let like = PixelFormat::planar(gray, shift_x, shift_y, 12).expect("listed");
            let (offset, stride, size) = place(like, width, height);
            let words = (u64::from(size) + PADDING).div_ceil(16) as usize;
            let mut memory = vec![0u128; words];
            let start = memory.as_mut_ptr().cast();
            (Picture::Heap { _memory: memory }, start, offset, stride)
        }
    };
    let picture = Box::into_raw(Box::new(picture));
    for plane in 0..if gray { 1 } else { 3 } {
        // SAFETY: the plane lies inside the memory that `picture` owns, which stays
        // until `release_buffer`; libde265 gets planes of the geometry it asked for.
        unsafe {
            (api.de265_set_image_plane)(
                image,
                plane as c_int,
                start.add(offset[plane] as usize).cast(),
                stride[plane] as c_int,
                picture.cast(),
            );
        }
    }
    1
}

/// libde265 no longer needs a picture's memory.
unsafe extern "C" fn release_buffer(_context: *mut Context, image: *mut Image, user: *mut c_void) {
    // SAFETY: as in `get_buffer`.
    let hooks = unsafe { &*user.cast::<Hooks>() };
    // SAFETY: the first plane carries what `get_buffer` gave it (libde265 swaps it
    // along with the planes), and is released once.
    unsafe {
        let picture = (hooks.api.de265_get_image_plane_user_data)(image, 0);
        drop(Box::from_raw(picture.cast::<Picture>()));
    }
}
