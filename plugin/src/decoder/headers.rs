//! Parameter sets, kept to be sent again.
//!
//! H.264 and H.265 streams may carry them only once, at their beginning, and a
//! worker that replaces a lost one has never seen them.

use std::collections::VecDeque;

/// Parameter sets kept; the standards allow 16 VPS, 32 SPS, 256 PPS, real streams
/// have three or four.
const MAX_KEPT: usize = 64;

/// Which NAL units are parameter sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// ITU-T H.264, table 7-1: 7 SPS, 8 PPS, 13 SPS extension, 15 subset SPS.
    H264,
    /// ITU-T H.265, table 7-1: 32 VPS, 33 SPS, 34 PPS.
    H265,
    /// A format that repeats its headers with every key frame.
    Other,
}

impl Syntax {
    pub(crate) fn of_caps(caps: &gst::CapsRef) -> Self {
        let name = caps.structure(0).map(|structure| structure.name().as_str());
        match name {
            Some("video/x-h264") => Self::H264,
            Some("video/x-h265") => Self::H265,
            _ => Self::Other,
        }
    }

    fn is_parameter_set(self, nal: &[u8]) -> bool {
        let Some(header) = nal.first() else {
            return false;
        };
        match self {
            Self::H264 => matches!(header & 0x1f, 7 | 8 | 13 | 15),
            Self::H265 => matches!(header >> 1 & 0x3f, 32..=34),
            Self::Other => false,
        }
    }
}

/// The distinct parameter sets of a stream, the latest last.
#[derive(Debug)]
pub(crate) struct Headers {
    syntax: Syntax,
    kept: VecDeque<Vec<u8>>,
}

impl Headers {
    pub(crate) fn new(syntax: Syntax) -> Self {
        Self {
            syntax,
            kept: VecDeque::new(),
        }
    }

    /// Remembers the parameter sets in an access unit with start codes. Returns
    /// whether there were any.
    pub(crate) fn remember(&mut self, access_unit: &[u8]) -> bool {
        if self.syntax == Syntax::Other {
            return false;
        }
        let mut any = false;
        for nal in nal_units(access_unit).filter(|nal| self.syntax.is_parameter_set(nal)) {
            any = true;
            self.kept.retain(|kept| kept != nal);
            if self.kept.len() == MAX_KEPT {
                self.kept.pop_front();
            }
            self.kept.push_back(nal.to_vec());
        }
        any
    }

    /// Everything remembered, with start codes.
    pub(crate) fn joined(&self) -> Vec<u8> {
        let mut joined = Vec::new();
        for nal in &self.kept {
            joined.extend_from_slice(&[0, 0, 0, 1]);
            joined.extend_from_slice(nal);
        }
        joined
    }
}

/// The NAL units between start codes (H.264 and H.265, annex B).
fn nal_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<_> = data
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0, 0, 1])
        .map(|(index, _)| index)
        .collect();
    let ends: Vec<_> = starts.iter().skip(1).copied().chain([data.len()]).collect();
    starts.into_iter().zip(ends).map(move |(start, end)| {
        // Zero bytes before a start code belong to it, not to the unit.
        let unit = &data[start + 3..end];
        let length = unit
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |i| i + 1);
        &unit[..length]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[0, 0, 0, 1, 0x67, 1, 2, 3];
    const PPS: &[u8] = &[0, 0, 1, 0x68, 4];
    const SLICE: &[u8] = &[0, 0, 1, 0x65, 9, 9];

    #[test]
    fn parameter_sets_are_kept_once_in_order() {
        let mut headers = Headers::new(Syntax::H264);
        assert!(headers.remember(&[SPS, PPS, SLICE].concat()));
        assert!(!headers.remember(SLICE));
        assert!(headers.remember(&[SPS, SLICE].concat()));
        let expected = [&[0, 0, 0, 1, 0x68, 4][..], SPS].concat();
        assert_eq!(headers.joined(), expected);
    }

    #[test]
    fn kept_headers_are_bounded() {
        let mut headers = Headers::new(Syntax::H265);
        for id in 0..1000u16 {
            let [high, low] = id.to_be_bytes();
            headers.remember(&[0, 0, 1, 0x42, 1, high, low, 0x80]);
        }
        assert_eq!(headers.kept.len(), MAX_KEPT);
        assert_eq!(headers.kept.back().unwrap()[2..4], 999u16.to_be_bytes());
    }

    #[test]
    fn other_formats_keep_nothing() {
        let mut headers = Headers::new(Syntax::Other);
        assert!(!headers.remember(SPS));
        assert!(headers.joined().is_empty());
    }
}
