//! NAL units that are preceded by their length (ISO/IEC 14496-15, 4.3.2).

/// The NAL units of a sample, without their lengths.
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
    length_size: usize,
}

/// A length that reaches beyond the sample's end, or is cut itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Cuts a sample into its NAL units, which have lengths of `length_size` bytes,
/// 1 to 4. After a broken length nothing more can be found.
pub fn nal_units(sample: &[u8], length_size: usize) -> NalUnits<'_> {
    NalUnits {
        rest: sample,
        length_size: length_size.clamp(1, 4),
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let cut = self
                .rest
                .split_at_checked(self.length_size)
                .and_then(|(length, rest)| rest.split_at_checked(big_endian(length)));
            let Some((nal, rest)) = cut else {
                self.rest = &[];
                return Some(Err(Broken));
            };
            self.rest = rest;
            if !nal.is_empty() {
                return Some(Ok(nal));
            }
        }
        None
    }
}

/// A number of up to four bytes.
pub fn big_endian(bytes: &[u8]) -> usize {
    let join = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
    bytes.iter().take(4).fold(0, join)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn cut(sample: &[u8], length_size: usize) -> Vec<Result<&[u8], Broken>> {
        nal_units(sample, length_size).collect()
    }

    #[test]
    fn every_size_of_lengths_is_read() {
        for size in 1..=4 {
            let mut sample = Vec::new();
            for nal in [&[7][..], &[], &[8, 8, 8]] {
                sample.extend_from_slice(&[0, 0, 0, nal.len() as u8][4 - size..]);
                sample.extend_from_slice(nal);
            }
            assert_eq!(cut(&sample, size), [Ok(&[7][..]), Ok(&[8, 8, 8])]);
        }
        assert_eq!(cut(&[], 4), []);
    }

    #[test]
    fn what_precedes_a_broken_length_is_good() {
        assert_eq!(cut(&[1, 7, 9, 8], 1), [Ok(&[7][..]), Err(Broken)]);
        assert_eq!(cut(&[0, 1, 7, 0], 2), [Ok(&[7][..]), Err(Broken)]);
        assert_eq!(cut(&[0xff; 5], 4), [Err(Broken)]);
    }
}
