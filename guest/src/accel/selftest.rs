//! The start-up self-test: snippets of code, executed by QEMU and by turbo from the same
//! values, must leave the same behind.
//!
//! It is no proof, which the fuzzer is nearer to (docs/accelerator-fuzzing.md). It finds
//! out whether this accelerator, with this QEMU, on this processor, works at all. Of the
//! 0.1 s of processor time that it takes, 0.01 s are its own: the rest is turbo's first
//! entry, which makes the second translator.

mod snippets;

use super::turbo;
use core::mem::offset_of;
use snippets::SNIPPETS;

/// What snippets read and write, as large as the largest block that `dc zva` clears
/// (Arm ARM, D19.2.36: 512 words).
#[repr(C, align(2048))]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Memory([u64; 256]);

/// What a snippet starts from and leaves behind.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Block {
    /// v0 to v7, low half first.
    v: [[u64; 2]; 8],
    /// x1 to x8.
    x: [u64; 8],
    /// N, Z, C and V.
    nzcv: u64,
    /// FPSR, of which QC alone.
    fpsr: u64,
    /// What the snippet finds at x9.
    memory: Memory,
}

type Body = unsafe extern "C" fn();

unsafe extern "C" {
    /// Loads the registers from the block, calls the body, and puts them back.
    fn iotdec_selftest(block: *mut Block, body: Body);
}

core::arch::global_asm!(
    "    .hidden iotdec_selftest",
    "    .globl iotdec_selftest",
    "    .type iotdec_selftest, %function",
    "iotdec_selftest:",
    "    stp x29, x30, [sp, #-32]!",
    "    mov x29, sp",
    "    stp x19, x20, [sp, #16]",
    "    mov x19, x0",
    "    mov x16, x1",
    "    msr fpsr, xzr",
    "    ldp q0, q1, [x19, #{v}]",
    "    ldp q2, q3, [x19, #{v} + 32]",
    "    ldp q4, q5, [x19, #{v} + 64]",
    "    ldp q6, q7, [x19, #{v} + 96]",
    "    ldp x1, x2, [x19, #{x}]",
    "    ldp x3, x4, [x19, #{x} + 16]",
    "    ldp x5, x6, [x19, #{x} + 32]",
    "    ldp x7, x8, [x19, #{x} + 48]",
    "    add x9, x19, #{memory}",
    "    cmp x1, x2",
    "    blr x16",
    "    mrs x9, nzcv",
    "    mrs x10, fpsr",
    "    and x10, x10, #1 << 27",
    "    stp x9, x10, [x19, #{nzcv}]",
    "    stp x1, x2, [x19, #{x}]",
    "    stp x3, x4, [x19, #{x} + 16]",
    "    stp x5, x6, [x19, #{x} + 32]",
    "    stp x7, x8, [x19, #{x} + 48]",
    "    stp q0, q1, [x19, #{v}]",
    "    stp q2, q3, [x19, #{v} + 32]",
    "    stp q4, q5, [x19, #{v} + 64]",
    "    stp q6, q7, [x19, #{v} + 96]",
    "    ldp x19, x20, [sp, #16]",
    "    ldp x29, x30, [sp], #32",
    "    ret",
    "    .size iotdec_selftest, . - iotdec_selftest",
    v = const offset_of!(Block, v),
    x = const offset_of!(Block, x),
    nzcv = const offset_of!(Block, nzcv),
    memory = const offset_of!(Block, memory),
);

/// What snippets start from.
const STARTS: [Block; 3] = [
    // Patterns in which no two bytes are alike.
    start(
        [[0x0f1e_2d3c_4b5a_6978, 0x8796_a5b4_c3d2_e1f0]; 2],
        [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3211],
    ),
    // Extremes of integers.
    start(
        [
            [0x7fff_8000_7f80_ff01, 0x8000_0000_ffff_ffff],
            [0x8000_8000_0001_80ff, 0x7fff_ffff_8000_0001],
        ],
        [0x8000_0000_8000_0000, u64::MAX],
    ),
    // Floating point: a NaN and an infinity, subnormals, zero and ordinary numbers.
    start(
        [
            [0x7fa1_2345_0080_0001, 0xff80_0000_0000_0001],
            [0x3fb9_999a_8000_0000, 0x4048_f5c3_7f7f_ffff],
        ],
        [0x4330_0000_4b00_0001, 0x3ff0_0000_3f80_0000],
    ),
];

/// A block with these in its first registers, and what is made of them in the others.
const fn start(v: [[u64; 2]; 2], x: [u64; 2]) -> Block {
    let mut block = Block {
        v: [v[0]; 8],
        x: [x[0]; 8],
        nzcv: 0,
        fpsr: 0,
        memory: Memory([0; 256]),
    };
    block.v[1] = v[1];
    block.x[1] = x[1];
    let mut index = 2;
    while index < 8 {
        let shift = index as u32 * 9;
        let [low, high] = v[index % 2];
        block.v[index] = [low.rotate_left(shift), high.rotate_right(shift)];
        block.x[index] = x[index % 2].rotate_left(shift);
        index += 1;
    }
    let mut index = 0;
    while index < 256 {
        block.memory.0[index] = x[index % 2] ^ v[0][0].rotate_left(index as u32 * 5);
        index += 1;
    }
    block
}

/// Whether both come to the same; the text says what is different. Turbo is on.
pub fn run() -> Result<(), String> {
    for (name, body) in SNIPPETS {
        for start in &STARTS {
            let (mut by_qemu, mut by_turbo) = (*start, *start);
            // SAFETY: the snippets use the registers that a function may, and the memory
            // of the block.
            unsafe {
                iotdec_selftest(&mut by_qemu, *body);
                turbo::run(|| iotdec_selftest(&mut by_turbo, *body));
            }
            if by_qemu != by_turbo {
                let what = difference(&by_qemu, &by_turbo);
                return Err(format!("the self-test failed at {name}: {what}"));
            }
        }
    }
    Ok(())
}

/// The first register that differs.
fn difference(qemu: &Block, turbo: &Block) -> String {
    let both = |name: &str, qemu: &[u64], turbo: &[u64]| {
        let text = |value: &[u64]| {
            let halves = value.iter().rev().map(|half| format!("{half:016x}"));
            halves.collect::<Vec<_>>().join("_")
        };
        (qemu != turbo).then(|| {
            let (qemu, turbo) = (text(qemu), text(turbo));
            format!("{name} is {qemu} in QEMU, {turbo} in turbo")
        })
    };
    let v = (0..8).map(|n| both(&format!("v{n}"), &qemu.v[n], &turbo.v[n]));
    let x = (0..8).map(|n| both(&format!("x{}", n + 1), &[qemu.x[n]], &[turbo.x[n]]));
    let others = [
        both("nzcv", &[qemu.nzcv], &[turbo.nzcv]),
        both("fpsr", &[qemu.fpsr], &[turbo.fpsr]),
        Some("memory is not the same".to_owned()),
    ];
    let first = v.chain(x).chain(others).flatten().next();
    first.expect("memory, if nothing else")
}
