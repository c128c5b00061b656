//! Access units out of packets that are single NAL units.
//!
//! The base class collects the packets in an adapter and asks `parse` again and
//! again; their time stamps and metas it keeps by itself. An access unit ends where
//! the next one begins, or earlier, where a marker says so.

use super::bitstream::{Bitstream, Framing};
use super::imp::{ForeignDecoder, lock};
use crate::CAT;
use gst::glib::translate::ToGlibPtr;
use gst::subclass::prelude::*;
use gst_video::VideoCodecFrame;
use gst_video::prelude::*;
use iotdec_nal::{AccessUnits, Codec, h264};
use std::sync::atomic::Ordering;

/// So much of a NAL unit is looked at: all of any parameter set.
const HEAD: usize = 4096;

/// What is known of the access unit at the beginning of the adapter.
#[derive(Debug)]
pub(super) struct Gather {
    codec: Codec,
    framing: Framing,
    units: AccessUnits,
    /// Bytes that were looked at.
    seen: usize,
    has_slice: bool,
    /// Decoding can start here.
    is_key: bool,
    /// Where NAL units begin that belong to the slice after them.
    prefix: Option<usize>,
    marker: Marker,
}

/// What is thought of markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    Trusted,
    /// One has just ended an access unit.
    Followed,
    /// After one came a slice of the same picture.
    Refuted,
}

/// An access unit at the beginning of the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    length: usize,
    is_key: bool,
}

impl Gather {
    /// If packets have to be joined.
    pub(super) fn of(stream: &Bitstream) -> Option<Self> {
        let (codec, framing, sets) = stream.to_be_joined()?;
        let mut units = AccessUnits::new(codec);
        for set in sets.iter() {
            units.note_parameter_set(set);
        }
        Some(Self {
            codec,
            framing,
            units,
            seen: 0,
            has_slice: false,
            is_key: false,
            prefix: None,
            marker: Marker::Trusted,
        })
    }

    /// What was collected is gone.
    pub(super) fn forget(&mut self) {
        self.units.end();
        self.begin(0);
        self.marker = self.marker.after_more();
    }

    /// Looks at what was added to the adapter until an access unit ends.
    fn look(&mut self, added: &[u8], has_marker: bool) -> Option<Found> {
        let start = self.seen;
        for (place, nal) in self.framing.places(added) {
            let end = start + place.end;
            let head = &nal[..nal.len().min(HEAD)];
            let begins = self.units.begins(head);
            let is_slice = self.codec.is_slice(head);
            let is_prefix = self.codec == Codec::H264 && h264::Unit::of(head).kind == h264::PREFIX;
            let length = self.prefix.take().unwrap_or(start + place.start);
            // Without a slice it is the rest of what a marker has ended.
            let found = (begins && self.has_slice).then(|| self.found(length));
            if found.is_some() {
                self.begin(end - length);
            }
            if is_prefix {
                self.prefix = Some(if found.is_some() { 0 } else { length });
            }
            if begins {
                self.marker = self.marker.after_more();
            } else if is_slice && self.marker == Marker::Followed {
                self.marker = Marker::Refuted;
            }
            self.has_slice |= is_slice;
            self.is_key |= self.codec.is_key(head);
            if found.is_some() {
                return found;
            }
        }
        self.seen = start + added.len();
        let ends = has_marker && self.has_slice && self.marker != Marker::Refuted;
        ends.then(|| {
            self.marker = Marker::Followed;
            self.rest()
        })
    }

    /// All there is in the adapter.
    fn rest(&mut self) -> Found {
        let found = self.found(self.seen);
        self.begin(0);
        found
    }

    fn found(&self, length: usize) -> Found {
        Found {
            length,
            is_key: self.is_key,
        }
    }

    /// Another access unit begins, of which so many bytes were looked at.
    fn begin(&mut self, seen: usize) {
        self.seen = seen;
        self.has_slice = false;
        self.is_key = false;
        self.prefix = None;
    }
}

impl Marker {
    /// Something begins that belongs to another access unit.
    fn after_more(self) -> Self {
        match self {
            Self::Followed => Self::Trusted,
            other => other,
        }
    }
}

impl ForeignDecoder {
    /// Hands the access unit that is complete, if one is, to `handle_frame`.
    pub(super) fn join(
        &self,
        frame: &VideoCodecFrame,
        adapter: &gst_base::Adapter,
        at_end: bool,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let available = adapter.available();
        let mut gather = lock(&self.gather);
        let Some(gathered) = gather.as_mut() else {
            return Err(gst::FlowError::NotNegotiated);
        };
        let unseen = available.saturating_sub(gathered.seen);
        let buffers = adapter.list(available).unwrap_or_default();
        let has_marker = buffers
            .last()
            .is_some_and(|last| last.flags().contains(gst::BufferFlags::MARKER));
        let mut found = match adapter.copy_bytes(gathered.seen, unseen) {
            Ok(added) if unseen > 0 => gathered.look(&added, has_marker),
            _ => None,
        };
        if at_end && found.is_none() && available > 0 {
            found = Some(gathered.rest());
        }
        drop(gather);
        // GST_VIDEO_DECODER_FLOW_NEED_DATA
        let Some(found) = found else {
            return Ok(gst::FlowSuccess::CustomSuccess);
        };
        if found.is_key {
            let frame = frame.to_glib_none().0;
            // SAFETY: the base class lends the frame that it is collecting, under its
            // stream lock.
            unsafe { (*frame).flags |= gst_video::ffi::GST_VIDEO_CODEC_FRAME_FLAG_SYNC_POINT };
        }
        // One lock comes with the frame here, and `have_frame` takes another.
        self.hand_on(found.length, 2)
    }

    /// The stream ends or becomes another one: what was collected is an access unit.
    pub(super) fn join_rest(&self) {
        let rest = lock(&self.gather)
            .as_mut()
            .map(|gather| gather.rest().length);
        if let Some(rest) = rest.filter(|rest| *rest > 0)
            && let Err(error) = self.hand_on(rest, 1)
        {
            gst::debug!(CAT, imp = self, "The last access unit: {error:?}");
        }
    }

    fn hand_on(&self, length: usize, locks: usize) -> Result<gst::FlowSuccess, gst::FlowError> {
        let obj = self.obj();
        obj.add_to_frame(length as i32);
        self.nested_locks.store(locks, Ordering::Relaxed);
        let result = obj.have_frame();
        self.nested_locks.store(0, Ordering::Relaxed);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUD: &[u8] = &[0, 0, 0, 1, 0x46, 1, 0x50];
    const KEY: &[u8] = &[0, 0, 1, 0x26, 1, 0x80];
    const SLICE: &[u8] = &[0, 0, 1, 0x02, 1, 0x80];
    const MORE: &[u8] = &[0, 0, 1, 0x02, 1, 0x40];
    const SUFFIX: &[u8] = &[0, 0, 1, 0x50, 1];

    /// Byte streams of H.265 by NAL units.
    fn gather() -> Gather {
        gst::init().unwrap();
        let caps = gst::Caps::builder("video/x-h265")
            .field("stream-format", "byte-stream")
            .field("alignment", "nal")
            .build();
        Gather::of(&Bitstream::of_caps(&caps).unwrap()).unwrap()
    }

    /// Lengths of the access units in packets, some with a marker, and which are key.
    fn lengths(packets: &[(&[u8], bool)]) -> Vec<(usize, bool)> {
        let mut gather = gather();
        let (mut adapter, mut all) = (Vec::new(), Vec::new());
        for (packet, marker) in packets {
            adapter.extend_from_slice(packet);
            loop {
                let added = adapter[gather.seen..].to_vec();
                let Some(found) = gather.look(&added, *marker) else {
                    break;
                };
                adapter.drain(..found.length);
                all.push((found.length, found.is_key));
                if adapter.is_empty() {
                    break;
                }
            }
        }
        let rest = gather.rest();
        all.push((rest.length, rest.is_key));
        all
    }

    #[test]
    fn an_access_unit_ends_where_the_next_one_begins() {
        let packets = [AUD, KEY, MORE, SLICE, SUFFIX, AUD, SLICE, MORE];
        let packets = packets.map(|packet| (packet, false));
        let expected = [(19, true), (11, false), (19, false)];
        assert_eq!(lengths(&packets), expected);
        let joined: Vec<u8> = packets
            .iter()
            .flat_map(|(packet, _)| *packet)
            .copied()
            .collect();
        assert_eq!(lengths(&[(&joined, false)]), expected, "in one packet");
    }

    #[test]
    fn a_marker_ends_it_earlier() {
        let packets = [(AUD, false), (KEY, true), (SUFFIX, false), (SLICE, true)];
        assert_eq!(lengths(&packets), [(13, true), (11, false), (0, false)]);
    }

    #[test]
    fn a_marker_on_every_slice_is_believed_once() {
        let packets = [KEY, MORE, SLICE, MORE, SLICE].map(|packet| (packet, true));
        let expected = [(6, true), (6, false), (12, false), (6, false)];
        assert_eq!(lengths(&packets), expected);
    }

    #[test]
    fn what_is_forgotten_ends_nothing() {
        let mut gather = gather();
        assert_eq!(gather.look(SLICE, false), None);
        gather.forget();
        assert_eq!(gather.look(SLICE, false), None);
        assert_eq!(gather.look(SLICE, false).map(|found| found.length), Some(6));
    }
}
