/*
 * Memory that crosses. With MEMORY=iotdec the program's functions are iotdec_malloc and so on, with MEMORY=libc they
 * are malloc and so on, which libiotdec-malloc.so has replaced.
 */
#define _GNU_SOURCE
#include "iotdec.h"
#include "memory.h"
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) \
    do \
        if (!(condition)) { \
            struct iotdec_error e = {0}; \
            iotdec_last_error(&e); \
            printf("line %d: %s; %s\n", __LINE__, #condition, e.text); \
            exit(1); \
        } \
    while (0)

static void *(*take)(size_t);
static void *(*resize)(void *, size_t);
static void (*give)(void *);
static size_t (*size_of)(void *);

static uint64_t call(enum what what, void *a, uint64_t b) { return library(what, (uint64_t) a, b); }

static struct node *make_list(int n)
{
    struct node *list = NULL;
    for (int i = 0; i < n; i++) {
        struct node *node = take(sizeof *node);
        node->next = list;
        node->value = i;
        list = node;
    }
    return list;
}

/* What either side made, both read and both free. */
static void both(void)
{
    char *text = (char *) library(MAKE_TEXT, 1000, 0);
    CHECK(strlen(text) == 1000 && text[500] == 'x' && iotdec_is_shared(text, 1001));
    CHECK(size_of(text) >= 1001 && call(USABLE_SIZE, text, 0) == size_of(text));
    give(text);
    text = (char *) library(MAKE_TEXT, 300000, 0);
    text = resize(text, 400000);
    CHECK(strlen(text) == 300000);
    give(text);

    enum { NODES = 200 };
    struct node *theirs = (struct node *) library(MAKE_LIST, NODES, 0);
    struct node *ours = make_list(NODES);
    int64_t sum = 0;
    for (struct node *at = theirs; at; at = at->next)
        sum += at->value;
    CHECK(sum == NODES * (NODES - 1) / 2);
    CHECK(call(SUM_LIST, ours, 0) == (uint64_t) sum && call(SUM_LIST, theirs, 0) == (uint64_t) sum);
    for (struct node *at = theirs, *next; at; at = next) {
        next = at->next;
        give(at);
    }
    call(FREE_LIST, ours, 0);
    /* Freed indeed: the next ones are where they were. */
    struct node *again = make_list(NODES);
    call(FREE_LIST, again, 0);
    call(FREE_LIST, (void *) library(MAKE_LIST, NODES, 0), 0);

    char *mine = take(100);
    strcpy(mine, "mine");
    CHECK(call(USABLE_SIZE, mine, 0) == size_of(mine));
    char *moved = (char *) call(RESIZE, mine, 100000);
    CHECK(!strcmp(moved, "mine") && moved != mine);
    give(moved);
}

static void *run_both(void *p)
{
    for (int i = 0; i < 5; i++)
        both();
    return p;
}

/* Freed by the library, it is used again by the program: nothing leaks. */
static void no_leak(void)
{
    for (int i = 0; i < 300; i++) {
        void *mine = take(8 << 20);
        memset(mine, 1, 8 << 20);
        call(FREE, mine, 0);
        void *theirs = (void *) library(MAKE_TEXT, 8 << 20, 0);
        give(theirs);
    }
}

/* The library frees what is not its to free: an error there, none here. */
static void wild(void)
{
    char *mine = take(100);
    strcpy(mine, "still here");
    call(FREE, mine + 16, 0);
    struct iotdec_error e;
    CHECK(iotdec_last_error(&e) == IOTDEC_MISBEHAVED && strstr(e.text, "not allocated"));
    CHECK(!strcmp(mine, "still here"));
    give(mine);
    char *theirs = (char *) library(MAKE_TEXT, 10, 0);
    CHECK(theirs != (char *) -1 && strlen(theirs) == 10);
    /* Of a worker that is no more. */
    call(FREE, mine, 0);
    CHECK(iotdec_last_error(&e) == IOTDEC_MISBEHAVED);
    CHECK(library(WITH_ZLIB, 1000, 0) != 0);
    give(theirs);
    /* The program's own fault: the library's process ends, and says why. */
    theirs = (char *) library(MAKE_TEXT, 10, 0);
    give(theirs + 5);
    CHECK(library(MAKE_TEXT, 10, 0) == (uint64_t) -1 && iotdec_last_error(&e) == IOTDEC_EXITED);
    CHECK(strstr(e.text, "has allocated nothing"));
    CHECK(library(WITH_ZLIB, 1000, 0) != 0);
}

/* Bytes that the segment of this name takes of the system's memory. */
static long taken(const char *name)
{
    long sum = 0;
    for (int fd = 0; fd < 4096; fd++) {
        char path[64], to[256];
        struct stat file;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, to, sizeof to - 1);
        if (length < 0)
            continue;
        to[length] = 0;
        if (strstr(to, name) && fstat(fd, &file) == 0 && file.st_blocks * 512 > sum)
            sum = file.st_blocks * 512;
    }
    return sum;
}

/* A million blocks of each side's, freed by the other. */
static void pairs(void)
{
    enum { NODES = 1000, ROUNDS = 1000 };
    long before = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct node *theirs = (struct node *) library(MAKE_LIST, NODES, 0);
        CHECK(theirs != (void *) -1);
        for (struct node *next; theirs; theirs = next) {
            next = theirs->next;
            give(theirs);
        }
        call(FREE_LIST, make_list(NODES), 0);
        if (round == 20)
            before = taken("iotdec-exchange") + taken("iotdec-guest");
    }
    long grown = taken("iotdec-exchange") + taken("iotdec-guest") - before;
    CHECK(before > 0);
    printf("%ld KiB in use, grown by %ld\n", before / 1024, grown / 1024);
    /* 96 MB were allocated. */
    CHECK(grown < 2 << 20);
    /* Nobody takes these back before they are wanted: more than fit. */
    for (int i = 0; i < 30; i++) {
        enum { MANY = 40 };
        static void *all[MANY];
        for (int j = 0; j < MANY; j++) {
            all[j] = (void *) library(MAKE_TEXT, 5 << 20, 0);
            CHECK(all[j] != (void *) -1);
        }
        for (int j = 0; j < MANY; j++)
            give(all[j]);
    }
}

/* What a worker had freed before it ended is free. */
static void ended(void)
{
    for (int i = 0; i < 3; i++) {
        /* The last one leads nowhere. A third of all there is. */
        struct node *list = NULL;
        for (int j = 0; j < 15; j++) {
            struct node *node = take(48 << 20);
            CHECK(node);
            node->next = list ? list : (struct node *) 16;
            list = node;
        }
        call(FREE_LIST, list, 0);
        CHECK(iotdec_last_error(NULL) == IOTDEC_CRASHED);
        CHECK(library(WITH_ZLIB, 1000, 0) != 0);
    }
}

/* A child has the program's memory, not the library's process. */
static void forked(void)
{
    char *mine = take(100), *theirs = (char *) library(MAKE_TEXT, 10, 0);
    strcpy(mine, "parent");
    pid_t child = fork();
    if (!child) {
        if (strcmp(mine, "parent"))
            _exit(1);
        strcpy(mine, "child");
        give(theirs);
        for (int i = 0; i < 1000; i++)
            give(take(i * 10));
        _exit(library(SPAWN, 0, 0) == (uint64_t) -1 && iotdec_last_error(NULL) == IOTDEC_FORKED ? 0 : 2);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK(!strcmp(mine, "parent") && call(USABLE_SIZE, mine, 0) >= 100);
    CHECK(strlen(theirs) == 10);
    give(theirs);
    give(mine);
}

static void libraries(void)
{
    uint64_t sum = library(WITH_CPLUSPLUS, 2000, 0);
    /* 0 + 1 + … + 1999, and the lengths of 200 messages, in 4 threads. */
    CHECK(sum == 4 * (1999000 + 200 * 3 + 1 + 9 * 2 + 90 * 3 + 100 * 4));
}

static void measure(void)
{
    struct timespec from, to;
    enum { ROUNDS = 2000 };
    static void *theirs[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        theirs[i] = (void *) library(MAKE_TEXT, 40, 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < ROUNDS; i++)
        give(theirs[i]);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("free of the library's memory: %.2f us\n",
           ((to.tv_sec - from.tv_sec) * 1e9 + to.tv_nsec - from.tv_nsec) / ROUNDS / 1000);
    struct node *ours = make_list(ROUNDS);
    clock_gettime(CLOCK_MONOTONIC, &from);
    call(FREE_LIST, ours, 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("the library's free of the program's: %.2f us\n",
           ((to.tv_sec - from.tv_sec) * 1e9 + to.tv_nsec - from.tv_nsec) / ROUNDS / 1000);
}

int main(int argc, char **argv)
{
    const char *memory = getenv("MEMORY");
    int libc = memory && !strcmp(memory, "libc");
    take = libc ? malloc : iotdec_malloc;
    resize = libc ? realloc : iotdec_realloc;
    give = libc ? free : iotdec_free;
    size_of = libc ? malloc_usable_size : (size_t (*)(void *)) iotdec_usable_size;
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "both"))
        both();
    else if (!strcmp(what, "threads")) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, run_both, NULL);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    } else if (!strcmp(what, "no-leak"))
        no_leak();
    else if (!strcmp(what, "pairs"))
        pairs();
    else if (!strcmp(what, "ended"))
        ended();
    else if (!strcmp(what, "wild"))
        wild();
    else if (!strcmp(what, "forked"))
        forked();
    else if (!strcmp(what, "libraries")) {
        libraries();
        CHECK(library(WITH_ZLIB, 300000, 0) > 1000);
        CHECK(library(SPAWN, 0, 0) == 0);
        CHECK(library(LARGE, 3, 0) == 0);
    } else if (!strcmp(what, "measure"))
        measure();
    else
        return 2;
    puts("ok");
    return 0;
}
