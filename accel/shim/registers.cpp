// Which of the host's registers values are put into. dynarmic makes room by storing what
// is in its way to the stack, even where another register is free.
//
// The linker leads the calls of these functions here (build.rs), which can still call
// dynarmic's own.

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "dynarmic/backend/x64/reg_alloc.h"

using namespace Dynarmic::Backend::X64;

#define NEW _ZN8Dynarmic7Backend3X648RegAllocC1ERNS1_11BlockOfCodeESt6vectorINS1_7HostLocESaIS6_EES8_
#define USE_SCRATCH_GPR _ZN8Dynarmic7Backend3X648RegAlloc13UseScratchGprERNS1_8ArgumentE
#define USE_SCRATCH_XMM _ZN8Dynarmic7Backend3X648RegAlloc13UseScratchXmmERNS1_8ArgumentE
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define REAL(name) JOIN(__real_, name)
#define WRAP(name) JOIN(__wrap_, name)

namespace {

// A free register with a copy of a value that is needed again later; none if the value
// may be overwritten where it is, or no register is free.
std::optional<HostLoc> Copy(RegAlloc& registers, Argument& argument, const std::vector<HostLoc>& order, bool (*is_kind)(HostLoc)) {
    if (argument.IsImmediate()) {
        return std::nullopt;
    }
    const Dynarmic::IR::Inst* const value = argument.value.GetInst();
    const HostLoc from = *registers.ValueLocation(value);
    if (!is_kind(from) || registers.LocInfo(from).IsLocked() || registers.LocInfo(from).IsLastUse()) {
        return std::nullopt;
    }
    const bool is_room = std::any_of(order.begin(), order.end(), [&](HostLoc it) { return registers.LocInfo(it).IsEmpty(); });
    if (!is_room) {
        return std::nullopt;
    }
    argument.allocated = true;
    const HostLoc to = registers.SelectARegister(order);
    registers.CopyToScratch(registers.LocInfo(from).GetMaxBitWidth(), to, from);
    registers.LocInfo(to).WriteLock();
    return to;
}

}  // namespace

extern "C" {

void REAL(NEW)(RegAlloc*, BlockOfCode&, std::vector<HostLoc>*, std::vector<HostLoc>*);
void WRAP(NEW)(RegAlloc* self, BlockOfCode& code, std::vector<HostLoc>* gprs, std::vector<HostLoc>* xmms) {
    // It takes the first, then the others from the last to the second. Arithmetic leaves
    // its flags in rax, which is better free.
    std::swap((*gprs)[0], (*gprs)[1]);
    REAL(NEW)(self, code, gprs, xmms);
}

Xbyak::Reg64 REAL(USE_SCRATCH_GPR)(RegAlloc*, Argument&);
Xbyak::Reg64 WRAP(USE_SCRATCH_GPR)(RegAlloc* self, Argument& argument) {
    if (const auto copy = Copy(*self, argument, self->gpr_order, HostLocIsGPR)) {
        return HostLocToReg64(*copy);
    }
    return REAL(USE_SCRATCH_GPR)(self, argument);
}

Xbyak::Xmm REAL(USE_SCRATCH_XMM)(RegAlloc*, Argument&);
Xbyak::Xmm WRAP(USE_SCRATCH_XMM)(RegAlloc* self, Argument& argument) {
    if (const auto copy = Copy(*self, argument, self->xmm_order, HostLocIsXMM)) {
        return HostLocToXmm(*copy);
    }
    return REAL(USE_SCRATCH_XMM)(self, argument);
}

}
