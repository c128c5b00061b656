//! What instructions there are: the encoding classes of the Arm ARM (DDI 0487, C4.1)
//! as bit patterns. Which encodings of a class a processor has is not written down
//! here: QEMU is asked.

/// What an instruction of a class needs around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: any register may have any value.
    Nothing,
    /// A target ahead, as a field of this many bits from bit 5 on.
    Target(u32),
    /// The same, in the low 26 bits.
    FarTarget,
    /// A register that holds a target.
    TargetRegister,
    /// Data at a multiple of 4 from the program counter.
    Literal,
    /// `[xn]`, and the post-index by `xm` or an implied size.
    Base,
    /// The block around `xn`; 31 is the zero register.
    Block,
    /// `[xn]`, aligned to what is accessed.
    Aligned,
    /// The same, to be followed by its store.
    Exclusive,
    /// The same, to be preceded by its load.
    ExclusiveStore,
    /// `[xn, #imm9]`.
    Unscaled,
    /// `[xn, #imm9]!`.
    PreIndex,
    /// `[xn, #imm12]` in units of the access's size.
    Scaled,
    /// `[xn, xm, EXTEND]`.
    Index,
    /// `[xn, #imm7]` in units of one register's size.
    Pair,
    /// `[xn, #imm7]!`.
    PairPreIndex,
    /// A valid value for FPCR in `xt`.
    Modes,
    /// Only QC is looked at of what it reads into `xt`.
    Saturation,
}

/// A class of encodings.
#[derive(Debug)]
pub struct Class {
    /// The Arm ARM's name for it.
    pub name: &'static str,
    /// What of the whole it is for.
    pub group: Group,
    /// What it needs.
    pub need: Need,
    /// The bits of each of [`LETTERS`].
    masks: [u32; LETTERS.len()],
}

/// What patterns consist of: `0` and `1` are fixed; `k` tells the class's instructions
/// apart; `d`, `t`, `u`, `s` are registers that may be written, `n`, `m`, `a` others; `i`
/// is any other field.
const LETTERS: [u8; 11] = *b"01kdtusnmai";

/// Groups are chosen from alike, so that the many encodings of Advanced SIMD leave room
/// for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Data processing in general registers.
    Integer,
    /// Branches and system registers.
    Control,
    /// Loads and stores.
    Memory,
    /// Scalar floating point.
    Float,
    /// Advanced SIMD, scalar and vector, and cryptography.
    Vector,
}

/// A class with this pattern, from bit 31 down.
const fn class(group: Group, name: &'static str, pattern: &'static str, need: Need) -> Class {
    assert!(pattern.len() == 32, "a word");
    let mut masks = [0; LETTERS.len()];
    let mut bit = 0;
    while bit < 32 {
        let mut letter = 0;
        while LETTERS[letter] != pattern.as_bytes()[bit] {
            letter += 1;
        }
        masks[letter] |= 1 << (31 - bit);
        bit += 1;
    }
    Class {
        name,
        group,
        need,
        masks,
    }
}

use Group::*;
use Need::*;

/// Every class that the fuzzer draws from.
#[rustfmt::skip]
pub static CLASSES: &[Class] = &[
    class(Integer, "PC-rel. addressing",                  "kii10000iiiiiiiiiiiiiiiiiiiddddd", Nothing),
    class(Integer, "Add/subtract (immediate)",            "kkk100010kiiiiiiiiiiiinnnnnddddd", Nothing),
    class(Integer, "Logical (immediate), 32-bit",         "0kk1001000iiiiiiiiiiiinnnnnddddd", Nothing),
    class(Integer, "Logical (immediate), 64-bit",         "1kk100100iiiiiiiiiiiiinnnnnddddd", Nothing),
    class(Integer, "Move wide (immediate)",               "kkk100101kkiiiiiiiiiiiiiiiiddddd", Nothing),
    class(Integer, "Bitfield, 32-bit",                    "0kk10011000iiiii0iiiiinnnnnddddd", Nothing),
    class(Integer, "Bitfield, 64-bit",                    "1kk1001101iiiiiiiiiiiinnnnnddddd", Nothing),
    class(Integer, "Extract, 32-bit",                     "00010011100mmmmm0iiiiinnnnnddddd", Nothing),
    class(Integer, "Extract, 64-bit",                     "10010011110mmmmmiiiiiinnnnnddddd", Nothing),
    class(Integer, "Data-processing (2 source)",          "k0011010110mmmmm0kkkkknnnnnddddd", Nothing),
    class(Integer, "Data-processing (1 source)",          "k101101011000000000kkknnnnnddddd", Nothing),
    class(Integer, "Logical (shifted register), 32-bit",  "0kk01010kkkmmmmm0iiiiinnnnnddddd", Nothing),
    class(Integer, "Logical (shifted register), 64-bit",  "1kk01010kkkmmmmmiiiiiinnnnnddddd", Nothing),
    class(Integer, "Add/subtract (shifted register), 32-bit", "0kk01011kk0mmmmm0iiiiinnnnnddddd", Nothing),
    class(Integer, "Add/subtract (shifted register), 64-bit", "1kk01011kk0mmmmmiiiiiinnnnnddddd", Nothing),
    class(Integer, "Add/subtract (extended register)",    "kkk01011001mmmmmkkkkkknnnnnddddd", Nothing),
    class(Integer, "Add/subtract (with carry)",           "kkk11010000mmmmm000000nnnnnddddd", Nothing),
    class(Integer, "Conditional compare (register)",      "kk111010010mmmmmiiii00nnnnn0iiii", Nothing),
    class(Integer, "Conditional compare (immediate)",     "kk111010010iiiiiiiii10nnnnn0iiii", Nothing),
    class(Integer, "Conditional select",                  "kk011010100mmmmmiiii0knnnnnddddd", Nothing),
    class(Integer, "Data-processing (3 source)",          "k0011011000mmmmmkaaaaannnnnddddd", Nothing),
    class(Integer, "Data-processing (3 source), long",    "10011011k01mmmmmkaaaaannnnnddddd", Nothing),
    class(Integer, "Data-processing (3 source), high",    "10011011k10mmmmm011111nnnnnddddd", Nothing),

    class(Control, "Conditional branch (immediate)",      "01010100iiiiiiiiiiiiiiiiiii0kkkk", Target(19)),
    class(Control, "Compare and branch (immediate)",      "k011010kiiiiiiiiiiiiiiiiiiinnnnn", Target(19)),
    class(Control, "Test and branch (immediate)",         "i011011kiiiiiiiiiiiiiiiiiiinnnnn", Target(14)),
    class(Control, "Unconditional branch (immediate)",    "k00101iiiiiiiiiiiiiiiiiiiiiiiiii", FarTarget),
    class(Control, "Unconditional branch (register)",     "110101100kk11111000000nnnnn00000", TargetRegister),
    class(Control, "Hints",                               "11010101000000110010000000k11111", Nothing),
    class(Control, "Barriers",                            "11010101000000110011iiiikkk11111", Nothing),
    class(Control, "NZCV",                                "1101010100k1101101000010000ttttt", Nothing),
    class(Control, "FPCR (read)",                         "110101010011101101000100000ttttt", Nothing),
    class(Control, "FPCR (write)",                        "110101010001101101000100000ttttt", Modes),
    class(Control, "FPSR (write)",                        "110101010001101101000100001ttttt", Nothing),
    class(Control, "FPSR (read)",                         "110101010011101101000100001ttttt", Saturation),
    class(Control, "TPIDR_EL0 (read)",                    "110101010011101111010000010ttttt", Nothing),

    class(Memory,  "Load register (literal)",             "kk011k00iiiiiiiiiiiiiiiiiiittttt", Literal),
    class(Memory,  "Load/store (unscaled immediate)",     "kk111k00kk0iiiiiiiii00nnnnnttttt", Unscaled),
    class(Memory,  "Load/store (immediate post-indexed)", "kk111k00kk0iiiiiiiii01nnnnnttttt", Base),
    class(Memory,  "Load/store (unprivileged)",           "kk111000kk0iiiiiiiii10nnnnnttttt", Unscaled),
    class(Memory,  "Load/store (immediate pre-indexed)",  "kk111k00kk0iiiiiiiii11nnnnnttttt", PreIndex),
    class(Memory,  "Load/store (register offset)",        "kk111k00kk1mmmmmk1ki10nnnnnttttt", Index),
    class(Memory,  "Load/store (unsigned immediate)",     "kk111k01kkiiiiiiiiiiiinnnnnttttt", Scaled),
    class(Memory,  "Load/store pair (no-allocate)",       "kk101k000kiiiiiiiuuuuunnnnnttttt", Pair),
    class(Memory,  "Load/store pair (post-indexed)",      "kk101k001kiiiiiiiuuuuunnnnnttttt", Base),
    class(Memory,  "Load/store pair (offset)",            "kk101k010kiiiiiiiuuuuunnnnnttttt", Pair),
    class(Memory,  "Load/store pair (pre-indexed)",       "kk101k011kiiiiiiiuuuuunnnnnttttt", PairPreIndex),
    class(Memory,  "Load exclusive",                      "kk00100001011111k11111nnnnnttttt", Exclusive),
    class(Memory,  "Load exclusive pair",                 "1k00100001111111kuuuuunnnnnttttt", Exclusive),
    class(Memory,  "Store exclusive",                     "kk001000000sssssk11111nnnnnttttt", ExclusiveStore),
    class(Memory,  "Store exclusive pair",                "1k001000001ssssskuuuuunnnnnttttt", ExclusiveStore),
    class(Memory,  "Load-acquire, store-release",         "kk0010001k011111111111nnnnnttttt", Aligned),
    class(Memory,  "DC ZVA",                              "110101010000101101110100001nnnnn", Block),
    class(Memory,  "SIMD structures (multiple)",          "0k0011000k000000kkkkkknnnnnttttt", Base),
    class(Memory,  "SIMD structures (multiple, post-indexed)", "0k0011001k0mmmmmkkkkkknnnnnttttt", Base),
    class(Memory,  "SIMD structure (single)",             "0k0011010kk00000kkkkkknnnnnttttt", Base),
    class(Memory,  "SIMD structure (single, post-indexed)", "0k0011011kkmmmmmkkkkkknnnnnttttt", Base),

    class(Float,   "Floating point and fixed point, 32-bit", "00011110kk0kkkkk1iiiiinnnnnddddd", Nothing),
    class(Float,   "Floating point and fixed point, 64-bit", "10011110kk0kkkkkiiiiiinnnnnddddd", Nothing),
    class(Float,   "Floating point and integer",          "k0011110kk1kkkkk000000nnnnnddddd", Nothing),
    class(Float,   "Floating-point data-processing (1 source)", "00011110kk1kkkkkk10000nnnnnddddd", Nothing),
    class(Float,   "Floating-point compare",              "00011110kk1mmmmm001000nnnnnkk000", Nothing),
    class(Float,   "Floating-point immediate",            "00011110kk1iiiiiiii10000000ddddd", Nothing),
    class(Float,   "Floating-point conditional compare",  "00011110kk1mmmmmiiii01nnnnnkiiii", Nothing),
    class(Float,   "Floating-point data-processing (2 source)", "00011110kk1mmmmmkkkk10nnnnnddddd", Nothing),
    class(Float,   "Floating-point conditional select",   "00011110kk1mmmmmiiii11nnnnnddddd", Nothing),
    class(Float,   "Floating-point data-processing (3 source)", "00011111kkkmmmmmkaaaaannnnnddddd", Nothing),

    class(Vector,  "Cryptographic AES",                   "010011100010100kkkkk10nnnnnddddd", Nothing),
    class(Vector,  "Cryptographic three-register SHA",    "01011110000mmmmm0kkk00nnnnnddddd", Nothing),
    class(Vector,  "Cryptographic two-register SHA",      "010111100010100kkkkk10nnnnnddddd", Nothing),
    class(Vector,  "SIMD scalar copy",                    "01011110000ikkkk000001nnnnnddddd", Nothing),
    class(Vector,  "SIMD scalar pairwise",                "01k11110kk11000kkkkk10nnnnnddddd", Nothing),
    class(Vector,  "SIMD scalar shift by immediate",      "01k111110kkkkiiikkkkk1nnnnnddddd", Nothing),
    class(Vector,  "SIMD scalar three different",         "01k11110kk1mmmmmkkkk00nnnnnddddd", Nothing),
    class(Vector,  "SIMD scalar three same",              "01k11110kk1mmmmmkkkkk1nnnnnddddd", Nothing),
    class(Vector,  "SIMD scalar two-register miscellaneous", "01k11110kk10000kkkkk10nnnnnddddd", Nothing),
    class(Vector,  "SIMD scalar x indexed element",       "01k11111kkimmmmmkkkki0nnnnnddddd", Nothing),
    class(Vector,  "SIMD table lookup",                   "0k001110000mmmmm0kkk00nnnnnddddd", Nothing),
    class(Vector,  "SIMD permute",                        "0k001110kk0mmmmm0kkk10nnnnnddddd", Nothing),
    class(Vector,  "SIMD extract, 64-bit",                "00101110000mmmmm00iii0nnnnnddddd", Nothing),
    class(Vector,  "SIMD extract, 128-bit",               "01101110000mmmmm0iiii0nnnnnddddd", Nothing),
    class(Vector,  "SIMD copy, from or to one register",  "0k001110000ikkkk0kkkk1nnnnnddddd", Nothing),
    class(Vector,  "SIMD copy, element to element",       "01101110000ikkkk0iiii1nnnnnddddd", Nothing),
    class(Vector,  "SIMD three same",                     "0kk01110kk1mmmmmkkkkk1nnnnnddddd", Nothing),
    class(Vector,  "SIMD three different",                "0kk01110kk1mmmmmkkkk00nnnnnddddd", Nothing),
    class(Vector,  "SIMD two-register miscellaneous",     "0kk01110kk10000kkkkk10nnnnnddddd", Nothing),
    class(Vector,  "SIMD across lanes",                   "0kk01110kk11000kkkkk10nnnnnddddd", Nothing),
    class(Vector,  "SIMD modified immediate",             "0kk0111100000iiikkkkk1iiiiiddddd", Nothing),
    class(Vector,  "SIMD shift by immediate",             "0kk011110kkkkiiikkkkk1nnnnnddddd", Nothing),
    class(Vector,  "SIMD vector x indexed element",       "0kk01111kkimmmmmkkkki0nnnnnddddd", Nothing),
];

impl Class {
    /// The bits of this letter.
    pub fn mask(&self, letter: u8) -> u32 {
        let index = LETTERS.iter().position(|one| *one == letter);
        self.masks[index.expect("one of them")]
    }

    /// The fixed bits.
    pub fn fixed(&self) -> u32 {
        self.mask(b'1')
    }

    /// The number of its encodings that `k` tells apart.
    pub fn kinds(&self) -> u32 {
        1 << self.mask(b'k').count_ones()
    }

    /// The `k` bits of the encoding with this number.
    pub fn key(&self, mut number: u32) -> u32 {
        let mut left = self.mask(b'k');
        let mut key = 0;
        while left != 0 {
            let lowest = left & left.wrapping_neg();
            key |= if number & 1 != 0 { lowest } else { 0 };
            number >>= 1;
            left ^= lowest;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_has_one_letter_and_no_two_classes_overlap() {
        for class in CLASSES {
            assert_eq!(class.masks.iter().sum::<u32>(), u32::MAX, "{}", class.name);
        }
        let determined = |class: &Class| class.mask(b'0') | class.mask(b'1');
        for (index, one) in CLASSES.iter().enumerate() {
            for other in &CLASSES[..index] {
                let common = determined(one) & determined(other);
                let apart = (one.fixed() ^ other.fixed()) & common != 0;
                // An immediate of zero is another class: immh.
                let known = [one, other].iter().all(|class| class.name.contains("SIMD"));
                assert!(apart || known, "{} and {}", one.name, other.name);
            }
        }
    }

    #[test]
    fn a_key_fills_the_bits_told_apart() {
        for class in CLASSES {
            assert_eq!(class.key(0), 0);
            assert_eq!(class.key(class.kinds() - 1), class.mask(b'k'));
        }
    }
}
