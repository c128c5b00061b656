// Straight-line code across branches. The translator ends a block at every branch, and
// at every end all registers that the guest has set are in memory, and are loaded again
// behind it. Here a conditional branch is an exit in the middle of a block: where it is
// not taken, what is in the host's registers stays there.
//
// dynarmic's archive has each of these functions in a part of its own, which is not
// linked when it is defined here. The exit takes the place of an operation of which no
// use is left: the substitution box of SM4, an extension that QEMU's processor does not
// have (src/routing.rs keeps its instructions from the translator).

#include "exit.h"

#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "dynarmic/backend/x64/a64_emit_x64.h"
#include "dynarmic/backend/x64/block_of_code.h"
#include "dynarmic/frontend/A64/a64_location_descriptor.h"
#include "dynarmic/frontend/A64/a64_types.h"
#include "dynarmic/frontend/A64/decoder/a64.h"
#include "dynarmic/frontend/A64/translate/a64_translate.h"
#include "dynarmic/frontend/A64/translate/impl/impl.h"
#include "dynarmic/ir/basic_block.h"
#include "dynarmic/ir/opcodes.h"
#include "dynarmic/ir/terminal.h"

using namespace Dynarmic;

namespace {

// Instructions and conditional branches in a block before it ends at the next branch.
// More is longer to translate, since what is branched to in its middle is translated
// again as a block.
constexpr size_t kInstructions = 48;
constexpr size_t kExits = 6;
// What comes after a branch is read before it is known to be code. On the same page, it
// can be.
constexpr size_t kPageBits = 12;

enum class Kind {
    Flags,   // by the guest's flags
    Bit,     // where a bit is set
    NoBit,   // where it is not
    Zero32,  // where a value is zero
    Zero64,
    NotZero32,
    NotZero64,
};

struct Exit {
    Kind kind;
    IR::Cond condition;  // of Flags
    std::uint8_t bit;    // of Bit and NoBit
    IR::Terminal target;
};

// Those of the block that this thread is translating.
thread_local std::unordered_map<const IR::Inst*, Exit> exits;

std::optional<A64::LocationDescriptor> Linked(const IR::Terminal& terminal) {
    if (const auto* link = boost::get<IR::Term::LinkBlock>(&terminal)) {
        return A64::LocationDescriptor{link->next};
    }
    return std::nullopt;
}

// Where code goes on. Whether it is to stop is asked before going back, so that nothing
// is repeated without.
IR::Terminal Link(std::uint64_t from, A64::LocationDescriptor to) {
    if (to.PC() > from) {
        return IR::Term::LinkBlockFast{to};
    }
    return IR::Term::LinkBlock{to};
}

// Makes an exit of the conditional branch that ends the block so far.
bool MakeExit(A64::TranslatorVisitor& visitor, std::uint64_t pc, A64::LocationDescriptor& next) {
    IR::Block& block = visitor.ir.block;
    const IR::Terminal terminal = block.GetTerminal();
    Exit exit{};
    IR::Value value;
    std::optional<A64::LocationDescriptor> taken, passed;
    if (const auto* branch = boost::get<IR::Term::If>(&terminal)) {
        if (branch->if_ == IR::Cond::AL || branch->if_ == IR::Cond::NV) {
            return false;
        }
        taken = Linked(branch->then_);
        passed = Linked(branch->else_);
        exit.kind = Kind::Flags;
        exit.condition = branch->if_;
    } else if (const auto* branch = boost::get<IR::Term::CheckBit>(&terminal)) {
        IR::Inst& check = block.back();
        if (check.GetOpcode() != IR::Opcode::A64SetCheckBit || check.GetArg(0).IsImmediate()) {
            return false;
        }
        IR::Inst* const bit = check.GetArg(0).GetInst();
        taken = Linked(branch->then_);
        passed = Linked(branch->else_);
        const bool if_clear = taken && taken->PC() == pc + 4;
        if (if_clear) {
            std::swap(taken, passed);
        }
        switch (bit->GetOpcode()) {
        case IR::Opcode::IsZero32:
            exit.kind = if_clear ? Kind::NotZero32 : Kind::Zero32;
            break;
        case IR::Opcode::IsZero64:
            exit.kind = if_clear ? Kind::NotZero64 : Kind::Zero64;
            break;
        case IR::Opcode::TestBit:
            exit.kind = if_clear ? Kind::NoBit : Kind::Bit;
            exit.bit = bit->GetArg(1).GetU8();
            break;
        default:
            return false;
        }
        value = bit->GetArg(0);
        if (!taken || !passed) {
            return false;
        }
        check.Invalidate();
        block.Instructions().erase(&check);
    }
    if (!taken || !passed) {
        return false;
    }
    exit.target = Link(pc, *taken);
    block.ReplaceTerminal(IR::Term::Invalid{});
    IR::Value argument{std::uint8_t{0}};
    if (!value.IsEmpty()) {
        // Of the type that the operation is declared with, until the value takes its place.
        block.AppendNewInst(IR::Opcode::LeastSignificantByte, {IR::Value{std::uint32_t{0}}});
        argument = IR::Value{&block.back()};
    }
    block.AppendNewInst(kExit, {argument});
    if (!value.IsEmpty()) {
        argument.GetInst()->ReplaceUsesWith(value);
    }
    exits[&block.back()] = exit;
    next = *passed;
    return true;
}

// Appends one instruction; whether the block goes on behind it.
bool Append(A64::TranslatorVisitor& visitor, std::optional<std::uint32_t> word) {
    if (!word) {
        return visitor.RaiseException(A64::Exception::NoExecuteFault);
    }
    const auto decoder = A64::Decode<A64::TranslatorVisitor>(*word);
    return decoder ? decoder->get().call(visitor, *word) : visitor.InterpretThisInstruction();
}

}  // namespace

namespace Dynarmic::A64 {

bool TranslateSingleInstruction(IR::Block& block, LocationDescriptor location, u32 word) {
    TranslatorVisitor visitor{block, location, {}};
    const bool goes_on = Append(visitor, word);
    block.CycleCount()++;
    block.SetEndLocation(visitor.ir.current_location->AdvancePC(4));
    return goes_on;
}

IR::Block Translate(LocationDescriptor start, MemoryReadCodeFuncType read, TranslationOptions options) {
    exits.clear();
    IR::Block block{start};
    TranslatorVisitor visitor{block, start, std::move(options)};
    for (;;) {
        const std::uint64_t pc = visitor.ir.current_location->PC();
        const bool goes_on = Append(visitor, read(pc));
        LocationDescriptor next = visitor.ir.current_location->AdvancePC(4);
        block.CycleCount()++;
        block.SetEndLocation(next);
        if (start.SingleStepping()) {
            if (goes_on) {
                visitor.ir.SetTerm(IR::Term::LinkBlock{next});
            }
            return block;
        }
        if (!goes_on) {
            const bool is_exit = MakeExit(visitor, pc, next);
            if (!is_exit) {
                const IR::Terminal terminal = block.GetTerminal();
                if (const auto to = Linked(terminal)) {
                    block.ReplaceTerminal(Link(pc, *to));
                } else if (boost::get<IR::Term::FastDispatchHint>(&terminal) || boost::get<IR::Term::PopRSBHint>(&terminal)) {
                    block.ReplaceTerminal(IR::Term::CheckHalt{terminal});
                }
                return block;
            }
            const bool same_page = next.PC() >> kPageBits == pc >> kPageBits;
            if (exits.size() >= kExits || block.CycleCount() >= kInstructions || !same_page) {
                block.SetTerminal(Link(pc, next));
                return block;
            }
        }
        visitor.ir.current_location = next;
    }
}

}  // namespace Dynarmic::A64

namespace Dynarmic::Backend::X64 {

// The exit.
void EmitX64::EmitSM4AccessSubstitutionBox(EmitContext& context, IR::Inst* inst) {
    const Exit exit = exits.at(inst);
    auto arguments = context.reg_alloc.GetArgumentInfo(inst);
    const auto target = std::make_shared<Xbyak::Label>();
    switch (exit.kind) {
    case Kind::Flags:
        context.reg_alloc.ScratchGpr(HostLoc::RAX);
        // To the end of the block, which may be far.
        code.setDefaultJmpNEAR(true);
        *target = EmitCond(exit.condition);
        code.setDefaultJmpNEAR(false);
        break;
    case Kind::Bit:
    case Kind::NoBit: {
        const Xbyak::Reg64 value = context.reg_alloc.UseGpr(arguments[0]);
        code.bt(value, exit.bit);
        exit.kind == Kind::Bit ? code.jc(*target, code.T_NEAR) : code.jnc(*target, code.T_NEAR);
        break;
    }
    case Kind::Zero32:
    case Kind::NotZero32: {
        const Xbyak::Reg32 value = context.reg_alloc.UseGpr(arguments[0]).cvt32();
        code.test(value, value);
        exit.kind == Kind::Zero32 ? code.jz(*target, code.T_NEAR) : code.jnz(*target, code.T_NEAR);
        break;
    }
    case Kind::Zero64:
    case Kind::NotZero64: {
        const Xbyak::Reg64 value = context.reg_alloc.UseGpr(arguments[0]);
        code.test(value, value);
        exit.kind == Kind::Zero64 ? code.jz(*target, code.T_NEAR) : code.jnz(*target, code.T_NEAR);
        break;
    }
    }
    const IR::LocationDescriptor location = context.block.Location();
    context.deferred_emits.emplace_back([this, exit, target, location] {
        code.L(*target);
        EmitTerminal(exit.target, location, false);
    });
}

}  // namespace Dynarmic::Backend::X64
