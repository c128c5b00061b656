// Code that is written, executed, and written again.
#define _GNU_SOURCE
#include "check.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef int function(void);

// A function that returns `value`, of 16 bits.
static void write_function(uint32_t* code, uint32_t value) {
    code[0] = 0x52800000 | value << 5; // mov w0, #value
    code[1] = 0xd65f03c0;              // ret
    __builtin___clear_cache((char*)code, (char*)(code + 2));
}

int rewritten(void) {
    uint32_t* code = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(code != MAP_FAILED);
    for (uint32_t i = 0; i < 2000; i++) {
        // At many places, across two pages.
        uint32_t* at = code + i * 2 % 2046;
        write_function(at, i);
        CHECK(((function*)at)() == (int)i);
        write_function(at, i ^ 0x5555);
        CHECK(((function*)at)() == (int)(i ^ 0x5555));
    }
    munmap(code, 8192);
    return 0;
}

// As dynamic linkers and strict JITs do it: never writable and executable at a time.
int protected(void) {
    uint32_t* code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(code != MAP_FAILED);
    for (uint32_t i = 0; i < 300; i++) {
        CHECK(mprotect(code, 4096, PROT_READ | PROT_WRITE) == 0);
        write_function(code, i);
        CHECK(mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0);
        CHECK(((function*)code)() == (int)i);
    }
    munmap(code, 4096);
    return 0;
}

// Without flushing caches: other code comes to the same address by a mapping.
int mapped_over(void) {
    int file = memfd_create("code", 0);
    CHECK(file >= 0 && ftruncate(file, 16 * 4096) == 0);
    for (int i = 0; i < 16; i++) {
        uint32_t words[2] = {0x52800000 | (uint32_t)i << 5, 0xd65f03c0};
        CHECK(pwrite(file, words, 8, i * 4096) == 8);
    }
    uint32_t* code = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    CHECK(code != MAP_FAILED);
    for (int i = 0; i < 300; i++) {
        int page = i * 7 % 15;
        switch (i % 3) {
        case 0: // over it
            CHECK(mmap(code, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file, page * 4096) == code);
            break;
        case 1: // after it is gone
            CHECK(munmap(code, 4096) == 0);
            CHECK(mmap(code, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED_NOREPLACE, file, page * 4096) == code);
            break;
        case 2: { // moved there
            void* other = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, page * 4096);
            CHECK(other != MAP_FAILED && ((function*)other)() == page);
            CHECK(mremap(other, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, code) == code);
        }
        }
        CHECK(((function*)code)() == page);
    }
    munmap(code, 8192);
    close(file);
    return 0;
}

// Written through one mapping, executed through another.
int dual(void) {
    int file = memfd_create("code", 0);
    CHECK(file >= 0 && ftruncate(file, 4096) == 0);
    uint32_t* writable = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    uint32_t* code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    CHECK(writable != MAP_FAILED && code != MAP_FAILED);
    for (uint32_t i = 0; i < 300; i++) {
        write_function(writable, i);
        __builtin___clear_cache((char*)code, (char*)(code + 2));
        CHECK(((function*)code)() == (int)i);
    }
    return 0;
}

static uint32_t* shared_code;
static int turn, wrong, ended;

static void* caller(void* unused) {
    int last = 0;
    while (last < 500) {
        int now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE);
        if (now == last) {
            sched_yield();
            continue;
        }
        // Another processor sees new instructions after this barrier alone (Arm ARM, B2.2.5).
        __asm__ volatile("isb" ::: "memory");
        if (((function*)shared_code)() != now)
            wrong++;
        last = now;
        __atomic_store_n(&ended, now, __ATOMIC_RELEASE);
    }
    return unused;
}

// One thread writes, the other executes.
int in_two_threads(void) {
    shared_code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(shared_code != MAP_FAILED);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, caller, NULL) == 0);
    for (int i = 1; i <= 500; i++) {
        write_function(shared_code, (uint32_t)i);
        __atomic_store_n(&turn, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) != i)
            sched_yield();
    }
    pthread_join(thread, NULL);
    CHECK(wrong == 0);
    return 0;
}

static void* two_in_turbo(void* unused) { return (void*)(intptr_t)(unused ? 0 : in_two_threads()); }

int in_two_turbo_threads(void) {
    pthread_t thread;
    void* result;
    CHECK(pthread_create(&thread, NULL, two_in_turbo, NULL) == 0 && pthread_join(thread, &result) == 0);
    return (int)(intptr_t)result;
}

// IOTDEC_TEST_LIBRARIES: two paths of libraries, each with `int which(void)`.
int reloaded(void) {
    const char* paths = getenv("IOTDEC_TEST_LIBRARIES");
    CHECK(paths);
    char first[1000], second[1000];
    CHECK(sscanf(paths, "%999[^:]:%999s", first, second) == 2);
    for (int i = 0; i < 200; i++) {
        void* library = dlopen(i % 2 ? second : first, RTLD_NOW);
        if (!library)
            dprintf(2, "%s\n", dlerror());
        CHECK(library);
        function* which = (function*)dlsym(library, "which");
        CHECK(which && which() == 1 + i % 2);
        CHECK(dlclose(library) == 0);
    }
    return 0;
}
