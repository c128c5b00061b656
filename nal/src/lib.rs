//! What iotdec knows of H.264 and H.265 streams, without decoding them: where NAL
//! units begin and end, which are parameter sets, where an access unit begins.
//!
//! Host and worker both need it. Everything is read with bounds checked, since the
//! bytes come from anywhere: what cannot be understood is `None` or an error,
//! never a panic.
//!
//! Facts: ITU-T H.264 (08/2021), ITU-T H.265 (08/2021), ISO/IEC 14496-15:2019.
#![no_std]

extern crate alloc;

mod access_unit;
pub mod annexb;
mod bits;
pub mod config;
pub mod h264;
pub mod h265;
pub mod lengths;
mod sets;

pub use access_unit::AccessUnits;
pub use sets::ParameterSets;

/// What precedes a NAL unit in a byte stream (annex B of both standards).
pub const START_CODE: &[u8] = &[0, 0, 0, 1];

/// Which of the two standards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// ITU-T H.264, AVC.
    H264,
    /// ITU-T H.265, HEVC.
    H265,
}

impl Codec {
    /// Whether decoding can start at the picture that this NAL unit is a part of.
    pub fn is_key(self, nal: &[u8]) -> bool {
        match self {
            Self::H264 => h264::Unit::of(nal).is_idr(),
            Self::H265 => h265::Unit::of(nal).is_irap(),
        }
    }

    /// Whether a NAL unit is a part of a picture.
    pub fn is_slice(self, nal: &[u8]) -> bool {
        match self {
            Self::H264 => h264::Unit::of(nal).is_slice(),
            Self::H265 => !nal.is_empty() && h265::Unit::of(nal).is_slice(),
        }
    }

    /// Where a parameter set stands among those it depends on and those that depend
    /// on it; `None` for other NAL units.
    fn rank(self, nal: &[u8]) -> Option<u8> {
        if nal.is_empty() {
            return None;
        }
        match self {
            Self::H264 => match h264::Unit::of(nal).kind {
                h264::SPS => Some(0),
                h264::SPS_EXTENSION | h264::SUBSET_SPS => Some(1),
                h264::PPS => Some(2),
                _ => None,
            },
            Self::H265 => {
                let kind = h265::Unit::of(nal).kind;
                h265::PARAMETER_SETS.contains(&kind).then(|| kind - 32)
            }
        }
    }
}
