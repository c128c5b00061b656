// What is done to a block between translating and emitting it, where that has to know of
// exits in its middle. Each function takes the place of one of dynarmic's own.

#include "exit.h"

#include <array>
#include <optional>

#include <mcl/iterator/reverse.hpp>

#include "dynarmic/frontend/A64/a64_types.h"
#include "dynarmic/ir/basic_block.h"
#include "dynarmic/ir/microinstruction.h"
#include "dynarmic/ir/opt/passes.h"
#include "dynarmic/ir/value.h"

using namespace Dynarmic;

namespace Dynarmic::Optimization {

void DeadCodeElimination(IR::Block& block) {
    // Backwards: without an operation, those before it may have no use either.
    for (auto& operation : mcl::iterator::reverse(block)) {
        const bool is_needed = operation.HasUses() || operation.MayHaveSideEffects() || operation.GetOpcode() == kExit;
        if (!is_needed) {
            operation.Invalidate();
        }
    }
}

void A64GetSetElimination(IR::Block& block) {
    // What a register of the guest holds.
    struct Known {
        IR::Value value;
        IR::Opcode as{};                     // the operation that gets it as that type
        std::optional<IR::Block::iterator> set;  // overwritten before anybody sees it, if there is a next one
    };
    std::array<Known, 31> x;
    std::array<Known, 32> v;
    Known sp, flags;

    const auto get = [](Known& known, IR::Block::iterator at) {
        if (!known.value.IsEmpty() && known.as == at->GetOpcode()) {
            at->ReplaceUsesWith(known.value);
        } else {
            known = Known{IR::Value{&*at}, at->GetOpcode(), std::nullopt};
        }
    };
    const auto set = [&block](Known& known, IR::Block::iterator at, IR::Value value, IR::Opcode as) {
        if (known.set) {
            (*known.set)->Invalidate();
            block.Instructions().erase(*known.set);
        }
        known = Known{value, as, at};
    };

    for (auto at = block.begin(); at != block.end(); ++at) {
        using enum IR::Opcode;
        const IR::Opcode opcode = at->GetOpcode();
        const auto x_of = [&]() -> Known& { return x.at(A64::RegNumber(at->GetArg(0).GetA64RegRef())); };
        const auto v_of = [&]() -> Known& { return v.at(A64::VecNumber(at->GetArg(0).GetA64VecRef())); };
        switch (opcode) {
        case A64GetW:
        case A64GetX:
            get(x_of(), at);
            break;
        case A64GetS:
        case A64GetD:
        case A64GetQ:
            get(v_of(), at);
            break;
        case A64GetSP:
            get(sp, at);
            break;
        case A64GetNZCVRaw:
            get(flags, at);
            break;
        case A64SetW:
            set(x_of(), at, at->GetArg(1), A64GetW);
            break;
        case A64SetX:
            set(x_of(), at, at->GetArg(1), A64GetX);
            break;
        case A64SetS:
            set(v_of(), at, at->GetArg(1), A64GetS);
            break;
        case A64SetD:
            set(v_of(), at, at->GetArg(1), A64GetD);
            break;
        case A64SetQ:
            set(v_of(), at, at->GetArg(1), A64GetQ);
            break;
        case A64SetSP:
            set(sp, at, at->GetArg(0), A64GetSP);
            break;
        case A64SetNZCV:
            // In the host's form, as which nothing gets it.
            set(flags, at, at->GetArg(0), A64SetNZCV);
            break;
        case A64SetNZCVRaw:
            set(flags, at, at->GetArg(0), A64GetNZCVRaw);
            break;
        case kExit:
            // Whoever comes after the branch sees everything.
            for (Known& known : x) {
                known.set.reset();
            }
            for (Known& known : v) {
                known.set.reset();
            }
            sp.set.reset();
            flags.set.reset();
            break;
        default:
            if (at->ReadsFromCPSR() || at->WritesToCPSR()) {
                flags = {};
            }
            if (at->ReadsFromCoreRegister() || at->WritesToCoreRegister()) {
                x = {};
                v = {};
                sp = {};
            }
            break;
        }
    }
}

// It looks for the translator's own mistakes, and does not know what an exit takes.
void VerificationPass(const IR::Block&) {}

}  // namespace Dynarmic::Optimization
