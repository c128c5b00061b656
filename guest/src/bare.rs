//! Decoding a packet file with nobody on the other side: what the decoder itself
//! costs and gives, for tests and benchmarks.
//!
//! A packet file is a sequence of `u32` length, `u32` flags (little-endian, the
//! flags of [`iotdec_wire::msg::packet_flags`]) and that many bytes.

use crate::accel;
use crate::args::Args;
use crate::decoder::{self, Decoder, Frame, Options, Output, Packet, Stream};
use crate::slots::local::LocalSlots;
use crate::slots::{Lease, SlotPool};
use iotdec_wire::msg::{StreamHead, frame_flags, stream_flags};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs the command.
pub fn run(args: &Args, accelerator: &accel::Report) -> Result<(), String> {
    let options = Options::parse(args.all("option"))?.with_threads(args.number("threads")?);
    let path = args.require("packets")?;
    let packets = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let packets = split(&packets).ok_or_else(|| format!("{path}: not a packet file"))?;
    let slots = LocalSlots::new();
    let mut decoder = decoder::open(
        args.require("adapter")?,
        args.require("library")?,
        slots.clone(),
        &options,
    )
    .map_err(|error| format!("{:?}: {}", error.refusal, error.text))?;
    if args.has("low-delay") {
        let head = StreamHead {
            flags: stream_flags::LOW_DELAY,
            ..StreamHead::default()
        };
        let stream = Stream {
            head,
            codec_data: &[],
        };
        decoder.begin(&stream).map_err(|error| error.text)?;
    }
    let mut tally = Tally {
        slots,
        packet: 0,
        prompt: 0,
        frames_to: args.number("frames-to")?.map(writer),
        checksum: args.has("checksum").then_some(FNV_OFFSET),
        frames: 0,
        corrupt: 0,
        copied: 0,
        aside: Duration::ZERO,
        failure: None,
    };
    let start = Instant::now();
    let mut errors = 0;
    if let Some(count) = args.number("flush-after")? {
        errors += feed(&mut *decoder, packets.iter().take(count), &mut tally);
        decoder.flush();
        // What counts is whether anything of it shows afterwards.
        tally.frames = 0;
        tally.checksum = tally.checksum.and(Some(FNV_OFFSET));
    }
    for _ in 0..args.number("repeat")?.unwrap_or(1u32) {
        errors += feed(&mut *decoder, packets.iter(), &mut tally);
        decoder
            .drain(&mut tally)
            .unwrap_or_else(|error| eprintln!("drain: {}", error.text));
    }
    let spent = start.elapsed().saturating_sub(tally.aside);
    if let Some(file) = &mut tally.frames_to {
        file.flush().map_err(|error| format!("frames: {error}"))?;
    }
    if let Some(error) = tally.failure {
        return Err(format!("frames: {error}"));
    }
    let checksum = tally
        .checksum
        .map_or(String::new(), |sum| format!(",\"checksum\":\"{sum:016x}\""));
    println!(
        "{{\"frames\":{},\"seconds\":{:.6},\"decode_us\":{},\"packets\":{},\"errors\":{errors},\
         \"corrupt\":{},\"copied\":{},\"prompt\":{},\"decoder\":\"{}\"{checksum},\"accelerator\":{}}}",
        tally.frames,
        spent.as_secs_f64(),
        spent.as_micros(),
        packets.len(),
        tally.corrupt,
        tally.copied,
        tally.prompt,
        decoder.version(),
        accelerator.json(),
    );
    Ok(())
}

/// Decodes packets; how many the decoder complained about.
fn feed<'a>(
    decoder: &mut dyn Decoder,
    packets: impl Iterator<Item = &'a (u32, &'a [u8])>,
    tally: &mut Tally,
) -> usize {
    let mut errors = 0;
    for (number, &(flags, data)) in (0..).zip(packets) {
        tally.packet = number;
        let packet = Packet {
            number,
            flags,
            data,
        };
        if let Err(error) = decoder.decode(packet, tally) {
            errors += 1;
            eprintln!("packet {number}: {} ({})", error.text, error.code);
        }
    }
    errors
}

/// The packets of a packet file with their flags, or `None` if it is cut short.
fn split(mut file: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let mut packets = Vec::new();
    while !file.is_empty() {
        let (len, rest) = file.split_first_chunk::<4>()?;
        let (flags, rest) = rest.split_first_chunk::<4>()?;
        let (packet, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        packets.push((u32::from_le_bytes(*flags), packet));
        file = rest;
    }
    Some(packets)
}

fn writer(fd: i32) -> BufWriter<File> {
    // SAFETY: whoever gave the number passed the descriptor for this purpose;
    // nothing else in the worker uses it.
    BufWriter::with_capacity(1 << 20, unsafe { File::from_raw_fd(fd) })
}

/// Counts frames, and passes them on if asked to.
struct Tally {
    slots: Arc<LocalSlots>,
    frames_to: Option<BufWriter<File>>,
    checksum: Option<u64>,
    /// The packet being decoded.
    packet: u64,
    frames: u64,
    corrupt: u64,
    copied: u64,
    /// Frames that came with their own packet.
    prompt: u64,
    /// Time that is not the decoder's.
    aside: Duration,
    failure: Option<std::io::Error>,
}

impl Output for Tally {
    fn picture(&mut self, frame: &Frame, lease: &Lease) {
        let start = Instant::now();
        self.frames += 1;
        self.corrupt += u64::from(frame.flags & frame_flags::CORRUPT != 0);
        self.copied += u64::from(frame.flags & frame_flags::COPIED != 0);
        self.prompt += u64::from(frame.number == self.packet);
        // SAFETY: the decoder is waiting for us, and its threads have finished the
        // picture.
        let bytes = unsafe { lease.bytes() };
        lease.hand_over();
        for row in visible_rows(frame, bytes) {
            if let Some(sum) = &mut self.checksum {
                *sum = checksum(*sum, row);
            }
            if let Some(file) = &mut self.frames_to
                && let Err(error) = file.write_all(row)
            {
                self.failure.get_or_insert(error);
            }
        }
        let slot = self.slots.slot(lease.index());
        slot.release_downstream(lease.generation());
        self.aside += start.elapsed();
    }
}

/// The rows of the visible part of each plane.
///
/// # Panics
/// If the picture does not lie in `bytes`: the adapter is wrong then.
pub fn visible_rows<'a>(frame: &Frame, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let picture = frame
        .picture
        .validate(bytes.len() as u64)
        .unwrap_or_else(|error| panic!("{error}: {:?}", frame.picture));
    let crop = picture.crop;
    (0..picture.format.planes().len()).flat_map(move |plane| {
        let (_, rows) = picture.format.plane_size(plane, crop.width, crop.height);
        let len = picture.format.row_bytes(plane, crop.width) as usize;
        (0..rows as usize).map(move |row| {
            let start = picture.offset[plane] as usize + row * picture.stride[plane] as usize;
            &bytes[start..start + len]
        })
    })
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over words of 8 bytes: tells runs apart, cheaply even when emulated.
fn checksum(sum: u64, row: &[u8]) -> u64 {
    let (words, rest) = row.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().map(|byte| u64::from(*byte));
    words
        .chain(rest)
        .fold(sum, |sum, word| (sum ^ word).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn packet_files_are_split_or_refused() {
        let file = [
            &[2, 0, 0, 0, 1, 0, 0, 0, 7, 8][..],
            &[0; 8],
            &[1, 0, 0, 0, 0, 0, 0, 0, 9],
        ];
        let file = file.concat();
        assert_eq!(
            split(&file).unwrap(),
            [(1, &[7, 8][..]), (0, &[]), (0, &[9])]
        );
        assert_eq!(split(&[]), Some(vec![]));
        assert_eq!(split(&file[..5]), None);
        assert_eq!(split(&file[..9]), None);
    }
}
