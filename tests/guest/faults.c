// What the processor forbids: each ends the worker.
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile uintptr_t address;
static const int constant = 5;

__attribute__((noinline)) int null_read(void) { return *(volatile int*)address; }

__attribute__((noinline)) int wild_write(void) {
    address = 0x123456789000;
    *(volatile int*)(address + 8) = 1;
    return 0;
}

__attribute__((noinline)) int constant_write(void) {
    address = (uintptr_t)&constant;
    *(volatile int*)address = 1;
    return 0;
}

__attribute__((noinline)) int null_jump(void) { return ((int (*)(void))address)() + 1; }

static int data[4] = {0x52800000, (int)0xd65f03c0};

__attribute__((noinline)) int data_jump(void) {
    address = (uintptr_t)data;
    return ((int (*)(void))address)() + 1;
}

__attribute__((noinline)) int undefined(void) {
    __asm__ volatile("udf #1");
    return 0;
}

__attribute__((noinline)) int breakpoint(void) {
    __asm__ volatile("brk #1");
    return 0;
}

int aborts(void) { abort(); }

__attribute__((noinline)) int stack_overflow(void) {
    volatile char ballast[4096];
    ballast[0] = (char)address;
    return stack_overflow() + ballast[0];
}

// The file ends before the page does.
__attribute__((noinline)) int beyond_the_file(void) {
    int file = memfd_create("short", 0);
    volatile char* at = mmap(NULL, 8192, PROT_READ, MAP_SHARED, file, 0);
    return at == MAP_FAILED ? 1 : at[4096];
}

static void* faults(void* unused) {
    null_read();
    return unused;
}

int in_a_thread(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, faults, NULL) == 0);
    pthread_join(thread, NULL);
    return 0;
}

// No trap on this architecture.
int division(void) {
    volatile int zero = 0, least = INT32_MIN, minus = -1;
    int result;
    __asm__ volatile("sdiv %w0, %w1, %w2" : "=r"(result) : "r"(least), "r"(zero));
    CHECK(result == 0);
    __asm__ volatile("sdiv %w0, %w1, %w2" : "=r"(result) : "r"(least), "r"(minus));
    CHECK(result == INT32_MIN);
    return 0;
}

int killed(void) {
    // Sent, not caused: while computing.
    extern int kill(pid_t, int);
    pid_t child = fork();
    if (child == 0) {
        usleep(50000);
        _exit(kill(getppid(), 11));
    }
    for (volatile uint64_t i = 0;;)
        i = i + 1;
}
