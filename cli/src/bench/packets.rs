//! What the decoder was given, kept for decoders outside GStreamer.

use iotdec_bridge::packet_flags;
use iotdec_nal::config::Configuration;
use iotdec_nal::{Codec, START_CODE, lengths};
use std::io::{self, Write};

/// One packet as the decoder got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Bits of [`packet_flags`].
    pub flags: u32,
    /// The bitstream.
    pub data: Vec<u8>,
}

/// Makes of a decoder element's packets what its worker gets.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Every packet so far.
    pub packets: Vec<Packet>,
    caps: Option<gst::Caps>,
    /// Bytes of the length before each NAL unit, where start codes have to take its
    /// place.
    length_size: Option<usize>,
    /// Parameter sets that are in the caps alone, until a packet takes them along.
    sets: Vec<u8>,
}

impl Recorder {
    /// Keeps the packet in a buffer, unless it cannot be read.
    pub fn record(&mut self, buffer: &gst::BufferRef, caps: Option<gst::Caps>) {
        if self.caps != caps {
            self.length_size = caps.as_deref().and_then(|caps| self.read(caps));
            self.caps = caps;
        }
        let Ok(map) = buffer.map_readable() else {
            return;
        };
        let mut data = std::mem::take(&mut self.sets);
        match self.length_size {
            None => data.extend_from_slice(&map),
            Some(size) => append(&mut data, lengths::nal_units(&map, size).flatten()),
        }
        let delta = buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let flags = if delta { 0 } else { packet_flags::SYNC_POINT };
        self.packets.push(Packet { flags, data });
    }

    /// Takes the parameter sets out of caps, and tells the size of lengths; `None` if
    /// the packets have none.
    fn read(&mut self, caps: &gst::CapsRef) -> Option<usize> {
        let structure = caps.structure(0)?;
        let codec = match structure.name().as_str() {
            "video/x-h264" => Codec::H264,
            "video/x-h265" => Codec::H265,
            _ => return None,
        };
        let record = structure.get::<gst::Buffer>("codec_data").ok()?;
        let record = record.map_readable().ok()?;
        let configuration = Configuration::parse(codec, &record).ok()?;
        append(&mut self.sets, configuration.nal_units.into_iter());
        Some(configuration.length_size)
    }
}

fn append<'a>(data: &mut Vec<u8>, nal_units: impl Iterator<Item = &'a [u8]>) {
    for nal in nal_units {
        data.extend([START_CODE, nal].concat());
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
        let mut recorder = Recorder::default();
        let mut buffer = gst::Buffer::from_slice([1, 2, 3]);
        recorder.record(&buffer, None);
        let writable = buffer.make_mut();
        writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        recorder.record(&buffer, None);
        let packet = |flags| Packet {
            flags,
            data: vec![1, 2, 3],
        };
        assert_eq!(
            recorder.packets,
            [packet(packet_flags::SYNC_POINT), packet(0)]
        );
    }

    /// As from a file in a container: lengths of two bytes, parameter sets apart.
    #[test]
    fn lengths_become_start_codes() {
        gst::init().unwrap();
        let record = [1, 100, 0, 31, 0xfd, 0xe1, 0, 2, 0x67, 9, 1, 0, 2, 0x68, 8];
        let caps = gst::Caps::builder("video/x-h264")
            .field("stream-format", "avc")
            .field("codec_data", gst::Buffer::from_slice(record))
            .build();
        let buffer = gst::Buffer::from_slice([0, 2, 0x65, 1, 0, 1, 0x41]);
        let mut recorder = Recorder::default();
        recorder.record(&buffer, Some(caps.clone()));
        recorder.record(&buffer, Some(caps));
        let slices = [0, 0, 0, 1, 0x65, 1, 0, 0, 0, 1, 0x41];
        let sets = [0, 0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x68, 8];
        let first = [&sets[..], &slices[..]].concat();
        assert_eq!(recorder.packets[0].data, first);
        assert_eq!(recorder.packets[1].data, slices);
    }
}
