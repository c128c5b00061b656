// An exit in the middle of a block (superblocks.cpp), as the passes over it see it.
#pragma once

#include "dynarmic/ir/opcodes.h"

constexpr Dynarmic::IR::Opcode kExit = Dynarmic::IR::Opcode::SM4AccessSubstitutionBox;
