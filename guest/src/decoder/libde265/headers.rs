//! Leaving out parameter sets that libde265 has already.

use iotdec_nal::h265::PARAMETER_SETS;

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
    /// More than a stream has; beyond it repetitions are not noticed.
    const MOST: usize = 64;

    /// Whether a NAL unit of this kind repeats what the decoder has.
    pub fn is_repeated(&mut self, kind: u8, nal: &[u8]) -> bool {
        if !PARAMETER_SETS.contains(&kind) {
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
