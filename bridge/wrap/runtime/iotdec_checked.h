/* What generated code on the host needs to do functions for a guest in another process,
 * which is not trusted: nothing of the guest's is used where it is. Arguments are fetched,
 * once, into memory of the host's, and results put back; objects that the library makes stay
 * here, and the guest knows them by numbers. */
#ifndef IOTDEC_CHECKED_H
#define IOTDEC_CHECKED_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define IOTDEC_UNUSED __attribute__((__unused__))

/* By the runtime: the guest that calls. */
struct iotdec_guest {
    void *process;
    /* 0, or -1 if the guest has no such memory. */
    int (*read)(void *process, void *to, uint64_t from, uint64_t size);
    int (*write)(void *process, uint64_t to, const void *from, uint64_t size);
    /* Strings for the guest: its objects' fields have their number, from 1. */
    char (*texts)[IOTDEC_TEXT];
    /* What it has of this library. */
    struct iotdec_objects *objects;
    /* Of the function. */
    int error;
};

/* Objects */

struct iotdec_object {
    struct iotdec_object *next;
    uint64_t token;
    uint32_t type, kind;
    int is_busy, is_new;
    _Alignas(16) unsigned char object[];
};

struct iotdec_objects {
    pthread_mutex_t lock;
    struct iotdec_object *first;
    uint64_t tokens, count;
};

/* The functions that end objects, by type and kind. */
static void iotdec_end(struct iotdec_object *object);

struct iotdec_objects *iotdec_objects(void)
{
    struct iotdec_objects *objects = calloc(1, sizeof *objects);
    if (objects)
        pthread_mutex_init(&objects->lock, NULL);
    return objects;
}

/* When the guest is no more, and nobody calls for it. */
void iotdec_objects_end(struct iotdec_objects *objects)
{
    while (objects->first) {
        struct iotdec_object *object = objects->first;
        objects->first = object->next;
        iotdec_end(object);
        free(object);
    }
    free(objects);
}

/* One call */

/* What is fetched and held at most, in one call. */
#define IOTDEC_BUFFERS 24
#define IOTDEC_HELD 4
#define IOTDEC_LIMIT (1ull << 30)
/* Objects that a guest may have. */
#define IOTDEC_MOST (1u << 12)
/* At null, so much is never mapped. */
#define IOTDEC_NULL_SIZE (1u << 16)

struct iotdec_buffer {
    char *copy;
    uint64_t size, at;
    int is_heap;
};

struct iotdec_call {
    struct iotdec_guest *guest;
    struct iotdec_buffer buffers[IOTDEC_BUFFERS];
    struct iotdec_object *held[IOTDEC_HELD];
    unsigned buffer_count, held_count, text_count;
    uint64_t total;
    int failed;
};

static IOTDEC_UNUSED void *iotdec_fail(struct iotdec_call *c)
{
    c->failed = 1;
    return NULL;
}

static IOTDEC_UNUSED struct iotdec_buffer *iotdec_buffer(struct iotdec_call *c, uint64_t at, uint64_t size)
{
    if (c->failed || c->buffer_count == IOTDEC_BUFFERS || size > IOTDEC_LIMIT - c->total)
        return iotdec_fail(c);
    c->total += size;
    struct iotdec_buffer *buffer = &c->buffers[c->buffer_count++];
    *buffer = (struct iotdec_buffer){.at = at, .size = size};
    return buffer;
}

enum { IOTDEC_BLANK, IOTDEC_MAYBE, IOTDEC_READ, IOTDEC_ALL };

/* A copy of the guest's memory: zeros, or what is there if it can be read, or what is there.
 * IOTDEC_ALL is of several, where null is no place to find them. */
static IOTDEC_UNUSED void *iotdec_fetch(struct iotdec_call *c, uint64_t at, uint64_t size, int how)
{
    struct iotdec_buffer *buffer;
    /* A library may look for what is far behind null. */
    if (!at)
        return size > (how == IOTDEC_ALL ? 0 : IOTDEC_NULL_SIZE) ? iotdec_fail(c) : NULL;
    if (!(buffer = iotdec_buffer(c, at, size)))
        return NULL;
    /* Never what was in the host's heap: it may come back to the guest. */
    buffer->copy = calloc(size ? size : 1, 1);
    buffer->is_heap = 1;
    if (!buffer->copy)
        return iotdec_fail(c);
    if (how != IOTDEC_BLANK && size && c->guest->read(c->guest->process, buffer->copy, at, size) != 0 &&
        how >= IOTDEC_READ)
        return iotdec_fail(c);
    return buffer->copy;
}

/* A copy of a string of the guest's. */
static IOTDEC_UNUSED char *iotdec_fetch_text(struct iotdec_call *c, uint64_t at)
{
    enum { PAGE = 4096, LONGEST = 1 << 20 };
    uint64_t size = 0;
    char page[PAGE];
    if (!at)
        return NULL;
    while (size < LONGEST) {
        /* Up to the end of a page, as there may be nothing behind it. */
        uint64_t part = PAGE - (at + size) % PAGE;
        if (c->failed || c->guest->read(c->guest->process, page, at + size, part) != 0)
            return iotdec_fail(c);
        char *end = memchr(page, 0, part);
        size += end ? (uint64_t)(end - page) + 1 : part;
        if (!end)
            continue;
        char *text = iotdec_fetch(c, at, size, IOTDEC_READ);
        /* It may have changed meanwhile. */
        if (text)
            text[size - 1] = 0;
        return text;
    }
    return iotdec_fail(c);
}

/* How many bytes so many elements are. */
static IOTDEC_UNUSED uint64_t iotdec_amount(struct iotdec_call *c, long long count, uint64_t each)
{
    uint64_t size;
    if (count < 0 || __builtin_mul_overflow((uint64_t)count, each, &size)) {
        iotdec_fail(c);
        return 0;
    }
    return size;
}

/* What a pointer is for the library that it does not follow: nothing can be read there. */
static IOTDEC_UNUSED void *iotdec_nowhere(struct iotdec_call *c, uint64_t at)
{
    static _Atomic(char *) nowhere;
    char *start = nowhere;
    if (!start) {
        start = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == MAP_FAILED)
            return iotdec_fail(c);
        nowhere = start;
    }
    struct iotdec_buffer *buffer;
    if (!at || !(buffer = iotdec_buffer(c, at, 0)))
        return NULL;
    buffer->copy = start + 16 * c->buffer_count;
    return buffer->copy;
}

/* The guest's address for one of a copy; 0 for any other. */
static IOTDEC_UNUSED uint64_t iotdec_home(struct iotdec_call *c, const void *pointer)
{
    for (unsigned i = 0; pointer && i < c->buffer_count; i++) {
        uint64_t offset = (uintptr_t)pointer - (uintptr_t)c->buffers[i].copy;
        if (c->buffers[i].copy && offset <= c->buffers[i].size)
            return c->buffers[i].at + offset;
    }
    return 0;
}

/* Gives the beginning of a copy back. */
static IOTDEC_UNUSED void iotdec_put(struct iotdec_call *c, const void *copy, uint64_t size)
{
    for (unsigned i = 0; copy && size && !c->failed && i < c->buffer_count; i++) {
        struct iotdec_buffer *buffer = &c->buffers[i];
        if (buffer->copy != copy)
            continue;
        if (size > buffer->size || c->guest->write(c->guest->process, buffer->at, copy, size) != 0)
            c->failed = 1;
        return;
    }
}

/* A string for the guest: its number. */
static IOTDEC_UNUSED uint64_t iotdec_put_text(struct iotdec_call *c, const char *text)
{
    if (!text || c->text_count == IOTDEC_TEXTS)
        return 0;
    char *to = c->guest->texts[c->text_count];
    size_t length = strnlen(text, IOTDEC_TEXT - 1);
    memcpy(to, text, length);
    to[length] = 0;
    return ++c->text_count;
}

/* An object that the guest knows by this number, for this call alone. */
static IOTDEC_UNUSED void *iotdec_use(struct iotdec_call *c, uint32_t type, uint32_t kind, uint64_t token)
{
    struct iotdec_objects *objects = c->guest->objects;
    if (c->failed || c->held_count == IOTDEC_HELD)
        return iotdec_fail(c);
    pthread_mutex_lock(&objects->lock);
    struct iotdec_object *object = objects->first;
    while (object && object->token != token)
        object = object->next;
    /* Of another type, or another thread is using it. */
    if (object && (object->type != type || object->kind != kind || object->is_busy))
        object = NULL;
    if (object)
        object->is_busy = 1;
    pthread_mutex_unlock(&objects->lock);
    if (!object)
        return iotdec_fail(c);
    c->held[c->held_count++] = object;
    return object->object;
}

/* Memory for an object that the library is to make. */
static IOTDEC_UNUSED void *iotdec_make(struct iotdec_call *c, uint32_t type, uint32_t kind, size_t size)
{
    struct iotdec_objects *objects = c->guest->objects;
    if (c->failed || c->held_count == IOTDEC_HELD)
        return iotdec_fail(c);
    struct iotdec_object *object = calloc(1, sizeof *object + size);
    if (!object)
        return iotdec_fail(c);
    *object = (struct iotdec_object){.type = type, .kind = kind, .is_busy = 1, .is_new = 1};
    pthread_mutex_lock(&objects->lock);
    int is_room = objects->count < IOTDEC_MOST;
    if (is_room) {
        /* No address in a program looks like this. */
        object->token = (0x10DECull << 44) + (++objects->tokens << 4);
        object->next = objects->first;
        objects->first = object;
        objects->count++;
    }
    pthread_mutex_unlock(&objects->lock);
    if (!is_room) {
        free(object);
        return iotdec_fail(c);
    }
    c->held[c->held_count++] = object;
    return object->object;
}

static IOTDEC_UNUSED struct iotdec_object *iotdec_object(void *object)
{
    return (struct iotdec_object *)((char *)object - offsetof(struct iotdec_object, object));
}

/* It is no more, or never was. */
static IOTDEC_UNUSED void iotdec_drop(struct iotdec_call *c, void *which)
{
    struct iotdec_objects *objects = c->guest->objects;
    struct iotdec_object *object = iotdec_object(which);
    pthread_mutex_lock(&objects->lock);
    struct iotdec_object **link = &objects->first;
    while (*link && *link != object)
        link = &(*link)->next;
    if (*link) {
        *link = object->next;
        objects->count--;
    }
    pthread_mutex_unlock(&objects->lock);
    for (unsigned i = 0; i < c->held_count; i++)
        if (c->held[i] == object)
            c->held[i] = NULL;
    free(object);
}

/* Whether all went well. */
static IOTDEC_UNUSED int iotdec_release(struct iotdec_call *c)
{
    for (unsigned i = 0; i < c->buffer_count; i++)
        if (c->buffers[i].is_heap)
            free(c->buffers[i].copy);
    /* What was to be made in a call that did not take place. */
    for (unsigned i = 0; i < c->held_count; i++)
        if (c->held[i] && c->held[i]->is_new)
            iotdec_drop(c, c->held[i]->object);
    pthread_mutex_lock(&c->guest->objects->lock);
    for (unsigned i = 0; i < c->held_count; i++)
        if (c->held[i])
            c->held[i]->is_busy = 0;
    pthread_mutex_unlock(&c->guest->objects->lock);
    return c->failed ? -1 : 0;
}

#endif
