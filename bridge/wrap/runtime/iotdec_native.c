#define _GNU_SOURCE
#include "iotdec_native.h"
#include "door.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How the host is reached. */
static enum { CLOSED, DOOR, RING } way;
static uint64_t handle;

/* The door */

struct call {
    uint32_t service, magic, status, reserved;
    uint64_t values[6];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct call) == IOTDEC_CALL_SIZE, "a call is what the wire says");
_Static_assert(offsetof(struct call, values) == IOTDEC_CALL_VALUES, "so are its values");

/* A function of its own, so that QEMU always translates the two instructions together:
 * aligned, they are on one page, and the jump to them begins a new block. */
void iotdec_knock(struct call *call, uint32_t service) __attribute__((visibility("hidden")));
__asm__(".text\n\t.balign 16\n\t"
        ".globl iotdec_knock\n\t.hidden iotdec_knock\n\t"
        ".type iotdec_knock, %function\niotdec_knock:\n\t"
        ".inst " IOTDEC_KNOCK_HINT "\n\t"
        ".inst " IOTDEC_KNOCK_STORE "\n\t"
        "ret\n\t.size iotdec_knock, . - iotdec_knock\n");

static uint32_t knock_to_open(uint64_t *calls)
{
    struct call call = {
        .magic = IOTDEC_MAGIC,
        .values = {IOTDEC_VERSION, (uintptr_t)iotdec_library, strlen(iotdec_library), iotdec_fingerprint},
    };
    iotdec_knock(&call, IOTDEC_SERVICE_OPEN);
    handle = call.values[0];
    *calls = call.values[1];
    return call.status;
}

/* The ring */

struct lane {
    uint32_t taken, asked, answered, service, library, function, status, error;
    uint32_t host_asleep, guest_asleep;
    uint64_t words[IOTDEC_WORDS];
    char texts[IOTDEC_TEXTS][IOTDEC_TEXT];
} __attribute__((aligned(64)));
struct shared {
    uint64_t magic, version;
    uint32_t asleep;
    struct lane lanes[IOTDEC_LANES];
};
_Static_assert(sizeof(struct lane) == IOTDEC_LANE_SIZE, "a lane is what the wire says");
_Static_assert(offsetof(struct lane, words) == IOTDEC_LANE_WORDS, "so are its words");
_Static_assert(offsetof(struct lane, texts) == IOTDEC_LANE_TEXTS, "and its texts");
_Static_assert(offsetof(struct shared, lanes) == IOTDEC_SHARED_LANES, "and where lanes are");

static struct shared *shared;
static pthread_key_t lane_key;
static __thread struct lane *own_lane;

/* Wakes whoever sleeps there, as the wire's Doorbell does. */
static void ring(uint32_t *asleep)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(asleep, __ATOMIC_RELAXED) && __atomic_exchange_n(asleep, 0, __ATOMIC_RELAXED))
        syscall(SYS_futex, asleep, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void wait_for_answer(struct lane *lane, uint32_t number)
{
    for (int spins = 0; spins < 2000; spins++)
        if (__atomic_load_n(&lane->answered, __ATOMIC_ACQUIRE) == number)
            return;
    for (;;) {
        struct timespec nap = {.tv_nsec = 500000000};
        __atomic_store_n(&lane->guest_asleep, 1, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        int is_answered = __atomic_load_n(&lane->answered, __ATOMIC_ACQUIRE) == number;
        if (!is_answered)
            syscall(SYS_futex, &lane->guest_asleep, FUTEX_WAIT, 1, &nap, NULL, 0);
        __atomic_store_n(&lane->guest_asleep, 0, __ATOMIC_RELAXED);
        if (is_answered)
            return;
    }
}

/* When its thread ends. */
static void give_lane(void *lane)
{
    own_lane = NULL;
    __atomic_store_n(&((struct lane *)lane)->taken, 0, __ATOMIC_RELEASE);
}

static struct lane *lane_of_thread(void)
{
    for (size_t i = 0; i < IOTDEC_LANES && !own_lane; i++) {
        uint32_t nobody = 0;
        struct lane *lane = &shared->lanes[i];
        if (!__atomic_compare_exchange_n(&lane->taken, &nobody, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        own_lane = lane;
        pthread_setspecific(lane_key, lane);
        ring(&shared->asleep);
    }
    if (!own_lane)
        iotdec_die("more threads call than there are lanes to the host", "");
    return own_lane;
}

static uint32_t ask(uint32_t service, uint32_t function, uint64_t *words, uint32_t count)
{
    struct lane *lane = lane_of_thread();
    lane->service = service;
    lane->library = (uint32_t)handle;
    lane->function = function;
    memcpy(lane->words, words, count * sizeof *words);
    uint32_t number = lane->asked + 1;
    __atomic_store_n(&lane->asked, number, __ATOMIC_RELEASE);
    ring(&lane->host_asleep);
    wait_for_answer(lane, number);
    memcpy(words, lane->words, count * sizeof *words);
    return lane->status;
}

static uint32_t ask_to_open(uint64_t *calls)
{
    uint64_t words[] = {IOTDEC_VERSION, (uintptr_t)iotdec_library, strlen(iotdec_library), iotdec_fingerprint};
    uint32_t status = ask(IOTDEC_SERVICE_OPEN, 0, words, 4);
    handle = words[0];
    *calls = words[1];
    return status;
}

/* In a child, which the host does not serve. */
static void forked(void)
{
    way = CLOSED;
}

static int has_ring(void)
{
    const char *number = getenv(IOTDEC_LANES_VARIABLE);
    if (!number)
        return 0;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(number), 0);
    if (shared == MAP_FAILED || shared->magic != IOTDEC_LANES_MAGIC || shared->version != IOTDEC_LANES_VERSION)
        return 0;
    return pthread_key_create(&lane_key, give_lane) == 0 && pthread_atfork(NULL, NULL, forked) == 0;
}

/* One or the other */

static uint32_t open_library(uint64_t *calls)
{
    return way == RING ? ask_to_open(calls) : knock_to_open(calls);
}

int iotdec_serves(uint32_t function)
{
    return way == DOOR || (way == RING && iotdec_over_ring[function]);
}

void iotdec_invoke(uint32_t function, const char *name, uint64_t *words, uint32_t count)
{
    if (!iotdec_serves(function))
        iotdec_die(way == RING ? "the host has made this object, and does not do this over the ring"
                               : "the host has made this object, and does not serve a child",
                   name);
    if (way == RING) {
        if (ask(IOTDEC_SERVICE_INVOKE, function, words, count) != IOTDEC_STATUS_DONE)
            iotdec_die("the host refuses what it is given", name);
        if (own_lane->error != 0)
            errno = (int)own_lane->error;
        return;
    }
    struct call call = {.magic = IOTDEC_MAGIC, .values = {handle, function, (uintptr_t)words}};
    iotdec_knock(&call, IOTDEC_SERVICE_INVOKE);
    if (call.status != IOTDEC_STATUS_DONE)
        iotdec_die("the host no longer answers", "");
    if (call.values[0] != 0)
        errno = (int)call.values[0];
}

void iotdec_die(const char *what, const char *name)
{
    fprintf(stderr, "iotdec: %s: %s%s%s\n", iotdec_library, what, *name ? ": " : "", name);
    abort();
}

/* Whose object is whose */

char iotdec_nobody[1];

struct object {
    struct object *next;
    void *identity;
};
static struct bucket {
    pthread_mutex_t lock;
    struct object *first;
} buckets[256] = {[0 ... 255] = {.lock = PTHREAD_MUTEX_INITIALIZER}};

static struct bucket *bucket_of(const void *identity)
{
    /* What malloc gives is aligned to 16. */
    uintptr_t bits = (uintptr_t)identity >> 4;
    return &buckets[(bits ^ bits >> 8 ^ bits >> 16) % 256];
}

/* The link to an object; to the end of the list if it is not in it. */
static struct object **find(struct bucket *bucket, const void *identity)
{
    struct object **link = &bucket->first;
    while (*link && (*link)->identity != identity)
        link = &(*link)->next;
    return link;
}

void iotdec_own_object(void *identity)
{
    struct object *object = malloc(sizeof *object);
    if (!object)
        iotdec_die("out of memory", "");
    struct bucket *bucket = bucket_of(identity);
    pthread_mutex_lock(&bucket->lock);
    if (*find(bucket, identity)) {
        free(object);
    } else {
        *object = (struct object){.next = bucket->first, .identity = identity};
        bucket->first = object;
    }
    pthread_mutex_unlock(&bucket->lock);
}

void iotdec_disown_object(void *identity)
{
    struct bucket *bucket = bucket_of(identity);
    pthread_mutex_lock(&bucket->lock);
    struct object **link = find(bucket, identity), *object = *link;
    if (object)
        *link = object->next;
    pthread_mutex_unlock(&bucket->lock);
    free(object);
}

int iotdec_owns(void *identity)
{
    if (!identity)
        return 0;
    struct bucket *bucket = bucket_of(identity);
    pthread_mutex_lock(&bucket->lock);
    int is_here = *find(bucket, identity) != NULL;
    pthread_mutex_unlock(&bucket->lock);
    return is_here;
}

/* A library has a handful of functions that it leaves in objects. */
static _Atomic uintptr_t host_functions[64];

int iotdec_is_host_function(uintptr_t address)
{
    for (size_t i = 0; i < 64 && host_functions[i]; i++)
        if (host_functions[i] == address)
            return 1;
    return 0;
}

void iotdec_note_host_function(uintptr_t address)
{
    if (!address)
        return;
    for (size_t i = 0; i < 64; i++) {
        uintptr_t there = 0;
        if (atomic_compare_exchange_strong(&host_functions[i], &there, address) || there == address)
            return;
    }
    iotdec_die("the host's library leaves more functions in objects than expected", "");
}

/* Strings */

static struct text {
    struct text *next;
    char text[];
} *texts;
static pthread_mutex_t texts_lock = PTHREAD_MUTEX_INITIALIZER;

char *iotdec_text(const char *text)
{
    if (!text)
        return NULL;
    /* A number: the program may write to the lane, but not so as to end this one late. */
    char copy[IOTDEC_TEXT];
    uintptr_t number = (uintptr_t)text;
    if (way == RING && number <= IOTDEC_TEXTS) {
        memcpy(copy, own_lane->texts[number - 1], sizeof copy);
        copy[sizeof copy - 1] = 0;
        text = copy;
    }
    pthread_mutex_lock(&texts_lock);
    struct text *known = texts;
    while (known && known->text != text && strcmp(known->text, text) != 0)
        known = known->next;
    if (!known) {
        size_t size = strlen(text) + 1;
        known = malloc(sizeof *known + size);
        if (!known)
            iotdec_die("out of memory", "");
        memcpy(known->text, text, size);
        known->next = texts;
        texts = known;
    }
    pthread_mutex_unlock(&texts_lock);
    return known->text;
}

/* The guest's own library */

/* The next library of this name on the dynamic linker's path, after this file. */
static void *open_own(void)
{
    Dl_info here;
    struct stat ours, other;
    if (!dladdr(&way, &here) || stat(here.dli_fname, &ours) != 0)
        return NULL;
    void *self = dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    Dl_serinfo size, *path;
    if (!self || dlinfo(self, RTLD_DI_SERINFOSIZE, &size) != 0 || !(path = malloc(size.dls_size)))
        return NULL;
    path->dls_size = size.dls_size;
    path->dls_cnt = size.dls_cnt;
    void *own = NULL;
    if (dlinfo(self, RTLD_DI_SERINFO, path) == 0) {
        for (unsigned i = 0; i < path->dls_cnt && !own; i++) {
            char file[4096];
            int length = snprintf(file, sizeof file, "%s/%s", path->dls_serpath[i].dls_name, iotdec_library);
            if (length < 0 || (size_t)length >= sizeof file || stat(file, &other) != 0)
                continue;
            if (other.st_dev == ours.st_dev && other.st_ino == ours.st_ino)
                continue;
            /* By itself: calls within it stay within it. */
            own = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
        }
    }
    free(path);
    return own;
}

__attribute__((constructor)) static void start(void)
{
    void *own = open_own();
    if (!own)
        iotdec_die("the guest's own build of it is not on the library path; install it in the sysroot", "");
    for (size_t i = 0; i < iotdec_own_count; i++) {
        iotdec_own[i] = dlsym(own, iotdec_own_names[i]);
        if (!iotdec_own[i])
            iotdec_die("the guest's own build of it lacks a function; generate from that build", iotdec_own_names[i]);
    }
    uint64_t calls;
    way = DOOR;
    if (open_library(&calls) == IOTDEC_STATUS_DONE)
        return;
    way = has_ring() ? RING : CLOSED;
    if (way == RING && open_library(&calls) != IOTDEC_STATUS_DONE)
        way = CLOSED;
}

/* For tests and for the curious. */
__attribute__((destructor)) static void report(void)
{
    const char *wanted = getenv("IOTDEC_NATIVE_REPORT");
    uint64_t calls = 0;
    if (!wanted || strcmp(wanted, "1") != 0)
        return;
    if (way != CLOSED && open_library(&calls) == IOTDEC_STATUS_DONE)
        fprintf(stderr, "iotdec: %s: the host did %llu calls%s\n", iotdec_library, (unsigned long long)calls,
                way == RING ? " over the ring" : "");
    else
        fprintf(stderr, "iotdec: %s: the guest's own\n", iotdec_library);
}
