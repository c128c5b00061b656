/* An ordinary program that uses the library: program WHAT COUNT. Says "ok", or what is wrong. */
#include "events.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s\n", __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static int negate(int number) { return -number; }
static int increase(int number) { return number + 1; }

/* Ranges of memory that the process has mapped, and pages that it uses. */
static long mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    long lines = 0;
    for (int c; (c = getc(maps)) != EOF;)
        lines += c == '\n';
    fclose(maps);
    return lines;
}
static long pages(void)
{
    long size = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(fscanf(statm, "%ld %ld", &size, &resident) == 2);
    fclose(statm);
    return resident;
}

/* Whatever goes there and comes back is the very same address, and costs nothing the second time. */
static void identity(long count)
{
    event_handler doubler = event_doubler();
    event_handler all[] = {negate, doubler, increase, NULL, (event_handler) 1, (event_handler) -1};
    long kinds = sizeof all / sizeof *all;
    CHECK(event_set(NULL) == NULL);
    CHECK(doubler(21) == 42 && event_doubler() == doubler);
    event_handler former = NULL;
    long mapped = 0, used = 0;
    for (long i = 0; i < count; i++) {
        if (i == 100) {
            mapped = mappings();
            used = pages();
        }
        event_handler next = all[i % kinds];
        CHECK(event_set(next) == former);
        former = next;
    }
    if (count > 100) {
        CHECK(mappings() == mapped);
        /* Room for what stdio and the like do. */
        CHECK(pages() - used < 64);
    }
    event_set(negate);
    CHECK(event_raise(5) == -5);
    CHECK(event_set(doubler) == negate && event_raise(5) == 10);
    CHECK(event_set(increase) == doubler && event_raise(5) == 6);
}

/* The library's thread counts, and the program looks when it has joined that: what orders the two is in the other process,
 * where a checker of ours does not see it. */
struct tick {
    pthread_t starter;
    _Atomic uint64_t next;
};

static uint64_t tick(uint64_t number, void *user)
{
    struct tick *it = user;
    CHECK(!pthread_equal(pthread_self(), it->starter));
    CHECK(number == it->next++);
    /* From within: the thread is one of the library's, and has what a thread has. */
    if (number % 1000 == 0)
        CHECK(thread_calls() == number / 1000 + 1);
    return number;
}

/* Three threads of the library call back, while the program calls it. */
static void ticks(long count)
{
    struct tick it[3] = {0};
    struct ticker *tickers[3];
    uint64_t calls = 0;
    for (int i = 0; i < 3; i++) {
        it[i].starter = pthread_self();
        tickers[i] = ticker_start(tick, &it[i], (uint64_t) count);
        CHECK(tickers[i]);
    }
    for (int i = 0; i < 1000; i++)
        CHECK(thread_calls() == ++calls);
    for (int i = 0; i < 3; i++) {
        CHECK(ticker_join(tickers[i]) == (uint64_t) count * (uint64_t) (count - 1) / 2);
        CHECK(it[i].next == (uint64_t) count);
    }
    CHECK(thread_calls() == ++calls);
}

struct own {
    uint64_t number, calls;
    long count;
};
static _Thread_local struct own *mine;

static uint64_t own_callback(uint64_t number, void *user)
{
    struct own *own = user;
    CHECK(own == mine);
    CHECK(errno == (int) number);
    if (number == 3)
        CHECK(thread_calls() == ++own->calls);
    errno = (int) number + 1;
    return own->number * number;
}

static void *thread(void *it)
{
    struct own *own = mine = it;
    uint32_t numbers[16];
    long i = 0;
    while (i < own->count) {
        switch (i % 4) {
        case 0:
            errno = (int) own->number;
            CHECK(thread_errno((int) i) == (int) own->number);
            CHECK(errno == (int) i);
            i++;
            break;
        case 1:
            CHECK(thread_calls() == ++own->calls);
            i++;
            break;
        case 2:
            for (int n = 0; n < 16; n++)
                numbers[n] = (uint32_t) (own->number << 24) + (uint32_t) (i + n);
            CHECK(thread_sum(numbers, 16) == 16 * (own->number << 24) + 16 * (uint64_t) i + 120);
            for (int n = 0; n < 16; n++)
                CHECK(numbers[n] == ~((uint32_t) (own->number << 24) + (uint32_t) (i + n)));
            i++;
            break;
        default:
            /* Four callbacks, with a call in one of them. */
            CHECK(thread_fold(own_callback, own, 4) == own->number * 10);
            i++;
        }
    }
    return NULL;
}

/* Each has its own errno, its own variables in the library, its own callbacks and buffers. */
static void threads(long count)
{
    struct own own[8];
    pthread_t all[8];
    for (int i = 0; i < 8; i++) {
        own[i] = (struct own){(uint64_t) i + 1, 0, count};
        CHECK(!pthread_create(&all[i], NULL, thread, &own[i]));
    }
    for (int i = 0; i < 8; i++)
        CHECK(!pthread_join(all[i], NULL));
    CHECK(thread_calls() == 1);
}

static uint64_t counted;
static uint64_t count_without_lock(uint64_t number, void *user)
{
    (void) user;
    counted += number;
    errno++;
    return number;
}
static void *race_thread(void *count)
{
    CHECK(thread_fold(count_without_lock, NULL, (uint64_t) *(long *) count));
    return count;
}

static void hears(const char *text, void *user)
{
    char expected[100];
    int *heard = user;
    snprintf(expected, sizeof expected, "thread %d", *heard);
    if (!strcmp(text, expected))
        ++*heard;
}

/* Each of the library's threads has a stack that the program can read, also if many have had one before. */
static void stacks(long count)
{
    int heard = 0;
    for (long i = 0; i < count; i++) {
        enum thread_end end = i % THREAD_ENDS;
        CHECK(thread_tells(hears, &heard, i, end) == 0);
        /* One that is cancelled early may not have said anything. */
        CHECK(heard == i + 1 || (end == BY_CANCEL && heard == i));
        heard = i + 1;
    }
}

/* The library starts programs, from whichever thread, and goes on at once. */
static void programs(long count)
{
    for (long i = 0; i < count; i++) {
        int status = i % 100;
        CHECK(program_run(i % PROGRAM_STARTS, status, i / PROGRAM_STARTS % 2) == status);
    }
}

/* What is wrong in the program: two threads at one number. To see that a checker for races sees it. */
static void race(long count)
{
    pthread_t all[2];
    for (int i = 0; i < 2; i++)
        CHECK(!pthread_create(&all[i], NULL, race_thread, &count));
    for (int i = 0; i < 2; i++)
        CHECK(!pthread_join(all[i], NULL));
}

int main(int argc, char **argv)
{
    long count = argc == 3 ? atol(argv[2]) : 0;
    if (count <= 0)
        return 2;
    if (!strcmp(argv[1], "identity"))
        identity(count);
    else if (!strcmp(argv[1], "ticks"))
        ticks(count);
    else if (!strcmp(argv[1], "threads"))
        threads(count);
    else if (!strcmp(argv[1], "stacks"))
        stacks(count);
    else if (!strcmp(argv[1], "programs"))
        programs(count);
    else if (!strcmp(argv[1], "race"))
        race(count);
    else
        return 2;
    puts("ok");
    return 0;
}
