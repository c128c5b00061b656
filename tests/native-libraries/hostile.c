/* Asks the host for everything it does, with arguments that are wild or almost right, from
 * several threads. Says how many calls were done, and how many refused. */
#include <stdint.h>
#include "door.h"
#include "numbers.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

enum { THREADS = 4, FUNCTIONS = HOST_zlibCompileFlags + 1, STREAMS = 8 };

struct lane {
    uint32_t taken, asked, answered, service, library, function, status, error;
    uint32_t host_asleep, guest_asleep;
    uint64_t words[IOTDEC_WORDS];
};

static char *shared;
static uint32_t library;
/* Where the host may write anything, up to the end. */
static struct arena {
    z_stream streams[STREAMS];
    unsigned char data[STREAMS][4096];
    unsigned long sizes[STREAMS];
    unsigned char rest[1 << 20];
} *arena;
static _Atomic unsigned long done, refused;
static char *last_page;

static struct lane *lane(int number)
{
    return (struct lane *)(shared + IOTDEC_SHARED_LANES + (size_t)number * IOTDEC_LANE_SIZE);
}

static void wake(uint32_t *asleep)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(asleep, 0, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, asleep, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static uint32_t ask(struct lane *lane, uint32_t service, uint32_t function)
{
    lane->service = service;
    lane->function = function;
    uint32_t number = lane->asked + 1;
    __atomic_store_n(&lane->asked, number, __ATOMIC_RELEASE);
    wake(&lane->host_asleep);
    while (__atomic_load_n(&lane->answered, __ATOMIC_ACQUIRE) != number)
        usleep(20);
    return lane->status;
}

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 24;
}

static uint64_t argument(uint64_t *seed)
{
    static const char version[] = ZLIB_VERSION;
    size_t which = next(seed) % STREAMS;
    switch (next(seed) % 16) {
    case 0: return 0;
    case 1: return next(seed) << 24 ^ next(seed);
    case 2: return next(seed) % 16;
    case 3: return (uint64_t)-1 - next(seed) % 4;
    case 4: return (uintptr_t)version;
    case 5: return sizeof(z_stream);
    case 6: return (uintptr_t)&arena->sizes[which];
    case 7: return (uintptr_t)last_page + 4096 - next(seed) % 64;
    case 8: return (uintptr_t)arena->data[which];
    case 9: return next(seed) % 5000;
    case 10: return 15;
    default: return (uintptr_t)&arena->streams[which];
    }
}

static void *attack(void *start)
{
    uint64_t seed = (uintptr_t)start;
    struct lane *own = lane((int)(seed % 100));
    own->taken = 1;
    wake((uint32_t *)(shared + 16));
    for (long i = seed / 100; i > 0; i--) {
        z_stream *stream = &arena->streams[next(&seed) % STREAMS];
        /* What another thread may be using. */
        switch (next(&seed) % 4) {
        case 0: stream->state = (void *)((0x10DECull << 44) + (next(&seed) % 200 << 4)); break;
        case 1: stream->avail_in = (unsigned)next(&seed); break;
        case 2:
            stream->next_in = arena->data[next(&seed) % STREAMS];
            stream->next_out = arena->data[next(&seed) % STREAMS];
            stream->avail_in = stream->avail_out = next(&seed) % 4096;
            break;
        default: arena->sizes[next(&seed) % STREAMS] = next(&seed) % 5000; break;
        }
        own->library = next(&seed) % 50 ? library : (uint32_t)next(&seed);
        for (int word = 0; word < 8; word++)
            own->words[word] = argument(&seed);
        uint32_t function = next(&seed) % (FUNCTIONS + 1);
        /* Objects, too, of which to have the wrong ones. */
        if (next(&seed) % 8 == 0) {
            int inflates = next(&seed) % 2;
            function = inflates ? HOST_inflateInit_ : HOST_deflateInit_;
            own->words[0] = (uintptr_t)stream;
            own->words[1] = inflates ? (uintptr_t)ZLIB_VERSION : next(&seed) % 10;
            own->words[2] = inflates ? sizeof *stream : (uintptr_t)ZLIB_VERSION;
            own->words[3] = sizeof *stream;
        }
        uint32_t service = next(&seed) % 100 ? IOTDEC_SERVICE_INVOKE : (uint32_t)next(&seed) % 30;
        if (ask(own, service, function) == IOTDEC_STATUS_DONE)
            done++;
        else
            refused++;
    }
    return NULL;
}

int main(int count, char **words)
{
    const char *number = getenv(IOTDEC_LANES_VARIABLE);
    size_t size = IOTDEC_SHARED_LANES + (size_t)IOTDEC_LANES * IOTDEC_LANE_SIZE;
    if (count != 2 || !number)
        return 2;
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(number), 0);
    last_page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    arena = mmap(NULL, sizeof *arena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || arena == MAP_FAILED || last_page == MAP_FAILED || munmap(last_page + 4096, 4096) != 0)
        return 2;
    struct lane *first = lane(0);
    first->taken = 1;
    wake((uint32_t *)(shared + 16));
    first->words[0] = IOTDEC_VERSION;
    first->words[1] = (uintptr_t)"libz.so.1";
    first->words[2] = 9;
    first->words[3] = iotdec_fingerprint;
    if (ask(first, IOTDEC_SERVICE_OPEN, 0) != IOTDEC_STATUS_DONE)
        return 3;
    library = (uint32_t)first->words[0];
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, attack, (void *)(atol(words[1]) / THREADS * 100 + i + 1)) != 0)
            return 4;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* Ends with its objects, and with lanes that were not given back. */
    printf("%lu done, and %lu refused\n", done, refused);
    return 0;
}
