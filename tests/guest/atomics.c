// Atomic operations between turbo, QEMU and another process.
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EACH = 300000, WIDE = 20000 };

static struct shared {
    _Alignas(64) uint64_t count;
    _Alignas(64) unsigned char byte;
    _Alignas(64) uint32_t word;
    _Alignas(16) uint64_t wide[2];
}* shared;

static uint64_t add(uint64_t* at) {
    uint64_t value;
    uint32_t failed;
    do {
        __asm__ volatile("ldaxr %0, %3\n add %0, %0, #1\n stlxr %w1, %0, %2" : "=&r"(value), "=&r"(failed), "=Q"(*at) : "Q"(*at) : "memory");
    } while (failed);
    return value;
}

// Both halves count; together they are one number only if none is torn.
static void add_wide(uint64_t* at) {
    uint64_t low, high;
    uint32_t failed;
    do {
        __asm__ volatile("ldaxp %0, %1, [%3]\n add %0, %0, #1\n add %1, %1, #2\n stlxp %w2, %0, %1, [%3]"
                         : "=&r"(low), "=&r"(high), "=&r"(failed) : "r"(at) : "memory");
    } while (failed);
}

static void count(void) {
    for (int i = 0; i < EACH; i++) {
        add(&shared->count);
        if (i % 4 == 0) {
            __atomic_fetch_add(&shared->byte, 1, __ATOMIC_RELAXED);
            __atomic_fetch_xor(&shared->word, (uint32_t)i, __ATOMIC_SEQ_CST);
        }
    }
    for (int i = 0; i < WIDE; i++)
        add_wide(shared->wide);
}

static void* counts(void* unused) {
    count();
    return unused;
}

// The caller has left turbo when it has created its threads, which have not; the child is a process of its own.
int counters(void) {
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        count();
        _exit(0);
    }
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, counts, NULL) == 0);
    count();
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(shared->count == 4 * EACH && shared->byte == (unsigned char)EACH && shared->word == 0);
    CHECK(shared->wide[0] == 4 * WIDE && shared->wide[1] == 8 * WIDE);
    return 0;
}

// Litmus tests: what the architecture forbids is never seen.
static _Alignas(64) volatile uint64_t x;
static _Alignas(64) volatile uint64_t y;
static _Alignas(64) uint64_t round_started[2], round_ended[2];
static uint64_t seen[2];

enum { ROUNDS = 20000 };

// Message passing: plain stores in between release and acquire. Counted up, so that rounds need no meeting.
static void* sends(void* unused) {
    for (uint64_t i = 1; i <= 2000000; i++) {
        x = i;
        __atomic_store_n(&y, i, __ATOMIC_RELEASE);
    }
    return unused;
}

int messages(void) {
    pthread_t thread;
    x = y = 0;
    CHECK(pthread_create(&thread, NULL, sends, NULL) == 0);
    for (uint64_t flag = 0; flag < 2000000;) {
        flag = __atomic_load_n(&y, __ATOMIC_ACQUIRE);
        CHECK(x >= flag);
    }
    pthread_join(thread, NULL);
    return 0;
}

// Store buffering with barriers: not both miss the other's store.
static void* stores(void* number) {
    int own = (int)(intptr_t)number;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        __atomic_store_n(&round_started[own], i, __ATOMIC_SEQ_CST);
        for (int spins = 0; __atomic_load_n(&round_started[!own], __ATOMIC_SEQ_CST) < i;)
            if (++spins > 1000)
                sched_yield();
        if (own) {
            x = i;
            __asm__ volatile("dmb ish" ::: "memory");
            seen[1] = y;
        } else {
            y = i;
            __asm__ volatile("dmb ish" ::: "memory");
            seen[0] = x;
        }
        __atomic_store_n(&round_ended[own], i, __ATOMIC_SEQ_CST);
        for (int spins = 0; __atomic_load_n(&round_ended[!own], __ATOMIC_SEQ_CST) < i;)
            if (++spins > 1000)
                sched_yield();
        if (seen[0] < i && seen[1] < i)
            return (void*)1;
    }
    return NULL;
}

int barriers(void) {
    pthread_t threads[2];
    x = y = 0;
    for (intptr_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, stores, (void*)i) == 0);
    for (int i = 0; i < 2; i++) {
        void* result;
        CHECK(pthread_join(threads[i], &result) == 0 && result == NULL);
    }
    return 0;
}
