//! Frame slots as GstMemory.
//!
//! A slot's memfd becomes one GstFdMemory that is used again for every frame in
//! it: a new one each time would be mapped and faulted in each time, and sinks
//! that import the file descriptor (wl_shm, kms) would import it each time. The
//! way is the one of GStreamer's V4L2 allocator: a `dispose` function on the
//! memory, which runs when the last reference goes, revives the memory instead
//! of freeing it, and gives the slot back.

use gst::ffi;
use gst::glib;
use gst::glib::translate::{IntoGlib, ToGlibPtr};
use gst_allocators::prelude::*;
use iotdec_bridge::Lease;
use once_cell::sync::Lazy;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::{Arc, Mutex, Weak};

/// Under which a memory keeps its [`Tenant`] while it is out.
static TENANT: Lazy<glib::Quark> = Lazy::new(|| glib::Quark::from_str("iotdec-tenant"));

/// The memories of one session's slots that are not in use.
#[derive(Debug)]
pub(crate) struct SlotMemories {
    allocator: gst_allocators::FdAllocator,
    idle: Mutex<HashMap<u64, gst::Memory>>,
}

/// What a memory that is out carries.
struct Tenant {
    lease: Lease,
    home: Weak<SlotMemories>,
}

impl SlotMemories {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            allocator: gst_allocators::FdAllocator::new(),
            idle: Mutex::default(),
        })
    }

    /// The first `size` bytes of a leased slot. When nobody holds the memory any more,
    /// the slot goes back to the guest. Read-only while the decoder may refer to it.
    pub(crate) fn lend(
        self: &Arc<Self>,
        lease: Lease,
        size: usize,
    ) -> Result<gst::Memory, glib::BoolError> {
        let idle = self.lock().remove(&lease.slot_id());
        let memory = match idle {
            Some(memory) => memory,
            None => self.create(&lease)?,
        };
        let read_only = lease.held_by_decoder();
        let tenant = Box::new(Tenant {
            lease,
            home: Arc::downgrade(self),
        });
        let pointer: *mut ffi::GstMemory = memory.to_glib_none().0;
        // SAFETY: `memory` is the only reference: it comes from `idle`, which holds
        // revived memories of which the last reference was gone, or it is new. So
        // nothing else reads its flags, size or hooks now. The tenant is freed by
        // `dispose` or, if GStreamer should finalise without it, by the notify.
        unsafe {
            let flags = &mut (*pointer).mini_object.flags;
            if read_only {
                *flags |= ffi::GST_MEMORY_FLAG_READONLY;
            } else {
                *flags &= !ffi::GST_MEMORY_FLAG_READONLY;
            }
            (*pointer).offset = 0;
            (*pointer).size = size.min((*pointer).maxsize);
            (*pointer).mini_object.dispose = Some(dispose);
            ffi::gst_mini_object_set_qdata(
                pointer.cast(),
                TENANT.into_glib(),
                Box::into_raw(tenant).cast(),
                Some(free_tenant),
            );
        }
        Ok(memory)
    }

    fn create(&self, lease: &Lease) -> Result<gst::Memory, glib::BoolError> {
        let fd = lease
            .memory()
            .try_clone_to_owned()
            .map_err(|error| glib::bool_error!("cannot duplicate a slot's memfd: {error}"))?;
        let size = lease.size() as usize;
        let raw = fd.as_raw_fd();
        // SAFETY: a valid memfd of that size, sealed so that it stays that; the
        // memory owns the descriptor from here on, as `into_raw_fd` acknowledges.
        let memory = unsafe {
            self.allocator
                .alloc_fd(raw, size, gst_allocators::FdMemoryFlags::KEEP_MAPPED)?
        };
        let _ = fd.into_raw_fd();
        // GstFdMemory 1.22 keeps the protection of its first mapping; a later map
        // for writing would fail if that was for reading.
        memory
            .into_mapped_memory_writable()
            .map(gst::memory::MappedMemory::into_memory)
            .map_err(|_| glib::bool_error!("cannot map a slot's memfd"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, gst::Memory>> {
        self.idle.lock().expect("never poisoned")
    }
}

/// Runs when the last reference to a memory is gone: takes it home if home is
/// still there. Returns whether GStreamer is to free it.
unsafe extern "C" fn dispose(object: *mut ffi::GstMiniObject) -> glib::ffi::gboolean {
    // SAFETY: set by `lend` together with the tenant; GStreamer calls it once the
    // count has reached zero, so this thread alone has the memory.
    let tenant = unsafe {
        (*object).dispose = None;
        ffi::gst_mini_object_steal_qdata(object, TENANT.into_glib())
    };
    if tenant.is_null() {
        return glib::ffi::GTRUE;
    }
    // SAFETY: made by `Box::into_raw` in `lend`, and stolen, so freed only here.
    let tenant = unsafe { Box::from_raw(tenant as *mut Tenant) };
    let Some(home) = tenant.home.upgrade() else {
        return glib::ffi::GTRUE;
    };
    // SAFETY: reviving is what a dispose function that returns FALSE must do: the
    // reference taken here is the one that `idle` now owns.
    let memory = unsafe {
        ffi::gst_mini_object_ref(object);
        gst::Memory::from_glib_full(object as *mut ffi::GstMemory)
    };
    home.lock().insert(tenant.lease.slot_id(), memory);
    // Only now may the guest render into the slot again: its next frame finds the
    // memory at home.
    drop(tenant);
    glib::ffi::GFALSE
}

unsafe extern "C" fn free_tenant(tenant: glib::ffi::gpointer) {
    // SAFETY: made by `Box::into_raw` in `lend`; GStreamer calls the notify once,
    // and not for stolen data.
    drop(unsafe { Box::from_raw(tenant as *mut Tenant) });
}
