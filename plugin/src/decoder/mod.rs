//! `iotdec_<name>`: a GstVideoDecoder whose decoder runs in a worker process.
//!
//! A frame's way: `imp` takes it from upstream, `submit` sends it to the worker
//! on the streaming thread, `output` receives the picture on the source pad's
//! task, `allocation` makes it a buffer that is pushed, maybe one of downstream's
//! (`fd_pool`). `session` starts the worker
//! and replaces a lost one, `stream` tells it what follows. `qos` decides what is
//! worth decoding by the lateness of frames and by what `workload` says it costs, `timing`
//! when a frame is shown.

mod allocation;
mod bitstream;
mod dmabuf;
mod errors;
mod fd_pool;
mod gather;
mod imp;
mod output;
pub(crate) mod picture;
mod qos;
mod session;
mod stream;
mod submit;
mod timing;
mod workload;

use gst::glib;

glib::wrapper! {
    /// The abstract parent of all `iotdec_<name>` elements.
    pub(crate) struct ForeignDecoder(ObjectSubclass<imp::ForeignDecoder>)
        @extends gst_video::VideoDecoder, gst::Element, gst::Object;
}
