/* They do next to nothing: what is measured is the way to them and back. */
#include "calls.h"

void calls_empty(void)
{
}

int calls_two(int a, int b)
{
    return a - b;
}

struct calls_block calls_block(struct calls_block block)
{
    block.words[0]++;
    block.words[7]++;
    return block;
}

void calls_bytes(unsigned char *data, size_t size)
{
    data[0]++;
    data[size - 1]++;
}

int calls_back(int (*function)(int), int count)
{
    int sum = 0;

    for (int i = 0; i < count; i++)
        sum += function(i);
    return sum;
}
