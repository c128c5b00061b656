//! Reading a NAL unit bit by bit.

/// The bits of a NAL unit's payload, without the emulation prevention bytes.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    rest: core::slice::Iter<'a, u8>,
    /// Zero bytes read last, up to two.
    zeros: u8,
    byte: u8,
    /// Bits of `byte` that were not read.
    left: u8,
}

impl<'a> Bits<'a> {
    /// What follows the NAL unit's header of `header` bytes.
    pub(crate) fn of(nal: &'a [u8], header: usize) -> Self {
        Self {
            rest: nal.get(header..).unwrap_or_default().iter(),
            zeros: 0,
            byte: 0,
            left: 0,
        }
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.byte = *self.rest.next()?;
            if self.zeros == 2 && self.byte == 3 {
                // Keeps two zero bytes and what follows from looking like a start code.
                self.zeros = 0;
                self.byte = *self.rest.next()?;
            }
            self.zeros = if self.byte == 0 {
                (self.zeros + 1).min(2)
            } else {
                0
            };
            self.left = 8;
        }
        self.left -= 1;
        Some(self.byte >> self.left & 1 != 0)
    }

    /// `u(n)`, for up to 32 bits.
    pub(crate) fn number(&mut self, bits: u32) -> Option<u32> {
        let mut number = 0;
        for _ in 0..bits {
            number = number << 1 | u32::from(self.flag()?);
        }
        Some(number)
    }

    /// `ue(v)`.
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.number(zeros)?)
    }

    /// `se(v)`.
    pub(crate) fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let magnitude = code.div_ceil(2) as i32;
        Some(if code & 1 == 1 { magnitude } else { -magnitude })
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn exponential_golomb_codes_are_read() {
        // 1 010 011 00100 00101 1....
        let bytes = [0xff, 0b1010_0110, 0b0100_0010, 0b1100_0000];
        let mut bits = Bits::of(&bytes, 1);
        assert_eq!([0; 3].map(|_: i32| bits.ue().unwrap()), [0, 1, 2]);
        assert_eq!([0; 2].map(|_: i32| bits.se().unwrap()), [2, -2]);
        assert_eq!(bits.ue(), Some(0));
        assert_eq!(bits.ue(), None, "only zeros are left");
    }

    #[test]
    fn emulation_prevention_is_left_out() {
        let mut bits = Bits::of(&[0, 0, 3, 1, 0, 0, 3], 0);
        assert_eq!(bits.number(24), Some(1));
        assert_eq!(bits.number(16), Some(0));
        assert_eq!(bits.number(1), None);
        assert_eq!(Bits::of(&[], 2).flag(), None);
        assert_eq!(Bits::of(&[0; 9], 0).ue(), None);
    }
}
