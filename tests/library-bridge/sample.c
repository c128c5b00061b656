#include "sample.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void empty(void) {}

int add(int a, int b) { return a + b; }

uint32_t so_lib_function_a(uint32_t c[2])
{
    c[0] += 1;
    return c[0] + c[1];
}

int swap_errno(int value)
{
    int former = errno;
    errno = value;
    return former;
}

int count_calls(void)
{
    static _Thread_local int calls;
    return ++calls;
}

int call_back(function f, int n, int times)
{
    int sum = 0;
    for (int i = 0; i < times; i++)
        sum += f(n);
    return sum;
}

int nest(function f, int depth) { return depth ? f(depth - 1) + 1 : 0; }

struct job {
    function f;
    int n, result;
};

static void *run(void *p)
{
    struct job *job = p;
    job->result = job->f(job->n);
    return NULL;
}

int call_from_thread(function f, int n)
{
    struct job job = {f, n, 0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, &job))
        return -1;
    pthread_join(thread, NULL);
    return job.result;
}

static function installed;

function swap_handler(function handler)
{
    function former = installed;
    installed = handler;
    return former;
}

int call_handler(int n) { return installed ? installed(n) : -1; }

static int doubler(int n) { return 2 * n; }

function get_doubler(void) { return doubler; }

static jmp_buf place;

static __attribute__((noinline)) void deep(int depth, int value)
{
    volatile char room[100];
    memset((char *) room, depth, sizeof room);
    if (depth)
        deep(depth - 1, value);
    longjmp(place, value);
}

int jump_inside(int value)
{
    int got = setjmp(place);
    if (!got)
        deep(10, value);
    return got;
}

static __attribute__((noinline)) int overflow(volatile int *p)
{
    volatile int room[1000];
    room[0] = *p;
    return overflow(room) + room[0];
}

const char *describe(int n)
{
    static const char *const names[] = {"nothing", "something"};
    return names[n > 0];
}

int shared_counter = 5;

int count_shared(void) { return ++shared_counter; }

int misbehave(enum misdeed what, uint64_t argument)
{
    static int zero;
    switch (what) {
    case SEGFAULT:
        *(volatile int *) argument = 1;
        break;
    case ABORT:
        abort();
    case EXIT:
        exit((int) argument);
    case FORK:
        return fork() < 0 ? errno : 0;
    case CLOSE_ALL:
        for (int fd = 0; fd < 1024; fd++)
            close(fd);
        break;
    case SCRIBBLE:
        memset((void *) argument, 0x5a, 1 << 20);
        break;
    case HANG:
        for (;;)
            pause();
    case OVERFLOW_STACK:
        return overflow(&zero);
    case WILD_CALLBACK:
        break;
    }
    return 0;
}
