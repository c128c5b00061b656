/* What library and program of a batch have in common: values made from a state, and a sum of all that was seen. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* splitmix64 */
static inline uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Any bits, and those that are most likely to be wrong more often. */
static inline void put(uint64_t *state, void *to, size_t size)
{
    unsigned char *bytes = to;
    uint64_t kind = next(state) % 8;
    for (size_t i = 0; i < size; i++)
        bytes[i] = kind == 0 ? 0 : kind == 1 ? 0xff : (unsigned char) (next(state) >> 24);
    if (kind == 2 && size > 0)
        bytes[size - 1] = 0x80;
}

/* FNV-1a */
static inline void see(uint64_t *sum, const void *from, size_t size)
{
    const unsigned char *bytes = from;
    for (size_t i = 0; i < size; i++)
        *sum = (*sum ^ bytes[i]) * 0x100000001b3;
}

static inline void see_number(uint64_t *sum, uint64_t number) { see(sum, &number, sizeof number); }

static inline const char *put_text(uint64_t *state)
{
    static const char *const texts[] = {
        "", "a", "of several words", "gr\xc3\xb6\xc3\x9f" "er \xff\x80",
        "long enough to lie in more than one cache line, so that whoever copies only the beginning of it is found out "
        "by what is here at its very end: 0123456789",
    };
    return texts[next(state) % 5];
}

static inline void see_text(uint64_t *sum, const char *text)
{
    see_number(sum, text != NULL);
    if (text)
        see(sum, text, strlen(text) + 1);
}

static inline void put_errno(uint64_t *state) { errno = (int) (next(state) % 100) + 1; }
static inline void see_errno(uint64_t *sum) { see_number(sum, (uint64_t) errno); }
