//! Decoder configuration records: what containers keep apart from the samples, and
//! GStreamer in `codec_data` (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1).

use crate::Codec;
use crate::lengths::big_endian;
use alloc::vec::Vec;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration<'a> {
    /// Bytes of the length before each NAL unit, 1 to 4.
    pub length_size: usize,
    /// Parameter sets and what else stands beside them, in sequence.
    pub nal_units: Vec<&'a [u8]>,
}

/// A record that ends too early, or of a version nobody has specified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl<'a> Configuration<'a> {
    /// Reads an `AVCDecoderConfigurationRecord` or `HEVCDecoderConfigurationRecord`.
    pub fn parse(codec: Codec, record: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(record);
        let version = reader.number(1)?;
        match codec {
            Codec::H264 => {
                // Profile, compatibility and level are in the SPS too.
                reader.bytes(3)?;
                let length_size = reader.length_size()?;
                if version != 1 {
                    return Err(Malformed);
                }
                let mut nal_units = Vec::new();
                let sps = reader.number(1)? & 0x1f;
                reader.nal_units(sps, &mut nal_units)?;
                let pps = reader.number(1)?;
                reader.nal_units(pps, &mut nal_units)?;
                // What profiles with more than 4:2:0 add is in the SPS too.
                Ok(Self {
                    length_size,
                    nal_units,
                })
            }
            Codec::H265 => {
                // Profile, sizes and rates are in the parameter sets too.
                reader.bytes(20)?;
                let length_size = reader.length_size()?;
                // Early files say 0, with the same layout.
                if version > 1 {
                    return Err(Malformed);
                }
                let mut nal_units = Vec::new();
                for _ in 0..reader.number(1)? {
                    reader.bytes(1)?;
                    let count = reader.number(2)?;
                    reader.nal_units(count, &mut nal_units)?;
                }
                Ok(Self {
                    length_size,
                    nal_units,
                })
            }
        }
    }
}

/// What of a record was not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, Malformed> {
        Ok(big_endian(self.bytes(bytes)?))
    }

    fn length_size(&mut self) -> Result<usize, Malformed> {
        Ok(1 + (self.number(1)? & 3))
    }

    /// `count` NAL units, each after its length.
    fn nal_units(&mut self, count: usize, to: &mut Vec<&'a [u8]>) -> Result<(), Malformed> {
        for _ in 0..count {
            let length = self.number(2)?;
            let nal = self.bytes(length)?;
            if !nal.is_empty() {
                to.push(nal);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVCC: &[u8] = &[
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 3, 0x67, 1, 2, 1, 0, 2, 0x68, 3, 0xfd, 0xf8, 0xf8, 0,
    ];

    fn hvcc() -> Vec<u8> {
        let mut record = alloc::vec![1];
        record.extend([0; 20]);
        record.extend([0xfd, 2]);
        record.extend([0x20, 0, 1, 0, 2, 0x40, 1]);
        record.extend([0x21, 0, 2, 0, 1, 0x42, 0, 0]);
        record
    }

    #[test]
    fn records_of_both_standards_are_read() {
        let avc = Configuration::parse(Codec::H264, AVCC).unwrap();
        assert_eq!(avc.length_size, 4);
        assert_eq!(avc.nal_units, [&[0x67, 1, 2][..], &[0x68, 3]]);
        let record = hvcc();
        let hevc = Configuration::parse(Codec::H265, &record).unwrap();
        assert_eq!(hevc.length_size, 2);
        assert_eq!(hevc.nal_units, [&[0x40, 1][..], &[0x42]]);
    }

    #[test]
    fn a_record_that_is_cut_is_refused() {
        for cut in 0..16 {
            let record = Configuration::parse(Codec::H264, &AVCC[..cut]);
            assert_eq!(record, Err(Malformed), "{cut}");
        }
        let record = hvcc();
        for cut in 0..record.len() {
            let record = Configuration::parse(Codec::H265, &record[..cut]);
            assert_eq!(record, Err(Malformed), "{cut}");
        }
        let other = [&[2], &AVCC[1..]].concat();
        assert!(Configuration::parse(Codec::H264, &other).is_err());
    }
}
