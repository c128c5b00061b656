//! Byte streams: NAL units between start codes (annex B of both standards).

/// The NAL units of a byte stream, without start codes and trailing zeros.
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
}

/// Cuts a byte stream into its NAL units.
pub fn nal_units(stream: &[u8]) -> NalUnits<'_> {
    let rest = start_code(stream).map_or(&[][..], |at| &stream[at + 3..]);
    NalUnits { rest }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = start_code(self.rest);
            let unit = &self.rest[..end.unwrap_or(self.rest.len())];
            self.rest = end.map_or(&[][..], |at| &self.rest[at + 3..]);
            // A NAL unit never ends in a zero; those belong to the byte stream.
            let len = unit
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            if len > 0 {
                return Some(&unit[..len]);
            }
        }
        None
    }
}

/// Where the next 00 00 01 begins. Looks at every third byte as long as that one
/// rules a start code out: under emulation this pays.
pub fn start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            0 => at += 1,
            1 if bytes[at - 2] == 0 && bytes[at - 1] == 0 => return Some(at - 2),
            _ => at += 3,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn split(stream: &[u8]) -> Vec<&[u8]> {
        nal_units(stream).collect()
    }

    #[test]
    fn units_are_what_lies_between_start_codes() {
        let stream = [0, 0, 0, 1, 9, 8, 0, 0, 1, 7, 0, 0, 3, 1, 0, 0, 0, 0, 1, 5];
        assert_eq!(split(&stream), [&[9, 8][..], &[7, 0, 0, 3, 1], &[5]]);
    }

    #[test]
    fn odd_ends_make_no_empty_units() {
        assert!(split(&[]).is_empty());
        assert!(split(&[1, 2, 3, 4]).is_empty());
        assert!(split(&[0, 0, 1]).is_empty());
        assert!(split(&[0, 0, 1, 0, 0, 1, 0, 0]).is_empty());
        assert_eq!(split(&[7, 7, 0, 0, 1, 2, 1, 0, 0, 0, 0]), [[2, 1]]);
    }

    #[test]
    fn every_alignment_of_a_start_code_is_found() {
        for before in 0..12 {
            let mut stream = vec![0, 0, 1];
            stream.extend(core::iter::repeat_n(0xff, before + 1));
            stream.extend([0, 0, 1, 42]);
            assert_eq!(split(&stream).len(), 2, "{before}");
            assert_eq!(split(&stream)[1], [42]);
        }
    }
}
