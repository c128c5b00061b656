//! What a sink says to the ALLOCATION query, and pools that it may offer.

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_allocators::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoAlignment, VideoInfo};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a sink says to the ALLOCATION query in place of its own answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// It understands GstVideoMeta.
    pub video_meta: bool,
    /// It understands GstVideoCropMeta.
    pub crop_meta: bool,
    /// A pool, and how many of its buffers the sink needs.
    pub pool: Option<(gst::BufferPool, u32)>,
}

impl Answer {
    /// One that understands GstVideoMeta and offers nothing.
    pub fn video_meta() -> Self {
        Self {
            video_meta: true,
            ..Self::default()
        }
    }

    /// Makes the sink of this pad answer so.
    pub fn give_at(self, pad: &gst::Pad) {
        pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
            let Some(query) = info.query_mut() else {
                return gst::PadProbeReturn::Ok;
            };
            let gst::QueryViewMut::Allocation(query) = query.view_mut() else {
                return gst::PadProbeReturn::Ok;
            };
            if self.video_meta {
                query.add_allocation_meta::<gst_video::VideoMeta>(None);
            }
            if self.crop_meta {
                query.add_allocation_meta::<gst_video::VideoCropMeta>(None);
            }
            if let Some((pool, need)) = &self.pool {
                let (_, size, _, max) = pool.config().params().expect("always set");
                query.add_allocation_pool(Some(pool), size, *need, max);
            }
            gst::PadProbeReturn::Handled
        });
    }
}

/// How a [`memfd_pool`] is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Making {
    /// Buffers at most; 0: as many as are asked for.
    pub max: u32,
    /// Its memfds may be cut short.
    pub unsealed: bool,
    /// It has the option to align rows.
    pub alignable: bool,
}

/// A pool of buffers of one memfd each, as waylandsink has it.
pub fn memfd_pool(making: Making) -> gst::BufferPool {
    let pool: MemfdPool = glib::Object::new();
    let imp = pool.imp();
    *imp.making.lock().expect("not poisoned") = making;
    let mut config = pool.config();
    config.set_params(None, 0, 0, making.max);
    let allocator = gst_allocators::FdAllocator::new();
    config.set_allocator(Some(&allocator), None);
    pool.set_config(config).expect("not active yet");
    pool.upcast()
}

/// Inodes of all memfds of a [`memfd_pool`].
pub fn inodes(pool: &gst::BufferPool) -> Vec<u64> {
    let pool = pool.downcast_ref::<MemfdPool>().expect("a memfd pool");
    pool.imp().inodes.lock().expect("not poisoned").clone()
}

/// How often somebody acquired a buffer of a [`memfd_pool`].
pub fn acquired(pool: &gst::BufferPool) -> usize {
    let pool = pool.downcast_ref::<MemfdPool>().expect("a memfd pool");
    pool.imp().acquired.load(Ordering::Relaxed)
}

/// How many buffers of memfd pools there are in this process.
pub fn buffers() -> usize {
    let descriptors = crate::process::descriptors();
    let ours = descriptors.iter().filter(|target| target.contains(NAME));
    ours.count()
}

const NAME: &str = "iotdec-tests-pool";

glib::wrapper! {
    /// See [`memfd_pool`].
    pub struct MemfdPool(ObjectSubclass<imp::MemfdPool>) @extends gst::BufferPool, gst::Object;
}

mod imp {
    use super::*;
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::fs::File;
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::fs::MetadataExt;

    #[derive(Debug, Default)]
    pub struct MemfdPool {
        pub(super) making: Mutex<Making>,
        pub(super) inodes: Mutex<Vec<u64>>,
        pub(super) acquired: AtomicUsize,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for MemfdPool {
        const NAME: &'static str = "IotdecTestsMemfdPool";
        type Type = super::MemfdPool;
        type ParentType = gst::BufferPool;
    }

    impl ObjectImpl for MemfdPool {}
    impl GstObjectImpl for MemfdPool {}

    impl BufferPoolImpl for MemfdPool {
        fn options() -> &'static [&'static str] {
            &[
                "GstBufferPoolOptionVideoMeta",
                "GstBufferPoolOptionVideoAlignment",
            ]
        }

        fn set_config(&self, config: &mut gst::BufferPoolConfigRef) -> bool {
            let alignable = self.making.lock().expect("not poisoned").alignable;
            (alignable || config.video_alignment().is_none()) && self.parent_set_config(config)
        }

        fn acquire_buffer(
            &self,
            params: Option<&gst::BufferPoolAcquireParams>,
        ) -> Result<gst::Buffer, gst::FlowError> {
            let buffer = self.parent_acquire_buffer(params)?;
            self.acquired.fetch_add(1, Ordering::Relaxed);
            Ok(buffer)
        }

        fn alloc_buffer(
            &self,
            _params: Option<&gst::BufferPoolAcquireParams>,
        ) -> Result<gst::Buffer, gst::FlowError> {
            let config = self.obj().config();
            let (caps, size, ..) = config.params().expect("checked by set_config");
            let mut info = VideoInfo::from_caps(&caps.expect("set by upstream")).expect("video");
            let mut alignment = config.video_alignment().unwrap_or_default();
            info.align(&mut alignment)
                .expect("an alignment that can be");
            let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
            let file = File::from(memfd_create(NAME, flags).expect("memory"));
            file.set_len(size.into()).expect("memory");
            if !self.making.lock().expect("not poisoned").unsealed {
                let seals = FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK);
                fcntl(&file, seals).expect("sealing is allowed");
            }
            let inode = file.metadata().expect("an open file").ino();
            self.inodes.lock().expect("not poisoned").push(inode);
            // SAFETY: an open memfd of that size, which the memory owns from here on.
            let memory = unsafe {
                gst_allocators::FdAllocator::new().alloc_fd(
                    file.as_raw_fd(),
                    size as usize,
                    gst_allocators::FdMemoryFlags::NONE,
                )
            };
            let _ = file.into_raw_fd();
            let mut buffer = gst::Buffer::new();
            let writable = buffer.make_mut();
            let memory = memory.expect("FdAllocator wraps what it gets");
            writable.append_memory(memory);
            gst_video::VideoMeta::add_full(
                writable,
                gst_video::VideoFrameFlags::empty(),
                info.format(),
                info.width(),
                info.height(),
                info.offset(),
                info.stride(),
            )
            .expect("a layout from GStreamer itself");
            pool_metas(writable);
            Ok(buffer)
        }
    }

    /// Marks the layout as the pool's own, which stays when the buffer is reset.
    fn pool_metas(buffer: &mut gst::BufferRef) {
        let mut meta = buffer
            .meta_mut::<gst_video::VideoMeta>()
            .expect("just added");
        // SAFETY: exclusive by `&mut`.
        unsafe {
            let meta = &mut (*meta.as_mut_ptr()).meta;
            meta.flags |= gst::ffi::GST_META_FLAG_POOLED | gst::ffi::GST_META_FLAG_LOCKED;
        }
    }
}

/// A pool of ordinary memory for I420 frames whose rows begin at multiples of `bytes`.
pub fn aligned_pool(bytes: u32, (width, height): (u32, u32)) -> gst::BufferPool {
    let pool = gst_video::VideoBufferPool::new();
    let info = VideoInfo::builder(gst_video::VideoFormat::I420, width, height).build();
    let info = info.expect("a size that can be");
    let mut config = pool.config();
    let caps = info.to_caps().expect("a size that can be");
    config.set_params(Some(&caps), info.size() as u32, 0, 0);
    config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
    config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
    config.set_video_alignment(&VideoAlignment::new(0, 0, 0, 0, &[bytes - 1; 4]));
    pool.set_config(config).expect("an alignment that can be");
    pool.upcast()
}
