//! Host to guest: packets and orders.

use crate::link::{Link, NAP};
use crate::worker::{Loss, Worker};
use iotdec_wire::msg::{Command, Drain, MAX_CODEC_DATA, PacketHead, StreamHead};
use iotdec_wire::ring::{Producer, PushError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A piece of bitstream that the decoder gets at once.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The caller's number for it; frames decoded from it carry it back.
    pub number: u64,
    /// Bits of [`iotdec_wire::msg::packet_flags`].
    pub flags: u32,
    /// The bytes, in sequence; several parts save the caller joining them.
    pub parts: &'a [&'a [u8]],
}

/// Why something was not sent.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The caller's `stop` condition held while the ring was full.
    #[error("interrupted while the worker was busy")]
    Stopped,
    /// The worker is gone.
    #[error(transparent)]
    Lost(#[from] Loss),
}

/// The writing end of a session; belongs to one thread at a time.
#[derive(Debug)]
pub struct Feeder {
    worker: Arc<Worker>,
    ring: Producer<Arc<Link>>,
}

impl Feeder {
    pub(crate) fn new(worker: Arc<Worker>, ring: Producer<Arc<Link>>) -> Self {
        Self { worker, ring }
    }

    /// Sends a packet, waiting while the ring is full until `stop` holds.
    ///
    /// A packet longer than a record goes in parts. When stopped in between, what
    /// was sent is dropped by the guest, which then sees the next packet begin.
    pub fn send(
        &mut self,
        packet: Packet<'_>,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<(), FeedError> {
        let total: usize = packet.parts.iter().map(|part| part.len()).sum();
        let room = self.ring.max_payload() - size_of::<PacketHead>();
        let mut head = PacketHead {
            number: packet.number,
            epoch: self.worker.epoch(),
            flags: packet.flags,
            total: u32::try_from(total).unwrap_or(u32::MAX),
            offset: 0,
        };
        if total <= room {
            return self.push_packet(head, packet.parts, stop);
        }
        let joined = packet.parts.concat();
        for part in joined.chunks(room) {
            self.push_packet(head, &[part], stop)?;
            head.offset += part.len() as u32;
        }
        Ok(())
    }

    fn push_packet(
        &mut self,
        head: PacketHead,
        data: &[&[u8]],
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<(), FeedError> {
        let mut parts = Vec::with_capacity(1 + data.len());
        parts.push(bytemuck::bytes_of(&head));
        parts.extend(data);
        self.push(Command::Packet, &parts, stop)
    }

    /// Tells the format of the packets that follow. `head.codec_data` is set to the
    /// length of `codec_data`, of which [`MAX_CODEC_DATA`] bytes count.
    pub fn stream(
        &mut self,
        mut head: StreamHead,
        codec_data: &[u8],
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<(), FeedError> {
        let codec_data = &codec_data[..codec_data.len().min(MAX_CODEC_DATA)];
        head.codec_data = codec_data.len() as u32;
        let parts = [bytemuck::bytes_of(&head), codec_data];
        self.push(Command::Stream, &parts, stop)
    }

    /// Orders the decoder to deliver everything it still holds; the answer is
    /// [`crate::Event::Drained`] with this serial.
    pub fn drain(&mut self, serial: u32, stop: &mut dyn FnMut() -> bool) -> Result<(), FeedError> {
        let epoch = self.worker.epoch();
        let drain = Drain { epoch, serial };
        self.push(Command::Drain, &[bytemuck::bytes_of(&drain)], stop)
    }

    fn push(
        &mut self,
        command: Command,
        parts: &[&[u8]],
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<(), FeedError> {
        let mut waited = false;
        loop {
            if self.worker.link.is_dead() {
                return Err(self.worker.loss().into());
            }
            match self.ring.push(command.code(), parts) {
                Ok(()) => return Ok(()),
                Err(PushError::Full) => {}
                Err(PushError::TooLong) => unreachable!("callers split what is too long"),
                Err(PushError::Corrupt(corrupt)) => {
                    return Err(self.worker.condemn(corrupt.to_string()).into());
                }
            }
            if stop() {
                return Err(FeedError::Stopped);
            }
            if !std::mem::replace(&mut waited, true) {
                self.worker.ring_full_waits.fetch_add(1, Ordering::Relaxed);
            }
            let len = parts.iter().map(|part| part.len()).sum();
            let link = &self.worker.link;
            self.ring
                .wait_for_room(len, NAP, || link.is_dead() || stop());
        }
    }
}
