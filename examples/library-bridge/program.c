/* The program: nothing in it, nor in how it is compiled, tells that the library is for another machine. */
#include "so_lib.h"
#include <stdio.h>

int main(void)
{
    uint32_t c[2] = {20, 1};
    uint32_t result = so_lib_function_a(c);

    printf("%u %u %u\n", result, c[0], c[1]);
    return 0;
}
