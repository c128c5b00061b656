//! Frames in the memory that downstream wants: what it answered to the ALLOCATION
//! query, slots as buffers, and copies where a slot would not do.

use super::imp::{ForeignDecoder, lock};
use super::picture::{frame_flags, set_scan};
use crate::memory;
use gst::glib;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use iotdec_bridge::{Frame, Picture, Worker};

/// What downstream said to the ALLOCATION query.
#[derive(Clone, Debug, Default)]
pub(super) struct Downstream {
    /// It understands GstVideoMeta.
    video_meta: bool,
    /// It hands file descriptors to a Wayland compositor as wl_shm, and that knows one
    /// stride, and planes directly one below the other.
    wl_shm: bool,
}

impl Downstream {
    /// Whether it can read a picture as it lies.
    fn can_read(&self, picture: &Picture, is_default: bool) -> bool {
        if self.wl_shm {
            return is_default || is_without_gaps(picture);
        }
        is_default || self.video_meta
    }
}

impl ForeignDecoder {
    /// Notes what downstream said to the ALLOCATION query, and keeps the base class
    /// from allocating frames that only the copying path would use.
    pub(super) fn note_allocation(&self, query: &mut gst::query::Allocation) {
        let video_meta = query
            .find_allocation_meta::<gst_video::VideoMeta>()
            .is_some();
        let mut allocators = query.allocation_params();
        let wl_shm = allocators.any(|(allocator, _)| allocator.is_some_and(|a| is_wl_shm(&a)));
        lock(&self.output).downstream = Downstream { video_meta, wl_shm };
        let need = query.allocation_pools().map(|(_, _, min, _)| min).max();
        if let Some(session) = &*lock(&self.session) {
            session
                .worker
                .set_downstream_need(1 + need.unwrap_or(0) as usize);
        }
    }

    /// The slot's memory as a buffer; or a copy of it, where downstream could not
    /// read it as it lies or holds so many that the decoder would starve.
    pub(super) fn wrap(
        &self,
        frame: Frame,
        info: &VideoInfo,
        worker: &Worker,
    ) -> Result<gst::Buffer, glib::BoolError> {
        let picture = frame.picture;
        let scan = picture.scan;
        let slot_size = frame.lease.size() as usize;
        let is_default = is_default_layout(&picture, info) && info.size() <= slot_size;
        let readable = lock(&self.output).downstream.can_read(&picture, is_default);
        let starving = worker.slots_are_scarce();
        // A slot is larger than its picture; who knows only the caps counts bytes.
        let size = if is_default { info.size() } else { slot_size };
        let memory = memory::lend(frame.lease, size)?;
        let buffer = described(memory, &picture, info.format())?;
        if readable && !starving {
            return Ok(buffer);
        }
        self.stats.frames_copied.add(1);
        let target = self.obj().allocate_output_buffer()?;
        let mut copied = copy(&buffer, target, info)?;
        set_scan(copied.make_mut(), scan);
        Ok(copied)
    }
}

/// Whether the picture lies in its slot just as downstream assumes when it knows
/// only the caps.
fn is_default_layout(picture: &Picture, info: &VideoInfo) -> bool {
    let planes = picture.format.planes().len();
    let same_offset = |plane: usize| picture.offset[plane] as usize == info.offset()[plane];
    let same_stride = |plane: usize| picture.stride[plane] as i32 == info.stride()[plane];
    (0..planes).all(|plane| same_offset(plane) && same_stride(plane))
}

/// Whether wl_shm can describe how the picture lies: waylandsink compares the strides
/// with the first plane's, and the offsets with planes of the visible height. One that
/// fails makes 1.22 end the stream instead of copying the frame.
fn is_without_gaps(picture: &Picture) -> bool {
    let mut next = picture.offset[0];
    let planes = picture.format.planes();
    planes.iter().enumerate().all(|(index, plane)| {
        let stride = picture.stride[index];
        let (_, rows) = picture
            .format
            .plane_size(index, picture.crop.width, picture.crop.height);
        let expected = (picture.stride[0] >> plane.shift_x) * plane.bytes / planes[0].bytes;
        let fits = stride == expected && picture.offset[index] == next;
        next += stride * rows;
        fits
    })
}

/// Whether an allocator is waylandsink's.
fn is_wl_shm(allocator: &gst::Allocator) -> bool {
    allocator.type_().name() == "GstWlShmAllocator"
}

/// A buffer around a slot's memory, with the layout as GstVideoMeta.
fn described(
    memory: gst::Memory,
    picture: &Picture,
    format: VideoFormat,
) -> Result<gst::Buffer, glib::BoolError> {
    let planes = picture.format.planes().len();
    let offset = picture.offset.map(|offset| offset as usize);
    let stride = picture.stride.map(|stride| stride as i32);
    let mut buffer = gst::Buffer::new();
    let writable = buffer.make_mut();
    writable.append_memory(memory);
    set_scan(writable, picture.scan);
    gst_video::VideoMeta::add_full(
        writable,
        frame_flags(picture.scan),
        format,
        picture.crop.width,
        picture.crop.height,
        &offset[..planes],
        &stride[..planes],
    )?;
    Ok(buffer)
}

/// Copies a picture into another buffer of the same caps.
fn copy(
    source: &gst::BufferRef,
    mut target: gst::Buffer,
    info: &VideoInfo,
) -> Result<gst::Buffer, glib::BoolError> {
    let source = gst_video::VideoFrameRef::from_buffer_ref_readable(source, info)?;
    let writable = target.make_mut();
    let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(writable, info)?;
    source
        .copy(&mut frame)
        .map_err(|_| glib::bool_error!("frames differ in format"))?;
    drop(frame);
    Ok(target)
}
