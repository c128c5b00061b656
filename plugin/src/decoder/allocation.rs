//! Frames in the memory that downstream wants: what it answered to the ALLOCATION
//! query, slots as buffers, and copies where a slot would not do.

use super::dmabuf::is_dmabuf;
use super::fd_pool::{self, FdPool, Layout};
use super::imp::{ForeignDecoder, lock};
use super::picture::{frame_flags, set_scan};
use crate::{CAT, memory};
use gst::glib;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoAlignment, VideoCropMeta, VideoInfo, VideoMeta};
use iotdec_bridge::{Frame, Picture, SlotSource, Worker};
use std::sync::Arc;

/// What downstream said to the ALLOCATION query.
#[derive(Clone, Debug, Default)]
pub(super) struct Downstream {
    /// It understands GstVideoMeta.
    video_meta: bool,
    /// It understands GstVideoCropMeta.
    crop_meta: bool,
    /// It hands file descriptors to a Wayland compositor as wl_shm, and that knows one
    /// stride, and planes directly one below the other.
    wl_shm: bool,
    /// How its pool's buffers have their rows.
    alignment: VideoAlignment,
    /// Frames it holds in ordinary operation.
    need: usize,
    /// It takes dmabufs.
    dmabuf: bool,
    /// Where pictures are decoded into its own memory.
    pool: Option<Arc<FdPool>>,
}

impl Downstream {
    fn of(query: &gst::query::Allocation) -> Self {
        let knows = |index: Option<u32>| index.is_some();
        let pools = || query.allocation_pools();
        let alignments = pools().filter_map(|(pool, ..)| pool?.config().video_alignment());
        let mut allocators = query.allocation_params();
        Self {
            video_meta: knows(query.find_allocation_meta::<VideoMeta>()),
            crop_meta: knows(query.find_allocation_meta::<VideoCropMeta>()),
            wl_shm: allocators.any(|(allocator, _)| allocator.is_some_and(|a| is_wl_shm(&a))),
            alignment: alignments.into_iter().next().unwrap_or_default(),
            // The one that is on its way to it counts, too.
            dmabuf: query.get().0.is_some_and(is_dmabuf),
            need: 1 + pools().map(|(.., min, _)| min).max().unwrap_or(0) as usize,
            pool: None,
        }
    }

    /// Tells a worker what downstream needs and offers.
    pub(super) fn serve(&self, worker: &Worker) {
        worker.set_downstream_need(self.need);
        let source = self.pool.clone();
        worker.set_slot_source(source.map(|pool| pool as Arc<dyn SlotSource>));
    }

    /// Whether it can read a picture as it lies in its slot.
    fn can_read(&self, picture: &Picture, is_default: bool) -> bool {
        if self.wl_shm {
            return is_default || is_without_gaps(picture);
        }
        (is_default || self.video_meta) && is_aligned(picture, &self.alignment)
    }
}

impl ForeignDecoder {
    /// Asks downstream for memory for pictures like this, and tells the worker.
    pub(super) fn plan_memory(&self, query: &mut gst::query::Allocation) {
        let mut downstream = Downstream::of(query);
        let Some(worker) = self.worker() else { return };
        let expected = lock(&self.output).expected;
        if let Some((picture, size)) = expected {
            downstream.pool = self.take_fd_pool(&downstream, query, &worker, (&picture, size));
        }
        downstream.serve(&worker);
        lock(&self.output).downstream = downstream;
    }

    /// Takes a pool that pictures like this, in slots of so many bytes, can be decoded
    /// into from the query, where the base class would find it and copy frames into the
    /// few buffers that are left.
    fn take_fd_pool(
        &self,
        downstream: &Downstream,
        query: &mut gst::query::Allocation,
        worker: &Worker,
        (picture, size): (&Picture, usize),
    ) -> Option<Arc<FdPool>> {
        let caps = query.get().0?.to_owned();
        let info = VideoInfo::from_caps(&caps).ok()?;
        let is_default = Layout::of_picture(picture) == Layout::of_info(&info);
        if !downstream.can_read(picture, is_default) {
            return None;
        }
        let mut pools = query.allocation_pools().enumerate();
        let (index, pool) = pools.find_map(|(index, (pool, ..))| Some((index, pool?)))?;
        let allocator = pool.config().allocator()?.0?;
        // Dmabufs may be a device's, slow to read, and nobody tells it of accesses.
        if !allocator.is::<gst_allocators::FdAllocator>()
            || allocator.is::<gst_allocators::DmaBufAllocator>()
        {
            return None;
        }
        match FdPool::activate(pool, &caps, picture, size, worker.slot_need()) {
            Ok(pool) => {
                query.remove_nth_allocation_pool(index as u32);
                gst::debug!(CAT, imp = self, "Decoding into buffers of {pool:?}");
                Some(Arc::new(pool))
            }
            Err(why) => {
                gst::info!(
                    CAT,
                    imp = self,
                    "Not decoding into downstream's pool: {why}"
                );
                None
            }
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
        let mut lease = frame.lease;
        let downstream = lock(&self.output).downstream.clone();
        let slot_size = lease.size();
        let is_default = Layout::of_picture(&picture) == Layout::of_info(info)
            && info.size() as u64 <= slot_size;
        let starving = worker.slots_are_scarce();
        if !starving && !lease.memory().is_own() {
            lease = match fd_pool::lend(lease, &picture) {
                Ok(mut buffer) => {
                    set_scan(buffer.make_mut(), picture.scan);
                    return Ok(buffer);
                }
                Err(lease) => lease,
            };
        }
        // A slot is larger than its picture; who knows only the caps counts bytes.
        let size = if is_default {
            info.size()
        } else {
            slot_size as usize
        };
        if !lease.memory().is_own() {
            let memory = memory::view(&lease)?;
            return self.copied(memory, &picture, info, downstream.dmabuf);
        }
        let memory = memory::lend(lease, size, downstream.dmabuf)?;
        if starving || !downstream.can_read(&picture, is_default) {
            return self.copied(memory, &picture, info, downstream.dmabuf);
        }
        let whole = picture.uncropped(slot_size);
        match whole.filter(|whole| downstream.crop_meta && whole.crop != picture.crop) {
            Some(whole) => {
                let crop = picture.crop;
                let mut buffer = described(memory, &whole, info)?;
                let rectangle = (crop.x, crop.y, crop.width, crop.height);
                VideoCropMeta::add(buffer.make_mut(), rectangle);
                Ok(buffer)
            }
            None => described(memory, &picture, info),
        }
    }

    fn copied(
        &self,
        memory: gst::Memory,
        picture: &Picture,
        info: &VideoInfo,
        dmabuf: bool,
    ) -> Result<gst::Buffer, glib::BoolError> {
        self.stats.frames_copied.add(1);
        let source = described(memory, picture, info)?;
        let target = if dmabuf {
            let mut buffer = gst::Buffer::new();
            buffer
                .make_mut()
                .append_memory(memory::new_dmabuf(info.size())?);
            buffer
        } else {
            self.obj().allocate_output_buffer()?
        };
        let mut copied = copy(&source, target, info)?;
        set_scan(copied.make_mut(), picture.scan);
        Ok(copied)
    }
}

/// Whether a picture's rows begin, and have room around them, as it is asked for.
fn is_aligned(picture: &Picture, alignment: &VideoAlignment) -> bool {
    let planes = picture.format.planes().len();
    let strides = picture.stride.iter().zip(alignment.stride_align());
    let crop = picture.crop;
    let (width, height) = picture.coded;
    strides
        .take(planes)
        .all(|(stride, mask)| stride & mask == 0)
        && crop.x >= alignment.padding_left()
        && crop.y >= alignment.padding_top()
        && width - crop.x - crop.width >= alignment.padding_right()
        && height - crop.y - crop.height >= alignment.padding_bottom()
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
    info: &VideoInfo,
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
        info.format(),
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
