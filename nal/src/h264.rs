//! H.264 NAL unit headers, and of parameter sets and slices as much as tells one
//! picture from the next.

use crate::bits::Bits;
use alloc::collections::BTreeMap;

/// `nal_unit_type` of a sequence parameter set (table 7-1).
pub const SPS: u8 = 7;
/// Of a picture parameter set.
pub const PPS: u8 = 8;
/// Of a sequence parameter set extension.
pub const SPS_EXTENSION: u8 = 13;
/// Of a prefix NAL unit, which belongs to the slice that follows.
pub const PREFIX: u8 = 14;
/// Of a subset sequence parameter set.
pub const SUBSET_SPS: u8 = 15;

/// What the header of a NAL unit says (7.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// `nal_unit_type`.
    pub kind: u8,
    /// Other pictures may need it (`nal_ref_idc`).
    pub reference: bool,
}

impl Unit {
    /// Reads the header of a NAL unit; a missing one counts as zero.
    pub fn of(nal: &[u8]) -> Self {
        let header = nal.first().copied().unwrap_or(0);
        Self {
            kind: header & 31,
            reference: header & 0x60 != 0,
        }
    }

    /// A part of a picture.
    pub fn is_slice(self) -> bool {
        (1..=5).contains(&self.kind)
    }

    /// A part of a picture that needs no other.
    pub fn is_idr(self) -> bool {
        self.kind == 5
    }

    /// Begins an access unit if it follows the last slice of a picture (7.4.1.2.3):
    /// SEI, parameter sets, delimiter, and what is reserved for their like.
    pub(crate) fn precedes_picture(self) -> bool {
        matches!(self.kind, 6..=9 | 15..=18)
    }
}

/// What in a slice header tells its picture from others (7.4.1.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pps: u32,
    frame_num: u32,
    field: Field,
    reference: bool,
    /// `idr_pic_id` of an IDR picture.
    idr: Option<u32>,
    /// `pic_order_cnt_lsb` or 0, and the differences that follow it.
    order: [i32; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Frame,
    Top,
    Bottom,
}

/// Of a sequence parameter set what is needed to read a slice header.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    /// Slices come in any order, and possibly twice (7.4.3: baseline and extended
    /// profile).
    any_order: bool,
    separate_colour_planes: bool,
    frame_num_bits: u32,
    order: Order,
    frames_only: bool,
}

/// `pic_order_cnt_type` and what belongs to it.
#[derive(Clone, Copy, Debug)]
enum Order {
    Lsb { bits: u32 },
    Differences { always_zero: bool },
    Decoding,
}

/// Of a picture parameter set the same.
#[derive(Clone, Copy, Debug)]
struct PictureParameters {
    sps: u32,
    /// `bottom_field_pic_order_in_frame_present_flag`.
    bottom_order: bool,
}

/// A slice that begins or continues a picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    /// `first_mb_in_slice` is 0.
    pub(crate) is_first: bool,
    /// `None` if its parameter sets are missing or beyond understanding.
    pub(crate) picture: Option<Picture>,
    /// That `is_first` comes once in a picture can be relied on.
    pub(crate) in_order: bool,
}

/// The parameter sets that slice headers are read with.
#[derive(Debug, Default)]
pub(crate) struct Context {
    sequences: BTreeMap<u32, Sequence>,
    pictures: BTreeMap<u32, PictureParameters>,
}

impl Context {
    /// Remembers a parameter set that can be read.
    pub(crate) fn note(&mut self, nal: &[u8]) {
        match Unit::of(nal).kind {
            SPS => {
                if let Some((id, sequence)) = sequence(nal).filter(|(id, _)| *id < 32) {
                    self.sequences.insert(id, sequence);
                }
            }
            PPS => {
                let mut bits = Bits::of(nal, 1);
                let mut read = || {
                    let (id, sps) = (bits.ue()?, bits.ue()?);
                    // `entropy_coding_mode_flag`
                    bits.flag()?;
                    let bottom_order = bits.flag()?;
                    Some((id, PictureParameters { sps, bottom_order }))
                };
                if let Some((id, picture)) = read().filter(|(id, _)| *id < 256) {
                    self.pictures.insert(id, picture);
                }
            }
            _ => {}
        }
    }

    /// Reads the header of a slice that is not a data partition B or C.
    pub(crate) fn slice(&self, nal: &[u8]) -> Slice {
        let mut bits = Bits::of(nal, 1);
        let is_first = bits.ue() == Some(0);
        let read = self.picture(Unit::of(nal), &mut bits);
        Slice {
            is_first,
            picture: read.map(|(picture, _)| picture),
            in_order: read.is_some_and(|(_, sequence)| !sequence.any_order),
        }
    }

    fn picture(&self, unit: Unit, bits: &mut Bits<'_>) -> Option<(Picture, Sequence)> {
        // `slice_type`
        bits.ue()?;
        let pps = bits.ue()?;
        let parameters = self.pictures.get(&pps)?;
        let sequence = *self.sequences.get(&parameters.sps)?;
        if sequence.separate_colour_planes {
            bits.number(2)?;
        }
        let frame_num = bits.number(sequence.frame_num_bits)?;
        let field = match !sequence.frames_only && bits.flag()? {
            false => Field::Frame,
            true if bits.flag()? => Field::Bottom,
            true => Field::Top,
        };
        let idr = match unit.is_idr() {
            true => Some(bits.ue()?),
            false => None,
        };
        let both_fields = parameters.bottom_order && field == Field::Frame;
        let mut order = [0; 3];
        match sequence.order {
            Order::Lsb { bits: count } => {
                order[0] = bits.number(count)? as i32;
                if both_fields {
                    order[1] = bits.se()?;
                }
            }
            Order::Differences { always_zero: false } => {
                order[1] = bits.se()?;
                if both_fields {
                    order[2] = bits.se()?;
                }
            }
            Order::Differences { always_zero: true } | Order::Decoding => {}
        }
        let picture = Picture {
            pps,
            frame_num,
            field,
            reference: unit.reference,
            idr,
            order,
        };
        Some((picture, sequence))
    }
}

/// Reads a sequence parameter set (7.3.2.1.1) as far as needed, with its number.
fn sequence(nal: &[u8]) -> Option<(u32, Sequence)> {
    let mut bits = Bits::of(nal, 1);
    let profile = bits.number(8)?;
    let constraints = bits.number(8)?;
    // `level_idc`
    bits.number(8)?;
    let id = bits.ue()?;
    let mut separate_colour_planes = false;
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        let chroma_format = bits.ue()?;
        separate_colour_planes = chroma_format == 3 && bits.flag()?;
        // Bit depths
        bits.ue()?;
        bits.ue()?;
        // `qpprime_y_zero_transform_bypass_flag`
        bits.flag()?;
        if bits.flag()? {
            let lists = if chroma_format == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.flag()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    let frame_num_bits = 4 + bits.ue().filter(|bits| *bits <= 12)?;
    let order = match bits.ue()? {
        0 => Order::Lsb {
            bits: 4 + bits.ue().filter(|bits| *bits <= 12)?,
        },
        1 => {
            let always_zero = bits.flag()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue().filter(|count| *count <= 255)? {
                bits.se()?;
            }
            Order::Differences { always_zero }
        }
        2 => Order::Decoding,
        _ => return None,
    };
    // Count of reference frames, and whether there may be gaps
    bits.ue()?;
    bits.flag()?;
    // Width and height in macroblocks
    bits.ue()?;
    bits.ue()?;
    // `constraint_set1_flag` of a baseline stream: it is of the main profile too.
    let is_constrained = constraints & 0x40 != 0;
    let sequence = Sequence {
        any_order: profile == 88 || profile == 66 && !is_constrained,
        separate_colour_planes,
        frame_num_bits,
        order,
        frames_only: bits.flag()?,
    };
    Some((id, sequence))
}

/// 7.3.2.1.1.1
fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = bits.se()?.wrapping_add(last).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}
