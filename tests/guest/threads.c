// Threads of the library, from start to every kind of end.
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>
#include <unistd.h>

static __thread int own = 7;
static pthread_key_t key;
static int counter;

static void count_down(void* value) { __atomic_fetch_sub(&counter, (int)(intptr_t)value, __ATOMIC_SEQ_CST); }

static void* brief(void* value) {
    if (own != 7)
        return NULL;
    own = (int)(intptr_t)value;
    __atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
    pthread_setspecific(key, (void*)1);
    return value;
}

// Thousands of short ones, four at a time.
int brief_ones(void) {
    CHECK(pthread_key_create(&key, count_down) == 0);
    for (intptr_t i = 0; i < 500; i++) {
        pthread_t threads[4];
        for (intptr_t j = 0; j < 4; j++)
            CHECK(pthread_create(&threads[j], NULL, brief, (void*)(i * 4 + j + 1)) == 0);
        for (intptr_t j = 0; j < 4; j++) {
            void* result;
            CHECK(pthread_join(threads[j], &result) == 0 && result == (void*)(i * 4 + j + 1));
        }
        // The destructors of the key have run.
        CHECK(counter == 0);
    }
    pthread_key_delete(key);
    return 0;
}

static int returns(void* value) { return -(int)(intptr_t)value; }

static int leaves(void* value) { thrd_exit(-(int)(intptr_t)value); }

// As C11 has them. The creator stays in QEMU after the first.
int c11(void) {
    for (intptr_t i = 0; i < 500; i++) {
        thrd_t thread;
        int result;
        CHECK(thrd_create(&thread, i % 2 ? returns : leaves, (void*)i) == thrd_success);
        CHECK(thrd_join(thread, &result) == thrd_success && result == -i);
    }
    return 0;
}

static sem_t done;

static void* detached(void* unused) {
    sem_post(&done);
    return unused;
}

int detached_ones(void) {
    pthread_attr_t attributes;
    CHECK(sem_init(&done, 0, 0) == 0 && pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 1 << 18) == 0);
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attributes, detached, NULL) == 0);
        CHECK(sem_wait(&done) == 0);
    }
    return 0;
}

static int cleaned;

static void clean(void* value) { __atomic_fetch_add(&cleaned, (int)(intptr_t)value, __ATOMIC_SEQ_CST); }

__attribute__((noinline)) static void descend(int depth) {
    volatile char ballast[64] = {0};
    pthread_cleanup_push(clean, (void*)1);
    if (depth == 0)
        pthread_exit((void*)42);
    descend(depth - 1);
    pthread_cleanup_pop(ballast[depth % 64]);
}

static void* exits(void* depth) {
    descend((int)(intptr_t)depth);
    return NULL;
}

int exit_from_the_depth(void) {
    for (intptr_t i = 0; i < 30; i++) {
        pthread_t thread;
        void* result;
        cleaned = 0;
        CHECK(pthread_create(&thread, NULL, exits, (void*)i) == 0);
        CHECK(pthread_join(thread, &result) == 0 && result == (void*)42 && cleaned == (int)i + 1);
    }
    return 0;
}

static volatile int running;

static void* waits(void* how) {
    pthread_cleanup_push(clean, (void*)1);
    switch ((intptr_t)how) {
    case 0: { // at a system call
        int ends[2];
        char byte;
        if (pipe(ends) == 0) {
            running = 1;
            (void)!read(ends[0], &byte, 1);
        }
        break;
    }
    case 1: { // in a condition variable
        pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        pthread_cond_t never = PTHREAD_COND_INITIALIZER;
        pthread_mutex_lock(&mutex);
        running = 1;
        for (;;)
            pthread_cond_wait(&never, &mutex);
    }
    case 2: // where it asks
        running = 1;
        for (;;)
            pthread_testcancel();
    case 3: { // anywhere: computing
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
        running = 1;
        for (volatile uint64_t i = 0;;)
            i = i + 1;
    }
    }
    pthread_cleanup_pop(0);
    return NULL;
}

int cancelled(void) {
    for (intptr_t how = 0; how < 4; how++) {
        for (int i = 0; i < 5; i++) {
            pthread_t thread;
            void* result;
            cleaned = 0;
            running = 0;
            CHECK(pthread_create(&thread, NULL, waits, (void*)how) == 0);
            while (!running)
                usleep(1000);
            usleep(i * 3000);
            CHECK(pthread_cancel(thread) == 0);
            CHECK(pthread_join(thread, &result) == 0);
            CHECK(result == PTHREAD_CANCELED && cleaned == 1);
        }
    }
    return 0;
}

// Everything that threads wait for each other with.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t tokens;
static int64_t sums[4];
static int stage;

static void* works(void* number) {
    int64_t own_sum = 0;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&mutex);
        sums[0]++;
        pthread_mutex_unlock(&mutex);
        pthread_rwlock_rdlock(&lock);
        own_sum += sums[1] & 1;
        pthread_rwlock_unlock(&lock);
        pthread_rwlock_wrlock(&lock);
        sums[1] += 2;
        pthread_rwlock_unlock(&lock);
        sem_wait(&tokens);
        __atomic_fetch_add(&sums[2], 1, __ATOMIC_RELAXED);
        sem_post(&tokens);
        if (i % 100 == 0)
            pthread_barrier_wait(&barrier);
    }
    pthread_mutex_lock(&mutex);
    while (stage != (int)(intptr_t)number)
        pthread_cond_wait(&changed, &mutex);
    stage++;
    sums[3] += own_sum;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

int together(void) {
    CHECK(pthread_barrier_init(&barrier, NULL, 4) == 0 && sem_init(&tokens, 0, 2) == 0);
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, works, (void*)(3 - i)) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(sums[0] == 2000 && sums[1] == 4000 && sums[2] == 2000 && sums[3] == 0 && stage == 4);
    return 0;
}

static pthread_barrier_t all;

static void* one_of_many(void* value) {
    uint64_t x = (uint64_t)(uintptr_t)value;
    for (int i = 0; i < 1000; i++)
        x = x * 6364136223846793005ull + 1;
    pthread_barrier_wait(&all);
    return (void*)(uintptr_t)x;
}

// More at a time than the accelerator has translators.
int crowd(void) {
    enum { COUNT = 300 };
    static pthread_t threads[COUNT];
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 1 << 18) == 0);
    CHECK(pthread_barrier_init(&all, NULL, COUNT) == 0);
    for (intptr_t i = 0; i < COUNT; i++)
        CHECK(pthread_create(&threads[i], &attributes, one_of_many, (void*)i) == 0);
    for (intptr_t i = 0; i < COUNT; i++) {
        void* result;
        CHECK(pthread_join(threads[i], &result) == 0);
        uint64_t x = (uint64_t)i;
        for (int j = 0; j < 1000; j++)
            x = x * 6364136223846793005ull + 1;
        CHECK((uint64_t)(uintptr_t)result == x);
    }
    return 0;
}

static void* endless(void* unused) {
    for (volatile uint64_t i = 0;;)
        i = i + 1;
    return unused;
}

// The call returns, and the process ends, while a thread computes.
int left_running(void) {
    pthread_t thread;
    return pthread_create(&thread, NULL, endless, NULL);
}
