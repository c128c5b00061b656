//! Guest to host: pictures and reports, validated.

use crate::link::{Link, NAP};
use crate::progress::Progress;
use crate::slots::Lease;
use crate::worker::{Loss, Worker};
use bytemuck::Pod;
use iotdec_wire::msg::{Drain, Event as Kind, FrameRecord, PacketDone, SlotsNeeded, frame_flags};
use iotdec_wire::picture::Picture;
use iotdec_wire::ring::{Consumer, Record};
use std::sync::Arc;

/// Longest text of a fault or complaint that is passed on.
const MAX_TEXT: usize = 1024;

/// What a worker reports.
#[derive(Debug)]
pub enum Event {
    /// A decoded picture.
    Frame(Frame),
    /// What became of a packet.
    PacketDone(PacketDone),
    /// What the decoder says of the packet that comes next in a `PacketDone`.
    Complaint(String),
    /// Everything sent before this drain was delivered.
    Drained(Drain),
}

/// A decoded picture.
#[derive(Debug)]
pub struct Frame {
    /// The number of the packet it was decoded from.
    pub number: u64,
    /// The flush it belongs to; stale if smaller than [`Worker::epoch`].
    pub epoch: u32,
    /// Decoded from damaged input, or refers to such a picture.
    pub corrupt: bool,
    /// The guest copied it into the slot, because its library owns its pictures.
    pub copied_by_guest: bool,
    /// What it looks like; every visible sample lies inside the slot.
    pub picture: Picture,
    /// Where it lies.
    pub lease: Lease,
}

/// The reading end of a session; belongs to one thread at a time.
#[derive(Debug)]
pub struct Receiver {
    worker: Arc<Worker>,
    ring: Consumer<Arc<Link>>,
}

impl Receiver {
    pub(crate) fn new(worker: Arc<Worker>, ring: Consumer<Arc<Link>>) -> Self {
        Self { worker, ring }
    }

    /// The worker this belongs to.
    pub fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// Waits for the next event, or until `stop` holds (`None`). Requests for frame
    /// slots are answered on the way. What the worker published before it died is
    /// still delivered; then comes the loss, again on every further call. A worker that
    /// hangs is killed.
    pub fn next(&mut self, stop: &mut dyn FnMut() -> bool) -> Result<Option<Event>, Loss> {
        let mut progress = None;
        loop {
            if let Err(error) = self.worker.pool.tend() {
                return Err(self.worker.condemn(error.to_string()));
            }
            // Asked before the ring: what is published before death is found after.
            let dead = self.worker.link.is_dead();
            match self.take() {
                Ok(Taken::Event(event)) => return Ok(Some(event)),
                // A worker could keep us busy with these.
                Ok(Taken::Handled) if stop() => return Ok(None),
                Ok(Taken::Handled) => continue,
                Ok(Taken::Nothing) => {}
                Err(Broken::Fault(text)) => {
                    self.worker.condemn(text.clone());
                    return Err(Loss::Fault(text));
                }
                Err(Broken::Nonsense(why)) => return Err(self.worker.condemn(why)),
            }
            if dead {
                return Err(self.worker.loss());
            }
            if stop() {
                return Ok(None);
            }
            let link = &self.worker.link;
            let pool = &self.worker.pool;
            let has_data = self
                .ring
                .wait_for_data(NAP, || link.is_dead() || stop() || pool.is_due());
            if let Some(limit) = self.worker.hang_timeout
                && !has_data
                && progress
                    .get_or_insert_with(|| Progress::of(&self.worker))
                    .is_stuck(&self.worker, limit)
            {
                let why = format!("it was still at the same packet after {limit:?} (hang-timeout)");
                return Err(self.worker.condemn(why));
            }
        }
    }

    fn take(&mut self) -> Result<Taken, Broken> {
        let Some(record) = self.ring.next().map_err(Broken::nonsense)? else {
            return Ok(Taken::Nothing);
        };
        let Some(kind) = Kind::from_code(record.kind()) else {
            return Err(Broken::Nonsense(format!("event of kind {}", record.kind())));
        };
        let taken = match kind {
            Kind::Frame => Taken::Event(Event::Frame(self.worker.accept(read(&record)?)?)),
            Kind::PacketDone => Taken::Event(Event::PacketDone(read(&record)?)),
            Kind::Drained => Taken::Event(Event::Drained(read(&record)?)),
            Kind::SlotsNeeded => {
                let need: SlotsNeeded = read(&record)?;
                let provided = self.worker.pool.provide(need.size, need.depth);
                provided.map_err(Broken::nonsense)?;
                Taken::Handled
            }
            Kind::Fault => {
                return Err(Broken::Fault(text(&record)));
            }
            Kind::Complaint => Taken::Event(Event::Complaint(text(&record))),
        };
        record.release();
        Ok(taken)
    }
}

impl Worker {
    fn accept(&self, record: FrameRecord) -> Result<Frame, Broken> {
        let lease = self.pool.lease(record.slot, record.generation);
        let lease = lease.ok_or_else(|| {
            Broken::Nonsense(format!("frame in slot {} it does not have", record.slot))
        })?;
        let picture = record.picture.validate(lease.size());
        let picture = picture.map_err(Broken::nonsense)?;
        self.pool.note_picture(picture.coded_bytes());
        Ok(Frame {
            number: record.number,
            epoch: record.epoch,
            corrupt: record.flags & frame_flags::CORRUPT != 0,
            copied_by_guest: record.flags & frame_flags::COPIED != 0,
            picture,
            lease,
        })
    }
}

enum Taken {
    Event(Event),
    Handled,
    Nothing,
}

enum Broken {
    Fault(String),
    Nonsense(String),
}

impl Broken {
    fn nonsense(error: impl std::fmt::Display) -> Self {
        Self::Nonsense(error.to_string())
    }
}

/// A record that is a text, the beginning of it.
fn text(record: &Record<'_, Arc<Link>>) -> String {
    let mut text = [0; MAX_TEXT];
    let length = record.copy_to(&mut text);
    String::from_utf8_lossy(&text[..length]).into_owned()
}

/// A message's bytes, copied once; a record of another length is no such message.
fn read<T: Pod>(record: &Record<'_, Arc<Link>>) -> Result<T, Broken> {
    let mut message = T::zeroed();
    if record.len() != size_of::<T>() {
        return Err(Broken::Nonsense(format!(
            "event {} of {} bytes",
            record.kind(),
            record.len()
        )));
    }
    record.copy_to(bytemuck::bytes_of_mut(&mut message));
    Ok(message)
}
