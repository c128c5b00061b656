//! Where everything lies in the control block.

use crate::doorbell::Doorbell;
use crate::ring::{Consumer, Line, Producer, RingHeader};
use crate::slots::{MAX_SLOTS, Slot};
use crate::sync::AtomicU32;
use crate::tally::Tally;
use core::ptr::NonNull;

/// First word of a control block and of every greeting: "iotdec" and two zeros.
pub const MAGIC: u64 = u64::from_le_bytes(*b"iotdec\0\0");
/// Counted up whenever anything in this crate changes what lies in shared memory
/// or travels through it.
pub const VERSION: u32 = 4;
/// Offset of the command ring's bytes; the event ring's follow them.
pub const DATA_OFFSET: usize = 12288;

/// What the block is, so that a worker of another version can decline. Written
/// once by the host before anyone else sees the block.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Identity {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Feature bits; none are defined yet.
    pub features: u32,
    /// Bytes of the command ring (host to guest).
    pub commands_capacity: u32,
    /// Bytes of the event ring (guest to host).
    pub events_capacity: u32,
}

/// The fixed part of the control block. All-zero is its initial state.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Control {
    /// What the block is.
    pub identity: Line<Identity>,
    /// Flushes so far. The host counts it up; the guest drops commands of earlier
    /// epochs and gives up waiting for a slot on their behalf.
    pub epoch: Line<AtomicU32>,
    /// Rung by the host when a slot may have become free, and after a flush.
    pub slot_bell: Line<Doorbell>,
    /// Host to guest: bitstream and orders.
    pub commands: RingHeader,
    /// Guest to host: frames and reports.
    pub events: RingHeader,
    /// What the guest's accelerator counted.
    pub tally: Line<Tally>,
    /// Who holds which frame slot.
    pub slots: Slots,
}

/// The slot table.
#[repr(C)]
#[derive(Debug)]
pub struct Slots(pub [Slot; MAX_SLOTS]);

impl Default for Slots {
    fn default() -> Self {
        Self(core::array::from_fn(|_| Slot::default()))
    }
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Identity>() == 24);
    assert!(size_of::<Line<AtomicU32>>() == 64);
    assert!(size_of::<RingHeader>() == 256);
    assert!(size_of::<Slot>() == 64);
    assert!(align_of::<Control>() == 64);
    assert!(offset_of!(Control, identity) == 0);
    assert!(offset_of!(Control, epoch) == 64);
    assert!(offset_of!(Control, slot_bell) == 128);
    assert!(offset_of!(Control, commands) == 192);
    assert!(offset_of!(Control, events) == 448);
    assert!(offset_of!(Control, tally) == 704);
    assert!(offset_of!(Control, slots) == 768);
    assert!(size_of::<Control>() == 768 + 64 * MAX_SLOTS);
    assert!(size_of::<Control>() <= DATA_OFFSET);
};

/// A ring's shared header and its bytes.
type Place = (NonNull<RingHeader>, NonNull<u8>);

/// The sizes of the two rings. Each side keeps its own copy: what the block says
/// is read once, by the guest, and never by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSizes {
    /// Bytes of the command ring; a power of two.
    pub commands: u32,
    /// Bytes of the event ring; a power of two.
    pub events: u32,
}

impl Default for RingSizes {
    /// 4 MiB of bitstream is over a second of a busy camera; 64 KiB of events is
    /// more than every slot's frame and a report for each packet.
    fn default() -> Self {
        Self {
            commands: 4 << 20,
            events: 64 << 10,
        }
    }
}

impl RingSizes {
    /// Bytes of the whole control block with these rings.
    pub fn block_size(self) -> usize {
        DATA_OFFSET + self.commands as usize + self.events as usize
    }

    /// The identity that announces these rings.
    pub fn identity(self) -> Identity {
        Identity {
            magic: MAGIC,
            version: VERSION,
            features: 0,
            commands_capacity: self.commands,
            events_capacity: self.events,
        }
    }

    /// The rings a block of `block_size` bytes announces, or `None` if it is not
    /// a block of this version or its rings do not fit into it.
    pub fn from_identity(identity: Identity, block_size: usize) -> Option<Self> {
        let sizes = Self {
            commands: identity.commands_capacity,
            events: identity.events_capacity,
        };
        let valid = |capacity: u32| capacity.is_power_of_two() && capacity >= 4096;
        (identity.magic == MAGIC
            && identity.version == VERSION
            && valid(sizes.commands)
            && valid(sizes.events)
            && sizes.block_size() <= block_size)
            .then_some(sizes)
    }

    /// The host's ends: it writes commands and reads events.
    ///
    /// # Safety
    /// `block` points to [`block_size`](Self::block_size) bytes, 64-byte aligned,
    /// valid while a clone of `keep` lives; called once for a block on the host.
    pub unsafe fn host_ends<K: Clone>(
        self,
        block: NonNull<Control>,
        keep: K,
    ) -> (Producer<K>, Consumer<K>) {
        let (commands, events) = self.places(block);
        // SAFETY: the places lie inside the block; uniqueness is the caller's.
        unsafe {
            (
                Producer::new(commands.0, commands.1, self.commands, keep.clone()),
                Consumer::new(events.0, events.1, self.events, keep),
            )
        }
    }

    /// The guest's ends: it reads commands and writes events.
    ///
    /// # Safety
    /// As for [`host_ends`](Self::host_ends), on the guest.
    pub unsafe fn guest_ends<K: Clone>(
        self,
        block: NonNull<Control>,
        keep: K,
    ) -> (Consumer<K>, Producer<K>) {
        let (commands, events) = self.places(block);
        // SAFETY: the places lie inside the block; uniqueness is the caller's.
        unsafe {
            (
                Consumer::new(commands.0, commands.1, self.commands, keep.clone()),
                Producer::new(events.0, events.1, self.events, keep),
            )
        }
    }

    fn places(self, block: NonNull<Control>) -> (Place, Place) {
        // SAFETY: both callers require `block_size` valid bytes behind `block`;
        // field projections and data offsets stay inside them.
        unsafe {
            let control = block.as_ptr();
            let data = block.cast::<u8>().add(DATA_OFFSET);
            (
                (NonNull::new_unchecked(&raw mut (*control).commands), data),
                (
                    NonNull::new_unchecked(&raw mut (*control).events),
                    data.add(self.commands as usize),
                ),
            )
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_block_announces_its_rings() {
        let sizes = RingSizes::default();
        let identity = sizes.identity();
        assert_eq!(
            RingSizes::from_identity(identity, sizes.block_size()),
            Some(sizes)
        );
    }

    #[test]
    fn foreign_or_lying_blocks_are_declined() {
        let sizes = RingSizes::default();
        let good = sizes.identity();
        let declined = |identity| RingSizes::from_identity(identity, sizes.block_size()).is_none();
        assert!(declined(Identity { magic: 0, ..good }));
        assert!(declined(Identity {
            version: VERSION + 1,
            ..good
        }));
        assert!(declined(Identity {
            commands_capacity: 12345,
            ..good
        }));
        assert!(declined(Identity {
            events_capacity: 1 << 31,
            ..good
        }));
    }
}
