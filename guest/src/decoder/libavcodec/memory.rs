//! Picture memory for libavcodec: `get_buffer2`, and slots behind it.

use super::api::{Api, AvFrame, BUFFER_READONLY, Context, DATA_POINTERS, GetBuffer, NO_MEMORY};
use super::format::Pixels;
use super::layout::{FRAME_DATA, FRAME_EXTENDED_DATA, FRAME_FORMAT, FRAME_HEIGHT, FRAME_LINESIZE};
use super::layout::{FRAME_WIDTH, Layout};
use crate::slots::{Lease, SlotPool};
use iotdec_wire::picture::{MAX_DIMENSION, MAX_PLANES, PixelFormat, arrange};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Pictures that a decoder may hold: 16 references or pictures waiting for their turn
/// (H.264, A.3.1; H.265, A.4.2), the one being decoded, and the one being shown.
const DEPTH: u32 = 18;
/// What `avcodec_default_get_buffer2` leaves behind each plane for SIMD code to read;
/// behind the others lies the next plane.
const PADDING: u64 = 16 + 63;

/// What `get_buffer2` needs, once a process: frame threads call it with contexts of
/// their own.
pub struct Hooks {
    pub api: Api,
    pub layout: Layout,
    pub slots: Arc<dyn SlotPool>,
    /// Pictures in slots that the library refers to, by address.
    pictures: Mutex<BTreeMap<usize, Arc<Picture>>>,
    /// Pictures begun since the start.
    pub begun: AtomicU64,
    /// A picture found no slot since this was last asked: it is being flushed.
    pub starved: AtomicBool,
}

static HOOKS: OnceLock<Hooks> = OnceLock::new();

/// What to put into a context's `get_buffer2`, after [`Hooks::install`].
pub const HOOK: GetBuffer = get_buffer;

/// A picture in a slot.
#[derive(Debug)]
pub struct Picture {
    pub lease: Lease,
    /// Bytes that the library has of it.
    len: usize,
    /// Given out already: downstream has one bit per slot.
    pub shown: AtomicBool,
}

impl Hooks {
    /// Sets them up; `None` if there is a decoder in this process already.
    pub fn install(api: Api, layout: Layout, slots: Arc<dyn SlotPool>) -> Option<&'static Self> {
        let hooks = Self {
            api,
            layout,
            slots,
            pictures: Mutex::default(),
            begun: AtomicU64::new(0),
            starved: AtomicBool::new(false),
        };
        HOOKS.set(hooks).ok()?;
        HOOKS.get()
    }

    /// How frames of this number's format become pictures; its name if they can't.
    pub fn pixels(&self, format: c_int) -> Result<Pixels, String> {
        // SAFETY: takes any number, returns a static string or null.
        let name = unsafe { (self.api.av_get_pix_fmt_name)(format) };
        if name.is_null() {
            return Err(format!("number {format}"));
        }
        // SAFETY: not null, so a C string.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        Pixels::of_name(&name).ok_or_else(|| name.into_owned())
    }

    /// The picture in whose slot an address lies.
    pub fn picture_at(&self, address: usize) -> Option<Arc<Picture>> {
        let pictures = self.pictures.lock().expect("no panic is survived");
        let (start, picture) = pictures.range(..=address).next_back()?;
        (address - start < picture.len).then(|| picture.clone())
    }

    /// Gives a frame memory in a slot. An error number of the library if there is none.
    ///
    /// # Safety
    /// `frame` is the frame that the library wants memory for, of `format`.
    unsafe fn provide(
        &self,
        context: *mut Context,
        frame: *mut AvFrame,
        format: PixelFormat,
    ) -> Result<(), c_int> {
        // SAFETY: by the caller's promise.
        let size: [c_int; 2] = unsafe { [FRAME_WIDTH.read(frame), FRAME_HEIGHT.read(frame)] };
        let (offset, stride, size) = self.place(context, format, size).ok_or(-libc::EINVAL)?;
        let len = size + PADDING;
        let Some(lease) = self.slots.clone().acquire(len, DEPTH) else {
            self.starved.store(true, Ordering::Relaxed);
            return Err(NO_MEMORY);
        };
        let start = lease.start().as_ptr();
        let picture = Arc::new(Picture {
            lease,
            len: len as usize,
            shown: AtomicBool::new(false),
        });
        self.pictures
            .lock()
            .expect("no panic is survived")
            .insert(start.addr(), picture);
        let mut data = [null_mut::<u8>(); DATA_POINTERS];
        let mut linesize = [0 as c_int; DATA_POINTERS];
        for plane in 0..format.planes().len() {
            data[plane] = start.wrapping_add(offset[plane] as usize);
            linesize[plane] = stride[plane] as c_int;
        }
        // SAFETY: the slot stays until `free_buffer`; the fields are where they were
        // found, and for this function to fill.
        unsafe {
            let reference = (self.api.av_buffer_create)(
                start,
                len as usize,
                Some(free_buffer),
                null_mut(),
                // What was shown once is downstream's to look at: decoders that change
                // the last picture into the next are made to copy it.
                BUFFER_READONLY,
            );
            if reference.is_null() {
                self.forget(start);
                return Err(NO_MEMORY);
            }
            let mut references = [null_mut::<c_void>(); DATA_POINTERS];
            references[0] = reference;
            self.layout.buf.write(frame, references);
            FRAME_DATA.write(frame, data);
            FRAME_LINESIZE.write(frame, linesize);
            FRAME_EXTENDED_DATA.write(frame, frame);
        }
        Ok(())
    }

    /// Where the planes go, as the library wants them aligned; one right after the
    /// other, chroma rows exactly as long as their share of a luma row.
    fn place(
        &self,
        context: *mut Context,
        format: PixelFormat,
        [mut width, mut height]: [c_int; 2],
    ) -> Option<([u32; MAX_PLANES], [u32; MAX_PLANES], u64)> {
        let mut align = [0; DATA_POINTERS];
        let possible = 1..=MAX_DIMENSION as c_int;
        if !possible.contains(&width) || !possible.contains(&height) {
            return None;
        }
        // SAFETY: the context that asks, and places for the numbers.
        unsafe {
            (self.api.avcodec_align_dimensions2)(
                context,
                &mut width,
                &mut height,
                align.as_mut_ptr(),
            );
        }
        let (mut width, height) = (width as u32, height as u32);
        let is_aligned = |width| {
            (0..format.planes().len()).all(|plane| {
                let row = format.row_bytes(plane, width);
                row.is_multiple_of(u32::try_from(align[plane]).unwrap_or(1).max(1))
            })
        };
        while !is_aligned(width) {
            // To the next multiple of twice the power of two that it has.
            width += 1 << width.trailing_zeros();
        }
        let (offset, stride, size) = arrange(format, width, height, 1);
        Some((offset, stride, size.into()))
    }

    fn forget(&self, start: *mut u8) {
        let mut pictures = self.pictures.lock().expect("no panic is survived");
        let picture = pictures.remove(&start.addr());
        drop(pictures);
        drop(picture);
    }
}

/// libavcodec wants memory for a picture. May run on any of its threads.
unsafe extern "C" fn get_buffer(context: *mut Context, frame: *mut AvFrame, flags: c_int) -> c_int {
    let Some(hooks) = HOOKS.get() else {
        return -libc::EINVAL;
    };
    hooks.begun.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the library passes a frame of its own, with format and size set.
    let format = unsafe { FRAME_FORMAT.read(frame) };
    match hooks.pixels(format) {
        Ok(Pixels::Same(format) | Pixels::Full(format)) => {
            // SAFETY: as above.
            match unsafe { hooks.provide(context, frame, format) } {
                Ok(()) => 0,
                Err(error) => error,
            }
        }
        // SAFETY: what the library would have called without us.
        _ => unsafe { (hooks.api.avcodec_default_get_buffer2)(context, frame, flags) },
    }
}

/// Nothing in the library refers to a picture any more.
unsafe extern "C" fn free_buffer(_opaque: *mut c_void, data: *mut u8) {
    if let Some(hooks) = HOOKS.get() {
        hooks.forget(data);
    }
}
