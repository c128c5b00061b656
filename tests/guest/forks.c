// Children, forked and spawned.
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

static volatile int seen;

static void note(int signal) {
    (void)signal;
    seen = 1;
}

static void* computes(void* value) {
    uint64_t x = (uint64_t)(uintptr_t)value;
    for (int i = 0; i < 100000; i++)
        x = x * 6364136223846793005ull + 1;
    return (void*)(uintptr_t)x;
}

// What a child can do: compute, be interrupted, create threads and a child of its own. No
// threads if its parent had some: QEMU 7.2 ends with a failed assertion then.
static int live(int depth, int has_threads) {
    struct sigaction action = {.sa_handler = note};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval soon = {.it_value = {0, 10000}};
    seen = 0;
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    for (volatile uint64_t i = 0; !seen;)
        i = i + 1;
    pthread_t threads[2];
    for (intptr_t i = 0; i < 2 && has_threads; i++)
        CHECK(pthread_create(&threads[i], NULL, computes, (void*)i) == 0);
    for (intptr_t i = 0; i < 2 && has_threads; i++) {
        void* result;
        CHECK(pthread_join(threads[i], &result) == 0 && result == computes((void*)i));
    }
    if (depth > 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(live(depth - 1, 0) != 0);
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
    return 0;
}

int forked(void) {
    for (int i = 0; i < 5; i++) {
        char* own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pid_t child = fork();
        if (child == 0) {
            own[0] = 1;
            _exit(live(1, 1) ? 1 : 42);
        }
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42 && own[0] == 0);
        munmap(own, 4096);
    }
    return 0;
}

static volatile int stop;

static void* busy(void* how) {
    uint64_t x = 1;
    while (!stop) {
        x = x * 3 + 1;
        if (how && x % 1024 == 0) {
            void* at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            munmap(at, 4096);
        }
    }
    return NULL;
}

// Other threads compute, translate and map meanwhile. QEMU stops all of them for a fork.
int forked_among_threads(void) {
    pthread_t threads[2];
    stop = 0;
    for (intptr_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, busy, (void*)i) == 0);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(live(0, 0) ? 1 : 42);
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    }
    stop = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

static void* forks(void* unused) { return (void*)(intptr_t)(forked_among_threads() + (unused != NULL)); }

// From a thread that is in turbo, which the caller is not once it has created one.
int forked_in_a_thread(void) {
    pthread_t thread;
    void* result;
    CHECK(pthread_create(&thread, NULL, forks, NULL) == 0 && pthread_join(thread, &result) == 0);
    return (int)(intptr_t)result;
}

// Programs of the host: /bin/sh is one, which the kernel starts.
int spawned(void) {
    char* words[] = {"sh", "-c", "exit 7", NULL};
    pid_t child;
    int status;
    CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, words, environ) == 0);
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    CHECK(WEXITSTATUS(system("exit 9")) == 9);
    child = vfork();
    if (child == 0) {
        execv("/bin/sh", words);
        _exit(1);
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    child = fork();
    if (child == 0) {
        execv("/bin/sh", words);
        _exit(1);
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    FILE* output = popen("echo hello", "r");
    char line[10] = "";
    CHECK(output && fgets(line, sizeof line, output) && strcmp(line, "hello\n") == 0);
    CHECK(pclose(output) == 0);
    return 0;
}
