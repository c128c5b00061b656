//! Frame buffers for VP9: slots, in which libvpx places the planes itself.

use super::api::FrameBuffer;
use crate::slots::{Lease, SlotPool};
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pictures that libvpx holds at once: 8 references (VP9, 7.2), the one being
/// decoded, and the one shown last.
const DEPTH: u32 = 8 + 2;
/// Bytes of a frame buffer at most: with its borders, a picture of 8192 x 8192 in
/// 4:2:0. For more there is no slot.
const MOST: usize = 3 * 8192 * 8192;

/// Where frame buffers come from. Lives as long as the decoder.
pub struct Buffers {
    pub slots: Arc<dyn SlotPool>,
    /// A picture found no slot since this was last asked: it is being flushed.
    pub starved: AtomicBool,
}

/// A frame buffer; libvpx carries a pointer to it.
pub struct Memory {
    pub lease: Lease,
    /// Bytes that libvpx was told of.
    pub size: usize,
    /// The picture in it came out already. A slot can be handed over only once.
    pub shown: AtomicBool,
}

/// `vpx_get_frame_buffer_cb_fn_t`. The memory is not cleared, although the header
/// asks for it: libvpx does not clear buffers of its own that it uses again either.
pub unsafe extern "C" fn get(user: *mut c_void, size: usize, buffer: *mut FrameBuffer) -> c_int {
    // SAFETY: registered together with `Buffers` that outlive the decoder; there are
    // only shared references to them.
    let buffers = unsafe { &*user.cast::<Buffers>() };
    if size > MOST {
        return -1;
    }
    let Some(lease) = buffers.slots.clone().acquire(size as u64, DEPTH) else {
        buffers.starved.store(true, Ordering::Relaxed);
        return -1;
    };
    let data = lease.start().as_ptr();
    let memory = Memory {
        lease,
        size,
        shown: AtomicBool::new(false),
    };
    // SAFETY: libvpx passes a struct to be filled.
    unsafe {
        buffer.write(FrameBuffer {
            data,
            size,
            private: Box::into_raw(Box::new(memory)).cast(),
        });
    }
    0
}

/// `vpx_release_frame_buffer_cb_fn_t`.
pub unsafe extern "C" fn release(_user: *mut c_void, buffer: *mut FrameBuffer) -> c_int {
    // SAFETY: libvpx passes a struct that `get` filled, or an empty one.
    let memory = unsafe { std::mem::replace(&mut (*buffer).private, std::ptr::null_mut()) };
    if !memory.is_null() {
        // SAFETY: `get` made it; it is taken out of the struct, so this happens once.
        drop(unsafe { Box::from_raw(memory.cast::<Memory>()) });
    }
    0
}
