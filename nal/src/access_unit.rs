//! Where one access unit ends and the next begins.

use crate::h264::{self, Picture};
use crate::{Codec, h265};

/// Follows a stream NAL unit by NAL unit.
#[derive(Debug)]
pub struct AccessUnits {
    codec: Codec,
    /// The access unit has a slice.
    has_picture: bool,
    /// The picture of that slice, as far as its header could be read.
    picture: Option<Picture>,
    /// The slice with the picture's first macroblock was there.
    has_first: bool,
    context: h264::Context,
}

impl AccessUnits {
    /// At the beginning of a stream.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            has_picture: false,
            picture: None,
            has_first: false,
            context: h264::Context::default(),
        }
    }

    /// Whether this NAL unit, the next of the stream, is the first of an access unit
    /// while the one before has a picture. Its first hundred bytes are enough, of a
    /// parameter set all of it.
    pub fn begins(&mut self, nal: &[u8]) -> bool {
        match self.codec {
            Codec::H264 => self.begins_h264(nal),
            Codec::H265 => self.begins_h265(nal),
        }
    }

    /// Whether the access unit has a slice.
    pub fn has_picture(&self) -> bool {
        self.has_picture
    }

    /// The access unit was ended: another one begins with whatever follows.
    pub fn end(&mut self) {
        self.has_picture = false;
        self.picture = None;
        self.has_first = false;
    }

    /// Remembers a parameter set that came otherwise than in the stream.
    pub fn note_parameter_set(&mut self, nal: &[u8]) {
        self.context.note(nal);
    }

    fn begins_h264(&mut self, nal: &[u8]) -> bool {
        let unit = h264::Unit::of(nal);
        self.context.note(nal);
        if unit.precedes_picture() {
            return self.begins_if(true);
        }
        // 3 and 4 are data partitions that follow the one with the header.
        if !matches!(unit.kind, 1 | 2 | 5) {
            return false;
        }
        let slice = self.context.slice(nal);
        let is_other = match (self.picture, slice.picture) {
            // Where cameras forget to count, the first macroblock tells.
            (Some(last), Some(this)) => {
                last != this || slice.in_order && slice.is_first && self.has_first
            }
            _ => slice.is_first,
        };
        let begins = self.begins_if(is_other);
        self.has_picture = true;
        self.has_first |= slice.is_first;
        self.picture = slice.picture.or(self.picture);
        begins
    }

    fn begins_h265(&mut self, nal: &[u8]) -> bool {
        let unit = h265::Unit::of(nal);
        // Slices of other layers belong to the picture of the base layer.
        let is_slice = unit.is_slice() && unit.layer == 0;
        let begins = self.begins_if(unit.precedes_picture() || is_slice && unit.begins_picture);
        self.has_picture |= is_slice;
        begins
    }

    fn begins_if(&mut self, is_other: bool) -> bool {
        let begins = is_other && self.has_picture;
        if begins {
            self.end();
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// A NAL unit of a header and Exp-Golomb codes and numbers of some bits.
    fn nal(header: u8, fields: &[(u32, u32)]) -> Vec<u8> {
        let mut bits = Vec::new();
        let mut put = |number: u32, count: u32| {
            bits.extend((0..count).rev().map(|bit| (number >> bit & 1) as u8));
        };
        for &(number, count) in fields {
            match count {
                UE => put(number + 1, 2 * (number + 1).ilog2() + 1),
                count => put(number, count),
            }
        }
        bits.push(1);
        let byte = |bits: &[u8]| {
            bits.iter()
                .enumerate()
                .fold(0, |all, (at, bit)| all | bit << (7 - at))
        };
        let payload = bits.chunks(8).map(byte);
        [header].into_iter().chain(payload).collect()
    }

    const UE: u32 = 0;

    /// An SPS with 4 bits of `frame_num` and of the order, frames and fields.
    fn sps(profile: u32) -> Vec<u8> {
        let head = [(profile, 8), (0, 8), (30, 8), (0, UE)];
        let high: &[(u32, u32)] = match profile {
            // 4:2:0, 8 bits, no bypass, one scaling list of the first two.
            100 => &[
                (1, UE),
                (0, UE),
                (0, UE),
                (0, 1),
                (1, 1),
                (1, 1),
                (16, UE),
                (0, 7),
            ],
            _ => &[],
        };
        let tail = [
            (0, UE),
            (0, UE),
            (0, UE),
            (1, UE),
            (0, 1),
            (9, UE),
            (9, UE),
            (0, 1),
        ];
        nal(0x67, &[&head, high, &tail].concat())
    }

    fn pps() -> Vec<u8> {
        nal(0x68, &[(0, UE), (0, UE), (0, 1), (0, 1)])
    }

    /// A slice of a frame.
    fn slice(header: u8, first_mb: u32, frame_num: u32, order: u32) -> Vec<u8> {
        let idr: &[(u32, u32)] = if header & 31 == 5 { &[(0, UE)] } else { &[] };
        let head = [(first_mb, UE), (0, UE), (0, UE), (frame_num, 4), (0, 1)];
        nal(header, &[&head, idr, &[(order, 4), (0, 32)]].concat())
    }

    /// Which of the NAL units begin an access unit.
    fn beginnings(codec: Codec, nals: &[Vec<u8>]) -> Vec<usize> {
        let mut units = AccessUnits::new(codec);
        let begins = |nal: &&Vec<u8>| units.begins(nal);
        let positions = nals.iter().filter(begins).map(|nal| {
            nals.iter()
                .position(|other| core::ptr::eq(other, nal))
                .unwrap()
        });
        positions.collect()
    }

    #[test]
    fn h264_pictures_are_told_by_their_slice_headers() {
        for profile in [66, 100] {
            let nals = [
                sps(profile),
                pps(),
                slice(0x65, 0, 0, 0),
                slice(0x65, 40, 0, 0),
                // The first slice is missing.
                slice(0x41, 40, 1, 2),
                slice(0x41, 70, 1, 2),
                slice(0x41, 0, 2, 4),
                // Another order only, and one that nothing refers to.
                slice(0x01, 0, 3, 6),
                slice(0x01, 0, 3, 8),
                slice(0x41, 0, 3, 8),
            ];
            assert_eq!(beginnings(Codec::H264, &nals), [4, 6, 7, 8, 9], "{profile}");
        }
    }

    #[test]
    fn h264_slices_in_any_order_stay_together_where_they_may() {
        let slices = [
            slice(0x65, 40, 0, 0),
            slice(0x65, 0, 0, 0),
            slice(0x65, 0, 0, 0),
        ];
        let with = |profile| [&[sps(profile), pps()], &slices[..]].concat();
        assert_eq!(beginnings(Codec::H264, &with(66)), []);
        assert_eq!(beginnings(Codec::H264, &with(100)), [4]);
        assert_eq!(
            beginnings(Codec::H264, &slices),
            [1, 2],
            "no parameter sets"
        );
    }

    #[test]
    fn what_precedes_a_picture_begins_its_access_unit() {
        let nals = [
            vec![0x09, 0x10],
            sps(66),
            pps(),
            slice(0x65, 0, 0, 0),
            // Filler data ends no access unit.
            vec![0x0c, 0xff],
            vec![0x06, 1],
            vec![0x09, 0x30],
            slice(0x41, 0, 1, 2),
            pps(),
            slice(0x41, 0, 2, 4),
        ];
        assert_eq!(beginnings(Codec::H264, &nals), [5, 8]);
    }

    #[test]
    fn h265_slices_say_whether_they_are_the_first() {
        let nals: [&[u8]; 11] = [
            &[0x40, 1],
            &[0x42, 1],
            &[0x44, 1],
            &[0x26, 1, 0xaf],
            &[0x26, 1, 0x2f],
            // A suffix SEI still belongs to it, and so does another layer's slice.
            &[0x50, 1],
            &[0x03, 9, 0x80],
            &[0x02, 1, 0x80],
            &[0x02, 1, 0x40],
            &[0x4e, 1],
            &[0x02, 1, 0x80],
        ];
        let nals = nals.map(<[u8]>::to_vec);
        assert_eq!(beginnings(Codec::H265, &nals), [7, 9]);
    }

    #[test]
    fn an_ended_access_unit_is_not_ended_twice() {
        let mut units = AccessUnits::new(Codec::H265);
        assert!(!units.begins(&[0x02, 1, 0x80]));
        assert!(units.has_picture());
        units.end();
        assert!(!units.begins(&[0x02, 1, 0x80]));
        assert!(units.begins(&[0x02, 1, 0x80]));
    }

    #[test]
    fn no_bytes_are_too_odd_to_be_looked_at() {
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for codec in [Codec::H264, Codec::H265] {
            let mut units = AccessUnits::new(codec);
            for round in 0..20_000 {
                let mut nal: Vec<u8> = (0..round % 40).map(|_| byte()).collect();
                if let Some(header) = nal.first_mut().filter(|_| round % 3 != 0) {
                    *header = [0x67, 0x68, 0x65, 0x41][round % 4];
                }
                units.begins(&nal);
            }
        }
    }
}
