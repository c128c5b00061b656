/*
 * iotdec_streams.h: the program's FILEs in the guest. Part of the guest parts whose library takes some.
 *
 * The library gets a FILE of its own C library, without a buffer, whose reads and writes are done by the program on the
 * one that it gave. There is one for each, and it stays, as libraries remember FILEs.
 */
#include "iotdec_operations.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

struct iotdec_stream {
    struct iotdec_stream *next;
    uint64_t given;
    long (*operate)(void *stream, int operation, void *memory, long number);
    FILE *file;
};

struct iotdec_stream_functions {
    ssize_t (*read)(void *, char *, size_t);
    ssize_t (*write)(void *, const char *, size_t);
    int (*seek)(void *, int64_t *, int);
    int (*close)(void *);
};

/* fopencookie, which stdio.h may have been told not to declare. */
extern FILE *iotdec_open_stream(void *, const char *, struct iotdec_stream_functions) __asm__("fopencookie");

static struct iotdec_stream *iotdec_streams;
static pthread_mutex_t iotdec_streams_lock = PTHREAD_MUTEX_INITIALIZER;

static long iotdec_operate(struct iotdec_stream *stream, int operation, void *memory, long number)
{
    return stream->operate((void *)(uintptr_t)stream->given, operation, memory, number);
}

static ssize_t iotdec_stream_read(void *stream, char *to, size_t size)
{
    return iotdec_operate(stream, IOTDEC_READ, to, (long)size);
}

static ssize_t iotdec_stream_write(void *stream, const char *from, size_t size)
{
    long done = iotdec_operate(stream, IOTDEC_WRITE, (void *)from, (long)size);

    return done < 0 ? 0 : done;
}

static int iotdec_stream_seek(void *stream, int64_t *offset, int whence)
{
    return iotdec_operate(stream, IOTDEC_SEEK, offset, whence) < 0 ? -1 : 0;
}

static int iotdec_stream_close(void *stream)
{
    struct iotdec_stream **at;
    long result = iotdec_operate(stream, IOTDEC_CLOSE, NULL, 0);

    pthread_mutex_lock(&iotdec_streams_lock);
    for (at = &iotdec_streams; *at; at = &(*at)->next)
        if (*at == stream) {
            *at = (*at)->next;
            break;
        }
    pthread_mutex_unlock(&iotdec_streams_lock);
    free(stream);
    return (int)result;
}

/* The FILE for what the program gave. */
static __attribute__((unused)) FILE *iotdec_stream(uint64_t message)
{
    static const struct iotdec_stream_functions functions = {
        iotdec_stream_read, iotdec_stream_write, iotdec_stream_seek, iotdec_stream_close,
    };
    const uint64_t *given = (const uint64_t *)(uintptr_t)message;
    struct iotdec_stream *stream;

    if (!given)
        return NULL;
    pthread_mutex_lock(&iotdec_streams_lock);
    for (stream = iotdec_streams; stream && stream->given != given[0]; stream = stream->next)
        continue;
    if (!stream && (stream = malloc(sizeof *stream))) {
        stream->given = given[0];
        stream->operate = (long (*)(void *, int, void *, long))(uintptr_t)given[1];
        stream->file = iotdec_open_stream(stream, "r+", functions);
        stream->next = iotdec_streams;
        if (stream->file) {
            setvbuf(stream->file, NULL, _IONBF, 0);
            iotdec_streams = stream;
        } else {
            free(stream);
            stream = NULL;
        }
    }
    pthread_mutex_unlock(&iotdec_streams_lock);
    if (!stream)
        return NULL;
    /* The program may have rewound its own. */
    clearerr(stream->file);
    return stream->file;
}
