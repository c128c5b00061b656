// System calls of all kinds, and what they leave in errno.
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int maps(void) {
    const size_t size = 64 << 12;
    for (int round = 0; round < 50; round++) {
        unsigned char* at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(at != MAP_FAILED);
        for (size_t i = 0; i < size; i += 4096)
            at[i] += (unsigned char)(i >> 12);
        CHECK(mprotect(at, size / 2, PROT_READ) == 0);
        CHECK(mprotect(at, size / 2, PROT_READ | PROT_WRITE) == 0);
        unsigned char* moved = mremap(at, size, 2 * size, MREMAP_MAYMOVE);
        CHECK(moved != MAP_FAILED);
        for (size_t i = 0; i < size; i += 4096)
            CHECK(moved[i] == (unsigned char)(i >> 12));
        CHECK(munmap(moved + size, size) == 0);
        unsigned char* fixed = mmap(moved, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        CHECK(fixed == moved && moved[0] == 0 && moved[4096] == 1);
        CHECK(madvise(moved, size, MADV_DONTNEED) == 0 && moved[4096] == 0);
        CHECK(munmap(moved, size) == 0);
    }
    errno = 0;
    CHECK(mmap((void*)1, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
    return 0;
}

int breaks(void) {
    char* before = sbrk(0);
    CHECK(sbrk(1 << 20) == before);
    memset(before, 7, 1 << 20);
    CHECK(before[(1 << 20) - 1] == 7);
    CHECK(brk(before) == 0 && sbrk(0) == before);
    return 0;
}

int files(void) {
    int file = memfd_create("test", MFD_CLOEXEC);
    CHECK(file >= 0);
    char text[4096], back[4096];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    for (int i = 0; i < 100; i++)
        CHECK(write(file, text, sizeof text) == sizeof text);
    CHECK(lseek(file, 99 * 4096, SEEK_SET) == 99 * 4096);
    CHECK(read(file, back, sizeof back) == sizeof back && memcmp(text, back, sizeof back) == 0);
    CHECK(read(file, back, 1) == 0);
    struct iovec parts[2] = {{back, 100}, {back + 100, 200}};
    CHECK(preadv(file, parts, 2, 4096) == 300 && memcmp(text, back, 300) == 0);
    CHECK(pwrite(file, "x", 1, 5) == 1 && pread(file, back, 1, 5) == 1 && back[0] == 'x');
    struct stat about;
    CHECK(fstat(file, &about) == 0 && about.st_size == 409600);
    CHECK(ftruncate(file, 10) == 0 && fstat(file, &about) == 0 && about.st_size == 10);
    CHECK(close(file) == 0);
    errno = 0;
    CHECK(close(file) == -1 && errno == EBADF);
    CHECK(open("/nonexistent/file", O_RDONLY) == -1 && errno == ENOENT);
    CHECK(read(-1, back, 1) == -1 && errno == EBADF);
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    CHECK(read(ends[0], back, 1) == -1 && errno == EAGAIN);
    CHECK(syscall(SYS_write, ends[1], 8, 16) == -1 && errno == EFAULT);
    close(ends[0]), close(ends[1]);
    return 0;
}

int clocks(void) {
    struct timespec before, after;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    for (int i = 0; i < 1000; i++) {
        CHECK(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
        CHECK(after.tv_sec > before.tv_sec || (after.tv_sec == before.tv_sec && after.tv_nsec >= before.tv_nsec));
        before = after;
    }
    struct timespec nap = {0, 20000000};
    CHECK(nanosleep(&nap, NULL) == 0 && clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    int64_t slept = (after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec - before.tv_nsec;
    CHECK(slept >= 20000000 && slept < 2000000000);
    struct timeval now;
    CHECK(gettimeofday(&now, NULL) == 0 && now.tv_sec > 1600000000);
    struct timespec cpu;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu) == 0);
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return 0;
}

static int word;

static void* waker(void* unused) {
    struct timespec nap = {0, 20000000};
    nanosleep(&nap, NULL);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
    return unused;
}

int futexes(void) {
    struct timespec limit = {0, 10000000};
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &limit, NULL, 0) == -1 && errno == ETIMEDOUT);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, waker, NULL) == 0);
    while (!__atomic_load_n(&word, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}

static void nothing(int signal) { (void)signal; }

// Interrupted without SA_RESTART, gone on with it.
int interruptions(void) {
    struct sigaction action = {.sa_handler = nothing};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    // Again and again: on a busy machine the first may come before what it interrupts.
    struct itimerval soon = {{0, 30000}, {0, 30000}}, never = {0};
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    errno = 0;
    CHECK(read(ends[0], &byte, 1) == -1 && errno == EINTR);
    struct timespec nap = {5, 0}, left = {0};
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    CHECK(nanosleep(&nap, &left) == -1 && errno == EINTR && left.tv_sec == 4);
    action.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    pid_t child = fork();
    if (child == 0) {
        usleep(100000);
        _exit(write(ends[1], "!", 1) != 1);
    }
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    CHECK(read(ends[0], &byte, 1) == 1 && byte == '!');
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    close(ends[0]), close(ends[1]);
    return 0;
}

// Results of every size and sign come back whole; so do arguments.
int many(void) {
    int counter = eventfd(0, 0);
    CHECK(counter >= 0);
    uint64_t sum = 0, value;
    for (uint64_t i = 0; i < 20000; i++) {
        value = i * i;
        CHECK(write(counter, &value, 8) == 8 || value == 0);
        sum += value;
    }
    CHECK(read(counter, &value, 8) == 8 && value == sum);
    close(counter);
    for (int i = 0; i < 20000; i++)
        CHECK(syscall(SYS_getpid) == getpid());
    return 0;
}

int allocations(void) {
    static void* blocks[1000];
    unsigned seed = 1;
    for (int i = 0; i < 50000; i++) {
        seed = seed * 1103515245 + 12345;
        void** place = &blocks[(seed >> 16) % 1000];
        size_t size = (seed >> 8) % ((i % 500) ? 3000 : 3000000);
        *place = realloc(*place, size + 1);
        CHECK(*place != NULL);
        memset(*place, i, size + 1);
    }
    for (int i = 0; i < 1000; i++)
        free(blocks[i]), blocks[i] = NULL;
    return 0;
}
