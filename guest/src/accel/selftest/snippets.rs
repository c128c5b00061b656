//! What the self-test executes.

use super::Body;

/// Snippets have v0 to v7, x1 to x8, and x9, which points to the block's memory; x10 and
/// x17 besides.
macro_rules! snippets {
    ($($symbol:ident $name:literal [$($line:literal)+])+) => {
        $(
            core::arch::global_asm!(
                ".arch_extension crypto",
                ".arch_extension crc",
                concat!(".hidden ", stringify!($symbol)),
                concat!(".globl ", stringify!($symbol)),
                concat!(stringify!($symbol), ":"),
                $($line,)+
                "ret",
            );
        )+
        unsafe extern "C" {
            $(fn $symbol();)+
        }
        /// All of them, each with what it is about.
        pub const SNIPPETS: &[(&str, Body)] = &[$(($name, $symbol)),+];
    };
}

snippets! {
    iotdec_selftest_arithmetic "arithmetic" [
        "adds w3, w1, w2, lsl #3"
        "adc x4, x1, x2"
        "subs x5, x1, x2, asr #7"
        "sbc w6, w3, w5"
        "add x7, x1, w2, sxtb #2"
        "cmn x7, x8"
    ]
    iotdec_selftest_logic "logic and bit fields" [
        "bic x3, x1, x2, ror #13"
        "eon w4, w1, w2"
        "ubfx x5, x1, #11, #29"
        "sbfiz w6, w2, #3, #9"
        "bfi x7, x1, #20, #30"
        "extr x8, x1, x2, #17"
        "ands x1, x3, #0x7f8000007f80000"
    ]
    iotdec_selftest_multiply "multiplication and division" [
        "madd x3, x1, x2, x5"
        "smulh x4, x1, x2"
        "umulh x5, x1, x2"
        "smsubl x6, w1, w2, x3"
        "sdiv w7, w1, w2"
        "udiv x8, x1, x2"
        "sdiv x1, x4, xzr"
    ]
    iotdec_selftest_bits "shifts, counts and reversals" [
        "lslv w3, w1, w2"
        "rorv x4, x1, x2"
        "clz x5, x1"
        "cls w6, w2"
        "rbit x7, x1"
        "rev16 w8, w2"
        "crc32cx w1, w1, x2"
    ]
    iotdec_selftest_conditions "conditions" [
        "csel x3, x1, x2, lt"
        "csneg w4, w1, w2, hi"
        "ccmp x1, x2, #5, ne"
        "cset w5, vs"
        "ccmn w1, #17, #10, ge"
        "cinc x6, x2, ls"
        "csetm x7, eq"
    ]
    iotdec_selftest_branches "branches" [
        "mov x3, #0"
        "1: add x3, x3, #1"
        "cmp x3, #9"
        "b.lo 1b"
        "tbz x1, #5, 2f"
        "add x3, x3, x1"
        "2: cbnz w2, 3f"
        "mvn x3, x3"
        "3: adr x17, 4f"
        "br x17"
        "mov x3, #-1"
        "4: eor x4, x3, x2"
    ]
    iotdec_selftest_loads "loads and stores" [
        "ldrsb x3, [x9, #7]"
        "ldrsh w4, [x9, #13]"
        "ldrsw x5, [x9, #18]!"
        "strb w1, [x9], #9"
        "and x6, x2, #15"
        "ldr x7, [x9, x6, lsl #3]"
        "strh w2, [x9, w6, uxtw #1]"
        "ldp w3, w8, [x9, #12]"
        "stp x1, x2, [x9, #40]!"
        "stur x7, [x9, #-3]"
    ]
    iotdec_selftest_exclusives "exclusive accesses" [
        "1: ldaxr x3, [x9]"
        "add x4, x3, x1"
        "stlxr w5, x4, [x9]"
        "cbnz w5, 1b"
        "add x10, x9, #16"
        "ldxp x6, x7, [x10]"
        "stxp w8, x7, x6, [x10]"
        "ldarb w1, [x10]"
        "add x10, x9, #32"
        "stlrh w2, [x10]"
        "clrex"
        "stxr w2, x1, [x9]"
    ]
    iotdec_selftest_vector_memory "vector loads and stores" [
        "ldp q0, q1, [x9, #16]"
        "ldur q2, [x9, #3]"
        "stp d2, d3, [x9, #88]"
        "ld1r {{v4.4h}}, [x9]"
        "str h5, [x9, #66]"
        "ldr b6, [x9, #5]"
        "ldr s7, [x9, #20]"
    ]
    iotdec_selftest_structures "structures" [
        "mov x10, x9"
        "ld4 {{v0.8b, v1.8b, v2.8b, v3.8b}}, [x10], #32"
        "ld3 {{v4.4s, v5.4s, v6.4s}}, [x10]"
        "ld2 {{v6.h, v7.h}}[5], [x10]"
        "st2 {{v0.16b, v1.16b}}, [x10], #32"
        "st3 {{v2.b, v3.b, v4.b}}[11], [x10], #3"
        "st1 {{v5.2d, v6.2d}}, [x10]"
    ]
    iotdec_selftest_vector_sums "vector sums" [
        "add v3.16b, v0.16b, v1.16b"
        "sub v4.4s, v0.4s, v1.4s"
        "addhn v5.8b, v0.8h, v1.8h"
        "uaddl v6.4s, v0.4h, v1.4h"
        "ssubw2 v7.2d, v2.2d, v1.4s"
        "addp v2.8h, v0.8h, v1.8h"
        "uadalp v3.8h, v0.16b"
    ]
    iotdec_selftest_vector_average "averages and differences" [
        "urhadd v3.16b, v0.16b, v1.16b"
        "shsub v4.8h, v0.8h, v1.8h"
        "uabd v5.16b, v0.16b, v1.16b"
        "sabal v6.4s, v0.4h, v1.4h"
        "uaba v7.8h, v0.8h, v1.8h"
        "abs v2.4s, v0.4s"
    ]
    iotdec_selftest_saturation "saturation" [
        "sqadd v3.8h, v0.8h, v1.8h"
        "uqsub v4.16b, v0.16b, v1.16b"
        "sqxtun v5.8b, v0.8h"
        "sqrshrun v6.8b, v1.8h, #6"
        "sqneg v7.4s, v0.4s"
        "suqadd v2.16b, v1.16b"
    ]
    iotdec_selftest_no_saturation "no saturation" [
        "uqsub v3.16b, v0.16b, v0.16b"
        "sqadd v4.8h, v3.8h, v3.8h"
    ]
    iotdec_selftest_vector_products "vector products" [
        "mul v3.8h, v0.8h, v1.8h"
        "mla v4.4s, v0.4s, v1.s[2]"
        "smull v5.4s, v0.4h, v1.4h"
        "umlal2 v6.2d, v0.4s, v1.4s"
        "smlsl v7.4s, v0.4h, v1.h[7]"
        "pmul v2.16b, v0.16b, v1.16b"
    ]
    iotdec_selftest_doubling "doubling products" [
        "sqrdmulh v3.8h, v0.8h, v1.h[3]"
        "sqdmulh v4.4s, v0.4s, v1.4s"
        "sqdmull v5.4s, v0.4h, v1.4h"
        "sqdmlal v6.2d, v0.2s, v1.2s"
    ]
    iotdec_selftest_vector_shifts "vector shifts" [
        "sshl v3.8h, v0.8h, v1.8h"
        "urshl v4.4s, v0.4s, v1.4s"
        "srshr v5.8h, v0.8h, #5"
        "usra v6.16b, v0.16b, #3"
        "sli v7.4s, v0.4s, #11"
        "sqshl v2.2d, v0.2d, v1.2d"
        "sshll2 v1.4s, v0.8h, #7"
    ]
    iotdec_selftest_narrow "narrowing" [
        "xtn v3.4h, v0.4s"
        "rshrn2 v4.16b, v0.8h, #4"
        "uqxtn v5.2s, v0.2d"
        "sqshrn v6.4h, v0.4s, #9"
        "raddhn v7.4h, v0.4s, v1.4s"
    ]
    iotdec_selftest_unknown "instructions unknown to the translator" [
        "sqrshl v3.8h, v0.8h, v1.8h"
        "uqrshl v4.16b, v0.16b, v1.16b"
        "sqdmlsl v5.4s, v0.4h, v1.h[1]"
    ]
    iotdec_selftest_permutes "permutations" [
        "trn1 v3.8h, v0.8h, v1.8h"
        "zip2 v4.16b, v0.16b, v1.16b"
        "uzp1 v5.4s, v0.4s, v1.4s"
        "ext v6.16b, v0.16b, v1.16b, #5"
        "rev64 v7.8h, v0.8h"
        "dup v2.16b, v0.b[9]"
    ]
    iotdec_selftest_tables "table lookups" [
        "movi v5.16b, #0x3f"
        "and v5.16b, v5.16b, v4.16b"
        "tbl v6.16b, {{v0.16b, v1.16b, v2.16b}}, v5.16b"
        "tbx v7.8b, {{v0.16b}}, v5.8b"
        "tbl v3.16b, {{v1.16b}}, v4.16b"
    ]
    iotdec_selftest_compare "vector comparisons" [
        "cmgt v3.8h, v0.8h, v1.8h"
        "cmhs v4.16b, v0.16b, v1.16b"
        "cmle v5.4s, v0.4s, #0"
        "cmtst v6.2d, v0.2d, v1.2d"
        "bsl v3.16b, v0.16b, v1.16b"
        "smax v7.8h, v0.8h, v1.8h"
        "uminp v2.16b, v0.16b, v1.16b"
    ]
    iotdec_selftest_across "across vectors" [
        "addv h3, v0.8h"
        "uaddlv d4, v1.4s"
        "smaxv b5, v0.16b"
        "uminv s6, v0.4s"
        "cnt v7.16b, v0.16b"
        "umov w1, v1.h[6]"
        "smov x2, v0.s[3]"
        "ins v2.h[2], w5"
    ]
    iotdec_selftest_scalar "floating point" [
        "fadd s3, s0, s1"
        "fmul d4, d0, d1"
        "fdiv s5, s0, s1"
        "fmadd d6, d0, d1, d2"
        "fnmsub s7, s0, s1, s2"
        "fsqrt d2, d0"
    ]
    iotdec_selftest_float_compare "floating-point comparisons" [
        "fcmp s0, s1"
        "cset w3, mi"
        "fccmp d0, d1, #2, ne"
        "fcsel d4, d0, d1, gt"
        "fmaxnm s5, s0, s1"
        "fmin d6, d0, d1"
        "fcmpe d1, #0.0"
    ]
    iotdec_selftest_convert "conversions" [
        "fcvtzs w3, s0"
        "fcvtau x4, d1"
        "fcvtms w5, d0"
        "ucvtf s3, x1"
        "scvtf d4, w2, #5"
        "fcvt s5, d1"
        "fcvt h6, s0"
        "frinta d7, d0"
    ]
    iotdec_selftest_vector_float "vectors of floating point" [
        "fadd v3.4s, v0.4s, v1.4s"
        "fmla v4.2d, v0.2d, v1.2d"
        "fmul v5.4s, v0.4s, v1.s[3]"
        "fmaxnm v6.4s, v0.4s, v1.4s"
        "fcmge v7.4s, v0.4s, v1.4s"
        "faddp v2.2d, v0.2d, v1.2d"
    ]
    iotdec_selftest_vector_convert "conversions of vectors" [
        "fcvtzu v3.4s, v0.4s"
        "scvtf v4.4s, v1.4s, #7"
        "fcvtn v5.2s, v0.2d"
        "fcvtl2 v6.2d, v1.4s"
        "frintn v7.2d, v0.2d"
        "fcvtns v2.2d, v1.2d"
    ]
    iotdec_selftest_estimates "estimates" [
        "frecpe v3.4s, v0.4s"
        "frsqrte v4.2d, v1.2d"
        "frecps v5.4s, v0.4s, v1.4s"
        "frsqrts d6, d0, d1"
        "urecpe v7.4s, v0.4s"
    ]
    iotdec_selftest_upwards "rounding upwards, subnormals as zero" [
        "mov x10, #0x1400000"
        "msr fpcr, x10"
        "fadd v3.4s, v0.4s, v1.4s"
        "fmul d4, d0, d1"
        "fcvtn v5.2s, v1.2d"
        "frinti v6.4s, v0.4s"
        "fmla v7.4s, v0.4s, v1.4s"
        "msr fpcr, xzr"
    ]
    iotdec_selftest_default_nan "rounding to zero, default NaN" [
        "mov x10, #0x2c00000"
        "msr fpcr, x10"
        "fsub v3.2d, v0.2d, v1.2d"
        "fmadd s4, s0, s1, s2"
        "fminnm v5.4s, v0.4s, v1.4s"
        "fsqrt v6.4s, v0.4s"
        "scvtf s7, x1"
        "mrs x3, fpcr"
        "msr fpcr, xzr"
    ]
    iotdec_selftest_aes "AES and polynomials" [
        "aese v3.16b, v0.16b"
        "aesmc v3.16b, v3.16b"
        "aesd v4.16b, v1.16b"
        "aesimc v4.16b, v4.16b"
        "pmull v5.1q, v0.1d, v1.1d"
    ]
    iotdec_selftest_sha "SHA-1 and SHA-256" [
        "sha1c q3, s0, v1.4s"
        "sha1su0 v4.4s, v0.4s, v1.4s"
        "sha256h q5, q0, v1.4s"
        "sha256su1 v6.4s, v0.4s, v1.4s"
    ]
    iotdec_selftest_clear "a cleared line" [
        "dc zva, x9"
        "mrs x3, dczid_el0"
        "mrs x4, ctr_el0"
        "dmb ish"
        "yield"
    ]
}
