//! What the decoder was given, kept for decoders outside GStreamer.

use iotdec_bridge::packet_flags;
use std::io::{self, Write};

/// One packet as the decoder got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Bits of [`packet_flags`].
    pub flags: u32,
    /// The bitstream.
    pub data: Vec<u8>,
}

impl Packet {
    /// The packet in a buffer; `None` if it cannot be read.
    pub fn from_buffer(buffer: &gst::BufferRef) -> Option<Self> {
        let delta = buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        Some(Self {
            flags: if delta { 0 } else { packet_flags::SYNC_POINT },
            data: buffer.map_readable().ok()?.to_vec(),
        })
    }
}

/// Writes packets in the worker's format: length, flags (`u32`, little-endian),
/// bytes.
pub fn write(packets: &[Packet], mut file: impl Write) -> io::Result<()> {
    for packet in packets {
        let len = u32::try_from(packet.data.len()).map_err(io::Error::other)?;
        file.write_all(&len.to_le_bytes())?;
        file.write_all(&packet.flags.to_le_bytes())?;
        file.write_all(&packet.data)?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_written_as_the_worker_reads_them() {
        let packet = |flags, data: &[u8]| Packet {
            flags,
            data: data.to_vec(),
        };
        let mut file = Vec::new();
        write(&[packet(1, &[7, 8]), packet(0, &[])], &mut file).unwrap();
        assert_eq!(file, [2, 0, 0, 0, 1, 0, 0, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn frames_that_lean_on_others_are_no_sync_points() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::from_slice([1, 2, 3]);
        let packet = Packet::from_buffer(&buffer).unwrap();
        assert_eq!(packet.flags, packet_flags::SYNC_POINT);
        let writable = buffer.make_mut();
        writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        let packet = Packet::from_buffer(&buffer).unwrap();
        assert_eq!((packet.flags, &packet.data[..]), (0, &[1, 2, 3][..]));
    }
}
