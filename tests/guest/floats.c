// Modes and flags of floating point.
#include "check.h"
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <unistd.h>

__attribute__((noinline)) static double third(double x) { return x / 3; }
__attribute__((noinline)) static double product(double x, double y) { return x * y; }

static uint64_t bits(double x) {
    uint64_t word;
    memcpy(&word, &x, 8);
    return word;
}

static uint64_t fpcr(void) {
    uint64_t value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
}

static void set_fpcr(uint64_t value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }

int modes(void) {
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    for (int i = 0; i < 4; i++) {
        CHECK(fesetround(modes[i]) == 0);
        getppid(); // QEMU and back.
        CHECK(fegetround() == modes[i]);
        uint64_t counter;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(counter)); // unknown to the translator
        CHECK(fegetround() == modes[i]);
        dprintf(1, "%llx %llx %llx %f\n", (unsigned long long)bits(third(1)), (unsigned long long)bits(third(-1)),
                (unsigned long long)bits(sqrt(2 + 0 * third(1))), rint(2.5));
    }
    fesetround(FE_TONEAREST);
    return 0;
}

int flags(void) {
    feclearexcept(FE_ALL_EXCEPT);
    getppid();
    CHECK(fetestexcept(FE_ALL_EXCEPT) == 0);
    static volatile double zero = 0, one = 1, huge = 1e308, tiny = 1e-308;
    volatile double result = one / zero;
    getppid();
    dprintf(1, "%x\n", fetestexcept(FE_ALL_EXCEPT));
    result = zero / zero;
    dprintf(1, "%x\n", fetestexcept(FE_ALL_EXCEPT));
    result = product(huge, 10);
    getppid();
    dprintf(1, "%x\n", fetestexcept(FE_ALL_EXCEPT));
    feclearexcept(FE_ALL_EXCEPT);
    result = product(tiny, 1e-10);
    dprintf(1, "%x\n", fetestexcept(FE_ALL_EXCEPT));
    feclearexcept(FE_ALL_EXCEPT);
    result = third(one);
    getppid();
    dprintf(1, "%x\n", fetestexcept(FE_ALL_EXCEPT));
    (void)result;
    feclearexcept(FE_ALL_EXCEPT);
    return 0;
}

// Flush to zero and default NaN.
int denormals(void) {
    uint64_t before = fpcr();
    for (int i = 0; i < 4; i++) {
        set_fpcr((uint64_t)i << 24);
        getppid();
        CHECK(fpcr() == (uint64_t)i << 24);
        double nan;
        memcpy(&nan, &(uint64_t){0x7ff8000012345678}, 8);
        dprintf(1, "%llx %llx\n", (unsigned long long)bits(product(1e-300, 1e-10)), (unsigned long long)bits(product(nan, 2)));
    }
    set_fpcr(before);
    return 0;
}

int leaves_a_mode(void) { return fesetround(FE_UPWARD); }
