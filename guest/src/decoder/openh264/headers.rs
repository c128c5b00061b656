//! The parameter sets of an H.264 stream, and what an access unit consists of.

use iotdec_nal::annexb::nal_units;
use iotdec_nal::h264::Unit;
use iotdec_nal::{Codec, ParameterSets, START_CODE};

/// The parameter sets of the stream: a new decoder object needs them again, and
/// the stream may not repeat them where decoding goes on.
#[derive(Debug)]
pub struct Headers {
    sets: ParameterSets,
    /// The decoder object has not seen them.
    forgotten: bool,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            sets: ParameterSets::new(Codec::H264),
            forgotten: false,
        }
    }
}

impl Headers {
    /// The decoder object was replaced.
    pub fn forget(&mut self) {
        self.forgotten = true;
    }

    /// All of them as a byte stream, if the decoder object has to be told.
    pub fn missed(&mut self) -> Option<Vec<u8>> {
        let missed = std::mem::take(&mut self.forgotten);
        let all = || self.sets.iter().flat_map(|nal| [START_CODE, nal].concat());
        missed
            .then(|| all().collect())
            .filter(|all: &Vec<u8>| !all.is_empty())
    }
}

/// What an access unit has (H.264, 7.4.1).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// A picture, or a part of one.
    pub slices: bool,
    /// The picture needs no other.
    pub idr: bool,
    /// Other pictures may need it (`nal_ref_idc`).
    pub reference: bool,
}

impl Contents {
    /// Looks through an access unit up to its first slice, and notes its parameter
    /// sets.
    pub fn of(data: &[u8], headers: &mut Headers) -> Self {
        for nal in nal_units(data) {
            let unit = Unit::of(nal);
            if unit.is_slice() {
                return Self {
                    slices: true,
                    idr: unit.is_idr(),
                    reference: unit.reference,
                };
            }
            headers.sets.note(nal);
        }
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Contents, Headers};

    #[test]
    fn access_units_are_looked_through_to_their_first_slice() {
        let mut headers = Headers::default();
        let mut of = |data: &[u8]| {
            let Contents { slices, idr, .. } = Contents::of(data, &mut headers);
            (slices, idr)
        };
        assert_eq!(of(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 9]), (true, true));
        assert_eq!(of(&[0, 0, 1, 0x09, 1, 0, 0, 1, 0x41, 9]), (true, false));
        assert_eq!(of(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2]), (false, false));
        assert_eq!(headers.missed(), None);
        headers.forget();
        let both = [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2];
        assert_eq!(headers.missed().as_deref(), Some(&both[..]));
        assert_eq!(headers.missed(), None);
    }
}
