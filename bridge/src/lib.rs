//! Host side of iotdec: runs an aarch64 decoder library in a `qemu-aarch64`
//! worker process and exchanges bitstream and pictures with it through shared
//! memory, without knowing anything of GStreamer.
//!
//! In the order of a session:
//!
//! 1. [`manifest`] describes a decoder, [`launch`] resolves it to programs and
//!    files ([`library`] reads the ELF headers, [`accel`] chooses the accelerator), each
//!    failure with its remedy.
//! 2. [`session`] starts the [`worker`] and shakes hands; [`supervisor`] watches the
//!    process from then on.
//! 3. [`feed::Feeder`] writes packets into the command ring, [`receive::Receiver`]
//!    reads pictures from the event ring; each belongs to one thread.
//! 4. A picture lies in a [`slots::Lease`]: [`memory`] that the guest rendered into
//!    and gets back when the lease is dropped.
//!
//! What libraries of its own the host does for the guest is in [`host_libraries`].
//!
//! Libraries of any other kind are called function by function: by generated code with
//! [`calls`], or without with [`dynamic`].

pub mod accel;
pub mod calls;
pub mod dynamic;
pub mod feed;
pub mod host_libraries;
pub mod launch;
pub mod library;
mod link;
pub mod manifest;
pub mod memory;
mod progress;
pub mod receive;
pub mod session;
mod shm;
pub mod slots;
pub mod supervisor;
pub mod worker;

pub use accel::{Accelerator, Obstacle, Report, Tally, Wish};
pub use dynamic::Library;
pub use feed::{FeedError, Feeder, Packet};
pub use iotdec_wire::msg::{
    Acceleration, MAX_CODEC_DATA, PacketDone, StreamHead, done_flags, packet_flags, stream_flags,
};
pub use iotdec_wire::order::is_before;
pub use iotdec_wire::picture::{
    Colour, Light, MAX_PLANES, Picture, PixelFormat, Plane, Rect, scan,
};
pub use launch::{HANG_TIMEOUT, Launch, LaunchError, Overrides};
pub use manifest::Manifest;
pub use memory::SlotMemory;
pub use receive::{Event, Frame, Receiver};
pub use session::{StartError, StartProblem, start};
pub use slots::{Lease, SlotPolicy, SlotSource};
pub use worker::{Loss, Worker};
