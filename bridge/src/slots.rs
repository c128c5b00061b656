//! The host's side of the frame slots: allocates them, lends them out, gets them
//! back.
//!
//! What is true of a slot is kept here, in private memory. The shared table says
//! the same to the guest, and what the guest writes there is never relied upon:
//! at worst a hostile guest spoils its own pictures.

use crate::link::Link;
use crate::shm;
use iotdec_wire::msg::{Greeting, SlotGrant};
use iotdec_wire::slots::MAX_SLOTS;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// Bytes of one slot at most: an 8-bit 4:4:4 or a 16-bit 4:2:0 picture of
/// 8192 x 8192.
const MAX_SLOT_BYTES: u64 = 3 * 8192 * 8192;
/// Bytes of all slots of a session at most. They become memory when the guest
/// writes to them, so damaged headers cost address space only.
const MAX_POOL_BYTES: u64 = 4 << 30;
/// Slots beyond what the decoder and downstream are known to hold, so that one is
/// free while another is on its way.
const SPARE: usize = 2;

/// How many slots a session may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotPolicy {
    /// Most slots; never fewer than the decoder itself needs.
    pub max_slots: usize,
}

impl Default for SlotPolicy {
    fn default() -> Self {
        Self { max_slots: 32 }
    }
}

/// Why no slot was provided.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The guest asks for more than any stream needs.
    #[error(
        "the decoder asked for {depth} pictures of {size} bytes, which is more than is allowed"
    )]
    Excessive {
        /// Bytes of one.
        size: u64,
        /// How many at once.
        depth: u32,
    },
    /// Memory or the socket failed.
    #[error("cannot give the worker a frame slot: {0}")]
    System(#[from] io::Error),
}

/// What is known of one slot.
#[derive(Debug)]
struct Entry {
    /// Unique in this process, unlike an index.
    id: u64,
    memory: Arc<OwnedFd>,
    size: u64,
    leased: bool,
    retired: bool,
}

#[derive(Debug)]
struct State {
    entries: [Option<Entry>; MAX_SLOTS],
    /// Bytes and number of the slots the guest asked for last.
    wanted: (u64, usize),
    /// Pictures the decoder itself may hold.
    depth: usize,
}

/// The slots of one session.
#[derive(Debug)]
pub(crate) struct SlotPool {
    link: Arc<Link>,
    socket: OwnedFd,
    max_slots: usize,
    downstream: AtomicUsize,
    state: Mutex<State>,
}

impl SlotPool {
    pub(crate) fn new(link: Arc<Link>, socket: OwnedFd, policy: SlotPolicy) -> Self {
        Self {
            link,
            socket,
            max_slots: policy.max_slots,
            downstream: AtomicUsize::new(1),
            state: Mutex::new(State {
                entries: [const { None }; MAX_SLOTS],
                wanted: (0, 0),
                depth: 0,
            }),
        }
    }

    /// How many frames downstream holds in ordinary operation.
    pub(crate) fn set_downstream_need(&self, frames: usize) {
        self.downstream.store(frames, Ordering::Relaxed);
    }

    /// Answers a guest that waits for a free slot of `size` bytes while its decoder
    /// may hold `depth`.
    pub(crate) fn provide(&self, size: u64, depth: u32) -> Result<(), SlotError> {
        let depth = depth as usize;
        if size == 0 || size > MAX_SLOT_BYTES || depth + SPARE > MAX_SLOTS {
            let depth = depth as u32;
            return Err(SlotError::Excessive { size, depth });
        }
        let mut state = self.lock();
        for entry in state.entries.iter_mut().flatten() {
            entry.retired |= entry.size < size;
        }
        state.depth = depth;
        let downstream = self.downstream.load(Ordering::Relaxed);
        let usable = state.usable(size);
        let first = (depth + downstream + SPARE).min(self.limit(depth));
        if usable >= first && self.has_free(&state, size) {
            // One came back between the question and now.
            self.link.control().slot_bell.0.ring();
            return Ok(());
        }
        // Asked again although there are that many: somebody holds more than he
        // said, so there is one more each time, up to the limit.
        let target = first.max(usable + 1).min(self.limit(depth));
        state.wanted = (size, target);
        self.replenish(&mut state)
    }

    /// Whether the guest can take a slot of `size` bytes now.
    fn has_free(&self, state: &State, size: u64) -> bool {
        let table = &self.link.control().slots.0;
        let mut entries = state.entries.iter().zip(table);
        entries.any(|(entry, shared)| {
            let fits = |entry: &Entry| !entry.retired && !entry.leased && entry.size >= size;
            entry.as_ref().is_some_and(fits) && shared.state().is_free()
        })
    }

    /// Brings the slots up to what was asked for, as far as there are entries.
    fn replenish(&self, state: &mut State) -> Result<(), SlotError> {
        let table = &self.link.control().slots.0;
        for (entry, shared) in state.entries.iter_mut().zip(table) {
            let Some(retired) = entry.as_ref().filter(|entry| entry.retired) else {
                continue;
            };
            shared.retire();
            // The guest's word, but it can only harm its own pictures with it.
            if !retired.leased && !shared.state().held_by_decoder() {
                *entry = None;
            }
        }
        let (size, target) = state.wanted;
        while state.usable(size) < target {
            let Some(index) = state.entries.iter().position(Option::is_none) else {
                break;
            };
            let total: u64 = state.entries.iter().flatten().map(|entry| entry.size).sum();
            if total + size > MAX_POOL_BYTES {
                let depth = state.depth as u32;
                return Err(SlotError::Excessive { size, depth });
            }
            state.entries[index] = Some(self.grant(index, size)?);
        }
        self.link.control().slot_bell.0.ring();
        Ok(())
    }

    /// Makes a slot and hands it to the guest: its memfd over the socket first, so
    /// that it is there when the guest sees the announcement.
    fn grant(&self, index: usize, size: u64) -> io::Result<Entry> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let memory = shm::sealed_memfd(c"iotdec-frame", size)?;
        let grant = SlotGrant {
            kind: Greeting::Slot.code(),
            index: index as u32,
            size,
        };
        sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(bytemuck::bytes_of(&grant))],
            &[ControlMessage::ScmRights(&[memory.as_raw_fd()])],
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        self.link.control().slots.0[index].announce(size);
        Ok(Entry {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            memory: Arc::new(memory),
            size,
            leased: false,
            retired: false,
        })
    }

    /// Takes over a slot that the guest says it handed over; `None` if it cannot
    /// have.
    pub(crate) fn lease(self: &Arc<Self>, index: u32, generation: u32) -> Option<Lease> {
        let index = index as usize;
        let mut state = self.lock();
        let entry = state.entries.get_mut(index)?.as_mut()?;
        if entry.leased {
            return None;
        }
        entry.leased = true;
        Some(Lease {
            index,
            generation,
            id: entry.id,
            size: entry.size,
            memory: entry.memory.clone(),
            pool: Arc::downgrade(self),
        })
    }

    /// Whether so many frames are downstream that the decoder may soon find none.
    pub(crate) fn is_scarce(&self) -> bool {
        let state = self.lock();
        let leased = state.entries.iter().flatten().filter(|e| e.leased).count();
        self.limit(state.depth) < leased + state.depth + 1
    }

    /// Number of slots there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().entries.iter().flatten().count()
    }

    fn give_back(&self, index: usize, generation: u32) {
        let mut state = self.lock();
        if let Some(entry) = &mut state.entries[index] {
            entry.leased = false;
        }
        self.link.control().slots.0[index].release_downstream(generation);
        let any_retired = state.entries.iter().flatten().any(|entry| entry.retired);
        if !any_retired {
            self.link.control().slot_bell.0.ring();
        } else if let Err(error) = self.replenish(&mut state) {
            // The guest waits for a slot that never comes: let it be restarted.
            drop(state);
            self.link.give_up(error.to_string());
        }
    }

    fn limit(&self, depth: usize) -> usize {
        self.max_slots.max(depth + SPARE).min(MAX_SLOTS)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }
}

impl State {
    /// Slots that serve pictures of `size` bytes.
    fn usable(&self, size: u64) -> usize {
        let usable = |entry: &&Entry| !entry.retired && entry.size >= size;
        self.entries.iter().flatten().filter(usable).count()
    }
}

/// A decoded picture's memory, lent by its session. Dropping it gives the slot
/// back to the guest.
#[derive(Debug)]
pub struct Lease {
    /// Weak: a frame that somebody keeps keeps no other frame's memory.
    pool: Weak<SlotPool>,
    index: usize,
    generation: u32,
    id: u64,
    size: u64,
    memory: Arc<OwnedFd>,
}

impl Lease {
    /// The slot's memfd, the picture at offset 0.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Bytes of the memfd; sealed, so it stays that.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Identifies the memfd within this process: frames with equal ids lie in the
    /// same memory, one after the other.
    pub fn slot_id(&self) -> u64 {
        self.id
    }

    /// Whether the decoder may still refer to the picture, which must then not be
    /// written to.
    pub fn held_by_decoder(&self) -> bool {
        self.pool.upgrade().is_some_and(|pool| {
            let slot = &pool.link.control().slots.0[self.index];
            slot.state().held_by_decoder()
        })
    }

    /// Maps the picture for reading.
    pub fn map(&self) -> io::Result<memmap2::MmapRaw> {
        memmap2::MmapOptions::new().map_raw_read_only(&*self.memory)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.give_back(self.index, self.generation);
        }
    }
}
