#include "events.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>
#include <unistd.h>

static event_handler current;

event_handler event_set(event_handler handler)
{
    event_handler former = current;
    current = handler;
    return former;
}

int event_raise(int number) { return current ? current(number) : -1; }

static int doubler(int number) { return 2 * number; }
event_handler event_doubler(void) { return doubler; }

struct ticker {
    pthread_t thread;
    ticked f;
    void *user;
    uint64_t count, sum;
};

static void *run(void *it)
{
    struct ticker *ticker = it;
    for (uint64_t i = 0; i < ticker->count; i++)
        ticker->sum += ticker->f(i, ticker->user);
    return NULL;
}

struct ticker *ticker_start(ticked f, void *user, uint64_t times)
{
    struct ticker *ticker = calloc(1, sizeof *ticker);
    ticker->f = f;
    ticker->user = user;
    ticker->count = times;
    if (pthread_create(&ticker->thread, NULL, run, ticker)) {
        free(ticker);
        return NULL;
    }
    return ticker;
}

uint64_t ticker_join(struct ticker *ticker)
{
    pthread_join(ticker->thread, NULL);
    uint64_t sum = ticker->sum;
    free(ticker);
    return sum;
}

struct teller {
    told f;
    void *user;
    int number;
    enum thread_end end;
};

static void *tells(void *it)
{
    struct teller *teller = it;
    char text[1000];
    snprintf(text, sizeof text, "thread %d", teller->number);
    teller->f(text, teller->user);
    if (teller->end == BY_EXIT)
        pthread_exit(it);
    while (teller->end == BY_CANCEL)
        pause();
    return it;
}
static int tells_in_c11(void *it) { return tells(it) != NULL; }

int thread_tells(told f, void *user, int number, enum thread_end end)
{
    struct teller teller = {f, user, number, end};
    pthread_t thread;
    thrd_t other;
    int result = 0;
    if (end == IN_C11)
        return thrd_create(&other, tells_in_c11, &teller) != thrd_success
            || thrd_join(other, &result) != thrd_success || result != 1;
    if (pthread_create(&thread, NULL, tells, &teller))
        return 1;
    if (end == BY_CANCEL)
        pthread_cancel(thread);
    return pthread_join(thread, NULL);
}

static _Thread_local uint64_t calls;
uint64_t thread_calls(void) { return ++calls; }

int thread_errno(int value)
{
    int former = errno;
    errno = value;
    return former;
}

uint64_t thread_fold(ticked f, void *user, uint64_t n)
{
    uint64_t sum = 0;
    for (; n > 0; n--) {
        errno = (int) n;
        sum += f(n, user);
        if (errno != (int) n + 1)
            return (uint64_t) -1;
    }
    return sum;
}

uint64_t thread_sum(uint32_t *numbers, size_t numbers_count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < numbers_count; i++) {
        sum += numbers[i];
        numbers[i] = ~numbers[i];
    }
    return sum;
}
