/* Compiled twice, as libraries of two directories, which have workers of their own. */
#include <stddef.h>

static int count;

const char *name(void)
{
    return NAME;
}

int *bump(int by)
{
    count += by;
    return &count;
}

size_t length(const char *text)
{
    size_t size = 0;

    while (text[size])
        size++;
    return size;
}
