//! The host's side of the frame slots: allocates them, lends them out, gets them
//! back.
//!
//! What is true of a slot is kept here, in private memory. The shared table says
//! the same to the guest, and what the guest writes there is never relied upon:
//! at worst a hostile guest spoils its own pictures.

mod lease;

use crate::link::Link;
use crate::memory::SlotMemory;
use iotdec_wire::msg::{Greeting, SlotGrant};
use iotdec_wire::slots::{MAX_SLOTS, Slot};
pub use lease::Lease;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes of one slot at most: an 8-bit 4:4:4 or a 16-bit 4:2:0 picture of
/// 8192 x 8192.
const MAX_SLOT_BYTES: u64 = 3 * 8192 * 8192;
const PAGE: u64 = 4096;
/// Bytes of all slots of a session at most. They become memory when the guest
/// writes to them, so damaged headers cost address space only.
const MAX_POOL_BYTES: u64 = 4 << 30;
/// Slots for pictures of one size at most. There are twice as many entries, so that
/// pictures of the next size find some while those of the last are still held.
const MAX_USABLE: usize = MAX_SLOTS / 2;
/// Slots beyond what the decoder and downstream are known to hold, so that one is
/// free while another is on its way.
const SPARE: usize = 2;
/// Frames after which slots that none of them needed are given up: some seconds of
/// ordinary video, so that a burst does not cost slots that the next one needs again.
const WINDOW: u32 = 100;
/// A slot this many times larger than any picture is a waste.
const WASTE: u64 = 2;

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

/// Hands out memory for slots in place of the session's own.
pub trait SlotSource: Send + Sync + fmt::Debug {
    /// Memory of at least `size` bytes; `None` where there is no more, and the
    /// session makes some. Called by the thread that receives, which holds no lock.
    fn allocate(&self, size: u64) -> Option<SlotMemory>;
}

/// What is known of one slot.
#[derive(Debug)]
struct Entry {
    memory: Arc<SlotMemory>,
    leased: bool,
    retired: bool,
}

/// What the frames of one window needed.
#[derive(Debug, Default)]
struct Usage {
    frames: u32,
    /// Most slots held at once.
    held: usize,
    /// Bytes of the largest picture.
    largest: u64,
}

#[derive(Debug)]
struct State {
    entries: [Option<Entry>; MAX_SLOTS],
    /// Bytes and number of the slots the guest asked for last.
    wanted: (u64, usize),
    /// Pictures the decoder itself may hold.
    depth: usize,
    usage: Usage,
    source: Option<Arc<dyn SlotSource>>,
}

/// The slots of one session.
#[derive(Debug)]
pub(crate) struct SlotPool {
    link: Arc<Link>,
    socket: OwnedFd,
    max_slots: usize,
    downstream: AtomicUsize,
    /// Slots are to be granted. The thread that receives does it: whoever gives a
    /// frame back may hold locks that a source needs.
    due: AtomicBool,
    state: Mutex<State>,
}

impl SlotPool {
    pub(crate) fn new(link: Arc<Link>, socket: OwnedFd, policy: SlotPolicy) -> Self {
        Self {
            link,
            socket,
            max_slots: policy.max_slots,
            downstream: AtomicUsize::new(1),
            due: AtomicBool::new(false),
            state: Mutex::new(State {
                entries: [const { None }; MAX_SLOTS],
                wanted: (0, 0),
                depth: 0,
                usage: Usage::default(),
                source: None,
            }),
        }
    }

    /// How many frames downstream holds in ordinary operation.
    pub(crate) fn set_downstream_need(&self, frames: usize) {
        self.downstream.store(frames, Ordering::Relaxed);
        let mut state = self.lock();
        // Before the first request it is not known what a slot is.
        if state.wanted.1 > 0 {
            state.wanted.1 = state.wanted.1.max(self.ordinary(state.depth));
            self.due.store(true, Ordering::Relaxed);
        }
    }

    /// Where memory for slots comes from; those of another source are given up.
    pub(crate) fn set_source(&self, source: Option<Arc<dyn SlotSource>>) {
        let mut state = self.lock();
        if state.source.is_none() && source.is_none() {
            return;
        }
        let old = std::mem::replace(&mut state.source, source);
        let gone = self.retire(&mut state, |_| true);
        self.due.store(true, Ordering::Relaxed);
        drop(state);
        drop((old, gone));
    }

    /// Gives up every slot after a flush. What the decoder still holds it drops before
    /// the next packet, and reads only for pictures that nobody sees.
    pub(crate) fn release_all(&self) {
        let mut state = self.lock();
        state.wanted = (0, 0);
        state.usage = Usage::default();
        let source = state.source.take();
        let gone = self.retire(&mut state, |_| true);
        let held = state.entries.iter().flatten();
        for entry in held.filter(|entry| !entry.leased) {
            entry.memory.discard();
        }
        drop(state);
        drop((source, gone));
    }

    /// Answers a guest that waits for a free slot of `size` bytes while its decoder
    /// may hold `depth`.
    pub(crate) fn provide(&self, size: u64, depth: u32) -> Result<(), SlotError> {
        let depth = depth as usize;
        // Whole pages, which can become a dmabuf.
        let size = size.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
        if size == 0 || size > MAX_SLOT_BYTES || depth + SPARE > MAX_USABLE {
            let depth = depth as u32;
            return Err(SlotError::Excessive { size, depth });
        }
        let mut state = self.lock();
        let gone = self.retire(&mut state, |entry| entry.memory.size() < size);
        state.depth = depth;
        let usable = state.usable(size);
        let first = self.ordinary(depth);
        if usable >= first && self.has_free(&state, size) {
            // One came back between the question and now.
            self.link.control().slot_bell.0.ring();
            return Ok(());
        }
        // Asked again although there are that many: somebody holds more than he
        // said, so there is one more each time, up to the limit.
        let target = first.max(usable + 1).min(self.limit(depth));
        state.wanted = (size, target);
        drop(state);
        drop(gone);
        self.replenish()
    }

    /// Whether the guest can take a slot of `size` bytes now.
    fn has_free(&self, state: &State, size: u64) -> bool {
        let mut entries = state.entries.iter().zip(self.table());
        entries.any(|(entry, shared)| {
            let fits =
                |entry: &Entry| !entry.retired && !entry.leased && entry.memory.size() >= size;
            entry.as_ref().is_some_and(fits) && shared.state().is_free()
        })
    }

    /// Grants what was put off, on the thread that receives.
    pub(crate) fn tend(&self) -> Result<(), SlotError> {
        match self.due.swap(false, Ordering::Relaxed) {
            true => self.replenish(),
            false => Ok(()),
        }
    }

    /// Whether [`tend`](Self::tend) has something to do.
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }

    /// Brings the slots up to what was asked for, as far as there are entries. Only
    /// the thread that receives fills entries.
    fn replenish(&self) -> Result<(), SlotError> {
        let gone = self.collect(&mut self.lock());
        drop(gone);
        loop {
            let state = self.lock();
            let (size, target) = state.wanted;
            let unused = state.entries.iter().position(Option::is_none);
            let Some(index) = unused.filter(|_| state.usable(size) < target) else {
                break;
            };
            let sizes = state.entries.iter().flatten().map(|e| e.memory.size());
            if sizes.sum::<u64>() + size > MAX_POOL_BYTES {
                let depth = state.depth as u32;
                return Err(SlotError::Excessive { size, depth });
            }
            let source = state.source.clone();
            drop(state);
            let lent = source.and_then(|source| source.allocate(size));
            let memory = match lent.filter(|memory| memory.size() >= size) {
                Some(memory) => memory,
                None => SlotMemory::create(size)?,
            };
            self.grant(index, memory)?;
        }
        self.link.control().slot_bell.0.ring();
        Ok(())
    }

    /// Hands a slot to the guest: its file over the socket first, so that it is there
    /// when the guest sees the announcement.
    fn grant(&self, index: usize, memory: SlotMemory) -> io::Result<()> {
        let size = memory.size();
        let grant = SlotGrant {
            kind: Greeting::Slot.code(),
            index: index as u32,
            size,
        };
        sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(bytemuck::bytes_of(&grant))],
            &[ControlMessage::ScmRights(&[memory.fd().as_raw_fd()])],
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let entry = Entry {
            memory: Arc::new(memory),
            leased: false,
            retired: false,
        };
        self.lock().entries[index] = Some(entry);
        self.table()[index].announce(size);
        Ok(())
    }

    /// Withdraws the slots that `which` names, and returns the memory of those that
    /// nobody holds; the others' comes when they are let go. Memory is dropped
    /// without the lock: it may be somebody else's, who does what he likes then.
    #[must_use]
    fn retire(&self, state: &mut State, which: impl Fn(&Entry) -> bool) -> Vec<Arc<SlotMemory>> {
        for entry in state.entries.iter_mut().flatten() {
            entry.retired |= which(entry);
        }
        self.collect(state)
    }

    /// The memory of withdrawn slots that nobody holds any more.
    #[must_use]
    fn collect(&self, state: &mut State) -> Vec<Arc<SlotMemory>> {
        let entries = state.entries.iter_mut().zip(self.table());
        let gone = entries.filter_map(|(entry, shared)| {
            let retired = entry.as_ref().filter(|entry| entry.retired)?;
            shared.retire();
            // The guest's word, but it can only harm its own pictures with it. A frame
            // that is still on its way is held downstream already.
            let state = shared.state();
            let held = state.held_by_decoder() || state.held_by_downstream();
            if held || retired.leased {
                None
            } else {
                entry.take()
            }
        });
        gone.map(|entry| entry.memory).collect()
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
            memory: entry.memory.clone(),
            pool: Arc::downgrade(self),
        })
    }

    /// Notes that a picture of that many bytes came; gives up what a whole window of
    /// pictures did not need.
    pub(crate) fn note_picture(&self, bytes: u64) {
        let mut state = self.lock();
        let entries = state.entries.iter().zip(self.table());
        let in_use = |(entry, shared): &(&Option<Entry>, &Slot)| {
            entry.as_ref().is_some_and(|entry| !entry.retired) && !shared.state().is_free()
        };
        let held = entries.filter(in_use).count();
        let usage = &mut state.usage;
        usage.frames += 1;
        usage.held = usage.held.max(held);
        usage.largest = usage.largest.max(bytes);
        if usage.frames == WINDOW {
            let gone = self.trim(&mut state);
            drop(state);
            // Who waits sees that it has to ask again.
            self.link.control().slot_bell.0.ring();
            drop(gone);
        }
    }

    fn trim(&self, state: &mut State) -> Vec<Arc<SlotMemory>> {
        let usage = std::mem::take(&mut state.usage);
        let waste = |entry: &Entry| entry.memory.size() / WASTE > usage.largest;
        if state
            .entries
            .iter()
            .flatten()
            .any(|entry| !entry.retired && waste(entry))
        {
            // What the guest lacks then it asks for.
            state.wanted = (0, 0);
            return self.retire(state, waste);
        }
        let enough = self.ordinary(state.depth).max(usage.held + SPARE);
        let mut surplus = state.usable(0).saturating_sub(enough);
        for (entry, shared) in state.entries.iter_mut().zip(self.table()) {
            let Some(entry) = entry.as_mut().filter(|entry| !entry.retired) else {
                continue;
            };
            if surplus > 0 && shared.state().is_free() {
                entry.retired = true;
                surplus -= 1;
            }
        }
        state.wanted.1 = state.wanted.1.min(enough);
        self.collect(state)
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
        self.table()[index].release_downstream(generation);
        let gone = self.collect(&mut state);
        let (size, target) = state.wanted;
        let lacking = state.usable(size) < target;
        drop(state);
        if lacking {
            self.due.store(true, Ordering::Relaxed);
            self.link.wake();
        }
        self.link.control().slot_bell.0.ring();
        drop(gone);
    }

    fn withdraw(&self, id: u64) {
        let mut state = self.lock();
        let gone = self.retire(&mut state, |entry| entry.memory.id() == id);
        drop(state);
        drop(gone);
    }

    /// Slots that decoder and downstream need in ordinary operation.
    pub(crate) fn need(&self) -> usize {
        let depth = self.lock().depth;
        self.ordinary(depth)
    }

    /// Slots that suffice as far as decoder and downstream have said.
    fn ordinary(&self, depth: usize) -> usize {
        let downstream = self.downstream.load(Ordering::Relaxed);
        (depth + downstream + SPARE).min(self.limit(depth))
    }

    fn limit(&self, depth: usize) -> usize {
        self.max_slots.max(depth + SPARE).min(MAX_USABLE)
    }

    fn table(&self) -> &[Slot; MAX_SLOTS] {
        &self.link.control().slots.0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }
}

impl State {
    /// Slots that serve pictures of `size` bytes.
    fn usable(&self, size: u64) -> usize {
        let usable = |entry: &&Entry| !entry.retired && entry.memory.size() >= size;
        self.entries.iter().flatten().filter(usable).count()
    }
}
