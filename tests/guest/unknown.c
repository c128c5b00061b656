// Instructions that the second translator does not know, with every kind of operand.
#define _GNU_SOURCE
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define READ(name)                                       \
    ({                                                   \
        uint64_t value;                                  \
        __asm__ volatile("mrs %0, " name : "=r"(value)); \
        value;                                           \
    })

// Identification, which Linux lets programs read, and clocks.
int system_registers(void) {
    dprintf(1, "%llx %llx\n", (unsigned long long)READ("midr_el1"), (unsigned long long)READ("id_aa64isar0_el1"));
    dprintf(1, "%llx %llx\n", (unsigned long long)READ("ctr_el0"), (unsigned long long)READ("dczid_el0"));
    dprintf(1, "%llx %llx\n", (unsigned long long)READ("cntfrq_el0"), (unsigned long long)READ("tpidrro_el0"));
    uint64_t before = READ("cntvct_el0");
    for (int i = 0; i < 1000; i++) {
        uint64_t now = READ("cntvct_el0");
        CHECK(now >= before);
        before = now;
    }
    return 0;
}

// One instruction, a million times.
int often(void) {
    uint64_t sum = 0, midr = READ("midr_el1");
    for (int i = 0; i < 1000000; i++)
        sum += READ("midr_el1") ^ (uint64_t)i;
    uint64_t expected = 0;
    for (int i = 0; i < 1000000; i++)
        expected += midr ^ (uint64_t)i;
    CHECK(sum == expected);
    return 0;
}

// All registers before and after one instruction.
struct state {
    uint64_t x[31], sp, own_sp, finish, nzcv, fpsr;
    unsigned char v[32][16];
    // Room for signal frames, which the kernel puts below the stack pointer.
    unsigned char stack[16384];
    // Where sp points to. Aligned for `dc zva`.
    _Alignas(64) unsigned char memory[512];
};

_Static_assert(offsetof(struct state, sp) == 248 && offsetof(struct state, finish) == 264, "used below");
_Static_assert(offsetof(struct state, nzcv) == 272 && offsetof(struct state, v) == 288, "used below");

void unknown_execute(struct state*, const uint32_t*);
extern char unknown_finish[];

#define VECTORS(instruction)                                                                           \
    instruction " {v0.16b-v3.16b}, [x9], #64\n" instruction " {v4.16b-v7.16b}, [x9], #64\n"            \
    instruction " {v8.16b-v11.16b}, [x9], #64\n" instruction " {v12.16b-v15.16b}, [x9], #64\n"         \
    instruction " {v16.16b-v19.16b}, [x9], #64\n" instruction " {v20.16b-v23.16b}, [x9], #64\n"        \
    instruction " {v24.16b-v27.16b}, [x9], #64\n" instruction " {v28.16b-v31.16b}, [x9], #64\n"

__asm__(".text\n"
        ".globl unknown_execute, unknown_finish\n"
        ".hidden unknown_execute, unknown_finish\n"
        "unknown_execute:\n"
        "    stp x29, x30, [sp, #-160]!\n"
        "    stp x19, x20, [sp, #16]\n"
        "    stp x21, x22, [sp, #32]\n"
        "    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n"
        "    stp x27, x28, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0, #256]\n"
        "    adr x9, unknown_finish\n"
        "    str x9, [x0, #264]\n"
        "    add x9, x0, #288\n" VECTORS("ld1")
        "    ldr x9, [x0, #272]\n"
        "    msr nzcv, x9\n"
        "    ldr x9, [x0, #280]\n"
        "    msr fpsr, x9\n"
        "    br x1\n"
        "unknown_finish:\n"
        "    mrs x9, nzcv\n"
        "    str x9, [x0, #272]\n"
        "    mrs x9, fpsr\n"
        "    str x9, [x0, #280]\n"
        "    mov x9, sp\n"
        "    str x9, [x0, #248]\n"
        "    ldr x9, [x0, #256]\n"
        "    mov sp, x9\n"
        "    add x9, x0, #288\n" VECTORS("st1")
        "    ldp x19, x20, [sp, #16]\n"
        "    ldp x21, x22, [sp, #32]\n"
        "    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n"
        "    ldp x27, x28, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    ldp x29, x30, [sp], #160\n"
        "    ret\n");

// Executes `word` with everything but x`base` loaded from `state`, and stored there afterwards.
static void execute(uint32_t* code, uint32_t word, struct state* state, uint32_t base) {
    uint32_t* at = code;
    uint32_t scratch = base == 1 ? 2 : 1;
    *at++ = 0xaa0003e0 | base;                      // mov base, x0
    *at++ = 0xf9400000 | 31 << 10 | base << 5 | scratch; // ldr scratch, [base, #248]
    *at++ = 0x9100001f | scratch << 5;              // mov sp, scratch
    for (uint32_t i = 0; i < 31; i++)
        if (i != base)
            *at++ = 0xf9400000 | i << 10 | base << 5 | i;
    *at++ = word;
    for (uint32_t i = 0; i < 31; i++)
        if (i != base)
            *at++ = 0xf9000000 | i << 10 | base << 5 | i;
    *at++ = 0xaa0003e0 | base << 16;                // mov x0, base
    *at++ = 0xf9400000 | 33 << 10 | 0 << 5 | 1;     // ldr x1, [x0, #264]
    *at++ = 0xd61f0020;                             // br x1
    __builtin___clear_cache((char*)code, (char*)at);
    unknown_execute(state, code);
}

// The next of the words between the two, if there is one left; what it changes is printed.
// One a call, as a call may go on in QEMU.
static int execute_next(const uint32_t* words, const uint32_t* end) {
    uint32_t* code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(code != MAP_FAILED);
    static _Alignas(64) struct state before, after;
    static const uint32_t* word;
    if (!word)
        word = words;
    if (word < end) {
        for (int round = 0; round < 2; round++) {
            uint64_t random = 88172645463325252ull + (uint64_t)round;
            for (size_t i = 0; i < sizeof before - sizeof before.stack - sizeof before.memory; i++) {
                random ^= random << 13, random ^= random >> 7, random ^= random << 17;
                ((unsigned char*)&before)[i] = (unsigned char)random;
            }
            // Addresses: x3 and sp. Offsets: x5.
            before.sp = (uintptr_t)before.memory;
            before.x[3] = before.sp + 256;
            before.x[5] = 16;
            before.nzcv = (uint64_t)(round ? 0x9 : 0x6) << 28;
            before.fpsr = 0;
            for (int i = 0; i < 512; i++)
                before.memory[i] = (unsigned char)(i * 7 + round);
            unsigned char memory[512];
            memcpy(memory, before.memory, 512);
            uint64_t x3 = before.x[3], sp = before.sp;
            // A register that this instruction does not name.
            uint32_t base = round ? 27 : 13;
            after = before;
            // Addresses point into `before` either way.
            execute(code, *word, &after, base);
            dprintf(1, "%08x:", *word);
            for (uint32_t i = 0; i < 31; i++)
                if (i != base && after.x[i] != before.x[i])
                    dprintf(1, " x%u=%llx", i, (unsigned long long)(after.x[i] - (i == 3 ? x3 : 0)));
            if (after.sp != sp)
                dprintf(1, " sp%+lld", (long long)(after.sp - sp));
            for (int i = 0; i < 32; i++)
                if (memcmp(after.v[i], before.v[i], 16) != 0) {
                    uint64_t low, high;
                    memcpy(&low, after.v[i], 8), memcpy(&high, after.v[i] + 8, 8);
                    dprintf(1, " v%d=%016llx%016llx", i, (unsigned long long)high, (unsigned long long)low);
                }
            for (int i = 0; i < 512; i++)
                if (memory[i] != before.memory[i])
                    dprintf(1, " [%d]=%02x", i, before.memory[i]);
            dprintf(1, " %llx %llx\n", (unsigned long long)after.nzcv >> 28, (unsigned long long)after.fpsr);
        }
        word++;
    }
    munmap(code, 4096);
    return 0;
}

#define WORDS(name, arch, text)                                                        \
    __asm__(".pushsection .rodata\n.p2align 2\n.arch " arch "\n" #name ":\n" text      \
            #name "_end:\n.arch armv8-a\n.popsection\n");                              \
    extern const uint32_t __attribute__((visibility("hidden"))) name[] __asm__(#name), name##_end[] __asm__(#name "_end")

WORDS(words_base, "armv8-a+crypto+crc",
      "mrs x0, midr_el1\n mrs x1, midr_el1\n mrs x2, midr_el1\n mrs x9, id_aa64pfr0_el1\n mrs x18, midr_el1\n"
      "mrs x19, midr_el1\n mrs x28, midr_el1\n mrs x29, midr_el1\n mrs x30, midr_el1\n mrs xzr, midr_el1\n"
      "mrs x29, id_aa64isar0_el1\n"
      "sqdmlal v1.4s, v2.4h, v30.4h\n sqdmlsl2 v31.2d, v2.4s, v7.4s\n sqdmull s1, h2, h3\n sqdmlal d9, s2, v3.s[1]\n"
      "fmulx v1.4s, v2.4s, v3.s[1]\n frecpx s1, s2\n fcvtxn s3, d4\n fcvtxn2 v3.4s, v4.2d\n"
      "urecpe v1.4s, v2.4s\n ursqrte v1.4s, v2.4s\n suqadd v1.16b, v2.16b\n usqadd d1, d2\n sqneg b1, b2\n"
      "fcvtas x30, s2\n ucvtf d1, x29, #3\n fcvtn v1.4h, v2.4s\n fcvtl v1.4s, v2.4h\n"
      "ld1 {v1.b}[3], [x3], #1\n st4 {v1.s-v4.s}[1], [x3], x5\n ld4r {v29.2d-v31.2d, v0.2d}, [sp], #32\n"
      "ld3 {v1.4s-v3.4s}, [x3], #48\n st2 {v31.16b, v0.16b}, [sp], x5\n ldtrsh w1, [x3, #-8]\n sttr x30, [sp, #8]\n"
      "ldnp q1, q2, [x3, #32]\n stnp x1, x30, [sp, #16]\n ldpsw x1, x2, [sp], #8\n ldar w1, [x3]\n stlrb w30, [sp]\n"
      "ldaxp x1, x2, [x3]\n crc32cx w1, w2, x30\n pmull2 v1.1q, v2.2d, v3.2d\n aese v1.16b, v2.16b\n"
      "sha1c q1, s2, v3.4s\n sha256h2 q1, q2, v3.4s\n prfm pldl1keep, [x3]\n dc zva, x3\n dc cvau, x3\n");

WORDS(words_lse, "armv8.2-a+lse+rdma+dotprod+fp16+rcpc+crc",
      "ldadd x1, x2, [x3]\n ldaddal w30, w0, [sp]\n swp x29, x30, [x3]\n swpalb w1, w1, [sp]\n stset x1, [x3]\n"
      "ldsmaxlh w0, w2, [x3]\n ldumin x1, xzr, [sp]\n cas x1, x2, [x3]\n casal w0, w30, [sp]\n casab w1, w2, [x3]\n"
      "casp x0, x1, x6, x7, [x3]\n caspal x28, x29, x4, x5, [sp]\n casp w8, w9, w10, w11, [x3]\n"
      "ldapr x1, [x3]\n ldaprb w30, [sp]\n"
      "sdot v1.4s, v2.16b, v3.16b\n udot v31.2s, v2.8b, v3.4b[1]\n sqrdmlah v1.4s, v2.4s, v3.4s\n sqrdmlsh s1, s2, v3.s[3]\n"
      "fadd h1, h2, h3\n fadd v1.8h, v2.8h, v3.8h\n fmla v1.8h, v2.8h, v3.h[7]\n fcmgt v1.8h, v2.8h, #0.0\n"
      "fcmp h1, h2\n fccmp h1, h2, #4, ne\n fcsel h1, h2, h3, eq\n fcvtzs x30, h2\n scvtf h1, x29\n fmov x1, h2\n"
      "frecpe v1.8h, v2.8h\n fsqrt v1.4h, v2.4h\n");

WORDS(words_more, "armv8.6-a+sha3+sm4+crypto+bf16+i8mm+memtag+fp16fml",
      "sha512h q1, q2, v3.2d\n sha512h2 q1, q2, v3.2d\n sha512su0 v1.2d, v2.2d\n sha512su1 v1.2d, v2.2d, v3.2d\n"
      "eor3 v1.16b, v2.16b, v3.16b, v31.16b\n bcax v0.16b, v1.16b, v2.16b, v3.16b\n rax1 v1.2d, v2.2d, v3.2d\n"
      "xar v1.2d, v2.2d, v3.2d, #7\n sm3ss1 v1.4s, v2.4s, v3.4s, v4.4s\n sm3tt1a v1.4s, v2.4s, v3.s[1]\n"
      "sm3partw1 v1.4s, v2.4s, v3.4s\n sm4e v1.4s, v2.4s\n sm4ekey v1.4s, v2.4s, v3.4s\n"
      "fcmla v1.4s, v2.4s, v3.4s, #90\n fcadd v1.2d, v2.2d, v3.2d, #270\n fjcvtzs w1, d2\n frint32z v1.4s, v2.4s\n"
      "frint64x d1, d2\n fmlal v1.4s, v2.4h, v3.4h\n usdot v1.4s, v2.16b, v3.16b\n smmla v1.4s, v2.16b, v3.16b\n"
      "bfdot v1.4s, v2.8h, v3.8h\n bfcvt h1, s2\n ldapur x1, [x3, #-8]\n stlurb w30, [sp, #3]\n"
      "cfinv\n rmif x1, #3, #15\n setf8 w1\n setf16 w30\n axflag\n xaflag\n xpaci x1\n xpacd x30\n"
      "stg sp, [x3], #16\n stg x3, [sp, #16]!\n st2g x3, [x3, #32]!\n stzg x3, [sp], #-16\n addg sp, sp, #16, #0\n"
      "subps x1, x3, sp\n gmi x1, x3, x2\n");

int base(void) { return execute_next(words_base, words_base_end); }
int lse(void) { return execute_next(words_lse, words_lse_end); }
int more(void) { return execute_next(words_more, words_more_end); }

static sigjmp_buf after_probe;
static volatile sig_atomic_t signals;

static void jump_out(int signal) {
    signals++;
    siglongjmp(after_probe, signal);
}

static void skip(int signal, siginfo_t* info, void* context) {
    (void)signal;
    ucontext_t* state = context;
    // What handlers of CPU probes and of software breakpoints look at.
    if ((uintptr_t)info->si_addr == state->uc_mcontext.pc)
        signals++;
    state->uc_mcontext.regs[19] += 5;
    // Not relative: a handler may have an address of its own.
    state->uc_mcontext.pc = state->uc_mcontext.regs[20];
}

// Whether the processor has something is found out by trying, as libraries do.
int probes(void) {
    struct sigaction action = {.sa_handler = jump_out}, old;
    CHECK(sigaction(SIGILL, &action, &old) == 0);
    for (volatile int i = 0; i < 10; i++) {
        if (sigsetjmp(after_probe, 1) == 0) {
            __asm__ volatile("udf #0" ::: "memory");
            return __LINE__;
        }
        if (sigsetjmp(after_probe, 1) == 0) {
            // sha512h, which the Cortex-A53 lacks.
            __asm__ volatile(".inst 0xce638041" ::: "v1", "memory");
            return __LINE__;
        }
        if (sigsetjmp(after_probe, 1) == 0) {
            // A system register that there is not.
            __asm__ volatile("mrs x0, s3_3_c15_c15_7" ::: "x0", "memory");
            return __LINE__;
        }
    }
    CHECK(signals == 30);
    CHECK(sigaction(SIGILL, &old, NULL) == 0);
    return 0;
}

// Handlers that change registers, at an instruction that is unknown and at `brk`.
int changed_registers(void) {
    struct sigaction action = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGILL, &action, NULL) == 0 && sigaction(SIGTRAP, &action, NULL) == 0);
    uint64_t sum = 0;
    for (int i = 0; i < 10; i++) {
        register uint64_t value __asm__("x19") = sum;
        __asm__ volatile("adr x20, 1f\n .inst 0xce638041\n mov x19, #0\n 1:" : "+r"(value) : : "x20", "v1", "memory");
        __asm__ volatile("adr x20, 1f\n udf #7\n mov x19, #0\n 1:" : "+r"(value) : : "x20", "memory");
        __asm__ volatile("adr x20, 1f\n brk #3\n mov x19, #0\n 1:" : "+r"(value) : : "x20", "memory");
        sum = value;
    }
    CHECK(sum == 150 && signals == 30);
    return 0;
}

// Pointers may carry a tag in their highest byte.
int tagged(void) {
    static volatile uint64_t words[64];
    for (uint64_t i = 0; i < 64; i++) {
        volatile uint64_t* at = (volatile uint64_t*)((uintptr_t)&words[i] | (0xa5 + i) << 56);
        *at = i * i;
        __atomic_fetch_add((uint64_t*)at, 1, __ATOMIC_SEQ_CST);
        CHECK(*at == i * i + 1 && words[i] == i * i + 1);
    }
    return 0;
}
