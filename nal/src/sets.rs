//! Parameter sets, kept to be sent again.

use crate::Codec;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The distinct parameter sets of a stream. It may carry them only once, and a
/// decoder that starts later has never seen them.
#[derive(Clone, Debug)]
pub struct ParameterSets {
    codec: Codec,
    /// The latest last.
    kept: VecDeque<Vec<u8>>,
}

impl ParameterSets {
    /// The standards allow 16 VPS, 32 SPS, 256 PPS; real streams have three or four.
    const MOST: usize = 64;

    /// None yet.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            kept: VecDeque::new(),
        }
    }

    /// Keeps a NAL unit if it is a parameter set. Returns whether it is one.
    pub fn note(&mut self, nal: &[u8]) -> bool {
        if self.codec.rank(nal).is_none() {
            return false;
        }
        // Of two with one number the later counts, which may be an earlier one again.
        self.kept.retain(|kept| kept != nal);
        if self.kept.len() == Self::MOST {
            self.kept.pop_front();
        }
        self.kept.push_back(nal.to_vec());
        true
    }

    /// Those kept, each before what depends on it.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut sorted: Vec<&[u8]> = self.kept.iter().map(Vec::as_slice).collect();
        sorted.sort_by_key(|nal| self.codec.rank(nal));
        sorted.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(sets: &ParameterSets) -> Vec<&[u8]> {
        sets.iter().collect()
    }

    #[test]
    fn each_is_kept_once_and_comes_before_its_dependants() {
        let mut sets = ParameterSets::new(Codec::H264);
        assert!(sets.note(&[0x67, 1]));
        assert!(sets.note(&[0x68, 4]));
        assert!(!sets.note(&[0x65, 9]));
        assert!(sets.note(&[0x67, 2]));
        assert!(sets.note(&[0x67, 1]));
        let expected: [&[u8]; 3] = [&[0x67, 2], &[0x67, 1], &[0x68, 4]];
        assert_eq!(all(&sets), expected);
        let mut sets = ParameterSets::new(Codec::H265);
        for nal in [[0x44, 1], [0x42, 1], [0x40, 1], [0x4e, 1]] {
            assert_eq!(sets.note(&nal), nal[0] != 0x4e);
        }
        assert_eq!(all(&sets), [[0x40, 1], [0x42, 1], [0x44, 1]]);
    }

    #[test]
    fn a_hostile_stream_fills_no_memory() {
        let mut sets = ParameterSets::new(Codec::H265);
        for id in 0..1000u16 {
            let [high, low] = id.to_be_bytes();
            sets.note(&[0x42, 1, high, low]);
        }
        assert_eq!(all(&sets).len(), ParameterSets::MOST);
        assert_eq!(all(&sets).last().unwrap()[2..], 999u16.to_be_bytes());
    }
}
