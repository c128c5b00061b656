//! Slots in buffers of downstream's own.
//!
//! A pool whose buffers lie behind file descriptors, as those of waylandsink do, can
//! have its pictures decoded where they will be shown. A buffer is acquired from the
//! pool for as long as there is the slot, not for one picture, since the decoder goes on
//! reading pictures that downstream has let go. It is pushed as it is. When downstream
//! drops it, a `dispose` function revives it, as GstBufferPool's own does, and keeps it
//! with its slot; the pool gets it back when the slot is given up.

use crate::CAT;
use crate::memory::set_read_only;
use gst::ffi;
use gst::glib;
use gst::glib::translate::{IntoGlib, ToGlibPtr};
use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoAlignment, VideoInfo};
use iotdec_bridge::{Lease, MAX_PLANES, Picture, SlotMemory, SlotSource};
use once_cell::sync::Lazy;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Under which a buffer keeps its [`Tenant`] while it is out.
static TENANT: Lazy<glib::Quark> = Lazy::new(|| glib::Quark::from_str("iotdec-tenant"));

/// Where the visible parts of planes start, and their strides, in bytes; 0 for planes
/// that a format does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout([(usize, i32); MAX_PLANES]);

impl Layout {
    fn new(offset: &[usize], stride: &[i32], planes: usize) -> Self {
        let mut layout = [(0, 0); MAX_PLANES];
        for (plane, place) in layout.iter_mut().enumerate().take(planes) {
            *place = (offset[plane], stride[plane]);
        }
        Self(layout)
    }

    /// As who knows only the caps, or what a pool makes of them, assumes.
    pub(super) fn of_info(info: &VideoInfo) -> Self {
        Self::new(info.offset(), info.stride(), info.n_planes() as usize)
    }

    /// As the decoder rendered it.
    pub(super) fn of_picture(picture: &Picture) -> Self {
        let offset = picture.offset.map(|offset| offset as usize);
        let stride = picture.stride.map(|stride| stride as i32);
        Self::new(&offset, &stride, picture.format.planes().len())
    }

    fn of_buffer(buffer: &gst::BufferRef, info: &VideoInfo) -> Self {
        match buffer.meta::<gst_video::VideoMeta>() {
            Some(meta) => Self::new(meta.offset(), meta.stride(), meta.n_planes() as usize),
            None => Self::of_info(info),
        }
    }
}

/// An active pool of downstream's.
#[derive(Debug)]
pub(super) struct FdPool {
    pool: gst::BufferPool,
    info: VideoInfo,
    layout: Layout,
    /// It gave a buffer that no picture can be decoded into: it is not asked again.
    is_unfit: AtomicBool,
}

impl FdPool {
    /// Sets a pool up for pictures like `picture`, which need slots of `size` bytes,
    /// `need` at once. The reason if it cannot serve them.
    pub(super) fn activate(
        pool: gst::BufferPool,
        caps: &gst::Caps,
        picture: &Picture,
        size: usize,
        need: usize,
    ) -> Result<Self, String> {
        let info = VideoInfo::from_caps(caps).map_err(|error| error.to_string())?;
        let layout = Layout::of_picture(picture);
        let mut config = pool.config();
        let (_, offered, min, max) = config.params().ok_or("it has no parameters")?;
        if max != 0 && (max as usize) < need {
            return Err(format!("it gives out {max} buffers of {need}"));
        }
        let options = pool.options();
        let has = |option: &str| options.iter().any(|known| known == option);
        if has(gst_video::BUFFER_POOL_OPTION_VIDEO_META) {
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        }
        let mut aligned = info.clone();
        if layout != Layout::of_info(&info) {
            let mut alignment = alignment_of(picture);
            let made = aligned.align(&mut alignment);
            if made.is_err() || layout != Layout::of_info(&aligned) {
                return Err("no alignment gives the decoder's layout".into());
            }
            if !has(gst_video::BUFFER_POOL_OPTION_VIDEO_ALIGNMENT) {
                return Err("it cannot align rows as the decoder does".into());
            }
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
            config.set_video_alignment(&alignment);
        }
        let size = size.max(aligned.size()).max(offered as usize);
        let size = u32::try_from(size).map_err(|error| error.to_string())?;
        config.set_params(Some(caps), size, min, max);
        pool.set_config(config).map_err(|error| error.to_string())?;
        pool.set_active(true).map_err(|error| error.to_string())?;
        Ok(Self {
            pool,
            info,
            layout,
            is_unfit: AtomicBool::new(false),
        })
    }

    /// A buffer, if the pool has one left, and why it does not do as a slot.
    fn try_allocate(&self, size: u64) -> Result<Option<SlotMemory>, String> {
        // Without waiting: the session makes slots of its own where the pool has none.
        let flags = gst::BufferPoolAcquireFlags::DONTWAIT;
        let params = gst::BufferPoolAcquireParams::with_flags(flags);
        let Ok(buffer) = self.pool.acquire_buffer(Some(&params)) else {
            return Ok(None);
        };
        if buffer.n_memory() != 1 {
            return Err(format!("{} memories in a buffer", buffer.n_memory()));
        }
        let memory = buffer.peek_memory(0);
        if memory.is_memory_type::<gst_allocators::DmaBufMemory>() {
            // It may be a device's: slow to read, and nobody tells it of accesses.
            return Err("dmabuf".into());
        }
        let Some(file) = memory.downcast_memory_ref::<gst_allocators::FdMemory>() else {
            return Err("no file descriptor behind a memory".into());
        };
        let (_, offset, maxsize) = memory.sizes();
        if offset != 0 || (maxsize as u64) < size {
            return Err(format!("{maxsize} bytes from {offset} on, {size} needed"));
        }
        let layout = Layout::of_buffer(&buffer, &self.info);
        if layout != self.layout {
            return Err(format!("planes at {layout:?}, not {:?}", self.layout));
        }
        // SAFETY: the memory owns the descriptor and is borrowed until it is duplicated.
        let fd = unsafe { BorrowedFd::borrow_raw(file.fd()) };
        let fd = fd.try_clone_to_owned().map_err(|error| error.to_string())?;
        SlotMemory::adopt(fd, maxsize as u64, PoolBuffer { buffer, layout })
            .map(Some)
            .map_err(|error| error.to_string())
    }
}

impl SlotSource for FdPool {
    fn allocate(&self, size: u64) -> Option<SlotMemory> {
        if self.is_unfit.load(Ordering::Relaxed) {
            return None;
        }
        self.try_allocate(size).unwrap_or_else(|why| {
            gst::info!(CAT, obj = self.pool, "Not decoded into: {why}");
            self.is_unfit.store(true, Ordering::Relaxed);
            None
        })
    }
}

impl Drop for FdPool {
    fn drop(&mut self) {
        // Buffers that are out go when they come back.
        let _ = self.pool.set_active(false);
    }
}

/// The alignment of which GStreamer makes the layout of a picture, if any does.
fn alignment_of(picture: &Picture) -> VideoAlignment {
    let crop = picture.crop;
    let bytes = picture.format.planes()[0].bytes;
    let width = picture.stride[0] / bytes;
    VideoAlignment::new(
        crop.y,
        picture.coded.1 - crop.y - crop.height,
        crop.x,
        width.saturating_sub(crop.x + crop.width),
        &[0; 4],
    )
}

/// What a slot keeps while no picture of it is out.
struct PoolBuffer {
    buffer: gst::Buffer,
    layout: Layout,
}

/// What a buffer that is out carries.
struct Tenant {
    lease: Lease,
    layout: Layout,
    /// GstBuffer's own.
    dispose: ffi::GstMiniObjectDisposeFunction,
    /// The buffer's only memory, to recognise it by.
    memory: *const ffi::GstMemory,
}

/// The buffer of the pool in which the picture of `lease` lies, if it lies there as
/// downstream expects. Else the lease comes back.
pub(super) fn lend(lease: Lease, picture: &Picture) -> Result<gst::Buffer, Lease> {
    let Some(kept) = lease.memory().take::<PoolBuffer>() else {
        return Err(lease);
    };
    if kept.layout != Layout::of_picture(picture) {
        lease.memory().keep(kept);
        return Err(lease);
    }
    let PoolBuffer { buffer, layout } = kept;
    let read_only = lease.held_by_decoder();
    let pointer: *mut ffi::GstBuffer = buffer.to_glib_none().0;
    // SAFETY: this is the only reference to the buffer, and the buffer has the only one
    // to its memory: the pool made sure of it, or `dispose`. The tenant is freed by
    // `dispose` or, if GStreamer should finalise without it, by the notify.
    unsafe {
        let memory = ffi::gst_buffer_peek_memory(pointer, 0);
        set_read_only(memory, read_only);
        let object = &raw mut (*pointer).mini_object;
        let tenant = Box::new(Tenant {
            lease,
            layout,
            dispose: (*object).dispose,
            memory,
        });
        (*object).dispose = Some(dispose);
        ffi::gst_mini_object_set_qdata(
            object,
            TENANT.into_glib(),
            Box::into_raw(tenant).cast(),
            Some(free_tenant),
        );
    }
    Ok(buffer)
}

/// Runs when the last reference to a buffer is gone: keeps it with its slot, or lets
/// the pool have it if downstream made something else of it. Returns whether GStreamer
/// is to free it.
unsafe extern "C" fn dispose(object: *mut ffi::GstMiniObject) -> glib::ffi::gboolean {
    // SAFETY: set by `lend` together with the tenant; GStreamer calls it once the count
    // has reached zero, so this thread alone has the buffer.
    let tenant = unsafe { ffi::gst_mini_object_steal_qdata(object, TENANT.into_glib()) };
    if tenant.is_null() {
        return glib::ffi::GTRUE;
    }
    // SAFETY: made by `Box::into_raw` in `lend`, and stolen, so freed only here.
    let tenant = unsafe { Box::from_raw(tenant as *mut Tenant) };
    let Tenant {
        lease,
        layout,
        dispose,
        memory,
    } = *tenant;
    let buffer = object as *mut ffi::GstBuffer;
    // SAFETY: reviving is what a dispose function that returns FALSE must do; the
    // reference taken here is the only one, without which nothing counts as writable. A
    // memory that nobody else refers to is this thread's as well.
    let intact = unsafe {
        (*object).dispose = dispose;
        ffi::gst_mini_object_ref(object);
        let intact = ffi::gst_buffer_n_memory(buffer) == 1
            && ffi::gst_buffer_peek_memory(buffer, 0).cast_const() == memory
            && ffi::gst_buffer_is_all_memory_writable(buffer) != glib::ffi::GFALSE;
        if intact {
            set_read_only(memory.cast_mut(), false);
        }
        intact
    };
    // SAFETY: the reference that was taken above.
    let mut buffer = unsafe { gst::Buffer::from_glib_full(buffer) };
    if !intact {
        // Somebody still has the memory, or the buffer has another: no more pictures.
        // The pool does not use such a buffer again either.
        lease.withdraw();
        drop(lease);
        drop(buffer);
        return glib::ffi::GFALSE;
    }
    reset(buffer.make_mut());
    lease.memory().keep(PoolBuffer { buffer, layout });
    // Only now may the guest render into the slot again. If the slot was given up, the
    // pool gets its buffer.
    drop(lease);
    glib::ffi::GFALSE
}

/// Makes a buffer as new, as its pool does.
fn reset(buffer: &mut gst::BufferRef) {
    // SAFETY: exclusive by `&mut`. A buffer that was acquired and not released refers to
    // its pool, an instance of a class derived from GstBufferPool's.
    unsafe {
        let buffer = buffer.as_mut_ptr();
        let pool = (*buffer).pool;
        if !pool.is_null() {
            let class = (*pool.cast::<glib::gobject_ffi::GTypeInstance>()).g_class;
            if let Some(reset) = (*class.cast::<ffi::GstBufferPoolClass>()).reset_buffer {
                reset(pool, buffer);
            }
        }
    }
}

unsafe extern "C" fn free_tenant(tenant: glib::ffi::gpointer) {
    // SAFETY: made by `Box::into_raw` in `lend`; GStreamer calls the notify once, and
    // not for stolen data.
    drop(unsafe { Box::from_raw(tenant as *mut Tenant) });
}
