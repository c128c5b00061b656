/* A program that uses two libraries, and after a crash in the opposite order. */
#include "order.h"
#include <stdio.h>

int main(void)
{
    const char *first = first_name(), *other = other_name();
    printf("%s, %s\n", first, other);
    first_crash();
    printf("%s, ", other_name());
    printf("%s\n", first_name());
    printf("%s, %s\n", first, other);
    return 0;
}
