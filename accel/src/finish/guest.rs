//! Whether the guest's code needs its flags.

/// Instructions that are looked at before the answer is yes.
const FAR: u32 = 16;

/// What an instruction does with the flags N, Z, C and V.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Nothing.
    None,
    /// Sets all of them, and reads none.
    Sets,
    /// Reads them, or it is not known that it does not.
    MayRead,
    /// Nothing, and goes on elsewhere.
    Jumps,
    /// Nothing, and goes on in the next instruction or elsewhere.
    MayJump,
}

/// Whether flags that are there before the code at `pc` may be read by it. `read` gives
/// the code's words, and `None` where it is not known.
pub fn may_read_flags(pc: u64, read: &dyn Fn(u64) -> Option<u32>) -> bool {
    let mut left = FAR;
    follow(pc, read, &mut left)
}

fn follow(mut pc: u64, read: &dyn Fn(u64) -> Option<u32>, left: &mut u32) -> bool {
    while *left > 0 {
        *left -= 1;
        let Some(word) = read(pc) else {
            return true;
        };
        match flags_use(word) {
            Use::None => pc += 4,
            Use::Sets => return false,
            Use::MayRead => return true,
            Use::Jumps => pc = pc.wrapping_add_signed(offset(word, 0, 26)),
            Use::MayJump => {
                // TBZ has 14 bits of offset, CBZ has 19.
                let bits = if word >> 25 & 1 == 1 { 14 } else { 19 };
                let target = pc.wrapping_add_signed(offset(word, 5, bits));
                if follow(target, read, left) {
                    return true;
                }
                pc += 4;
            }
        }
    }
    true
}

/// A branch's offset in bytes: a signed field of words.
fn offset(word: u32, start: u32, bits: u32) -> i64 {
    let field = i64::from(word >> start) << (64 - bits);
    field >> (64 - bits) << 2
}

/// Arm ARM, C4.1: encodings of A64 by groups.
fn flags_use(word: u32) -> Use {
    let field = |start: u32, bits: u32| word >> start & ((1 << bits) - 1);
    let sets_if = |condition: bool| if condition { Use::Sets } else { Use::None };
    match field(25, 4) {
        // Data processing with immediates.
        0b1000 | 0b1001 => match field(23, 3) {
            0b010 => sets_if(field(29, 1) == 1),
            0b011 => Use::MayRead,
            0b100 => sets_if(field(29, 2) == 3),
            _ => Use::None,
        },
        // Data processing with registers.
        0b0101 | 0b1101 => match (field(28, 1), field(21, 4)) {
            (0, 0b0000..=0b0111) => sets_if(field(29, 2) == 3),
            (0, _) => sets_if(field(29, 1) == 1),
            (_, 0b0110 | 0b1000..) => Use::None,
            _ => Use::MayRead,
        },
        // Loads and stores.
        0b0100 | 0b0110 | 0b1100 | 0b1110 => Use::None,
        // Floating point and vectors; of these, scalar comparisons and selections.
        0b0111 | 0b1111 if word & 0x5f20_0000 == 0x1e20_0000 => match field(10, 2) {
            0b01 | 0b11 => Use::MayRead,
            0b00 => sets_if(field(10, 6) == 0b001000),
            _ => Use::None,
        },
        0b0111 | 0b1111 => Use::None,
        // Branches that read no flags.
        0b1010 | 0b1011 if field(26, 6) == 0b000101 => Use::Jumps,
        0b1010 | 0b1011 if field(25, 6) | 1 == 0b011011 => Use::MayJump,
        _ => Use::MayRead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of code from address 0 on.
    fn reads(words: &[u32]) -> bool {
        may_read_flags(0, &|pc| words.get(pc as usize / 4).copied())
    }

    #[test]
    fn uses_are_told_apart() {
        let all = [
            (0x7100_041f, Use::Sets, "cmp w0, #1"),
            (0xeb01_001f, Use::Sets, "cmp x0, x1"),
            (0xeb21_601f, Use::Sets, "cmp x0, x1, uxtx"),
            (0x7200_0c1f, Use::Sets, "tst w0, #0xf"),
            (0xea01_001f, Use::Sets, "tst x0, x1"),
            (0x6a21_0000, Use::Sets, "bics w0, w0, w1"),
            (0x1e61_2000, Use::Sets, "fcmp d0, d1"),
            (0x1100_0400, Use::None, "add w0, w0, #1"),
            (0x8b01_0000, Use::None, "add x0, x0, x1"),
            (0x1200_0c00, Use::None, "and w0, w0, #0xf"),
            (0x0a21_0000, Use::None, "bic w0, w0, w1"),
            (0x1ac1_2000, Use::None, "lsl w0, w0, w1"),
            (0x9b01_7c00, Use::None, "mul x0, x0, x1"),
            (0xdac0_1000, Use::None, "clz x0, x0"),
            (0xf940_0000, Use::None, "ldr x0, [x0]"),
            (0x3dc0_0000, Use::None, "ldr q0, [x0]"),
            (0x4ea1_8400, Use::None, "add v0.4s, v0.4s, v1.4s"),
            (0x1e61_2800, Use::None, "fadd d0, d0, d1"),
            (0x1e62_4000, Use::None, "fcvt s0, d0"),
            (0x1a81_0000, Use::MayRead, "csel w0, w0, w1, eq"),
            (0x1a9f_17e0, Use::MayRead, "cset w0, eq"),
            (0x7a41_0000, Use::MayRead, "ccmp w0, w1, #0, eq"),
            (0x1a01_0000, Use::MayRead, "adc w0, w0, w1"),
            (0xba01_0000, Use::MayRead, "adcs x0, x0, x1"),
            (0x1e61_0c00, Use::MayRead, "fcsel d0, d0, d1, eq"),
            (0x1e61_0400, Use::MayRead, "fccmp d0, d1, #0, eq"),
            (0x5400_0040, Use::MayRead, "b.eq"),
            (0xd65f_03c0, Use::MayRead, "ret"),
            (0x9400_0001, Use::MayRead, "bl"),
            (0xd61f_0000, Use::MayRead, "br x0"),
            (0xd53b_4200, Use::MayRead, "mrs x0, nzcv"),
            (0xd400_0001, Use::MayRead, "svc #0"),
            (0x0000_0000, Use::MayRead, "udf"),
            (0x1400_0001, Use::Jumps, "b"),
            (0x3400_0040, Use::MayJump, "cbz w0"),
            (0xb500_0040, Use::MayJump, "cbnz x0"),
            (0x3600_0040, Use::MayJump, "tbz w0, #0"),
            (0xb7f8_0040, Use::MayJump, "tbnz x0, #63"),
        ];
        for (word, expected, text) in all {
            assert_eq!(flags_use(word), expected, "{text}");
        }
    }

    #[test]
    fn both_ways_of_a_branch_are_followed() {
        let (add, cmp, csel) = (0x1100_0400, 0x7100_041f, 0x1a81_0000);
        assert!(!reads(&[add, add, cmp, csel]));
        assert!(reads(&[add, csel, cmp]));
        // cbz two ahead.
        assert!(!reads(&[0x3400_0040, cmp, cmp]));
        assert!(reads(&[0x3400_0040, cmp, csel]));
        assert!(reads(&[0x3400_0040, csel, cmp]));
        // b two ahead, and b to itself, which never ends.
        assert!(!reads(&[0x1400_0002, csel, cmp]));
        assert!(reads(&[0x1400_0000]));
        // What is not known.
        assert!(reads(&[add, add]));
        // Backwards: tbz to the first comparison.
        assert!(!reads(&[0x1400_0003, cmp, csel, 0x3607_ffc0, cmp]));
    }
}
