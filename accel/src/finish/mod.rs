//! The last touch to translated code: what it does for nothing.
//!
//! The translator keeps the guest's registers in memory. It stores each where the
//! guest's code sets it and loads it again where that is used as flags or as another
//! width; and it packs the flags of every comparison, whoever uses them. In a decoder's
//! scalar code that is one instruction in four. The code of a block is finished but not
//! yet run when it comes here. What is changed stays in its place.
//!
//! Forwards, within straight-line code:
//! * a load of what a register still holds becomes a move from that register, or nothing;
//! * unpacking the flags is left out where they are still what was packed.
//!
//! Backwards: instructions whose results are overwritten before anything reads them are
//! left out. So are the guest's flags at the end of a block, if the guest's code there
//! sets them before it reads them: whoever looks at them in between, such as a signal
//! handler, sees older ones.

mod dead;
mod guest;
mod known;
#[cfg(test)]
mod tests;

use dead::{Branches, backwards};
use iced_x86::{
    Code, Decoder, DecoderOptions, Encoder, FlowControl, Instruction, InstructionInfoFactory,
    Mnemonic, OpAccess, OpKind, Register,
};
use known::forwards;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Finishes the code of one block, which runs at address `ip`. `read` gives words of the
/// guest's code, and `None` where it is not known; `block_at` the guest's address of the
/// translated code that begins at an address.
pub fn finish(
    code: &mut [u8],
    ip: u64,
    read: &dyn Fn(u64) -> Option<u32>,
    block_at: &dyn Fn(u64) -> Option<u64>,
) {
    let decoder = Decoder::with_ip(64, code, ip, DecoderOptions::NONE);
    let before: Vec<Instruction> = decoder.into_iter().collect();
    if before.iter().any(Instruction::is_invalid) {
        return;
    }
    let joins = joins(&before);
    let mut info = InstructionInfoFactory::new();
    // Keeping the flags across a zeroing takes a longer instruction. Mostly the load of
    // the packed flags after it makes room.
    let changed = [true, false].into_iter().find_map(|keep_flags| {
        let mut after = before.clone();
        let (without_overflow, flags) = forwards(&mut after, &joins, keep_flags, &mut info);
        let branches = Branches {
            joins: &joins,
            flags: &flags,
            may_read_flags: &|pc| guest::may_read_flags(pc, read),
            block_at,
        };
        backwards(&mut after, &without_overflow, &branches, &mut info)?;
        changes(ip, &before, &after, &joins)
    });
    for (place, bytes) in changed.into_iter().flatten() {
        code[place].copy_from_slice(&bytes);
    }
}

/// What is known where code is joined from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    /// As much as before it, flags excepted: an access that faulted comes back there.
    Transparent,
    /// Nothing.
    Opaque,
}

type Joins = BTreeMap<u64, Join>;

/// Where branches inside the code go.
///
/// An access to memory that faults is made by a call behind the block, which keeps all
/// registers but the one that is loaded, and jumps back behind the access. No branch
/// leads to such a call: the handler of the fault does.
fn joins(code: &[Instruction]) -> Joins {
    let is_near = |i: &&Instruction| i.op0_kind() == OpKind::NearBranch64;
    let targets: BTreeSet<u64> = code
        .iter()
        .filter(|i| i.flow_control() != FlowControl::Call)
        .filter(is_near)
        .map(Instruction::near_branch_target)
        .collect();
    let mut joins = Joins::new();
    for (index, branch) in code.iter().enumerate() {
        if !is_near(&branch) || branch.flow_control() == FlowControl::Call {
            continue;
        }
        let returns = branch.mnemonic() == Mnemonic::Jmp
            && index > 0
            && code[index - 1].flow_control() == FlowControl::Call
            && !targets.contains(&code[index - 1].ip());
        let target = joins.entry(branch.near_branch_target());
        if returns {
            target.or_insert(Join::Transparent);
        } else {
            target.insert_entry(Join::Opaque);
        }
    }
    joins
}

/// A place in the translator's state (by r15) or on its stack (by rsp).
type Slot = (Register, u64);

/// Where the state is, and nothing else.
fn is_frame(base: Register) -> bool {
    matches!(base, Register::R15 | Register::RSP)
}

/// The base of every access to the guest's memory, where no slot is.
const GUEST_MEMORY: Register = Register::R13;

/// Whether two places overlap, given as offsets and sizes.
fn overlap((a, a_size): (u64, u64), (b, b_size): (u64, u64)) -> bool {
    (b.wrapping_sub(a) as i64) < a_size as i64 && (a.wrapping_sub(b) as i64) < b_size as i64
}

/// The slot that a move accesses.
fn slot(instruction: &Instruction) -> Option<Slot> {
    let is_slot = (0..2).any(|operand| instruction.op_kind(operand) == OpKind::Memory)
        && is_frame(instruction.memory_base())
        && instruction.memory_index() == Register::None;
    is_slot.then(|| {
        (
            instruction.memory_base(),
            instruction.memory_displacement64(),
        )
    })
}

fn is_load(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Mov_r64_rm64 | Code::Mov_r32_rm32)
}

fn is_store(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Mov_rm64_r64 | Code::Mov_rm32_r32)
}

/// `xor r, r`.
fn is_zeroing(i: &Instruction) -> bool {
    matches!(i.code(), Code::Xor_r32_rm32 | Code::Xor_rm32_r32)
        && i.op1_kind() == OpKind::Register
        && i.op0_kind() == OpKind::Register
        && i.op0_register() == i.op1_register()
}

fn writes(access: OpAccess) -> bool {
    use OpAccess::{CondWrite, ReadCondWrite, ReadWrite, Write};
    matches!(access, Write | CondWrite | ReadWrite | ReadCondWrite)
}

fn nothing() -> Instruction {
    Instruction::with(Code::Nopd)
}

fn is_nothing(instruction: &Instruction) -> bool {
    instruction.code() == Code::Nopd
}

/// The bytes that change, by their places; `None` if they have no room. Between
/// instructions that stay, and between joins, what is left is moved together.
fn changes(
    ip: u64,
    before: &[Instruction],
    after: &[Instruction],
    joins: &Joins,
) -> Option<Vec<(Range<usize>, Vec<u8>)>> {
    let mut changes = Vec::new();
    let mut index = 0;
    while index < before.len() {
        let start = index;
        while index < before.len()
            && before[index] != after[index]
            && (index == start || !joins.contains_key(&before[index].ip()))
        {
            index += 1;
        }
        if index == start {
            index += 1;
            continue;
        }
        let place = (before[start].ip() - ip) as usize..(before[index - 1].next_ip() - ip) as usize;
        let mut encoder = Encoder::new(64);
        for instruction in after[start..index].iter().filter(|i| !is_nothing(i)) {
            encoder
                .encode(instruction, 0)
                .expect("moves between registers");
        }
        let mut bytes = encoder.take_buffer();
        let mut room = place.len().checked_sub(bytes.len())?;
        while room > 0 {
            let nop = NOPS[room.min(NOPS.len()) - 1];
            bytes.extend(nop);
            room -= nop.len();
        }
        changes.push((place, bytes));
    }
    Some(changes)
}

/// Instructions that do nothing, of 1 to 9 bytes (Intel SDM, volume 2B, NOP).
const NOPS: [&[u8]; 9] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];
