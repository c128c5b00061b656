/* What the generator would make of sample.h for both sides: numbers and messages. */
#ifndef MESSAGES_H
#define MESSAGES_H
#include <stdint.h>

enum {
    F_empty, F_add, F_so_lib_function_a, F_swap_errno, F_count_calls, F_call_back, F_nest, F_call_from_thread,
    F_swap_handler, F_call_handler, F_get_doubler, F_jump_inside, F_misbehave, F_wild, F_describe,
    F_count_shared, FUNCTIONS
};
enum { SIG_function, SIGNATURES };
#define FINGERPRINT 0x73616d706c65ull

struct m_int3 { int32_t a, b, result, pad; };
struct m_array { uint64_t c; uint32_t result, pad; };
struct m_function { uint64_t f; int32_t a, b, result, pad; uint64_t function; };
struct m_misbehave { uint64_t argument; uint32_t what; int32_t result; };
_Static_assert(sizeof(struct m_function) == 32, "layout");
#endif
