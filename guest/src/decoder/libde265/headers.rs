//! NAL unit headers, and leaving out parameter sets that libde265 has already.

/// What the header of a NAL unit says (HEVC, 7.3.1.2).
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
    /// `SUFFIX_SEI_NUT`.
    pub const SUFFIX_SEI: u8 = 40;

    /// Reads the header of a NAL unit, which is not empty.
    pub fn of(nal: &[u8]) -> Self {
        let kind = nal[0] >> 1 & 63;
        Self {
            kind,
            layer: (nal[0] & 1) << 5 | nal.get(1).map_or(0, |byte| byte >> 3),
            temporal_id_plus_1: nal.get(1).map_or(0, |byte| byte & 7),
            begins_picture: kind < 32 && nal.get(2).is_some_and(|byte| byte & 0x80 != 0),
        }
    }

    /// A part of a picture.
    pub fn is_slice(self) -> bool {
        self.kind < 32
    }

    /// A slice of a picture that no other of its temporal sub-layer refers to
    /// (HEVC, 7.4.2.2: the even types up to `RSV_VCL_N14`).
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
}

/// Parameter sets the decoder was given: kind and content.
///
/// Streams repeat them before every random access point. libde265 1.0.11 with
/// Debian's patches then takes pictures from before the repetition for those of
/// another sequence, and refuses to refer to them: the leading pictures of an open
/// GOP come out damaged. By the specification a repetition changes nothing.
#[derive(Debug, Default)]
pub struct ParameterSets {
    known: Vec<(u8, Vec<u8>)>,
}

impl ParameterSets {
    /// Video, sequence and picture parameter sets, in the order in which they
    /// depend on each other.
    const KINDS: std::ops::RangeInclusive<u8> = 32..=34;
    /// More than a stream has; beyond it repetitions are not noticed.
    const MOST: usize = 64;

    /// Whether a NAL unit of this kind repeats what the decoder has.
    pub fn is_repeated(&mut self, kind: u8, nal: &[u8]) -> bool {
        if !Self::KINDS.contains(&kind) {
            return false;
        }
        if self
            .known
            .iter()
            .any(|(k, known)| *k == kind && known == nal)
        {
            return true;
        }
        // It may replace one of the same number, and what depends on that has to
        // be read again. The number itself is not worth parsing for.
        self.known.retain(|(other, _)| *other < kind);
        self.known.truncate(Self::MOST);
        self.known.push((kind, nal.to_vec()));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_noticed_and_replacements_are_not_taken_for_them() {
        let mut sets = ParameterSets::default();
        let (vps, sps, pps) = ([64, 1, 7], [66, 1, 8], [68, 1, 0xc0]);
        for (kind, nal) in [(32, &vps), (33, &sps), (34, &pps)] {
            assert!(!sets.is_repeated(kind, nal));
        }
        for (kind, nal) in [(32, &vps), (33, &sps), (34, &pps)] {
            assert!(sets.is_repeated(kind, nal));
        }
        assert!(!sets.is_repeated(33, &[66, 1, 9]), "another SPS");
        assert!(!sets.is_repeated(34, &pps), "depends on the SPS");
        assert!(!sets.is_repeated(33, &sps), "the first SPS returns");
        assert!(sets.is_repeated(32, &vps));
        assert!(!sets.is_repeated(1, &[2, 1, 0x80]));
        assert!(
            !sets.is_repeated(1, &[2, 1, 0x80]),
            "a slice is never left out"
        );
    }
}
