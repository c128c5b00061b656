//! Backwards: what is overwritten before anything reads it.

use super::{GUEST_MEMORY, Slot, is_frame, is_load, is_store, is_zeroing, nothing, slot, writes};
use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
    RflagsBits, UsedMemory,
};
use std::collections::{BTreeMap, BTreeSet};

/// Leaves out what nobody reads. `None` if somebody reads the overflow flag where it is
/// not to be read.
pub fn backwards(
    code: &mut [Instruction],
    without_overflow: &BTreeSet<u64>,
    info: &mut InstructionInfoFactory,
) -> Option<()> {
    let mut dead = Dead::default();
    for instruction in code.iter_mut().rev() {
        if instruction.flow_control() != FlowControl::Next {
            dead = Dead::default();
            continue;
        }
        if without_overflow.contains(&instruction.ip()) && dead.flags & RflagsBits::OF == 0 {
            return None;
        }
        if dead.covers(instruction, info) {
            let ip = instruction.ip();
            *instruction = nothing();
            instruction.set_ip(ip);
        }
        dead.precede(instruction, info);
    }
    Some(())
}

/// What is overwritten before it is read, at one point of the code; all else may be read.
#[derive(Debug, Default)]
struct Dead {
    /// Registers, in full.
    registers: BTreeSet<Register>,
    /// Bits of [`iced_x86::RflagsBits`].
    flags: u32,
    /// Slots and their sizes.
    slots: BTreeMap<Slot, usize>,
}

impl Dead {
    /// Whether all that the instruction does is to write what is dead.
    fn covers(&self, instruction: &Instruction, info: &mut InstructionInfoFactory) -> bool {
        let writes_slot = is_store(instruction) && slot(instruction).is_some();
        let is_pure = writes_slot
            || is_load(instruction)
                && (slot(instruction).is_some() || instruction.op1_kind() == OpKind::Register)
            || is_zeroing(instruction)
            || matches!(
                instruction.mnemonic(),
                Mnemonic::Lahf | Mnemonic::Sahf | Mnemonic::Cmc
            )
            || instruction.code() == Code::Mov_r32_imm32
            || instruction.code() == Code::Seto_rm8 && instruction.op0_kind() == OpKind::Register
            || instruction.code() == Code::Cmp_AL_imm8;
        if !is_pure {
            return false;
        }
        let slot_is_dead = !writes_slot
            || slot(instruction).and_then(|slot| self.slots.get(&slot))
                >= Some(&instruction.op1_register().size());
        let info = info.info(instruction);
        let mut written = info
            .used_registers()
            .iter()
            .filter(|used| writes(used.access()));
        slot_is_dead
            && written.all(|used| self.registers.contains(&used.register().full_register()))
            && instruction.rflags_modified() & !self.flags == 0
    }

    /// Goes to before an instruction.
    fn precede(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        let info = info.info(instruction);
        // Written in full and for certain, it is dead before, unless it is read as well.
        for used in info.used_registers() {
            let full = used.register().full_register();
            if used.access() == OpAccess::Write && used.register().size() >= 4 && full.is_gpr() {
                self.registers.insert(full);
            }
        }
        self.flags |= instruction.rflags_written()
            | instruction.rflags_cleared()
            | instruction.rflags_set()
            | instruction.rflags_undefined();
        if is_store(instruction)
            && let Some(slot) = slot(instruction)
        {
            self.slots.insert(slot, instruction.op1_register().size());
        }
        for used in info.used_registers() {
            let full = used.register().full_register();
            let is_whole = used.access() == OpAccess::Write && used.register().size() >= 4;
            if !is_whole {
                self.registers.remove(&full);
            }
            if writes(used.access()) {
                self.slots.retain(|(base, _), _| *base != full);
            }
        }
        self.flags &= !instruction.rflags_read();
        for memory in info
            .used_memory()
            .iter()
            .filter(|memory| memory.access() != OpAccess::Write)
        {
            self.read(memory);
        }
    }

    fn read(&mut self, memory: &UsedMemory) {
        if memory.base() == GUEST_MEMORY {
            return;
        }
        if memory.index() != Register::None || !is_frame(memory.base()) {
            self.slots.clear();
            return;
        }
        let (start, size) = (memory.displacement(), memory.memory_size().size() as u64);
        self.slots.retain(|(base, at), length| {
            *base != memory.base()
                || at.wrapping_sub(start) as i64 >= size as i64
                || start.wrapping_sub(*at) as i64 >= *length as i64
        });
    }
}
