//! H.265 NAL unit headers.

use core::ops::RangeInclusive;

/// Video, sequence and picture parameter sets, in the order in which they depend on
/// each other (table 7-1).
pub const PARAMETER_SETS: RangeInclusive<u8> = 32..=34;
/// `SUFFIX_SEI_NUT`.
pub const SUFFIX_SEI: u8 = 40;

/// What the header of a NAL unit says (7.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// `nal_unit_type`.
    pub kind: u8,
    /// `nuh_layer_id`; 0 is the base layer.
    pub layer: u8,
    /// `nuh_temporal_id_plus1`.
    pub temporal_id_plus_1: u8,
    /// A slice, and the first of its picture.
    pub begins_picture: bool,
}

impl Unit {
    /// Reads the header of a NAL unit; missing bytes count as zero.
    pub fn of(nal: &[u8]) -> Self {
        let byte = |at: usize| nal.get(at).copied().unwrap_or(0);
        let kind = byte(0) >> 1 & 63;
        Self {
            kind,
            layer: (byte(0) & 1) << 5 | byte(1) >> 3,
            temporal_id_plus_1: byte(1) & 7,
            begins_picture: kind < 32 && byte(2) & 0x80 != 0,
        }
    }

    /// A part of a picture.
    pub fn is_slice(self) -> bool {
        self.kind < 32
    }

    /// A slice of a picture that no other of its temporal sub-layer refers to
    /// (7.4.2.2: the even types up to `RSV_VCL_N14`).
    pub fn is_sub_layer_non_reference(self) -> bool {
        self.kind < 16 && self.kind.is_multiple_of(2)
    }

    /// Needs no other picture: IDR, BLA, CRA and what is reserved for more.
    pub fn is_irap(self) -> bool {
        (16..24).contains(&self.kind)
    }

    /// All pictures before it are shown before it: IDR or BLA.
    pub fn is_cut(self) -> bool {
        (16..21).contains(&self.kind)
    }

    /// Begins an access unit if it follows the last slice of a picture (7.4.2.4.4):
    /// delimiter, parameter sets, SEI, and what is reserved for their like.
    pub(crate) fn precedes_picture(self) -> bool {
        self.layer == 0 && matches!(self.kind, 32..=35 | 39 | 41..=44 | 48..=55)
    }
}
