// Signals, to threads that compute and to threads that wait.
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t seen;
static volatile int computing;
static volatile int64_t arrived;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000ll + time.tv_nsec / 1000;
}

static void note(int signal) {
    (void)signal;
    arrived = now();
    seen++;
}

// Computing without a system call, until the handler has run.
static int64_t compute(void) {
    volatile uint64_t x = 1;
    sig_atomic_t before = seen;
    computing = 1;
    while (seen == before)
        x = x * 3 + 1;
    return (int64_t)x;
}

static int compare(const void* a, const void* b) {
    return (*(const int64_t*)a > *(const int64_t*)b) - (*(const int64_t*)a < *(const int64_t*)b);
}

int timers(void) {
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    int64_t late[21];
    for (int i = 0; i < 21; i++) {
        struct itimerval soon = {.it_value = {0, 5000}};
        int64_t start = now();
        CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
        compute();
        late[i] = arrived - start - 5000;
    }
    qsort(late, 21, sizeof late[0], compare);
    dprintf(2, "late: %lld us, median of 21\n", (long long)late[10]);
    // The machine may be busy now and then.
    CHECK(late[10] < 50000);
    return 0;
}

static void* computes(void* unused) {
    compute();
    return unused;
}

int sent(void) {
    struct sigaction action = {.sa_handler = note};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(raise(SIGUSR1) == 0 && seen == 1);
    CHECK(kill(getpid(), SIGUSR1) == 0 && seen == 2);
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        sig_atomic_t before = seen;
        computing = 0;
        CHECK(pthread_create(&thread, NULL, computes, NULL) == 0);
        while (!computing)
            usleep(1000);
        usleep(20000);
        CHECK(pthread_kill(thread, SIGUSR1) == 0 && pthread_join(thread, NULL) == 0);
        CHECK(seen == before + 1);
    }
    // Blocked, then waited for.
    sigset_t set, old, pending;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    sig_atomic_t before = seen;
    raise(SIGUSR1);
    CHECK(seen == before && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    CHECK(sigsuspend(&old) == -1 && errno == EINTR && seen == before + 1);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    return 0;
}

static sigjmp_buf place;
static char* on_stack;

static void leap(int signal) {
    char here;
    on_stack = &here;
    siglongjmp(place, signal);
}

static volatile uint64_t progress;

int leaps(void) {
    static char stack[1 << 16];
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    CHECK(sigaltstack(&alternative, NULL) == 0);
    struct sigaction action = {.sa_handler = leap, .sa_flags = SA_ONSTACK};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    for (volatile int i = 0; i < 10; i++) {
        if (sigsetjmp(place, 1) == 0) {
            struct itimerval soon = {.it_value = {0, 5000}};
            CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
            for (;;)
                progress = progress + 1;
        }
        CHECK(on_stack >= stack && on_stack < stack + sizeof stack);
    }
    CHECK(progress > 0);
    return 0;
}

static volatile int state[4];

static void change_mask(int signal, siginfo_t* info, void* context) {
    (void)info;
    ucontext_t* user = context;
    sigaddset(&user->uc_sigmask, SIGUSR2);
    state[0] = signal;
}

// Registers of floating point, flags and all others are the same after a handler, whenever it comes.
static void scramble(int signal) {
    (void)signal;
    volatile double x = 1.5;
    for (int i = 0; i < 100; i++)
        x = x * 1.1;
    __asm__ volatile("msr fpsr, xzr\n movi v0.16b, #255\n movi v31.16b, #255\n cmp xzr, xzr" ::: "v0", "v31", "cc");
    seen++;
}

int kept(void) {
    struct sigaction action = {.sa_sigaction = change_mask, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0 && state[0] == SIGUSR1);
    sigset_t mask;
    CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR2));
    action.sa_handler = scramble, action.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval often = {.it_value = {0, 3000}, .it_interval = {0, 3000}}, never = {0};
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    double sum = 0;
    uint64_t hash = 1;
    for (uint32_t i = 1; i < 30000000 || seen < 5; i++) {
        if (i < 30000000) {
            sum += 1.0 / i;
            hash = (hash ^ i) * 1099511628211u;
        }
    }
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    dprintf(1, "%.17g %llx\n", sum, (unsigned long long)hash);
    return 0;
}

static char* guarded;
static volatile int faults;

static void on_fault(int signal, siginfo_t* info, void* context) {
    (void)signal, (void)context;
    faults++;
    char* at = (char*)((uintptr_t)info->si_addr & ~4095ul);
    if (at >= guarded && at < guarded + (64 << 12))
        mprotect(at, 4096, PROT_READ | PROT_WRITE);
    else
        siglongjmp(place, 1);
}

// A library that handles its own faults: pages that appear when they are touched, and a probe of memory.
int own_faults(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, old;
    CHECK(sigaction(SIGSEGV, &action, &old) == 0);
    guarded = mmap(NULL, 64 << 12, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(guarded != MAP_FAILED);
    for (int i = 0; i < 64; i++)
        guarded[i << 12] = (char)i, guarded[(i << 12) + 1]++;
    CHECK(faults == 64);
    for (int i = 0; i < 64; i++)
        CHECK(guarded[i << 12] == i);
    for (volatile int i = 0; i < 10; i++) {
        if (sigsetjmp(place, 1) == 0) {
            *(volatile char*)(uintptr_t)(i + 8) = 1;
            return __LINE__;
        }
    }
    CHECK(faults == 74);
    return sigaction(SIGSEGV, &old, NULL);
}
