/* The library of the question: an amd64 program is to call it, and it is for aarch64. */
#include <stdint.h>

uint32_t so_lib_function_a(uint32_t c[2]);
