//! Frame slots as GstMemory.
//!
//! A slot's memfd becomes one GstFdMemory that is used again for every frame in
//! it: a new one each time would be mapped and faulted in each time, and sinks
//! that import the file descriptor (wl_shm, kms) would import it each time. The
//! way is the one of GStreamer's V4L2 allocator: a `dispose` function on the
//! memory, which runs when the last reference goes, revives the memory instead
//! of freeing it, and gives the slot back.

use crate::udmabuf::Udmabuf;
use gst::ffi;
use gst::glib;
use gst::glib::translate::{IntoGlib, ToGlibPtr};
use gst_allocators::prelude::*;
use iotdec_bridge::Lease;
use once_cell::sync::Lazy;
use std::os::fd::{AsRawFd, IntoRawFd};

/// Under which a memory keeps the [`Lease`] of its slot while it is out.
static LEASE: Lazy<glib::Quark> = Lazy::new(|| glib::Quark::from_str("iotdec-lease"));

static ALLOCATOR: Lazy<gst_allocators::FdAllocator> = Lazy::new(|| {
    let allocator = gst_allocators::FdAllocator::new();
    // It lives as long as the process, which is no leak.
    let object = allocator.upcast_ref::<gst::Allocator>();
    object.set_object_flags(gst::ObjectFlags::MAY_BE_LEAKED);
    allocator
});

static DMABUF_ALLOCATOR: Lazy<gst_allocators::DmaBufAllocator> =
    Lazy::new(gst_allocators::DmaBufAllocator::new);

/// The first `size` bytes of a leased slot, as a dmabuf if so wished. When nobody holds
/// the memory any more, the slot goes back to the guest. Read-only while the decoder may
/// refer to it: that is looked up once, so a decoder that lets go later costs a writer a
/// copy, no more.
pub(crate) fn lend(
    lease: Lease,
    size: usize,
    dmabuf: bool,
) -> Result<gst::Memory, glib::BoolError> {
    let kept = lease.memory().take::<gst::Memory>();
    let is_dmabuf = gst::MemoryRef::is_memory_type::<gst_allocators::DmaBufMemory>;
    let memory = match kept.filter(|memory| is_dmabuf(memory) == dmabuf) {
        Some(memory) => memory,
        None if dmabuf => create_dmabuf(&lease)?,
        None => create(&lease)?,
    };
    let read_only = lease.held_by_decoder();
    let lease = Box::new(lease);
    let pointer: *mut ffi::GstMemory = memory.to_glib_none().0;
    // SAFETY: `memory` is the only reference: it was kept with the slot, revived when
    // its last reference was gone, or it is new. So nothing else reads its flags, size
    // or hooks now. The lease is freed by `dispose` or, if GStreamer should finalise
    // without it, by the notify.
    unsafe {
        set_read_only(pointer, read_only);
        (*pointer).offset = 0;
        (*pointer).size = size.min((*pointer).maxsize);
        (*pointer).mini_object.dispose = Some(dispose);
        ffi::gst_mini_object_set_qdata(
            pointer.cast(),
            LEASE.into_glib(),
            Box::into_raw(lease).cast(),
            Some(free_lease),
        );
    }
    Ok(memory)
}

/// A leased slot's memory for as long as the lease lives.
pub(crate) fn view(lease: &Lease) -> Result<gst::Memory, glib::BoolError> {
    create(lease)
}

/// Forbids writing to a memory, or allows it.
///
/// # Safety
/// Nobody else uses the memory meanwhile.
pub(crate) unsafe fn set_read_only(memory: *mut ffi::GstMemory, read_only: bool) {
    // SAFETY: valid and exclusive, by the caller's promise.
    let flags = unsafe { &mut (*memory).mini_object.flags };
    if read_only {
        *flags |= ffi::GST_MEMORY_FLAG_READONLY;
    } else {
        *flags &= !ffi::GST_MEMORY_FLAG_READONLY;
    }
}

fn create(lease: &Lease) -> Result<gst::Memory, glib::BoolError> {
    let fd = lease
        .fd()
        .try_clone_to_owned()
        .map_err(|error| glib::bool_error!("cannot duplicate a slot's memfd: {error}"))?;
    let size = lease.size() as usize;
    let raw = fd.as_raw_fd();
    // SAFETY: a valid memfd of that size, sealed so that it stays that; the memory owns
    // the descriptor from here on, as `into_raw_fd` acknowledges.
    let memory =
        unsafe { ALLOCATOR.alloc_fd(raw, size, gst_allocators::FdMemoryFlags::KEEP_MAPPED)? };
    let _ = fd.into_raw_fd();
    // GstFdMemory 1.22 keeps the protection of its first mapping; a later map for
    // writing would fail if that was for reading.
    memory
        .into_mapped_memory_writable()
        .map(gst::memory::MappedMemory::into_memory)
        .map_err(|_| glib::bool_error!("cannot map a slot's memfd"))
}

fn create_dmabuf(lease: &Lease) -> Result<gst::Memory, glib::BoolError> {
    let device = Udmabuf::system().map_err(|missing| glib::bool_error!("{missing}"))?;
    let fd = device
        .wrap(lease.fd(), lease.size())
        .map_err(|error| glib::bool_error!("cannot make a dmabuf of a slot: {error}"))?;
    // SAFETY: a dmabuf of that size, which the memory owns from here on.
    unsafe { DMABUF_ALLOCATOR.alloc_dmabuf(fd, lease.size() as usize) }
}

/// A dmabuf of `size` bytes that is no slot.
pub(crate) fn new_dmabuf(size: usize) -> Result<gst::Memory, glib::BoolError> {
    let device = Udmabuf::system().map_err(|missing| glib::bool_error!("{missing}"))?;
    let fd = device
        .allocate(size as u64)
        .map_err(|error| glib::bool_error!("cannot make a dmabuf: {error}"))?;
    // SAFETY: a dmabuf of that size, which the memory owns from here on.
    unsafe { DMABUF_ALLOCATOR.alloc_dmabuf(fd, size) }
}

/// Runs when the last reference to a memory is gone: keeps it with its slot. Returns
/// whether GStreamer is to free it.
unsafe extern "C" fn dispose(object: *mut ffi::GstMiniObject) -> glib::ffi::gboolean {
    // SAFETY: set by `lend` together with the lease; GStreamer calls it once the count
    // has reached zero, so this thread alone has the memory.
    let lease = unsafe {
        (*object).dispose = None;
        ffi::gst_mini_object_steal_qdata(object, LEASE.into_glib())
    };
    if lease.is_null() {
        return glib::ffi::GTRUE;
    }
    // SAFETY: made by `Box::into_raw` in `lend`, and stolen, so freed only here.
    let lease = unsafe { Box::from_raw(lease as *mut Lease) };
    // SAFETY: reviving is what a dispose function that returns FALSE must do: the
    // reference taken here is the one that the slot keeps now.
    let memory = unsafe {
        ffi::gst_mini_object_ref(object);
        gst::Memory::from_glib_full(object as *mut ffi::GstMemory)
    };
    lease.memory().keep(memory);
    // Only now may the guest render into the slot again: its next frame finds the
    // memory there. If the slot was given up, this frees it.
    drop(lease);
    glib::ffi::GFALSE
}

unsafe extern "C" fn free_lease(lease: glib::ffi::gpointer) {
    // SAFETY: made by `Box::into_raw` in `lend`; GStreamer calls the notify once, and
    // not for stolen data.
    drop(unsafe { Box::from_raw(lease as *mut Lease) });
}
