//! libmpeg2, a decoder of MPEG-1 and MPEG-2 video: it renders into slots, nothing is
//! copied.
//!
//! Facts from the source of 0.5.1:
//! * A picture is finished by the start code that follows its last slice. [`TAIL`]
//!   brings one, so that it need not wait for the next packet; the next start code
//!   shows that it leads nowhere, which libmpeg2 calls invalid, and passes over it.
//! * With buffers of the caller's, it reads the last two pictures that others may
//!   refer to, and writes one. When a sequence begins it has none, or forgotten ones:
//!   all three are set then.
//! * Its own order of display is the one of the standard: a picture that is not B is
//!   shown when the next such one begins. It does that for the pictures it knows of
//!   and ends a sequence to get at the last one; doing it here needs neither.
//! * There is nothing in it for aarch64 but plain C. What it has for x86 rounds in
//!   another way, and is turned off, so that the native build gives the same pictures.
//! * It says nothing of damage within a slice.

mod api;
mod geometry;
mod headers;

use super::{
    Adapter, DecodeError, Decoded, Decoder, Frame, OpenError, Opened, Options, Output, Packet,
    Stream,
};
use crate::library::Library;
use crate::slots::{Lease, SlotPool};
use api::{Api, Handle, Info, gop_flags, picture_flags, state};
use geometry::Geometry;
use headers::{Contents, Pictures};
use iotdec_wire::msg::frame_flags;
use iotdec_wire::picture::{PictureRecord, scan};
use std::sync::Arc;

/// In the table of adapters.
pub const ADAPTER: Adapter = Adapter {
    name: "libmpeg2",
    open,
};

/// Pictures it holds at once: two that others refer to, and the one being decoded.
const DEPTH: u32 = 3;
/// The start code of a group of pictures, which ends a picture.
const TAIL: [u8; 4] = [0, 0, 1, 0xb8];
/// Black without colour, for pictures that the stream lacks.
const GRAY: u8 = 0x80;

/// A decoder. Never freed: the worker decodes one stream, and exits.
struct Mpeg2 {
    api: Api,
    handle: *mut Handle,
    slots: Arc<dyn SlotPool>,
    geometry: Geometry,
    /// The sequence header last seen: a reset decoder needs it again.
    sequence: Vec<u8>,
    /// Stands for pictures that there are not; `geometry.size` bytes.
    gray: Vec<u8>,
    /// What libmpeg2 writes to.
    current: Option<Picture>,
    /// What it may read: the newest picture that is not B, and the one before.
    newer: Option<Picture>,
    older: Option<Picture>,
    /// B pictures that come now refer to nothing before this group of pictures.
    is_closed: bool,
    /// The first temporal reference that was not shown.
    next: u32,
    /// Pictures are shown as soon as none can come before them.
    low_delay: bool,
    /// Some had to wait for their turn.
    reorders: bool,
    /// The start code of `TAIL` is still to be found invalid.
    tail_is_pending: bool,
    packet: PacketState,
}

/// What becomes of a packet.
#[derive(Debug, Default)]
struct PacketState {
    number: u64,
    may_be_skipped: bool,
    contents: Pictures,
    /// Not all of its picture is there.
    lacks_slices: bool,
    /// libmpeg2 could not make sense of something.
    invalid: bool,
    /// It has a picture, which will be shown.
    picture: bool,
}

/// A picture in the decoder.
#[derive(Debug)]
struct Picture {
    /// Where it is; nowhere if it is skipped.
    place: Option<(Lease, PictureRecord)>,
    number: u64,
    is_b: bool,
    is_field: bool,
    temporal_reference: u32,
    corrupt: bool,
    /// All of it was decoded.
    finished: bool,
    shown: bool,
    /// The pictures that follow do not belong to it.
    link_is_broken: bool,
}

fn open(library: &Library, slots: Arc<dyn SlotPool>, options: &Options) -> Opened {
    options.only(&[])?;
    let api = Api::load(library).map_err(OpenError::symbol)?;
    // SAFETY: no preconditions.
    unsafe { (api.mpeg2_accel)(0) };
    // SAFETY: no preconditions.
    let handle = unsafe { (api.mpeg2_init)() };
    if handle.is_null() {
        return Err(OpenError::decoder("mpeg2_init failed"));
    }
    Ok(Box::new(Mpeg2 {
        api,
        handle,
        slots,
        geometry: Geometry::default(),
        sequence: Vec::new(),
        gray: Vec::new(),
        current: None,
        newer: None,
        older: None,
        is_closed: false,
        next: 0,
        low_delay: false,
        reorders: false,
        tail_is_pending: false,
        packet: PacketState::default(),
    }))
}

impl Mpeg2 {
    fn info(&self) -> &Info {
        // SAFETY: the decoder lives as long as the process, and the structure inside
        // it changes only in calls that take `&mut self`.
        unsafe { &*(self.api.mpeg2_info)(self.handle) }
    }

    /// Decodes start codes and what follows them.
    fn feed(&mut self, data: &[u8], output: &mut dyn Output) {
        let range = data.as_ptr_range();
        let (start, end) = (range.start.cast_mut(), range.end.cast_mut());
        // SAFETY: libmpeg2 only reads, and is done with it when it asks for more,
        // before this function returns.
        unsafe { (self.api.mpeg2_buffer)(self.handle, start, end) };
        loop {
            // SAFETY: the decoder lives as long as the process. Each buffer that it
            // has, it got from `set_buffer`.
            match unsafe { (self.api.mpeg2_parse)(self.handle) } {
                state::BUFFER => return,
                state::SEQUENCE => self.begin_sequence(),
                state::SEQUENCE_MODIFIED | state::SEQUENCE_REPEATED => {
                    self.geometry = self.read_geometry();
                }
                state::GOP => self.begin_group(),
                state::PICTURE => self.begin_picture(output),
                state::PICTURE_2ND => {
                    if let Some(picture) = &mut self.current {
                        picture.is_field = false;
                    }
                }
                state::SLICE => self.finish_picture(output),
                state::END | state::INVALID_END => self.give_out_waiting(output),
                state::INVALID if std::mem::take(&mut self.tail_is_pending) => {}
                state::INVALID => self.packet.invalid = true,
                _ => {}
            }
        }
    }

    /// Decodes the end of whatever was begun.
    fn feed_tail(&mut self, output: &mut dyn Output) {
        // A field that waits for the other one is no frame yet, and "invalid".
        let invalid = self.packet.invalid;
        self.tail_is_pending = false;
        self.feed(&TAIL, output);
        self.packet.invalid = invalid;
        self.tail_is_pending = true;
    }

    fn read_geometry(&self) -> Geometry {
        // SAFETY: null, or a part of the decoder.
        let sequence = unsafe { self.info().sequence.as_ref() };
        sequence.map_or_else(Geometry::default, Geometry::of)
    }

    /// A sequence begins, with nothing decoded.
    fn begin_sequence(&mut self) {
        self.geometry = self.read_geometry();
        self.gray = vec![GRAY; self.geometry.size as usize];
        // SAFETY: as in `feed`; both concern the pictures that follow.
        unsafe {
            (self.api.mpeg2_custom_fbuf)(self.handle, 1);
            (self.api.mpeg2_stride)(self.handle, self.geometry.stride() as i32);
        }
        for _ in 0..DEPTH {
            self.set_buffer(None);
        }
        (self.current, self.newer, self.older) = (None, None, None);
        (self.next, self.reorders) = (0, false);
    }

    /// Gives libmpeg2 a buffer to write to, which stays valid until it is moved out
    /// of `older`; the gray picture if there is none.
    fn set_buffer(&mut self, lease: Option<&Lease>) {
        let start = match lease {
            Some(lease) => lease.start().as_ptr(),
            None => self.gray.as_mut_ptr(),
        };
        let mut planes = self.geometry.planes(start);
        // SAFETY: the planes have the size and stride of the sequence. The gray
        // picture is written to only where libmpeg2 must have a buffer although
        // nothing is decoded.
        unsafe {
            (self.api.mpeg2_set_buf)(self.handle, planes.as_mut_ptr(), std::ptr::null_mut());
        }
    }

    fn begin_group(&mut self) {
        // SAFETY: null, or a part of the decoder.
        let flags = unsafe { self.info().gop.as_ref() }.map_or(0, |gop| gop.flags);
        self.next = 0;
        self.is_closed = flags & gop_flags::CLOSED != 0;
        if flags & gop_flags::BROKEN_LINK != 0 {
            for picture in [&mut self.current, &mut self.newer].into_iter().flatten() {
                picture.link_is_broken = true;
            }
        }
    }

    fn begin_picture(&mut self, output: &mut dyn Output) {
        // SAFETY: null, or a part of the decoder.
        let header = unsafe { self.info().current_picture.as_ref() }.copied();
        let header = header.unwrap_or_default();
        let kind = header.flags & picture_flags::CODING_TYPE;
        let is_b = kind == picture_flags::CODING_TYPE_B;
        self.abandon_picture(output);
        if !is_b {
            self.give_out_waiting(output);
        }
        // As libmpeg2 does it.
        if let Some(last) = self.current.take().filter(|last| !last.is_b) {
            self.older = self.newer.replace(last);
        }
        let sound = |picture: &Option<Picture>| picture.as_ref().is_some_and(|p| !p.corrupt);
        let there = |picture: &Option<Picture>| {
            let there = |picture: &Picture| !picture.link_is_broken;
            picture.as_ref().is_some_and(there)
        };
        let (lacking, corrupt) = match kind {
            picture_flags::CODING_TYPE_P => (false, !sound(&self.newer)),
            picture_flags::CODING_TYPE_B => (
                !there(&self.newer) || !self.is_closed && !there(&self.older),
                !sound(&self.newer) || !self.is_closed && !sound(&self.older),
            ),
            _ => (false, false),
        };
        let skip = lacking || is_b && self.packet.may_be_skipped;
        let Geometry { size, .. } = self.geometry;
        let record = self.geometry.picture(&header).filter(|_| !skip);
        let place = record.and_then(|record| {
            let lease = self.slots.clone().acquire(size.into(), DEPTH)?;
            Some((lease, record))
        });
        // SAFETY: as in `feed`. Without memory nothing may be decoded.
        unsafe { (self.api.mpeg2_skip)(self.handle, place.is_none().into()) };
        self.set_buffer(place.as_ref().map(|(lease, _)| lease));
        self.packet.lacks_slices = self.packet.contents.lack_slices(&self.geometry);
        self.packet.picture |= record.is_some();
        let mut picture = Picture {
            place,
            number: self.packet.number,
            is_b,
            is_field: header.nb_fields == 1,
            temporal_reference: header.temporal_reference,
            corrupt: corrupt || self.packet.lacks_slices,
            finished: false,
            shown: false,
            link_is_broken: false,
        };
        if self.packet.lacks_slices {
            self.conceal(&mut picture);
        }
        self.current = Some(picture);
    }

    /// Fills a picture that will have holes with the one before.
    fn conceal(&self, picture: &mut Picture) {
        let Some((target, _)) = &mut picture.place else {
            return;
        };
        let before = self.newer.as_ref().and_then(|newer| newer.place.as_ref());
        let source = match before {
            // SAFETY: libmpeg2 writes to the current picture only.
            Some((lease, _)) => unsafe { lease.bytes() },
            None => &self.gray,
        };
        let len = self.geometry.size as usize;
        target.bytes_mut()[..len].copy_from_slice(&source[..len]);
    }

    fn finish_picture(&mut self, output: &mut dyn Output) {
        let Some(picture) = &mut self.current else {
            return;
        };
        picture.finished = true;
        let at_once = picture.is_b
            || self.geometry.is_low_delay
            || self.low_delay && picture.temporal_reference == self.next;
        self.reorders |= !at_once;
        if at_once && let Some(picture) = self.current.as_mut() {
            self.next = picture.show(output);
        }
    }

    /// The picture being decoded ends early: its second field or its slices are lost.
    fn abandon_picture(&mut self, output: &mut dyn Output) {
        if let Some(picture) = self.current.as_mut().filter(|picture| !picture.finished) {
            picture.corrupt = true;
            if let Some((_, record)) = picture.place.as_mut().filter(|_| picture.is_field) {
                record.scan |= scan::ONE_FIELD;
            }
            self.finish_picture(output);
        }
    }

    /// Shows what waits for its turn.
    fn give_out_waiting(&mut self, output: &mut dyn Output) {
        let pictures = [&mut self.older, &mut self.newer, &mut self.current];
        for picture in pictures.into_iter().flatten().filter(|p| p.finished) {
            if !picture.shown {
                self.next = picture.show(output);
            }
        }
    }
}

impl Picture {
    /// Gives it to `output`; the temporal reference that follows.
    fn show(&mut self, output: &mut dyn Output) -> u32 {
        self.shown = true;
        if let Some((lease, record)) = &self.place {
            let frame = Frame {
                number: self.number,
                flags: if self.corrupt {
                    frame_flags::CORRUPT
                } else {
                    0
                },
                picture: *record,
            };
            output.picture(&frame, lease);
        }
        if self.is_b {
            // libmpeg2 does not touch it again.
            self.place = None;
        }
        // It has 10 bits.
        (self.temporal_reference + 1) % 1024
    }
}

impl Decoder for Mpeg2 {
    fn version(&self) -> String {
        "libmpeg2 0.5".to_owned()
    }

    fn begin(&mut self, stream: &Stream<'_>) -> Result<(), DecodeError> {
        self.low_delay = stream.is_low_delay();
        self.flush();
        if let Some(sequence) = Contents::of(stream.codec_data).sequence {
            self.sequence = sequence.to_vec();
            self.flush();
        }
        Ok(())
    }

    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError> {
        let contents = Contents::of(packet.data);
        if let Some(sequence) = contents.sequence {
            self.sequence = sequence.to_vec();
        }
        self.packet = PacketState {
            number: packet.number,
            may_be_skipped: packet.may_be_skipped(),
            contents: contents.pictures,
            ..PacketState::default()
        };
        self.feed(contents.data, output);
        self.feed_tail(output);
        let PacketState {
            lacks_slices,
            invalid,
            picture,
            ..
        } = self.packet;
        if lacks_slices || invalid {
            let text = match lacks_slices {
                true => "a part of the picture is missing",
                false => "invalid data",
            };
            return Err(DecodeError {
                code: state::INVALID,
                text: text.to_owned(),
                fatal: false,
            });
        }
        Ok(match picture {
            true => Decoded::Picture,
            false => Decoded::Nothing,
        })
    }

    fn delay(&self) -> u32 {
        let at_once = self.geometry.is_low_delay || self.low_delay && !self.reorders;
        u32::from(!at_once)
    }

    fn drain(&mut self, output: &mut dyn Output) -> Result<(), DecodeError> {
        self.abandon_picture(output);
        self.give_out_waiting(output);
        Ok(())
    }

    fn flush(&mut self) {
        /// Takes pictures of which none is to be shown.
        struct Nobody;
        impl Output for Nobody {
            fn picture(&mut self, _frame: &Frame, _lease: &Lease) {}
        }
        // SAFETY: as in `feed`. A full reset forgets all buffers, and the sequence.
        unsafe { (self.api.mpeg2_reset)(self.handle, 1) };
        (self.current, self.newer, self.older) = (None, None, None);
        self.tail_is_pending = false;
        let sequence = std::mem::take(&mut self.sequence);
        self.feed(&sequence, &mut Nobody);
        self.feed_tail(&mut Nobody);
        self.sequence = sequence;
    }
}
