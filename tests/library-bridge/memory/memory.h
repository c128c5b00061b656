/* A library whose calls hand memory over, in both directions, and the message of all its calls. */
#ifndef MEMORY_H
#define MEMORY_H
#include <stdint.h>

enum what {
    MAKE_TEXT,     /* a: length; a string of the library's */
    MAKE_LIST,     /* a: nodes; a list of the library's */
    SUM_LIST,      /* a: any list */
    FREE_LIST,     /* a: any list */
    FREE,          /* a: anything */
    RESIZE,        /* a: anything, b: size */
    USABLE_SIZE,   /* a: anything */
    WITH_CPLUSPLUS,/* a: rounds of containers, exceptions and threads; a checksum */
    WITH_ZLIB,     /* a: bytes to compress and get back; the compressed size, 0 if they differ */
    SPAWN,         /* system("true") */
    LARGE,         /* a: times 100 MiB are written to and freed */
    FUNCTION_COUNT
};

struct node {
    struct node *next;
    int64_t value;
};

struct message {
    uint64_t a, b, result;
};

/* In the program. */
uint64_t library(enum what, uint64_t a, uint64_t b);
#endif
