// Control flow that is not calls and returns; large stacks.
#include "check.h"
#include <alloca.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

static jmp_buf place;

__attribute__((noinline)) static int dive(int depth, int value) {
    volatile char ballast[100];
    ballast[depth % 100] = (char)depth;
    if (depth > 0)
        return dive(depth - 1, value) + ballast[depth % 100];
    longjmp(place, value);
}

int longjmps(void) {
    volatile double kept = 1.5;
    volatile int sum = 0;
    for (volatile int i = 1; i <= 10000; i++) {
        int got = setjmp(place);
        if (got == 0)
            dive(i % 100, i);
        sum += got;
        kept += 0.5;
    }
    CHECK(sum == 50005000 && kept == 5001.5);
    return 0;
}

__attribute__((noinline)) static uint64_t recursion(uint64_t depth) {
    return depth == 0 ? 0 : depth + recursion(depth - 1) * (depth % 2 ? 1 : -1ull);
}

__attribute__((noinline)) static uint64_t sum_up(const volatile unsigned char* bytes, size_t size) {
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i += 512)
        sum += bytes[i];
    return sum;
}

int deep(void) {
    dprintf(1, "%llx\n", (unsigned long long)recursion(100000));
    uint64_t sum = 0;
    for (int i = 1; i < 20; i++) {
        size_t size = (size_t)i * 200000;
        volatile unsigned char* bytes = alloca(size);
        if (i % 5)
            continue;
        for (size_t at = 0; at < size; at += 512)
            bytes[at] = (unsigned char)(at >> 9);
        sum += sum_up(bytes, size);
        // Not all of it at once: the stack ends at 8 MiB.
        if (i == 5)
            break;
    }
    dprintf(1, "%llu\n", (unsigned long long)sum);
    return 0;
}

static ucontext_t here, there;
static int turns;

static void other_stack(void) {
    for (;;) {
        turns++;
        swapcontext(&there, &here);
    }
}

int coroutines(void) {
    static char stack[1 << 16];
    CHECK(getcontext(&there) == 0);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof stack;
    makecontext(&there, other_stack, 0);
    for (int i = 0; i < 1000; i++)
        CHECK(swapcontext(&here, &there) == 0);
    CHECK(turns == 1000);
    return 0;
}

static int compare(const void* a, const void* b) {
    return (*(const int*)a > *(const int*)b) - (*(const int*)a < *(const int*)b);
}

// The C library calls back; the worker's own code, which every allocation may reach
// through its exported functions, is another such way.
int callbacks(void) {
    static int numbers[20000];
    for (int i = 0; i < 20000; i++)
        numbers[i] = (i * 7919) % 20011;
    qsort(numbers, 20000, sizeof(int), compare);
    for (int i = 1; i < 20000; i++)
        CHECK(numbers[i - 1] <= numbers[i]);
    return 0;
}
