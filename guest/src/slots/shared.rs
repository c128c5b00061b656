//! Slots that the host grants.

use super::{Lease, SlotPool, pick};
use crate::mapping::Mapping;
use crate::session::{PATIENCE, Session};
use crate::socket::Received;
use iotdec_wire::doorbell::Spin;
use iotdec_wire::msg::{Event, Greeting, MAX_GREETING, SlotGrant, SlotsNeeded};
use iotdec_wire::slots::{MAX_SLOTS, Slot};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

/// The host's slots, mapped as they are first used.
#[derive(Debug)]
pub struct SharedSlots {
    session: Arc<Session>,
    /// Locked while acquiring, waiting included: only one thread may wait on the
    /// doorbell, and the others would wait for the same slot anyway. Leases are
    /// given back without it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    spin: Spin,
    /// Grants received and not yet mapped.
    granted: [Option<OwnedFd>; MAX_SLOTS],
    mapped: [Option<Mapped>; MAX_SLOTS],
}

#[derive(Debug)]
struct Mapped {
    memory: Mapping,
    /// Generation of the last acquisition. Announcing counts it up as well, so the
    /// next one follows it directly only if this is still the same slot.
    generation: u32,
}

impl SharedSlots {
    /// The slots of a session; none is mapped yet.
    pub fn new(session: Arc<Session>) -> Arc<Self> {
        Arc::new(Self {
            session,
            state: Mutex::new(State {
                spin: Spin::default(),
                granted: [const { None }; MAX_SLOTS],
                mapped: [const { None }; MAX_SLOTS],
            }),
        })
    }

    fn slots(&self) -> &[Slot; MAX_SLOTS] {
        &self.session.control().slots.0
    }

    /// Nobody wants the picture any more.
    fn is_moot(&self, epoch: u32) -> bool {
        self.session.is_stale(epoch) || self.session.host_is_gone()
    }

    /// Changes whenever the host announces or retires a slot.
    fn announced(&self) -> Vec<(bool, u64)> {
        let entry = |slot: &Slot| {
            let state = slot.state();
            (state.is_present() && !state.is_retired(), slot.size())
        };
        self.slots().iter().map(entry).collect()
    }

    /// Waits until a slot is free, telling the host what is needed: once, and
    /// again if it announced slots that do not help.
    fn wait(&self, state: &mut State, size: u64, depth: u32) -> Option<(usize, u32)> {
        let epoch = self.session.epoch();
        let mut told = None;
        loop {
            if self.is_moot(epoch) {
                return None;
            }
            if let Some(picked) = pick(self.slots(), size) {
                return Some(picked);
            }
            let announced = self.announced();
            if told.as_ref() != Some(&announced) {
                told = Some(announced);
                let needed = SlotsNeeded { size, depth, epoch };
                let needed = bytemuck::bytes_of(&needed);
                self.session.post(Event::SlotsNeeded, &[needed]).ok()?;
            }
            let fits = |slot: &Slot| slot.state().is_free() && slot.size() >= size;
            self.session
                .control()
                .slot_bell
                .0
                .wait(&mut state.spin, PATIENCE, || {
                    self.session.is_stale(epoch) || self.slots().iter().any(fits)
                });
        }
    }

    /// The memory of a slot that was just acquired.
    fn map(&self, state: &mut State, index: usize, generation: u32) -> Option<()> {
        let size = self.slots()[index].size() as usize;
        if let Some(mapped) = &mut state.mapped[index]
            && mapped.generation == generation.wrapping_sub(1)
            && mapped.memory.len() == size
        {
            mapped.generation = generation;
            return Some(());
        }
        state.mapped[index] = None;
        let memory = self.grant(state, index)?;
        let memory = Mapping::shared(memory.as_fd(), size)
            .inspect_err(|error| eprintln!("slot {index} of {size} bytes: {error}"))
            .ok()?;
        state.mapped[index] = Some(Mapped { memory, generation });
        Some(())
    }

    /// Gives memory back that the host has withdrawn.
    fn unmap_retired(&self, state: &mut State) {
        for (slot, mapped) in self.slots().iter().zip(&mut state.mapped) {
            let now = slot.state();
            if now.is_retired() && !now.held_by_decoder() {
                *mapped = None;
            }
        }
    }

    /// The memfd of a slot. Grants are sent before slots are announced, so it is
    /// on the socket, behind at most some others.
    fn grant(&self, state: &mut State, index: usize) -> Option<OwnedFd> {
        let socket = self.session.socket();
        let mut buffer = [0; MAX_GREETING];
        loop {
            match socket.receive(&mut buffer) {
                Ok(Received::Message(len, fd)) => {
                    let grant = bytemuck::try_pod_read_unaligned::<SlotGrant>(&buffer[..len])
                        .ok()
                        .filter(|grant| grant.kind == Greeting::Slot.code())
                        .zip(fd);
                    match grant {
                        // A later grant for an entry replaces one that was never used.
                        Some((grant, fd)) if (grant.index as usize) < MAX_SLOTS => {
                            state.granted[grant.index as usize] = Some(fd);
                        }
                        _ => eprintln!("unexpected message of {len} bytes on the socket"),
                    }
                }
                // The entry is held, so no later grant for it can be on its way.
                Ok(Received::Nothing) => match state.granted[index].take() {
                    Some(fd) => return Some(fd),
                    None if !socket.wait(PATIENCE) && socket.hung_up() => return None,
                    None => {}
                },
                Ok(Received::Closed) => return None,
                Err(error) => {
                    eprintln!("control socket: {error}");
                    return None;
                }
            }
        }
    }
}

impl SlotPool for SharedSlots {
    fn acquire(self: Arc<Self>, size: u64, depth: u32) -> Option<Lease> {
        let mut state = self.state.lock().expect("no panic is survived");
        if self.session.is_stale(self.session.epoch()) {
            return None;
        }
        self.unmap_retired(&mut state);
        let (index, generation) = pick(self.slots(), size)
            .or_else(|| self.session.waiting(|| self.wait(&mut state, size, depth)))?;
        if self.map(&mut state, index, generation).is_none() {
            self.slots()[index].release_decoder();
            return None;
        }
        let mapped = state.mapped[index].as_ref().expect("mapped just now");
        let (start, len) = (mapped.memory.start(), mapped.memory.len());
        drop(state);
        // SAFETY: a mapping is dropped only when its entry is another slot, which
        // the host makes it only when nobody holds it, or retired and not held by
        // the decoder; and it lives as long as the pool.
        Some(unsafe { Lease::new(self, index as u32, generation, start, len) })
    }

    fn slot(&self, index: u32) -> &Slot {
        &self.slots()[index as usize]
    }

    fn released(&self) {
        // Another of the decoder's threads may be waiting.
        self.session.control().slot_bell.0.ring();
    }
}
