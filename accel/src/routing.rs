//! What the second translator is shown in place of the guest's own instructions: for
//! some another that does the same, for some one that it does not know, so that QEMU
//! executes the guest's. `iotdec-fuzz` (docs/accelerator-fuzzing.md) finds those for
//! which that is needed.

use std::sync::OnceLock;

/// `nop`.
const NOP: u32 = 0xd503_201f;
/// The space of hints (Arm ARM, C4.1.65): `yield`, `wfe`, `sev`, landing pads, pointer
/// authentication by a key that the processor shown does not have. All may do nothing;
/// the translator would raise an exception for the first few.
const HINTS: Pattern = Pattern {
    mask: 0xffff_f01f,
    value: 0xd503_201f,
};

/// `dmb` for loads alone, and for stores alone (Arm ARM, C6.2.93), of any domain. The host orders
/// all loads, and all stores, as they are in the program, and the translator moves none past
/// another; it would make them full barriers, which take tens of nanoseconds.
const HALF_BARRIERS: [Pattern; 2] = [
    Pattern {
        mask: 0xffff_f3ff,
        value: 0xd503_31bf,
    },
    Pattern {
        mask: 0xffff_f3ff,
        value: 0xd503_32bf,
    },
];

/// `hvc #0`, which the translator does not know.
const UNKNOWN: u32 = 0xd400_0002;
/// Instructions whose results differ from QEMU's if the translator executes them.
const QEMUS: [Pattern; 4] = [
    // `mrs xt, cntpct_el0`, which Linux keeps from programs: SIGILL.
    Pattern {
        mask: 0xffff_ffe0,
        value: 0xd53b_e020,
    },
    // `msr nzcv, xt`: a `mrs xt, nzcv` after it would read back what was written, other
    // bits than the four included.
    Pattern {
        mask: 0xffff_ffe0,
        value: 0xd51b_4200,
    },
    // `sm4e` and `sm4ekey`, whose operation the translator uses for something else
    // (shim/superblocks.cpp).
    Pattern {
        mask: 0xffff_fc00,
        value: 0xcec0_8400,
    },
    Pattern {
        mask: 0xffe0_fc00,
        value: 0xce60_c800,
    },
];

/// Words with some bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pattern {
    mask: u32,
    value: u32,
}

impl Pattern {
    fn matches(self, word: u32) -> bool {
        word & self.mask == self.value
    }
}

/// A mistake made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mistake {
    of: Pattern,
    flip: u32,
}

static MISTAKE: OnceLock<Mistake> = OnceLock::new();

/// The instruction to translate where the guest has `word`.
pub fn instead_of(word: u32) -> u32 {
    let does_nothing = |pattern: &Pattern| pattern.matches(word);
    if HINTS.matches(word) || HALF_BARRIERS.iter().any(does_nothing) {
        return NOP;
    }
    if QEMUS.iter().any(|pattern| pattern.matches(word)) {
        return UNKNOWN;
    }
    match MISTAKE.get() {
        Some(mistake) if mistake.of.matches(word) => word ^ mistake.flip,
        _ => word,
    }
}

/// Has words mistranslated from now on, which shows whether that would be noticed:
/// `MASK/VALUE/FLIP`, hexadecimal; words that are `VALUE` under `MASK` are translated
/// as if the bits in `FLIP` were others.
pub fn mistranslate(text: &str) -> Result<(), String> {
    let mistake = parse(text).ok_or_else(|| format!("mistranslate={text}: not MASK/VALUE/FLIP"))?;
    let _ = MISTAKE.set(mistake);
    Ok(())
}

fn parse(text: &str) -> Option<Mistake> {
    let mut parts = text.split('/').map(|part| u32::from_str_radix(part, 16));
    let mut next = || parts.next()?.ok();
    let (mask, value, flip) = (next()?, next()?, next()?);
    let of = Pattern { mask, value };
    parts.next().is_none().then_some(Mistake { of, flip })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_do_nothing_and_other_words_are_themselves() {
        let [nop, yields, wfe, paciasp, bti] = [
            0xd503_201f,
            0xd503_203f,
            0xd503_205f,
            0xd503_233f,
            0xd503_245f,
        ];
        for hint in [nop, yields, wfe, paciasp, bti] {
            assert_eq!(instead_of(hint), NOP);
        }
        let [ishld, ishst, ld, st] = [0xd503_39bf, 0xd503_3abf, 0xd503_3dbf, 0xd503_3ebf];
        for half in [ishld, ishst, ld, st] {
            assert_eq!(instead_of(half), NOP);
        }
        assert_eq!(instead_of(0xd51b_421f), UNKNOWN);
        let [clrex, dmb, dsb, svc] = [0xd503_3f5f, 0xd503_3bbf, 0xd503_399f, 0xd400_0001];
        for other in [clrex, dmb, dsb, svc, 0x8b00_0000] {
            assert_eq!(instead_of(other), other);
        }
    }

    #[test]
    fn mistakes_have_three_parts() {
        let of = Pattern {
            mask: 0x7f20_0000,
            value: 0x0b00_0000,
        };
        let flip = 0x4000_0000;
        assert_eq!(
            parse("7f200000/0b000000/40000000"),
            Some(Mistake { of, flip })
        );
        for wrong in ["", "1/2", "1/2/3/4", "x/1/2"] {
            assert_eq!(parse(wrong), None);
        }
    }
}
