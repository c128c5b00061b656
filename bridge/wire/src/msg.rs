//! What travels: commands and events in the rings, and the greeting over the
//! socket before the rings are up.
//!
//! Every message is a plain struct without padding ([`bytemuck::Pod`] proves it)
//! whose enumerations are numbers until they were checked.

use crate::codes::wire_enum;
use crate::picture::PictureRecord;
use bytemuck::{Pod, Zeroable};

wire_enum! {
    /// Kinds of records in the command ring.
    Command {
        /// [`PacketHead`], then bytes of the bitstream.
        Packet = 1,
        /// [`Drain`]: deliver every picture still inside the decoder.
        Drain = 2,
        /// No payload: leave.
        Stop = 3,
        /// [`StreamHead`], then the container's `codec_data`: packets of another
        /// format follow.
        Stream = 4,
    }
}

wire_enum! {
    /// Kinds of records in the event ring.
    Event {
        /// [`SlotsNeeded`]: the guest waits for a slot it can use.
        SlotsNeeded = 1,
        /// [`FrameRecord`]: a picture was handed over.
        Frame = 2,
        /// [`PacketDone`]: a packet was decoded or refused.
        PacketDone = 3,
        /// [`Drain`], echoed: every earlier picture was delivered.
        Drained = 4,
        /// Text: the decoder cannot go on; the worker leaves.
        Fault = 5,
        /// Text: what is wrong with the packet of the next [`PacketDone`].
        Complaint = 6,
    }
}

wire_enum! {
    /// Kinds of messages on the socket.
    Greeting {
        /// Host: [`Hello`], with the control block's memfd attached.
        Hello = 1,
        /// Guest: [`Hello`], after mapping the block.
        Welcome = 2,
        /// Guest: [`GreetingHead`], then the decoder's name and version as text.
        Ready = 3,
        /// Guest: [`GreetingHead`] whose `detail` is a [`Refusal`], then text.
        Refused = 4,
        /// Host, at any later time: [`SlotGrant`], with the slot's memfd attached.
        Slot = 5,
        /// Guest, between Welcome and Ready: [`GreetingHead`] whose `detail` is an
        /// [`Acceleration`], then text: why it is not more, if there is a reason.
        Accelerator = 6,
    }
}

wire_enum! {
    /// How much of the accelerator is on, each with all that stands before it.
    Acceleration {
        /// Nothing.
        Off = 0,
        /// Native functions.
        Native = 1,
        /// The second translator.
        Turbo = 2,
    }
}

impl Acceleration {
    /// As users and command lines know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Native => "native",
            Self::Turbo => "turbo",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Off, Self::Native, Self::Turbo];
        all.into_iter().find(|mode| mode.name() == name)
    }
}

wire_enum! {
    /// Why a worker does not serve.
    Refusal {
        /// Magic, version or sizes of the control block differ.
        Protocol = 1,
        /// No adapter of that name; the text lists those there are.
        Adapter = 2,
        /// The dynamic linker's message.
        Library = 3,
        /// The missing symbol.
        Symbol = 4,
        /// The library was loaded but would not make a decoder; its reason.
        Decoder = 5,
        /// An operating system call failed.
        System = 6,
    }
}

/// The bitstream of one packet, or a part of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct PacketHead {
    /// The host's number for the packet; frames decoded from it carry it back.
    pub number: u64,
    /// The flush it belongs to.
    pub epoch: u32,
    /// Bits of [`packet_flags`].
    pub flags: u32,
    /// Bytes of the whole packet.
    pub total: u32,
    /// Where this record's bytes belong in it; parts come in sequence.
    pub offset: u32,
}

/// Bits of [`PacketHead::flags`].
pub mod packet_flags {
    /// Decoding can start here.
    pub const SYNC_POINT: u32 = 1;
    /// Only parameter sets: no picture comes of it.
    pub const HEADERS: u32 = 1 << 1;
    /// The host is late: a picture that no other refers to need not be decoded.
    pub const MAY_SKIP: u32 = 1 << 2;
    /// Packets before this one were left out, and it needs none of them: what the
    /// decoder holds comes out first, then it starts anew.
    pub const AFTER_GAP: u32 = 1 << 3;
}

/// The format of the packets that follow, as the container or parser tells it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct StreamHead {
    /// Bits of [`stream_flags`].
    pub flags: u32,
    /// Width in pixels, or 0.
    pub width: u32,
    /// Height in pixels, or 0.
    pub height: u32,
    /// Bits a pixel of the format's variant (BITMAPINFOHEADER), or 0.
    pub depth: u32,
    /// The variant of the format: a four-character code, first character in the low
    /// byte, or 0.
    pub fourcc: u32,
    /// Bytes of `codec_data` that follow.
    pub codec_data: u32,
}

/// Longest `codec_data`; that of real files has at most some kilobytes.
pub const MAX_CODEC_DATA: usize = 64 << 10;

/// Bits of [`StreamHead::flags`].
pub mod stream_flags {
    /// The input is live: every picture is wanted at once, in the order of
    /// decoding if need be.
    pub const LOW_DELAY: u32 = 1;
}

/// An order to drain, and its echo.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Drain {
    /// The flush it belongs to.
    pub epoch: u32,
    /// Tells one drain from the next.
    pub serial: u32,
}

/// The guest waits until there is a free slot of at least `size` bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct SlotsNeeded {
    /// Bytes of a picture of the current format.
    pub size: u64,
    /// Pictures of this size that the decoder may hold at once, the one being
    /// decoded included.
    pub depth: u32,
    /// The flush it belongs to.
    pub epoch: u32,
}

/// A decoded picture.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct FrameRecord {
    /// The packet it was decoded from.
    pub number: u64,
    /// The flush it belongs to.
    pub epoch: u32,
    /// Bits of [`frame_flags`].
    pub flags: u32,
    /// Index of the slot it lies in.
    pub slot: u32,
    /// The slot's generation.
    pub generation: u32,
    /// What it looks like.
    pub picture: PictureRecord,
    /// Zero.
    pub reserved: u32,
}

/// Bits of [`FrameRecord::flags`].
pub mod frame_flags {
    /// Decoded from damaged input, or refers to such a picture.
    pub const CORRUPT: u32 = 1;
    /// The guest copied it into the slot; clear when the decoder rendered there.
    pub const COPIED: u32 = 1 << 1;
}

/// What became of one packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct PacketDone {
    /// The packet.
    pub number: u64,
    /// The flush it belongs to.
    pub epoch: u32,
    /// Time inside the decoder, in µs.
    pub decode_us: u32,
    /// 0, or the decoder's own error number.
    pub error: i32,
    /// Packets that the decoder takes before it gives out the picture of the first,
    /// as far as it knows.
    pub delay: u32,
    /// Bits of [`done_flags`].
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// Bits of [`PacketDone::flags`].
pub mod done_flags {
    /// No picture of this packet is shown: it is hidden, or it was skipped as
    /// [`super::packet_flags::MAY_SKIP`] allows.
    pub const NO_PICTURE: u32 = 1;
}

/// First message of each side on the socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Hello {
    /// [`crate::layout::MAGIC`].
    pub magic: u64,
    /// [`Greeting::Hello`] or [`Greeting::Welcome`].
    pub kind: u32,
    /// [`crate::layout::VERSION`].
    pub version: u32,
    /// Feature bits the sender understands.
    pub features: u32,
    /// Zero.
    pub reserved: u32,
}

/// Head of a message that ends in text.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct GreetingHead {
    /// A [`Greeting`].
    pub kind: u32,
    /// What the kind says.
    pub detail: u32,
}

/// Longest message on the socket, in bytes.
pub const MAX_GREETING: usize = 4096;

/// A slot's memfd comes with this message.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct SlotGrant {
    /// [`Greeting::Slot`].
    pub kind: u32,
    /// Index in the slot table.
    pub index: u32,
    /// Bytes of the memfd.
    pub size: u64,
}
