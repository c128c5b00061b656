// Functions that the worker stands in front of, called as a decoder calls them.
#include "check.h"

#include <math.h>
#include <stdlib.h>

static char from[4096], to[4096];

int nothing(void) {
    return 0;
}

// 100 copies, 30 fillings, 10 comparisons and 20 exponentials; the first may set the flag of inexact results.
int work(void) {
    for (int i = 0; i < 100; i++) {
        from[i] = (char)i;
        memcpy(to, from, sizeof to - 1);
    }
    for (int i = 0; i < 10; i++) {
        // Nothing changed, but the compiler is not to know.
        asm volatile("" ::: "memory");
        CHECK(memcmp(to, from, sizeof to) == 0);
    }
    for (int i = 0; i < 30; i++)
        memset(to, i, sizeof to);
    CHECK(to[4095] == 29 && to[0] == 29);
    volatile double one = 1;
    for (int i = 0; i < 20; i++)
        CHECK(exp(one) == 0x1.5bf0a8b145769p+1);
    return 0;
}

int copy_from_nowhere(void) {
    char *volatile nowhere = (char *)0x1000;
    memcpy(to, nowhere, sizeof to);
    return 0;
}

int copy_too_much(void) {
    volatile size_t length = 5000;
    void *__memcpy_chk(void *, const void *, size_t, size_t);
    __memcpy_chk(to, from, length, sizeof to);
    return 0;
}
