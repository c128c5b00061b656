/* The library itself, to be compiled with aarch64-linux-gnu-gcc. */
#include "so_lib.h"

uint32_t so_lib_function_a(uint32_t c[2])
{
    c[0] += c[1];
    return c[0] * 2;
}
