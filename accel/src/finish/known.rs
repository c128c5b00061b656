//! Forwards: what registers and slots are known to hold.

use super::{
    GUEST_MEMORY, Join, Joins, Slot, is_frame, is_load, is_nothing, is_zeroing, nothing, overlap,
    slot, writes,
};
use iced_x86::{Code, FlowControl, Instruction, InstructionInfoFactory, Register, UsedMemory};
use std::collections::{BTreeMap, BTreeSet};

/// `cmp al, 0x81` overflows if al is 1 and does not if it is 0.
const OVERFLOW: u8 = 0x81;

/// Leaves out loads, and unpacking of flags. Returns where that is right only if nobody
/// reads the overflow flag, and the slots that flags are packed into.
pub fn forwards(
    code: &mut [Instruction],
    joins: &Joins,
    keep_flags: bool,
    info: &mut InstructionInfoFactory,
) -> (BTreeSet<u64>, BTreeSet<Slot>) {
    let mut known = Known::default();
    let (mut without_overflow, mut flags) = (BTreeSet::new(), BTreeSet::new());
    for index in 0..code.len() {
        let (instruction, next) = (code[index], code.get(index + 1).copied());
        match joins.get(&instruction.ip()) {
            Some(Join::Opaque) => known.forget(),
            Some(Join::Transparent) => known.flags += 1,
            None => {}
        }
        let replacement = if keep_flags && known.is_needed_after(&code[index..], joins) {
            // A move of zero, for which there is room with the load of the flags.
            if code[index + 2].code() != Code::Cmp_AL_imm8 {
                without_overflow.insert(instruction.ip());
            }
            let to = instruction.op0_register();
            Some(Instruction::with2(Code::Mov_r32_imm32, to, 0).expect("a valid move"))
        } else {
            known.replacement(&instruction, next.as_ref())
        };
        if let Some(mut replacement) = replacement {
            replacement.set_ip(instruction.ip());
            code[index] = replacement;
        }
        known.follow(&code[index], info);
        if is_load(&instruction) && is_nothing(&code[index]) {
            known.unpack(&instruction);
        }
        flags.extend(known.stored.keys());
    }
    (without_overflow, flags)
}

/// What registers and slots hold, at one point of the code.
#[derive(Debug, Default)]
struct Known {
    /// Registers, in full, that hold what a slot does in its first so many bytes.
    held: BTreeMap<Slot, (Register, usize)>,
    /// Counts changes of the flags.
    flags: u64,
    /// The count when `lahf` ran, if ah is still that.
    loaded: Option<u64>,
    /// The count when eax was packed with the flags, if it still is.
    packed: Option<u64>,
    /// The same of slots.
    stored: BTreeMap<Slot, u64>,
}

impl Known {
    fn forget(&mut self) {
        *self = Self {
            flags: self.flags + 1,
            ..Self::default()
        };
    }

    /// Whether the first of these sets a register to zero, and the next unpack the flags
    /// as they still are.
    fn is_needed_after(&self, code: &[Instruction], joins: &Joins) -> bool {
        let [zeroing, load, unpacking, ..] = code else {
            return false;
        };
        let stored = slot(load).and_then(|slot| self.stored.get(&slot));
        is_zeroing(zeroing)
            && is_load(load)
            && load.op0_register() == Register::EAX
            && stored == Some(&self.flags)
            && matches!(unpacking.code(), Code::Sahf | Code::Cmp_AL_imm8)
            && !joins.contains_key(&load.ip())
    }

    /// What may take the instruction's place.
    fn replacement(
        &self,
        instruction: &Instruction,
        next: Option<&Instruction>,
    ) -> Option<Instruction> {
        let is_current = self.packed == Some(self.flags);
        match instruction.code() {
            Code::Mov_r64_rm64 | Code::Mov_r32_rm32 => {
                let (from, size) = *self.held.get(&slot(instruction)?)?;
                let to = instruction.op0_register();
                if to.size() > size {
                    return None;
                }
                let is_same = to.full_register() == from;
                // Loading four bytes clears the upper half, which of the flags is clear.
                if is_same && (to.size() == 8 || from == Register::RAX && self.packed.is_some()) {
                    return Some(nothing());
                }
                let from = if to.size() == 8 {
                    from
                } else {
                    from.full_register32()
                };
                let code = if to.size() == 8 {
                    Code::Mov_r64_rm64
                } else {
                    Code::Mov_r32_rm32
                };
                Some(Instruction::with2(code, to, from).expect("a valid move"))
            }
            Code::Sahf if is_current => Some(nothing()),
            Code::Cmp_AL_imm8 if is_current && next.is_some_and(|i| i.code() == Code::Sahf) => {
                (instruction.immediate8() == OVERFLOW).then(nothing)
            }
            _ => None,
        }
    }

    /// Goes past an instruction.
    fn follow(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        if matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::IndirectCall
        ) {
            return self.forget();
        }
        let info = info.info(instruction);
        for memory in info
            .used_memory()
            .iter()
            .filter(|memory| writes(memory.access()))
        {
            self.overwrite(memory);
        }
        for used in info
            .used_registers()
            .iter()
            .filter(|used| writes(used.access()))
        {
            let written = used.register().full_register();
            self.held
                .retain(|(base, _), (held, _)| *held != written && *base != written);
            self.stored.retain(|(base, _), _| *base != written);
            if written == Register::RAX {
                self.loaded = self.loaded.filter(|_| used.register() == Register::AL);
                self.packed = None;
            }
        }
        if instruction.rflags_modified() != 0 {
            self.flags += 1;
        }
        self.learn(instruction);
    }

    fn overwrite(&mut self, memory: &UsedMemory) {
        if memory.base() == GUEST_MEMORY {
            return;
        }
        if memory.index() != Register::None || !is_frame(memory.base()) {
            self.held.clear();
            self.stored.clear();
            return;
        }
        let place = (memory.displacement(), memory.memory_size().size() as u64);
        let is_apart = |(base, at): &Slot, length: u64| {
            *base != memory.base() || !overlap((*at, length), place)
        };
        self.held
            .retain(|slot, (_, length)| is_apart(slot, *length as u64));
        self.stored.retain(|slot, _| is_apart(slot, 4));
    }

    /// Notes what an instruction makes known.
    fn learn(&mut self, instruction: &Instruction) {
        match instruction.code() {
            Code::Mov_r64_rm64 | Code::Mov_r32_rm32 => {
                let (to, slot) = (instruction.op0_register(), slot(instruction));
                self.held
                    .extend(slot.map(|slot| (slot, (to.full_register(), to.size()))));
                self.unpack(instruction);
            }
            Code::Mov_rm64_r64 | Code::Mov_rm32_r32 => {
                let (from, slot) = (instruction.op1_register(), slot(instruction));
                self.held
                    .extend(slot.map(|slot| (slot, (from.full_register(), from.size()))));
                let packed = self.packed.filter(|_| from == Register::EAX);
                self.stored.extend(slot.zip(packed));
            }
            Code::Lahf => self.loaded = Some(self.flags),
            Code::Seto_rm8 if instruction.op0_register() == Register::AL => {
                self.packed = self.loaded.filter(|count| *count == self.flags);
            }
            _ => {}
        }
    }

    /// Notes that eax is what a load of it gives.
    fn unpack(&mut self, load: &Instruction) {
        if load.op0_register() == Register::EAX {
            let count = slot(load).and_then(|slot| self.stored.get(&slot));
            self.packed = count.copied();
        }
    }
}
