// dynarmic behind a C interface. Its memory is the guest's own: an access is one host
// instruction, and only those that fault come here.

#include "translator.h"

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include <dynarmic/interface/A64/a64.h>
#include <dynarmic/interface/A64/config.h>
#include <dynarmic/interface/exclusive_monitor.h>

using namespace Dynarmic;

namespace {

// More threads than a decoder has.
constexpr size_t kTranslators = 256;

ExclusiveMonitor& Monitor() {
    static ExclusiveMonitor monitor{kTranslators};
    return monitor;
}

constexpr HaltReason kStop = HaltReason::UserDefined1;

class Callbacks final : public A64::UserCallbacks {
public:
    Callbacks(const iotdec_translator_setup& setup)
            : owner{setup.owner}, base{setup.guest_base}, zeroed{std::size_t{4} << (setup.dczid_el0 & 0xf)} {}

    std::optional<std::uint32_t> MemoryReadCode(A64::VAddr address) override { return iotdec_accel_code(owner, address); }

    std::uint8_t MemoryRead8(A64::VAddr address) override { return Read<std::uint8_t>(address); }
    std::uint16_t MemoryRead16(A64::VAddr address) override { return Read<std::uint16_t>(address); }
    std::uint32_t MemoryRead32(A64::VAddr address) override { return Read<std::uint32_t>(address); }
    std::uint64_t MemoryRead64(A64::VAddr address) override { return Read<std::uint64_t>(address); }
    A64::Vector MemoryRead128(A64::VAddr address) override { return Read<A64::Vector>(address); }

    void MemoryWrite8(A64::VAddr address, std::uint8_t value) override { Write(address, value); }
    void MemoryWrite16(A64::VAddr address, std::uint16_t value) override { Write(address, value); }
    void MemoryWrite32(A64::VAddr address, std::uint32_t value) override { Write(address, value); }
    void MemoryWrite64(A64::VAddr address, std::uint64_t value) override { Write(address, value); }
    void MemoryWrite128(A64::VAddr address, A64::Vector value) override { Write(address, value); }

    bool MemoryWriteExclusive8(A64::VAddr address, std::uint8_t value, std::uint8_t expected) override { return Exchange(address, value, expected); }
    bool MemoryWriteExclusive16(A64::VAddr address, std::uint16_t value, std::uint16_t expected) override { return Exchange(address, value, expected); }
    bool MemoryWriteExclusive32(A64::VAddr address, std::uint32_t value, std::uint32_t expected) override { return Exchange(address, value, expected); }
    bool MemoryWriteExclusive64(A64::VAddr address, std::uint64_t value, std::uint64_t expected) override { return Exchange(address, value, expected); }
    bool MemoryWriteExclusive128(A64::VAddr address, A64::Vector value, A64::Vector expected) override {
        unsigned __int128 wide_value, wide_expected;
        std::memcpy(&wide_value, value.data(), sizeof wide_value);
        std::memcpy(&wide_expected, expected.data(), sizeof wide_expected);
        return Exchange(address, wide_value, wide_expected);
    }

    void InterpreterFallback(A64::VAddr, size_t count) override { iotdec_accel_unknown(owner, count); }
    void CallSVC(std::uint32_t number) override { iotdec_accel_supervisor_call(owner, number); }
    void ExceptionRaised(A64::VAddr pc, A64::Exception) override { iotdec_accel_exception(owner, pc); }
    void InstructionCacheOperationRaised(A64::InstructionCacheOperation, A64::VAddr address) override { iotdec_accel_code_changed(owner, address); }

    // The translator itself would begin at the address, not at the block that it is in.
    void DataCacheOperationRaised(A64::DataCacheOperation operation, A64::VAddr address) override {
        if (operation == A64::DataCacheOperation::ZeroByVA) {
            std::memset(reinterpret_cast<void*>(base + (address & ~(zeroed - 1))), 0, zeroed);
        }
    }

    // Cycles are not counted.
    void AddTicks(std::uint64_t) override {}
    std::uint64_t GetTicksRemaining() override { return 0; }
    std::uint64_t GetCNTPCT() override { return __builtin_ia32_rdtsc(); }

private:
    // Linux has the processor ignore the highest byte of a program's addresses: such
    // accesses fault first, and are done here.
    template<typename T>
    T* Host(A64::VAddr address) const {
        const bool is_program = (address >> 55 & 1) == 0;
        return reinterpret_cast<T*>(base + (is_program ? address & 0x00ff'ffff'ffff'ffff : address));
    }
    template<typename T>
    T Read(A64::VAddr address) const {
        T value;
        std::memcpy(&value, Host<void>(address), sizeof value);
        return value;
    }
    template<typename T>
    void Write(A64::VAddr address, T value) const {
        std::memcpy(Host<void>(address), &value, sizeof value);
    }
    template<typename T>
    bool Exchange(A64::VAddr address, T value, T expected) const {
        return __sync_bool_compare_and_swap(Host<T>(address), expected, value);
    }

    void* const owner;
    const uint64_t base;
    // Bytes that `dc zva` clears.
    const size_t zeroed;
};

}  // namespace

struct iotdec_translator {
    explicit iotdec_translator(const iotdec_translator_setup& setup)
            : callbacks{setup}, jit{Config(setup)} {}

    A64::UserConfig Config(const iotdec_translator_setup& setup) {
        A64::UserConfig config;
        config.callbacks = &callbacks;
        config.processor_id = setup.index;
        config.global_monitor = &Monitor();
        config.tpidr_el0 = &tpidr;
        config.tpidrro_el0 = &tpidrro;
        config.ctr_el0 = setup.ctr_el0;
        config.dczid_el0 = setup.dczid_el0;
        config.cntfrq_el0 = setup.cntfrq_el0;
        config.fastmem_pointer = setup.guest_base;
        config.fastmem_address_space_bits = 64;
        config.fastmem_exclusive_access = true;
        // QEMU protects pages whose code it has translated: a fault says little of the
        // next access by the same instruction.
        config.recompile_on_fastmem_failure = false;
        config.recompile_on_exclusive_fastmem_failure = false;
        config.define_unpredictable_behaviour = false;
        config.hook_data_cache_operations = true;
        config.wall_clock_cntpct = true;
        config.enable_cycle_counting = false;
        config.code_cache_size = setup.code_cache_size;
        return config;
    }

    std::uint64_t tpidr = 0;
    std::uint64_t tpidrro = 0;
    Callbacks callbacks;
    A64::Jit jit;
};

extern "C" {

iotdec_translator* iotdec_translator_new(const iotdec_translator_setup* setup) {
    return new iotdec_translator(*setup);
}

void iotdec_translator_delete(iotdec_translator* translator) {
    delete translator;
}

void iotdec_translator_run(iotdec_translator* translator, const iotdec_translator_registers* registers) {
    A64::Jit& jit = translator->jit;
    std::array<std::uint64_t, 31> x;
    std::array<A64::Vector, 32> v;
    std::memcpy(x.data(), registers->x, sizeof x);
    std::memcpy(v.data(), registers->v, sizeof v);
    jit.SetRegisters(x);
    jit.SetVectors(v);
    jit.SetSP(*registers->sp);
    jit.SetPC(*registers->pc);
    jit.SetPstate(*registers->nzcv);
    jit.SetFpcr(*registers->fpcr);
    jit.SetFpsr(*registers->fpsr);
    translator->tpidr = *registers->tpidr;

    while (!Has(jit.Run(), kStop)) {
        // Code was invalidated; that is done by now.
    }
    jit.ClearHalt(kStop);

    x = jit.GetRegisters();
    v = jit.GetVectors();
    std::memcpy(registers->x, x.data(), sizeof x);
    std::memcpy(registers->v, v.data(), sizeof v);
    *registers->sp = jit.GetSP();
    *registers->pc = jit.GetPC();
    *registers->nzcv = jit.GetPstate();
    *registers->fpcr = jit.GetFpcr();
    *registers->fpsr = jit.GetFpsr();
    *registers->tpidr = translator->tpidr;
}

void iotdec_translator_stop(iotdec_translator* translator) {
    translator->jit.HaltExecution(kStop);
}

void iotdec_translator_forget(iotdec_translator* translator, uint64_t start, uint64_t length) {
    translator->jit.InvalidateCacheRange(start, length);
}

uint64_t iotdec_translator_x(const iotdec_translator* translator, uint32_t number) {
    return translator->jit.GetRegister(number);
}

uint64_t iotdec_translator_pc(const iotdec_translator* translator) {
    return translator->jit.GetPC();
}

}

// dynarmic reports here what it emits, to write a map for perf(1). Defined here, that
// part of its archive is not linked; it is the way to tell which guest code a host
// address belongs to.
namespace Dynarmic::Backend::X64 {

namespace detail {
void PerfMapRegister(const void* start, const void* end, std::string_view name) {
    iotdec_accel_emitted(reinterpret_cast<uint64_t>(start), reinterpret_cast<uint64_t>(end), name.data(), name.size());
}
}  // namespace detail

void PerfMapClear() {
    iotdec_accel_cleared();
}

}  // namespace Dynarmic::Backend::X64
