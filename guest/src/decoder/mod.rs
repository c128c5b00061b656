//! Decoder adapters: what a foreign library looks like to the rest of the worker.
//!
//! An adapter is one module with an [`Adapter`] value, and one line in
//! [`ADAPTERS`]. It gets packets, takes slots for pictures from a [`SlotPool`],
//! and gives finished pictures to an [`Output`].

mod copy;
mod damage;
mod dav1d;
mod libavcodec;
mod libde265;
mod mpeg2;
mod openh264;
mod shape;
mod turbojpeg;
mod vpx;

use crate::accel;
use crate::library::Library;
use crate::slots::{Lease, SlotPool};
use iotdec_wire::msg::{Refusal, StreamHead, packet_flags, stream_flags};
use iotdec_wire::picture::PictureRecord;
use std::sync::Arc;

/// Every adapter there is.
const ADAPTERS: &[Adapter] = &[
    dav1d::ADAPTER,
    libavcodec::ADAPTER,
    libde265::ADAPTER,
    mpeg2::ADAPTER,
    openh264::ADAPTER,
    turbojpeg::ADAPTER,
    vpx::ADAPTER,
];

/// A kind of decoder library.
#[derive(Debug)]
pub struct Adapter {
    /// What manifests call it.
    name: &'static str,
    /// Makes a decoder of a loaded library.
    open: fn(&Library, Arc<dyn SlotPool>, &Options) -> Opened,
}

/// A decoder, or why there is none.
type Opened = Result<Box<dyn Decoder>, OpenError>;

/// A decoder of one stream.
pub trait Decoder {
    /// Name and version of the library.
    fn version(&self) -> String;

    /// Packets of this format follow. Everything before was drained. For formats
    /// that describe themselves there is nothing to do.
    fn begin(&mut self, stream: &Stream<'_>) -> Result<(), DecodeError> {
        let _ = stream;
        Ok(())
    }

    /// Decodes one packet, and gives every picture that is ready to `output`.
    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError>;

    /// Packets it takes, as far as it knows, before it gives out the picture of the
    /// first: its reordering, and what its threads hold.
    fn delay(&self) -> u32 {
        0
    }

    /// Gives every remaining picture to `output`. Decoding can go on afterwards.
    fn drain(&mut self, output: &mut dyn Output) -> Result<(), DecodeError>;

    /// Forgets all pictures and pending input, but not the parameter sets: the next
    /// packet is from elsewhere in the same stream.
    fn flush(&mut self);
}

/// What is known of a stream before its first packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream<'a> {
    /// Size and variant of the format, and how it is wanted.
    pub head: StreamHead,
    /// What the container keeps apart from the packets.
    pub codec_data: &'a [u8],
}

impl Stream<'_> {
    /// Every picture is wanted at once.
    pub fn is_low_delay(&self) -> bool {
        self.head.flags & stream_flags::LOW_DELAY != 0
    }
}

/// One access unit.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Pictures decoded from it carry this number.
    pub number: u64,
    /// Bits of [`iotdec_wire::msg::packet_flags`].
    pub flags: u32,
    /// The bitstream.
    pub data: &'a [u8],
}

impl<'a> Packet<'a> {
    /// An access unit of which nothing is known.
    pub fn new(number: u64, data: &'a [u8]) -> Self {
        Self {
            number,
            flags: 0,
            data,
        }
    }

    /// The host is late: if no other picture refers to this one, it need not be
    /// decoded.
    pub fn may_be_skipped(&self) -> bool {
        self.flags & packet_flags::MAY_SKIP != 0
    }
}

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A picture, which came out or will, as far as is known.
    Picture,
    /// Nothing that is ever shown: a hidden picture, headers, or it was skipped.
    Nothing,
}

/// A picture in a slot.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The packet it was decoded from.
    pub number: u64,
    /// Bits of [`iotdec_wire::msg::frame_flags`].
    pub flags: u32,
    /// What it looks like.
    pub picture: PictureRecord,
}

/// Takes finished pictures, in display order.
pub trait Output {
    /// One picture. The decoder may go on reading it, and no longer writes to it.
    fn picture(&mut self, frame: &Frame, lease: &Lease);
}

/// Why a packet was not decoded, or not entirely.
#[derive(Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The library's own error number, not 0.
    pub code: i32,
    /// Its text.
    pub text: String,
    /// Decoding can't go on, not even after a flush.
    pub fatal: bool,
}

/// Why there is no decoder.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenError {
    /// Which step failed.
    pub refusal: Refusal,
    /// What to tell about it.
    pub text: String,
}

impl OpenError {
    /// The library lacks a function.
    fn symbol(name: &str) -> Self {
        Self {
            refusal: Refusal::Symbol,
            text: name.to_owned(),
        }
    }

    /// The library would not make a decoder, or not with these options.
    fn decoder(text: impl Into<String>) -> Self {
        Self {
            refusal: Refusal::Decoder,
            text: text.into(),
        }
    }
}

/// Loads `library` and makes a decoder with the adapter of that name.
pub fn open(adapter: &str, library: &str, slots: Arc<dyn SlotPool>, options: &Options) -> Opened {
    let adapter = ADAPTERS
        .iter()
        .find(|known| known.name == adapter)
        .ok_or_else(|| OpenError {
            refusal: Refusal::Adapter,
            text: ADAPTERS
                .iter()
                .map(|known| known.name)
                .collect::<Vec<_>>()
                .join(" "),
        })?;
    let library = Library::open(library).map_err(|text| OpenError {
        refusal: Refusal::Library,
        text,
    })?;
    let decoder = accel::run(|| (adapter.open)(&library, slots, options))?;
    Ok(Box::new(Accelerated(decoder)))
}

/// A decoder whose calls are made with the accelerator's help.
struct Accelerated(Box<dyn Decoder>);

impl Decoder for Accelerated {
    fn version(&self) -> String {
        self.0.version()
    }

    fn begin(&mut self, stream: &Stream<'_>) -> Result<(), DecodeError> {
        accel::run(|| self.0.begin(stream))
    }

    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError> {
        accel::run(|| self.0.decode(packet, output))
    }

    fn delay(&self) -> u32 {
        self.0.delay()
    }

    fn drain(&mut self, output: &mut dyn Output) -> Result<(), DecodeError> {
        accel::run(|| self.0.drain(output))
    }

    fn flush(&mut self) {
        accel::run(|| self.0.flush());
    }
}

/// An adapter's settings, from `--option KEY=VALUE` and `--threads`.
#[derive(Debug, Default)]
pub struct Options {
    pairs: Vec<(String, String)>,
    threads: Option<u32>,
}

impl Options {
    /// Reads `KEY=VALUE` words; a later one overrides an earlier.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let pairs = words
            .into_iter()
            .map(|word| match word.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                _ => Err(format!("--option {word}: not KEY=VALUE")),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            pairs,
            threads: None,
        })
    }

    /// Asks for so many threads instead of what the option `threads` says. An
    /// adapter that has no such option has one thread, and may.
    pub fn with_threads(self, threads: Option<u32>) -> Self {
        Self { threads, ..self }
    }

    /// The text given for `key`.
    fn text(&self, key: &str) -> Option<&str> {
        let given = self.pairs.iter().rev().find(|(name, _)| name == key);
        given.map(|(_, value)| value.as_str())
    }

    /// The number given for `key`, or `default`. Says what it can't read.
    fn number(&self, key: &str, default: u32) -> Result<u32, OpenError> {
        if let Some(threads) = self.threads.filter(|_| key == "threads") {
            return Ok(threads);
        }
        self.text(key).map_or(Ok(default), |value| {
            value
                .parse()
                .map_err(|_| OpenError::decoder(format!("option {key}={value}: not a number")))
        })
    }

    /// Complains about options that the adapter does not have.
    fn only(&self, known: &[&str]) -> Result<(), OpenError> {
        match self
            .pairs
            .iter()
            .find(|(key, _)| !known.contains(&key.as_str()))
        {
            Some((key, _)) => Err(OpenError::decoder(format!(
                "no option '{key}'; there is {}",
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::local::LocalSlots;

    #[test]
    fn options_override_and_complain() {
        let options = Options::parse(["threads=1", "threads=4"]).unwrap();
        assert_eq!(options.number("threads", 2), Ok(4));
        assert_eq!(options.number("other", 2), Ok(2));
        assert!(options.only(&["threads"]).is_ok());
        let error = options.only(&["depth", "delay"]).unwrap_err();
        assert_eq!(error.text, "no option 'threads'; there is depth, delay");
        let asked = options.with_threads(Some(3));
        assert_eq!(asked.number("threads", 2), Ok(3));
        assert_eq!(asked.number("other", 2), Ok(2));
        assert!(Options::parse(["threads"]).is_err());
        assert!(Options::parse(["=1"]).is_err());
        let odd = Options::parse(["threads=many"]).unwrap();
        assert_eq!(
            odd.number("threads", 1).unwrap_err().refusal,
            Refusal::Decoder
        );
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let open = |adapter, library| {
            super::open(adapter, library, LocalSlots::new(), &Options::default())
                .err()
                .unwrap()
        };
        let error = open("nothing", "libc.so.6");
        assert_eq!(error.refusal, Refusal::Adapter);
        assert!(error.text.contains("libde265"));
        let error = open("libde265", "/nonexistent.so");
        assert_eq!(error.refusal, Refusal::Library);
        let error = open("libde265", "libc.so.6");
        assert_eq!(error.refusal, Refusal::Symbol);
        assert!(error.text.starts_with("de265_"));
    }
}
