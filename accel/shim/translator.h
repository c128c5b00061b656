// The translator as Rust sees it: one object a thread, and what it asks back.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct iotdec_translator;

// What a translator is told once. The registers are those of the processor that the
// guest believes to have.
struct iotdec_translator_setup {
    void* owner;              // given back with every question below
    uint64_t index;           // its own among those that exist at a time
    uint64_t guest_base;      // added to addresses of the guest
    uint64_t code_cache_size; // bytes
    uint32_t ctr_el0;
    uint32_t dczid_el0;
    uint32_t cntfrq_el0;
};

// The registers at the start or the end of a run.
struct iotdec_translator_registers {
    uint64_t* x; // 31
    uint64_t* v; // 64, low halves first
    uint64_t* sp;
    uint64_t* pc;
    uint64_t* tpidr;
    uint32_t* nzcv;
    uint32_t* fpcr;
    uint32_t* fpsr;
};

iotdec_translator* iotdec_translator_new(const iotdec_translator_setup* setup);
void iotdec_translator_delete(iotdec_translator* translator);
// Runs until `iotdec_translator_stop`, by a question's answer or another thread.
void iotdec_translator_run(iotdec_translator* translator, const iotdec_translator_registers* registers);
// From any thread. Takes effect at the next branch.
void iotdec_translator_stop(iotdec_translator* translator);
// From any thread. Translations of this code are not entered any more.
void iotdec_translator_forget(iotdec_translator* translator, uint64_t start, uint64_t length);
// During a question.
uint64_t iotdec_translator_x(const iotdec_translator* translator, uint32_t number);
uint64_t iotdec_translator_pc(const iotdec_translator* translator);

// The questions. Hidden, though another language defines them: QEMU sees what it looks for and no more.
#pragma GCC visibility push(hidden)
uint32_t iotdec_accel_code(void* owner, uint64_t address);
void iotdec_accel_supervisor_call(void* owner, uint32_t number);
void iotdec_accel_unknown(void* owner, uint64_t count);
void iotdec_accel_exception(void* owner, uint64_t pc);
void iotdec_accel_code_changed(void* owner, uint64_t address);
// Code of the calling thread's translator, with the name that it goes by.
void iotdec_accel_emitted(uint64_t start, uint64_t end, const char* name, uint64_t name_length);
void iotdec_accel_cleared();
#pragma GCC visibility pop

}
