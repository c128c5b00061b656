//! Backwards: what is overwritten before anything reads it.

use super::{
    GUEST_MEMORY, Joins, Slot, is_frame, is_load, is_store, is_zeroing, nothing, overlap, slot,
    writes,
};
use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
    RflagsBits, UsedMemory,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of branches, within the block and out of it.
pub struct Branches<'a> {
    /// Where branches inside the code go.
    pub joins: &'a Joins,
    /// The slots that the guest's flags are packed into.
    pub flags: &'a BTreeSet<Slot>,
    /// Whether the guest's code at an address needs them.
    pub may_read_flags: &'a dyn Fn(u64) -> bool,
    /// The guest's address of the translated code that begins at an address.
    pub block_at: &'a dyn Fn(u64) -> Option<u64>,
}

/// Leaves out what nobody reads. `None` if somebody reads the overflow flag where it is
/// not to be read.
pub fn backwards(
    code: &mut [Instruction],
    without_overflow: &BTreeSet<u64>,
    branches: &Branches<'_>,
    info: &mut InstructionInfoFactory,
) -> Option<()> {
    let range = code.first()?.ip()..code.last()?.next_ip();
    // Before each of the instructions that are branched to, of those that are behind the
    // one that is looked at.
    let mut known = BTreeMap::<u64, Dead>::new();
    let mut dead = Dead::default();
    for index in (0..code.len()).rev() {
        let instruction = code[index];
        let target = (instruction.op0_kind() == OpKind::NearBranch64)
            .then(|| instruction.near_branch_target());
        let taken = || match target {
            Some(target) if range.contains(&target) => {
                known.get(&target).cloned().unwrap_or_default()
            }
            Some(target) => {
                // To another block, or to the translator with the address put into the
                // state just before.
                let pc = (branches.block_at)(target).or_else(|| {
                    let mut above = code[..index].iter().rev().take(2);
                    let pc = above.find(|i| i.code() == Code::Mov_r64_imm64);
                    pc.map(Instruction::immediate64)
                });
                let needs_flags = pc.is_none_or(branches.may_read_flags);
                Dead::at_exit(branches.flags.iter().filter(|_| !needs_flags))
            }
            None => Dead::default(),
        };
        match instruction.flow_control() {
            FlowControl::Next => {
                if without_overflow.contains(&instruction.ip()) && dead.flags & RflagsBits::OF == 0
                {
                    return None;
                }
                if dead.covers(&instruction, info) {
                    code[index] = nothing();
                    code[index].set_ip(instruction.ip());
                }
                dead.precede(&code[index], info);
            }
            FlowControl::UnconditionalBranch => dead = taken(),
            FlowControl::ConditionalBranch => {
                dead.meet(&taken());
                dead.flags &= !instruction.rflags_read();
            }
            _ => dead = Dead::default(),
        }
        if branches.joins.contains_key(&instruction.ip()) {
            known.insert(instruction.ip(), dead.clone());
        }
    }
    Some(())
}

/// What is overwritten before it is read, at one point of the code; all else may be read.
#[derive(Clone, Debug, Default)]
struct Dead {
    /// Registers, in full.
    registers: BTreeSet<Register>,
    /// Bits of [`iced_x86::RflagsBits`].
    flags: u32,
    /// Slots and their sizes.
    slots: BTreeMap<Slot, usize>,
    /// If known, what may be read of the stack, as offsets and sizes: nothing else.
    stack: Option<BTreeSet<(u64, u64)>>,
}

impl Dead {
    /// Where the block is left: the next one finds nothing on the stack, and overwrites
    /// these slots.
    fn at_exit<'a>(slots: impl Iterator<Item = &'a Slot>) -> Self {
        Self {
            slots: slots.map(|slot| (*slot, 4)).collect(),
            stack: Some(BTreeSet::new()),
            ..Self::default()
        }
    }

    /// Goes to where this or `other` comes next.
    fn meet(&mut self, other: &Self) {
        self.registers
            .retain(|register| other.registers.contains(register));
        self.flags &= other.flags;
        self.slots.retain(|slot, size| {
            let theirs = other.slots.get(slot).copied();
            *size = theirs.map_or(0, |theirs| theirs.min(*size));
            theirs.is_some()
        });
        self.stack = match (self.stack.take(), &other.stack) {
            (Some(ours), Some(theirs)) => Some(&ours | theirs),
            _ => None,
        };
    }

    /// Whether a store of so many bytes to a slot is for nothing.
    fn is_dead(&self, slot: Slot, size: usize) -> bool {
        let (base, at) = slot;
        let is_unread =
            |stack: &BTreeSet<_>| !stack.iter().any(|it| overlap((at, size as u64), *it));
        self.slots.get(&slot) >= Some(&size)
            || base == Register::RSP && self.stack.as_ref().is_some_and(is_unread)
    }

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
            || slot(instruction)
                .is_some_and(|slot| self.is_dead(slot, instruction.op1_register().size()));
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
            let size = instruction.op1_register().size();
            self.slots.insert(slot, size);
            let is_covered = |it: &(u64, u64)| *it == (slot.1, size as u64);
            if slot.0 == Register::RSP
                && let Some(stack) = &mut self.stack
            {
                stack.retain(|it| !is_covered(it));
            }
        }
        for used in info.used_registers() {
            let full = used.register().full_register();
            let is_whole = used.access() == OpAccess::Write && used.register().size() >= 4;
            if !is_whole {
                self.registers.remove(&full);
            }
            if writes(used.access()) {
                self.slots.retain(|(base, _), _| *base != full);
                self.stack = self.stack.take().filter(|_| full != Register::RSP);
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
            self.stack = None;
            return;
        }
        let place = (memory.displacement(), memory.memory_size().size() as u64);
        self.slots.retain(|(base, at), size| {
            *base != memory.base() || !overlap((*at, *size as u64), place)
        });
        if memory.base() == Register::RSP
            && let Some(stack) = &mut self.stack
        {
            stack.insert(place);
        }
    }
}
