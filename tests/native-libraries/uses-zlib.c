/* Uses zlib in the ways that are hard to serve from another side. Every check ends the
 * program when it fails; what it prints is the same whoever does the work. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

/* Bytes that compress, though not to nothing: new ones, and repetitions of older ones. */
static unsigned char *make_data(size_t size, unsigned seed)
{
    unsigned char *data = malloc(size);
    for (size_t i = 0; i < size;) {
        seed = seed * 1103515245 + 12345;
        size_t distance = (seed >> 16 & 0xfff) + 1, length = seed >> 28;
        if (length < 4 || distance > i)
            data[i++] = seed >> 20;
        else
            for (; length > 0 && i < size; length--, i++)
                data[i] = data[i - distance];
    }
    return data;
}

static int allocated, freed;

static void *allocate(void *opaque, unsigned items, unsigned size)
{
    __atomic_fetch_add((int *)opaque, 1, __ATOMIC_RELAXED);
    return calloc(items, size);
}

static void release(void *opaque, void *memory)
{
    (void)opaque;
    __atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
    free(memory);
}

static void use_own_allocator(z_stream *stream)
{
    stream->zalloc = allocate;
    stream->zfree = release;
    stream->opaque = &allocated;
}

/* Compresses and decompresses in small pieces. A stream is used as it was left. */
static void round_trip(z_stream *out, z_stream *in, const unsigned char *data, size_t size)
{
    size_t room = compressBound(size);
    unsigned char *packed = malloc(room), *unpacked = malloc(size);
    CHECK(deflateInit(out, 6) == Z_OK);
    out->next_in = (unsigned char *)data;
    out->next_out = packed;
    out->avail_out = room;
    while (out->total_in < size) {
        out->avail_in = size - out->total_in < 777 ? size - out->total_in : 777;
        CHECK(deflate(out, Z_NO_FLUSH) == Z_OK);
    }
    CHECK(deflate(out, Z_FINISH) == Z_STREAM_END);
    size_t length = out->total_out;
    CHECK(deflateEnd(out) == Z_OK && out->state == NULL);
    CHECK(deflateEnd(out) == Z_STREAM_ERROR);

    in->next_in = NULL;
    in->avail_in = 0;
    CHECK(inflateInit(in) == Z_OK);
    in->next_in = packed;
    in->next_out = unpacked;
    in->avail_out = size;
    int status = Z_OK;
    while (status == Z_OK) {
        in->avail_in = length - in->total_in < 333 ? length - in->total_in : 333;
        status = inflate(in, Z_NO_FLUSH);
    }
    CHECK(status == Z_STREAM_END && in->total_out == size);
    CHECK(memcmp(unpacked, data, size) == 0);
    CHECK(inflateEnd(in) == Z_OK);
    free(packed);
    free(unpacked);
}

static void allocators(void)
{
    enum { SIZE = 200000 };
    unsigned char *data = make_data(SIZE, 1);
    z_stream out = {0}, in = {0}, copy = {0};

    /* The library's own, then the program's, then the library's again, in the same
     * structs; the second round without setting them anew. */
    round_trip(&out, &in, data, SIZE);
    round_trip(&out, &in, data, SIZE);
    CHECK(allocated == 0);
    use_own_allocator(&out);
    use_own_allocator(&in);
    round_trip(&out, &in, data, SIZE);
    CHECK(allocated > 4 && allocated == freed);
    /* One of the two alone. */
    memset(&out, 0, sizeof out);
    out.opaque = &allocated;
    out.zalloc = allocate;
    CHECK(deflateInit(&out, 6) == Z_OK && allocated > freed);
    CHECK(deflateEnd(&out) == Z_OK);
    memset(&out, 0, sizeof out);
    memset(&in, 0, sizeof in);
    round_trip(&out, &in, data, SIZE);

    /* Copies stay with their originals. */
    for (int own = 0; own < 2; own++) {
        unsigned char packed[2][1000], *text = data;
        memset(&out, 0, sizeof out);
        memset(&copy, 0xa5, sizeof copy);
        if (own)
            use_own_allocator(&out);
        CHECK(deflateInit(&out, 9) == Z_OK);
        out.next_in = text;
        out.avail_in = 500;
        out.next_out = packed[0];
        out.avail_out = 1000;
        CHECK(deflate(&out, Z_SYNC_FLUSH) == Z_OK);
        memcpy(packed[1], packed[0], 1000);
        CHECK(deflateCopy(&copy, &out) == Z_OK);
        copy.next_out = packed[1] + out.total_out;
        CHECK(deflate(&out, Z_FINISH) == Z_STREAM_END);
        CHECK(deflateEnd(&out) == Z_OK);
        CHECK(deflate(&copy, Z_FINISH) == Z_STREAM_END);
        CHECK(copy.total_out == out.total_out);
        CHECK(memcmp(packed[0], packed[1], out.total_out) == 0);
        CHECK(deflateEnd(&copy) == Z_OK);
    }
    free(data);
    printf("allocators: as they should be, %d allocations\n", allocated);
}

static void *many_round_trips(void *number)
{
    unsigned seed = (size_t)number;
    size_t size = 30000 + seed * 1000;
    unsigned char *data = make_data(size, seed);
    for (int i = 0; i < 30; i++) {
        z_stream out = {0}, in = {0};
        if (i % 3 == 0)
            use_own_allocator(&out);
        if (i % 5 == 0)
            use_own_allocator(&in);
        round_trip(&out, &in, data, size);
    }
    free(data);
    return NULL;
}

static void threads(void)
{
    pthread_t threads[2];
    allocated = freed = 0;
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, many_round_trips, (void *)(i + 1)) == 0);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(allocated == freed);
    printf("threads: as they should be, %d allocations\n", allocated);
}

static unsigned take_input(void *from, z_const unsigned char **input)
{
    z_stream *packed = from;
    unsigned there = packed->avail_in;
    *input = packed->next_in;
    packed->avail_in = 0;
    return there;
}

static int put_output(void *to, unsigned char *output, unsigned length)
{
    unsigned char **end = to;
    memcpy(*end, output, length);
    *end += length;
    return 0;
}

/* What calls functions of the program, or takes them along. */
static void callbacks(void)
{
    enum { SIZE = 5000 };
    unsigned char *data = make_data(SIZE, 3), packed[SIZE], unpacked[SIZE], window[32768];
    z_stream out = {0}, source = {0}, in = {0};
    CHECK(deflateInit2(&out, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    out.next_in = data;
    out.avail_in = SIZE;
    out.next_out = packed;
    out.avail_out = SIZE;
    CHECK(deflate(&out, Z_FINISH) == Z_STREAM_END);
    source.next_in = packed;
    source.avail_in = out.total_out;
    CHECK(deflateEnd(&out) == Z_OK);
    unsigned char *end = unpacked;
    CHECK(inflateBackInit(&in, 15, window) == Z_OK);
    CHECK(inflateBack(&in, take_input, &source, put_output, &end) == Z_STREAM_END);
    CHECK(inflateBackEnd(&in) == Z_OK);
    CHECK(end - unpacked == SIZE && memcmp(unpacked, data, SIZE) == 0);
    free(data);
    puts("callbacks: as they should be");
}

/* What the library says, given to the kernel as it is. */
static void errors(void)
{
    z_stream in = {0};
    unsigned char bad[] = "this was never compressed", room[100];
    CHECK(inflateInit(&in) == Z_OK);
    in.next_in = bad;
    in.avail_in = sizeof bad;
    in.next_out = room;
    in.avail_out = sizeof room;
    CHECK(inflate(&in, Z_NO_FLUSH) == Z_DATA_ERROR);
    fflush(stdout);
    CHECK(write(1, in.msg, strlen(in.msg)) == (ssize_t)strlen(in.msg));
    CHECK(write(1, "\n", 1) == 1);
    CHECK(inflateEnd(&in) == Z_OK);
    CHECK(write(1, zError(Z_BUF_ERROR), 12) == 12);
    CHECK(write(1, "\n", 1) == 1);
    /* An object that was never made, and one that could not be. */
    memset(&in, 0, sizeof in);
    CHECK(inflate(&in, Z_NO_FLUSH) == Z_STREAM_ERROR);
    CHECK(inflate(NULL, Z_NO_FLUSH) == Z_STREAM_ERROR);
    CHECK(inflateInit(NULL) == Z_STREAM_ERROR);
    memset(&in, 0xa5, sizeof in);
    in.zalloc = NULL;
    in.zfree = NULL;
    CHECK(inflateInit_(&in, "0.9", sizeof in) == Z_VERSION_ERROR);
    CHECK((size_t)in.state == 0xa5a5a5a5a5a5a5a5);
    CHECK(deflateInit(&in, 77) == Z_STREAM_ERROR);
    puts("errors: as they should be");
}

/* Code, decompressed over code that has run. */
static void code(void)
{
    unsigned char packed[100];
    unsigned *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    for (unsigned result = 1; result < 50; result++) {
        unsigned function[2] = {0x52800000 | result << 5, 0xd65f03c0}; /* mov w0, #result; ret */
        uLongf length = sizeof packed, size = sizeof function;
        CHECK(compress(packed, &length, (unsigned char *)function, sizeof function) == Z_OK);
        CHECK(uncompress((unsigned char *)page, &size, packed, length) == Z_OK);
        __builtin___clear_cache((char *)page, (char *)page + 8);
        CHECK(((unsigned (*)(void))page)() == result);
    }
    puts("code: as it should be");
}

/* Memory that is not there: the program must end as it would by itself. */
static void wild(void)
{
    uLongf length = 100;
    compress((unsigned char *)64, &length, (const unsigned char *)128, 1000);
    puts("not reached");
}

/* Of processor time, which a busy machine changes little. */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

/* Milliseconds to compress and to decompress so many bytes, nanoseconds of a small call. */
static void speed(size_t size)
{
    unsigned char *data = make_data(size, 5), *unpacked = malloc(size);
    uLongf length = compressBound(size), back = size;
    unsigned char *packed = malloc(length);
    memset(packed, 1, length);
    memset(unpacked, 1, size);
    double start = seconds();
    CHECK(compress2(packed, &length, data, size, 6) == Z_OK);
    double middle = seconds();
    CHECK(uncompress(unpacked, &back, packed, length) == Z_OK);
    double end = seconds();
    CHECK(back == size && memcmp(unpacked, data, size) == 0);
    printf("%.1f %.1f\n", (middle - start) * 1e3, (end - middle) * 1e3);
    unsigned sum = 0;
    start = seconds();
    for (int i = 0; i < 100000; i++)
        sum += crc32(sum, data, 1);
    printf("%.1f ns %u\n", (seconds() - start) * 1e4, sum);
}

/* For a worker that loads this as a library. */
int use_zlib(void)
{
    allocators();
    callbacks();
    errors();
    code();
    threads();
    return 0;
}

int main(int count, char **words)
{
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "allocators") == 0)
            allocators();
        else if (strcmp(words[i], "threads") == 0)
            threads();
        else if (strcmp(words[i], "callbacks") == 0)
            callbacks();
        else if (strcmp(words[i], "errors") == 0)
            errors();
        else if (strcmp(words[i], "code") == 0)
            code();
        else if (strcmp(words[i], "wild") == 0)
            wild();
        else
            speed((size_t)atoi(words[i]) << 20);
    }
    return 0;
}
