/* A native program that uses the library: program WHAT. Says "ok" or what is wrong. */
#define _GNU_SOURCE
#include "../scenarios.h"
#include "iotdec.h"
#include "sample.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            struct iotdec_error e; \
            iotdec_last_error(&e); \
            printf("line %d: %s; error %d: %s\n", __LINE__, #condition, e.kind, e.text); \
            exit(1); \
        } \
    } while (0)

static int twice_and_one(int n) { return 2 * n + 1; }
static int other(int n) { return -n; }

static void calls(void)
{
    uint32_t c[2] = {1, 2};
    CHECK(add(2, 3) == 5);
    CHECK(add(-7, 3) == -4);
    CHECK(so_lib_function_a(c) == 4);
    CHECK(c[0] == 2 && c[1] == 2);
    CHECK(jump_inside(17) == 17);
    empty();
    CHECK(iotdec_last_error(NULL) == 0);
}

static void errno_crosses(void)
{
    for (int i = 1; i < 200; i++) {
        errno = i;
        CHECK(swap_errno(i + 1000) == i);
        CHECK(errno == i + 1000);
    }
}

static void *calls_much(void *p)
{
    int thread = (int) (intptr_t) p;
    for (int i = 1; i <= 100000; i++) {
        if (i % 2) {
            CHECK(add(i, thread) == i + thread);
        } else {
            errno = thread;
            CHECK(swap_errno(i) == thread);
            CHECK(errno == i);
        }
    }
    CHECK(count_calls() == 1);
    CHECK(count_calls() == 2);
    return NULL;
}

static void threads(void)
{
    for (int round = 0; round < 2; round++) {
        pthread_t thread[8];
        for (int i = 0; i < 8; i++)
            CHECK(!pthread_create(&thread[i], NULL, calls_much, (void *) (intptr_t) (i + 1)));
        for (int i = 0; i < 8; i++)
            CHECK(!pthread_join(thread[i], NULL));
        if (getenv("SHORT"))
            break;
    }
    CHECK(count_calls() == 1);
}

static void *calls_once(void *p)
{
    CHECK(count_calls() == 1);
    return p;
}

/* More threads, one after the other, than there are lanes. */
static void many_threads(void)
{
    for (int i = 0; i < 600; i++) {
        pthread_t thread;
        CHECK(!pthread_create(&thread, NULL, calls_once, NULL));
        CHECK(!pthread_join(thread, NULL));
    }
}

static int errno_in_callback;
static int sees_errno(int n)
{
    errno_in_callback = errno;
    errno = n;
    return n;
}

static void callbacks(void)
{
    CHECK(call_back(twice_and_one, 3, 1000) == 7000);
    CHECK(call_back(other, 3, 10) == -30);
    errno = 5;
    CHECK(call_back(sees_errno, 77, 1) == 77);
    CHECK(errno_in_callback == 5);
    CHECK(errno == 77);
}

static void pointers(void)
{
    CHECK(swap_handler(twice_and_one) == NULL);
    CHECK(call_handler(4) == 9);
    CHECK(swap_handler(other) == twice_and_one);
    CHECK(call_handler(4) == -4);
    function doubler = get_doubler();
    CHECK(doubler && doubler != (function) -1);
    CHECK(doubler(21) == 42);
    CHECK(get_doubler() == doubler);
    CHECK(swap_handler(doubler) == other);
    CHECK(call_handler(4) == 8);
    CHECK(call_back(doubler, 2, 5) == 20);
    /* What is no address stays what it is. */
    CHECK(swap_handler((function) 1) == doubler);
    CHECK(swap_handler((function) -1) == (function) 1);
    CHECK(swap_handler(NULL) == (function) -1);
    int rounds = getenv("SHORT") ? 10000 : 1000000;
    swap_handler(twice_and_one);
    for (int i = 0; i < rounds; i++) {
        CHECK(swap_handler(i % 2 ? doubler : twice_and_one) == (i % 2 || !i ? twice_and_one : doubler));
    }
}

static void data(void)
{
    for (int round = 0; round < 3; round++) {
        CHECK(!strcmp(describe(0), "nothing"));
        CHECK(!strcmp(describe(1), "something"));
        int *counter = shared_counter_address();
        CHECK(counter && *counter == 5);
        CHECK(count_shared() == 6 && *counter == 6);
        *counter = 40;
        CHECK(count_shared() == 41);
        /* Functions lie beside constants; both stay where they are. */
        function doubler = get_doubler();
        CHECK(doubler(2) == 4);
        CHECK(swap_handler(doubler) == NULL && swap_handler(NULL) == doubler);
        CHECK(!strcmp(describe(1), "something"));
        CHECK(iotdec_last_error(NULL) == 0);
        CHECK(misbehave(SEGFAULT, 16) == -2);
        iotdec_clear_error();
    }
}

static int down(int depth) { return nest(down, depth); }

static jmp_buf place;
static int jumps(int n)
{
    if (n > 0)
        return nest(jumps, n);
    longjmp(place, 3);
}

static int jumps_within(int n)
{
    jmp_buf saved;
    memcpy(&saved, &place, sizeof saved);
    if (!setjmp(place))
        nest(jumps, 3);
    memcpy(&place, &saved, sizeof saved);
    return n + add(1, 1);
}

static void nesting(void)
{
    CHECK(nest(down, 63) == 63);
    CHECK(iotdec_last_error(NULL) == 0);
    /* 64 calls within one another, the outermost included; the next one is refused. */
    CHECK(nest(down, 64) == 64 - 2);
    CHECK(iotdec_last_error(NULL) == IOTDEC_TOO_DEEP);
    iotdec_clear_error();
    CHECK(nest(down, 63) == 63);
}

static void jumping(void)
{
    for (volatile int i = 0; i < 1000; i++) {
        volatile int depth = i % 20;
        if (!setjmp(place)) {
            nest(jumps, depth + 1);
            CHECK(!"the jump");
        }
        CHECK(add(i, depth) == i + depth);
        CHECK(call_back(jumps_within, i, 2) == 2 * (i + 2));
        CHECK(nest(down, 63) == 63);
    }
    CHECK(count_calls() == 1);
    CHECK(iotdec_last_error(NULL) == 0);
}

static pthread_t main_thread;
static int from_elsewhere(int n)
{
    CHECK(!pthread_equal(pthread_self(), main_thread));
    return add(n, count_calls() * 100) + call_back(twice_and_one, n, 2);
}

static void library_threads(void)
{
    main_thread = pthread_self();
    for (int i = 0; i < 600; i++)
        CHECK(call_from_thread(from_elsewhere, 1) == 1 + 100 + 6);
    CHECK(count_calls() == 1);
}

static void ends(enum misdeed misdeed, uint64_t argument, int kind, int sig)
{
    struct iotdec_error e;
    uint64_t generation;
    iotdec_clear_error();
    CHECK(add(1, 2) == 3);
    CHECK(misbehave(misdeed, argument) == -2);
    CHECK(iotdec_last_error(&e) == kind);
    CHECK(e.signal == sig);
    CHECK(e.text[0]);
    generation = e.generation;
    CHECK(generation > 0);
    if (sig == SIGSEGV) {
        CHECK(!strcmp(e.library, "libsample.so") || !strcmp(e.library, "libsample-arm.so"));
        CHECK(misdeed != SEGFAULT || !strcmp(e.symbol, "misbehave"));
        CHECK(e.pc);
        CHECK(misdeed != SEGFAULT || e.address == argument);
    }
    CHECK(add(3, 4) == 7);
}

static int crashes(int n)
{
    misbehave(SEGFAULT, 8);
    return n;
}

static volatile int is_done;
static void *waits_for_crash(void *p)
{
    /* Fails when the other thread's crash ends the worker. */
    CHECK(misbehave(HANG, 0) == -2);
    CHECK(iotdec_last_error(NULL) == IOTDEC_CRASHED);
    is_done = 1;
    return p;
}

static int handled;
static void handler(const struct iotdec_error *error, void *data)
{
    CHECK(error->kind == IOTDEC_CRASHED);
    ++*(int *) data;
}

static void crashing(void)
{
    ends(SEGFAULT, 16, IOTDEC_CRASHED, SIGSEGV);
    ends(ABORT, 0, IOTDEC_CRASHED, SIGABRT);
    ends(OVERFLOW_STACK, 0, IOTDEC_CRASHED, SIGSEGV);
    ends(EXIT, 3, IOTDEC_EXITED, 0);
    /* Within a callback: the outer call fails as well. */
    iotdec_set_crash_handler(handler, &handled);
    CHECK(call_back(crashes, 1, 10) == -2);
    CHECK(iotdec_last_error(NULL) == IOTDEC_CRASHED);
    CHECK(handled == 2);
    CHECK(iotdec_set_crash_handler(NULL, NULL) == handler);
    pthread_t thread;
    CHECK(add(1, 1) == 2);
    CHECK(!pthread_create(&thread, NULL, waits_for_crash, NULL));
    /* More than once, for the thread may not be there yet. */
    while (!is_done) {
        usleep(50000);
        CHECK(misbehave(SEGFAULT, 24) == -2);
    }
    CHECK(!pthread_join(thread, NULL));
    /* A function of the library that crashed. */
    CHECK(add(1, 1) == 2);
    function doubler = get_doubler();
    CHECK(doubler(4) == 8);
    CHECK(misbehave(SEGFAULT, 32) == -2);
    CHECK(add(1, 1) == 2);
    CHECK(doubler(4) == -2);
    CHECK(iotdec_last_error(NULL) == IOTDEC_STALE);
    CHECK(call_back(doubler, 4, 1) == -2);
    CHECK(iotdec_last_error(NULL) == IOTDEC_STALE);
    CHECK(get_doubler() == doubler);
    CHECK(doubler(4) == 8);
    CHECK(call_back(twice_and_one, 4, 1) == 9);
}

static void hostile(void)
{
    CHECK(add(1, 1) == 2);
    CHECK(misbehave(FORK, 0) == ENOSYS);
    CHECK(misbehave(CLOSE_ALL, 0) == 0);
    CHECK(add(1, 1) == 2);
    ends(WILD_CALLBACK, (uint64_t) (uintptr_t) other, IOTDEC_MISBEHAVED, 0);
    CHECK(call_back(other, 1, 1) == -1);
    iotdec_set_call_timeout(300);
    ends(HANG, 0, IOTDEC_TIMED_OUT, 0);
    iotdec_set_call_timeout(0);
}

/* The library writes over what it shares with us: calls may fail, the program goes on. */
static void scribbling(void)
{
    iotdec_set_call_timeout(2000);
    for (int round = 0; round < 8; round++) {
        CHECK(add(1, 1) == 2);
        FILE *maps = fopen("/proc/self/maps", "r");
        char line[512];
        unsigned long start = 0, end;
        while (fgets(line, sizeof line, maps))
            if (strstr(line, "memfd:iotdec-exchange") && sscanf(line, "%lx-%lx", &start, &end) == 2)
                break;
        fclose(maps);
        CHECK(start);
        misbehave(SCRIBBLE, start + round * 200000);
        int tries = 0;
        while (add(1, 1) != 2)
            CHECK(++tries < 4);
        CHECK(call_back(twice_and_one, 4, 1) == 9 || iotdec_last_error(NULL));
    }
}

static void in_child(void)
{
    CHECK(add(1, 1) == 2);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        CHECK(add(1, 1) == -2);
        CHECK(iotdec_last_error(NULL) == IOTDEC_FORKED);
        exit(7);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(status == 7 << 8);
    CHECK(add(1, 1) == 2);
}

/* For the test to look at while a worker runs. */
static void lingering(void)
{
    CHECK(add(1, 1) == 2);
    printf("ready\n");
    fflush(stdout);
    getchar();
}

int main(int argc, char **argv)
{
    static const struct scenario all[] = {
        {"calls", calls}, {"errno", errno_crosses}, {"threads", threads}, {"many-threads", many_threads},
        {"callbacks", callbacks}, {"pointers", pointers}, {"data", data}, {"nesting", nesting}, {"jumping", jumping},
        {"library-threads", library_threads}, {"crashing", crashing}, {"hostile", hostile},
        {"scribbling", scribbling}, {"child", in_child}, {"lingering", lingering}, {NULL, NULL},
    };
    int status = run_scenario(all, argc, argv);
    if (status == 0)
        puts("ok");
    return status;
}
